"""The documents say what the code does: each table is held to the thing that it describes."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import model_inbox
from model_inbox.backup.manifest import Manifest
from model_inbox.telemetry.events import EVENTS
from support.places import ROOT
from support.plain_reader import unsealed

PACKAGE = Path(model_inbox.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "critical"}
NOUNS = {
    "daemon",
    "config",
    "inbox",
    "drop",
    "entry",
    "registry",
    "journal",
    "retention",
    "follower",
    "web",
    "promotion",
    "mlflow",
}


def _calls() -> list[tuple[str, int, str, str, set[str]]]:
    """Return (file, line, level, event, keyword names) of each `log.<level>(...)` in the package."""
    calls = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            target = node.func.value
            if not (isinstance(target, ast.Name) and target.id == "log" and node.func.attr in LEVELS):
                continue
            assert node.args, f"{path.name}:{node.lineno}: a log call without an event"
            event = node.args[0]
            assert isinstance(event, ast.Constant) and isinstance(event.value, str), (
                f"{path.name}:{node.lineno}: the event must be a literal"
            )
            names = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
            calls.append((path.name, node.lineno, node.func.attr, event.value, names))
    return calls


def test_every_event_that_is_logged_is_in_the_catalogue_and_the_other_way_round() -> None:
    """The events that the code logs are exactly those of the catalogue."""
    assert {event for _, _, _, event, _ in _calls()} == set(EVENTS)


def test_every_call_has_the_level_and_no_other_fields_than_the_catalogue_says() -> None:
    """A call site's level is the catalogue's, and its fields are among the catalogue's."""
    for file, line, level, event, names in _calls():
        assert level == EVENTS[event].level, f"{file}:{line} {event}"
        assert names <= set(EVENTS[event].fields), f"{file}:{line} {event}: {names - set(EVENTS[event].fields)}"


def test_events_are_named_noun_dot_past_participle() -> None:
    """An event is one of the closed nouns, a dot, and words of lower case."""
    for event in EVENTS:
        noun, _, rest = event.partition(".")
        assert noun in NOUNS, event
        assert re.fullmatch(r"[a-z_]+", rest), event


def test_no_event_says_that_the_operator_must_act_without_saying_how() -> None:
    """Errors and critical events tell what to do."""
    for event, entry in EVENTS.items():
        if entry.level in ("error", "critical"):
            assert entry.action != "Nothing to do.", event


PAGES = [
    "logs.md",
    "formats.md",
    "configuration.md",
    "commands.md",
    "options.md",
    "metrics.md",
    "security.md",
    "problems.md",
    "model-inbox.catalog",
]


@pytest.mark.parametrize("page", PAGES)
def test_generated_tables_are_up_to_date(page: str) -> None:
    """What docs/generate.py would write is what stands in the page."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check", page], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_sealed_examples_have_their_checksums() -> None:
    """A reader that is written after the manual finds its examples sound."""
    lines = (ROOT / "docs" / "reference" / "formats.md").read_text().splitlines()
    sealed = [unsealed(line.encode()) for line in lines if re.fullmatch(r'\{.*,"checksum":"[0-9a-f]{8}"\}', line)]
    assert [line["format"] for line in sealed] == [
        "model-inbox-journal/2",
        "model-inbox-checkpoint/2",
        "model-inbox-labels/1",
    ]


def test_links_between_documents_lead_somewhere() -> None:
    """Every relative link in a Markdown file names a file that is there."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.relative_to(ROOT)} links to {target}"


def test_links_to_other_sites_are_well_formed() -> None:
    """Every address in a Markdown file names a host and has no stray sign. No host is asked whether it answers."""
    found = []
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]:
        for target in re.findall(r"\]\(([a-z][a-z+.-]*:[^)]*)\)", path.read_text()):
            assert re.fullmatch(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w./#?=&%+~-]*)?", target), f"{path}: {target}"
            found.append(target)
    assert found


@pytest.mark.parametrize("file", ["model-inbox.service", "model-inbox.catalog"])
def test_systemd_is_pointed_to_documents_that_are_installed(file: str) -> None:
    """Every document that the unit and the catalogue name is one that the installation copies, in the same folder."""
    text = (ROOT / "systemd" / file).read_text()
    named = set(re.findall(r"file:///opt/model-inbox/share/doc/(\S+)", text))
    assert named
    for document in named:
        assert document.startswith("docs/") and (ROOT / document).is_file(), document


def test_the_map_names_modules_that_exist() -> None:
    """Every path in backticks on the pages for developers exists, and every dotted name of the map can be imported."""
    map_of_rooms = ROOT / "ARCHITECTURE.md"
    for page in [map_of_rooms, ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/decisions/*.md")]:
        for path in re.findall(r"`([a-z_]+/[a-z_][a-z_/.]*)`", page.read_text()):
            places = [ROOT / path, PACKAGE / path, PACKAGE / f"{path}.py"]
            assert any(place.exists() for place in places), f"{page.name} names {path}"
    rooms = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()}
    dotted = re.findall(r"`(([a-z]+)\.[A-Za-z_.]+)`", map_of_rooms.read_text())
    names = [name for name, room in dotted if room in rooms]
    assert "inbox.readiness.judge" in names
    for name in names:
        pkgutil.resolve_name(f"model_inbox.{name}")


def test_the_manifest_of_a_backup_has_the_fields_of_the_manual() -> None:
    """Those of the table in formats.md, no more and no less."""
    manifest = Manifest(datetime(2026, 11, 27, tzinfo=UTC), None, 1, 0, "r.json", "prediction", {}, ())
    _, _, text = (ROOT / "docs" / "reference" / "formats.md").read_text().partition("`manifest.json` is one line")
    rows = text.partition("\n## ")[0].splitlines()
    named = {name for row in rows if row.startswith("| `") for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert unsealed(manifest.encode().rstrip(b"\n")).keys() - {"checksum"} == named

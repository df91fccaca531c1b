"""The registry's files are enough: a reader in another language, and jq, find what the API finds."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from model_inbox import ModelRegistry
from model_inbox.registry.outcomes import Candidate
from model_inbox.registry.segments import JournalFile
from support.crash_disk import QuickDisk
from support.crash_kit import as_version_0_1, open_registry, register, staged
from support.places import ROOT

READER = Path(__file__).parent / "readers" / "read_registry.pl"
RECIPE = re.compile(r"<!-- jq: (?P<name>\S+) -->\n```sh\n(?P<text>.*?)```", re.DOTALL)


@pytest.fixture(name="registry")
def _registry(tmp_path: Path) -> ModelRegistry:
    """A registry with a closed segment, a checkpoint behind the journal, an alias that moved, a retired model."""
    folder = tmp_path / "models"
    registry = ModelRegistry(
        folder / "prediction_registry.json", folder / "prediction", disk=QuickDisk(), actor="person", clock=now
    )
    for number, hour in ((1, "12:00:00Z"), (2, "12:00:00.5Z"), (3, "11:00:00Z")):
        candidate = staged(registry, f"usd_eur_{number}", b"model %d" % number, b"scaler")
        fields = {**candidate.fields, "trained_at": f"2025-10-25T{hour}", "description": 'ä "quoted" \\ \U0001f600'}
        registry.register_staged([Candidate(fields, candidate.files, "api")])
    registry.set_alias("champion", "usd_eur_1", reason="the best so far")
    registry.change_segment()
    registry.set_alias("champion", "usd_eur_2", reason="better")
    registry.delete_model("usd_eur_3")
    registry.checkpoint()
    registry.pin("usd_eur_1")
    register(registry, "later")
    return registry


def now() -> datetime:
    return datetime(2026, 11, 24, 12, tzinfo=UTC)


def stored(registry: ModelRegistry) -> dict[str, Any]:
    """Return what the API shows, paths as they are stored."""
    folder = str(Path(registry.registry_path).parent) + "/"
    return json.loads(json.dumps(dict(registry.registry)).replace(folder, ""))  # type: ignore[no-any-return]


def perl(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["perl", str(READER), str(path)], capture_output=True, text=True)


def test_a_reader_in_perl_finds_what_the_api_finds(registry: ModelRegistry) -> None:
    """A program that knows the manual of formats alone reads every commit, before and after each kind of checkpoint."""
    path = Path(registry.registry_path)
    for step in (lambda: None, registry.checkpoint, registry.change_segment, lambda: registry.restore("usd_eur_3")):
        step()
        done = perl(path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout) == stored(registry)


def test_a_reader_in_perl_ignores_a_torn_tail_and_finds_damage(registry: ModelRegistry, tmp_path: Path) -> None:
    """What the page calls damage is found with the offset that the package names, and a write in progress is none."""
    journal = tmp_path / "models" / "prediction_registry.journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"sequence":9,"ti')
    assert json.loads(perl(Path(registry.registry_path)).stdout) == stored(registry)
    second = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    journal.write_bytes(whole[: second + 20] + b"#" + whole[second + 21 :])
    done = perl(Path(registry.registry_path))
    assert (done.returncode, done.stdout) == (3, f"damage: {journal} at {second}: the checksum does not match\n")
    journal.write_bytes(whole[: whole.index(b"\n") + 1])
    assert perl(Path(registry.registry_path)).returncode == 3
    journal.write_bytes(whole)
    file = Path(registry.registry_path)
    file.write_text(file.read_text().replace("1.10", "1.11", 1))
    assert perl(file).stdout == f"damage: {file} at 0: the mark does not know it\n"


def test_a_reader_in_perl_reads_both_formats_and_never_mixes_two_epochs(tmp_path: Path) -> None:
    """A registry of version 0.1 reads as before its take-over and after; a mark of another epoch is damage."""
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        register(registry, "a")
        known = registry.identity
    as_version_0_1(tmp_path)
    path = tmp_path / "registry.json"
    assert json.loads(perl(path).stdout).keys() == {"a"}
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        register(registry, "b", b"b")
        assert json.loads(perl(path).stdout) == stored(registry)
        registry.checkpoint()
        assert json.loads(perl(path).stdout) == stored(registry)
    assert known is not None
    journal = JournalFile(tmp_path / "registry.journal.jsonl", QuickDisk(), writable=True)
    journal.read_new()
    journal.take_over(known, journal.format)
    journal.close()
    done = perl(path)
    assert (done.returncode, done.stdout) == (
        3,
        f"damage: {tmp_path / 'registry.checkpoint.json'} at 0: it is of another epoch\n",
    )


def test_the_recipes_for_jq_work(registry: ModelRegistry, tmp_path: Path) -> None:
    """Each recipe of docs/reference/formats.md runs as it stands there, and prints what it is for."""
    manual = (ROOT / "docs" / "reference" / "formats.md").read_text()
    recipes = {found["name"]: found["text"] for found in RECIPE.finditer(manual)}

    def run(name: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", recipes.pop(name)],
            cwd=tmp_path / "models",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("newest") == "usd_eur_2\n"
    assert run("champion") == "USD/EUR lightgbm usd_eur_2\n"
    assert json.loads(run("entries")) == stored(registry)
    lines = run("history").splitlines()
    assert [line.split()[1] for line in lines] == ["register", "alias", "pin"]
    assert lines[1] == "2026-11-24T12:00:00.000000Z alias person the best so far"
    assert recipes == {}

"""`init` makes a folder in which the other commands work at once, and changes nothing that is there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import yaml

from model_inbox.model.sidecar import parse_sidecar
from support.home import Home


def test_a_new_folder_can_be_used_at_once(home: Home) -> None:
    """The configuration is accepted, and a copy of the template is a valid sidecar, for us and for an editor."""
    done = home.json("init", "new")
    folder = home.folder / "new"
    assert done["kept"] == []
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.schema.json",
        "config.yaml",
        "inbox",
        "sidecar-template.yaml",
        "sidecar.schema.json",
    ]
    home.text("--config", str(folder / "config.yaml"), "config", "check")
    for name, schema in (("config.yaml", "config.schema.json"), ("sidecar-template.yaml", "sidecar.schema.json")):
        text = (folder / name).read_text().replace("...\n", "trained_at: '2026-11-20T18:30:00Z'\n")
        assert text.splitlines()[0] == f"# yaml-language-server: $schema={schema}"
        jsonschema.Draft202012Validator(json.loads((folder / schema).read_text())).validate(yaml.safe_load(text))
    text = (folder / "sidecar-template.yaml").read_text()
    # The commented fields are fields, too.
    uncommented = "\n".join(
        line.removeprefix("# ") if line.startswith(("# model_id", "# trained_at", "# variant", "# tags")) else line
        for line in text.splitlines()
    )
    for described in (text.replace("...\n", "trained_at: 2026-11-20T18:30:00Z\n"), uncommented):
        assert parse_sidecar(described.encode(), stem="m", now=datetime(2027, 1, 1, tzinfo=UTC)).problems == ()


def test_what_is_there_stays(home: Home) -> None:
    """A second call changes neither configuration nor template; only the schemas are those of this version."""
    home.text("init")
    config = home.folder / "config.yaml"
    config.write_text("inbox: {path: inbox, settle_seconds: 7s}\n")
    (home.folder / "sidecar.schema.json").write_text("{}")
    done = home.json("init", ".")
    assert {Path(path).name for path in done["kept"]} == {"inbox", "config.yaml", "sidecar-template.yaml"}
    assert "7s" in config.read_text()
    assert len((home.folder / "sidecar.schema.json").read_text()) > 100


def test_the_commands_that_are_printed_can_be_copied(home: Home) -> None:
    """A folder with a space in its name is quoted for the shell."""
    assert f"`cd '{home.folder}/two words'`, then `model-inbox run`" in home.text("init", "two words")

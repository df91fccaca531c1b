"""`config check`, `config show` and `config schema`."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from model_inbox.cli.config_trial import try_out
from model_inbox.config.load import load_config, parse_config
from support.home import Home
from support.people import ALICE, BOB
from support.ports import reserve_port
from support.users import as_user, in_child, let_through


def test_config_check_lists_everything(empty: Home) -> None:
    """A right file is exit 0; a wrong one exit 78 with all its problems; none at all means the defaults."""
    assert empty.text("config", "check").startswith("There is no config.yaml")
    assert empty.json("config", "check") == {"ok": True, "path": None, "problems": [], "warnings": []}
    file = empty.folder / "config.yaml"
    file.write_text("inbox: {path: here}\n")
    assert empty.text("config", "check") == f"'{file}' has no problems.\n"
    assert empty.json("config", "check")["path"] == str(file)
    file.write_text("inbox: {path: here, settle_seconds: -1}\nloging: {}\n")
    result = empty.run("config", "check", "--json")
    assert result.exit_code == 78
    said = json.loads(result.stdout)
    assert (said["ok"], sorted(p["code"] for p in said["problems"])) == (
        False,
        ["config.invalid_value", "config.unknown_key"],
    )
    assert "Did you mean logging?" in empty.run("config", "check").stderr


def test_config_schema_describes_every_setting(empty: Home) -> None:
    """The schema is JSON with or without --json."""
    schema = empty.json("config", "schema")
    assert set(schema["properties"]) >= {"inbox", "registry", "pickle", "checks", "retention", "logging"}
    assert json.loads(empty.text("config", "schema")) == schema


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inbox: {path: /srv/inbox, incomplete_timeout: 1.2345s, max_artifact_size: 12345678901}\n",
        "retention: {mode: 'off', trash_grace: 2w, policies: [{keep: {within: 1y2m, daily: {within: 30d}, "
        "best: {metric: a.b, order: max}, tags: [[x], [y, z=1]]}, budget: 20GiB}]}\n"
        "pickle: {frameworks: null, allow: {}, time_limit: 90}\nchecks: {model_types: ['l*']}\n",
    ],
)
def test_what_config_show_prints_is_the_same_configuration(empty: Home, text: str) -> None:
    """Reading the printed settings back gives the very settings that hold, however they were written."""
    (empty.folder / "config.yaml").write_text(text)
    printed = empty.text("config", "show")
    held = load_config(None, env={}, cwd=empty.folder)
    assert parse_config(printed.encode(), file=empty.folder / "x.yaml").model_dump() == held.model_dump()
    assert "rejected_keep: 30d\n" in printed
    assert empty.json("config", "show")["inbox"]["rejected_keep"] == 30 * 86400


def refusals(home: Home, text: str) -> dict[str, str]:
    """Return what `config check` finds wrong with a configuration, by setting: the messages."""
    (home.folder / "config.yaml").write_text(text)
    done = home.run("config", "check", "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["ok"]) == ((0, True) if not said["problems"] else (78, False))
    return {problem["field"]: problem["message"] for problem in said["problems"]}


def test_config_check_tries_the_folders_and_makes_none(empty: Home) -> None:
    """What is in a folder's place, a registry that would be made by mistake, and a log folder that is not there."""
    (empty.folder / "a-file").touch()
    (empty.folder / "b-file").touch()
    told = refusals(
        empty,
        "inbox: {path: a-file/inbox}\nregistry: {path: a/b/registry.json, storage_dir: b-file}\n"
        "logging: {file: logs/log.jsonl}\nmetrics: {textfile: nowhere/m.prom}\n",
    )
    assert set(told) == {"inbox.path", "registry.path", "registry.storage_dir", "logging.file", "metrics.textfile"}
    assert "a-file' is not a folder (the daemon would make" in told["inbox.path"]
    assert "/a' does not exist" in told["registry.path"]
    assert "logs' cannot be used: No such file or directory" in told["logging.file"]
    (empty.folder / "logs").mkdir()
    assert refusals(empty, "inbox: {path: new/inbox}\nlogging: {file: logs/log.jsonl}\n") == {}
    assert sorted(path.name for path in empty.folder.iterdir()) == ["a-file", "b-file", "config.yaml", "logs"]


def test_config_check_tries_the_port(empty: Home) -> None:
    """One that another program has is a problem, a free one is none."""
    port = reserve_port()
    with socket.create_server(("127.0.0.1", port)):
        told = refusals(empty, f"metrics: {{listen: '127.0.0.1:{port}'}}\n")
        assert told == {"metrics.listen": f"cannot listen on 127.0.0.1:{port}: Address already in use"}
    assert refusals(empty, f"metrics: {{listen: '127.0.0.1:{port}'}}\n") == {}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("retention: {mode: enforce}\n", ["config.no_rules"]),
        ("retention: {mode: enforce, policies: [{keep: {last: 3}}]}\n", []),
        ("retention: {mode: dry-run}\n", []),
    ],
)
def test_config_check_warns_of_enforcement_without_rules(empty: Home, text: str, codes: list[str]) -> None:
    """Nothing would be retired, which nobody means by it. It is no error."""
    (empty.folder / "config.yaml").write_text(text)
    said = empty.json("config", "check")
    assert (said["ok"], [warning["code"] for warning in said["warnings"]]) == (True, codes)
    assert ("every model is kept" in empty.text("config", "check")) == bool(codes)


def test_config_check_tries_as_the_daemons_user(tmp_path: Path) -> None:
    """Root becomes the owner of the registry; another user is told that nothing was tried; the owner tries."""
    inbox, models = tmp_path / "inbox", tmp_path / "models"
    let_through(tmp_path)
    for folder in (inbox, models):
        folder.mkdir()
        os.chown(folder, ALICE, ALICE)
    inbox.chmod(0o555)
    config = parse_config(b"", file=tmp_path / "config.yaml")

    def tried() -> tuple[list[str], list[str]]:
        problems, notes = try_out(config)
        return [str(problem.field) for problem in problems], [note.code for note in notes]

    assert as_user(BOB, tried) == [[], ["config.not_tried"]]
    assert as_user(ALICE, tried) == [["inbox.path"], []]
    assert in_child(lambda: None, tried) == [["inbox.path"], []]

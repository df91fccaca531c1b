"""What every command has in common: its help, how errors are reported, and the exit codes."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from model_inbox import RegistryCorrupted
from model_inbox.base.flocks import FileLock
from model_inbox.cli import COMMANDS, root
from support.home import Home
from support.tree import commands


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_command_explains_itself(words: list[str]) -> None:
    """Each command's help has an example that begins with its own words, `--json`, and its exit codes."""
    result = CliRunner().invoke(root, [*words, "--help"], prog_name="model-inbox", terminal_width=100)
    assert result.exit_code == 0
    _, _, after = result.stdout.partition("Example")
    examples, _, exits = after.partition("Exit status:")
    assert any(" ".join(words) in line for line in examples.splitlines() if line.startswith("  model-inbox"))
    assert "--json" in result.stdout
    listed = [line.split()[0] for line in exits.splitlines() if line[2:3].isdigit()]
    assert {"0", "2", "78"} <= set(listed)
    assert set(listed) <= {"0", "1", "2", "75", "78"}


def test_the_commands_are_those_of_the_manual() -> None:
    """The words of the command line are stable: nouns with verbs, and plain verbs."""
    assert {" ".join(words) for words, _ in commands()} == {
        *(
            "run",
            "drop",
            "wait",
            "check",
            "list",
            "get",
            "show",
            "diff",
            "why",
            "history",
            "pin",
            "unpin",
            "hold",
            "unhold",
            "tag",
            "delete",
            "restore",
        ),
        *("record", "replace-scaler", "promote", "rollback", "alias set", "alias list", "hold", "unhold"),
        *(
            "backup make",
            "backup list",
            "backup verify",
            "backup restore",
            "backup plan",
            "backup apply",
            "replica pull",
            "replica status",
            "mlflow push",
            "mlflow mirror",
            "mlflow verify",
            "mlflow status",
            "mlflow retry",
            "mlflow import",
        ),
        *("trash list", "trash purge", "rejected list", "rejected show", "rejected retry", "rejected purge"),
        *("retention plan", "retention apply", "retention simulate", "retention confirm-clock", "verify", "rebuild"),
        *("allowlist explain", "allowlist diff", "allowlist build"),
        *("config check", "config show", "config schema", "schema"),
        *("init", "status", "reload", "inbox list", "inbox explain", "report", "web", "logs"),
    }
    help_text = CliRunner().invoke(root, ["--help"]).stdout
    assert all(f"\n  {name} " in help_text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_says_of_a_command_what_it_says_itself(name: str) -> None:
    """The line of a command in `model-inbox --help`, which imports none, is the first sentence of its own help."""
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert COMMANDS[name][1] == command.get_short_help_str(limit=1000)


def test_a_word_that_is_no_command_gets_the_nearest() -> None:
    """A typing error is usage (2), with the word that was probably meant, in groups too."""
    result = CliRunner().invoke(root, ["lst"])
    assert (result.exit_code, "Did you mean list?" in result.stderr) == (2, True)
    result = CliRunner().invoke(root, ["rejected", "retyr"])
    assert (result.exit_code, "Did you mean retry?" in result.stderr) == (2, True)
    result = CliRunner().invoke(root, ["zzzzzz"])
    assert (result.exit_code, "The commands are run, drop" in result.stderr) == (2, True)


READING = (
    ["list"],
    ["show", "a"],
    ["why", "a"],
    ["history"],
    ["alias", "list"],
    ["trash", "list"],
    ["trash", "purge"],
    ["retention", "plan"],
    ["retention", "apply"],
    ["verify"],
)


WRITING = (
    ["record", "a", "--metrics", "b=1"],
    ["alias", "a", "b"],
    ["promote", "a"],
    ["rollback", "--pair", "a", "--type", "b"],
    ["pin", "a"],
    ["unpin", "a"],
    ["tag", "a", "b"],
    ["delete", "a"],
    ["restore", "a"],
)


@pytest.mark.parametrize("words", [*READING, *WRITING], ids=" ".join)
def test_a_missing_registry_is_said_and_not_made(empty: Home, words: list[str]) -> None:
    """Where there is no registry every command exits 78, names the path, and makes nothing."""
    error = empty.error(*words, status=78)
    assert error["code"] == "registry.missing"
    assert str(empty.registry_path) in error["message"]
    assert list(empty.folder.iterdir()) == []


def test_a_configuration_with_problems_stops_every_command(empty: Home) -> None:
    """Exit 78 with every problem, its line and what to do, on stderr and as JSON."""
    (empty.folder / "config.yaml").write_text("inbox:\n  pth: x\nlogging: {level: loud}\n")
    error = empty.error("list", status=78)
    assert error["code"] == "config.invalid"
    assert [(problem["line"], problem["code"]) for problem in error["problems"]] == [
        (2, "config.unknown_key"),
        (3, "config.invalid_value"),
    ]
    said = empty.run("list").stderr
    assert "config.yaml:2:3: " in said
    assert "Did you mean path?" in said


def test_the_configuration_that_is_named_holds(home: Home, tmp_path: Path) -> None:
    """--config comes before ./config.yaml, and one that does not exist is exit 78."""
    other = tmp_path / "other.yaml"
    other.write_text("registry: {path: elsewhere/r.json, storage_dir: elsewhere/files}\n")
    assert str(tmp_path / "elsewhere" / "r.json") in home.error("--config", str(other), "list", status=78)["message"]
    assert home.error("--config", "nowhere.yaml", "list", status=78)["problems"][0]["code"] == "config.not_found"


def test_a_registry_that_somebody_else_changes_is_tried_again_later(home: Home) -> None:
    """When the writer lock is not to be had in time the exit code is 75 and the holder is named."""
    (home.folder / "config.yaml").write_text("registry: {lock_timeout: 50ms}\n")
    lock = FileLock(home.registry_path.with_name(".prediction_registry.writer.lock"), "test's")
    lock.acquire(0)
    try:
        error = home.error("pin", "old", status=75)
    finally:
        lock.close()
    assert error["code"] == "registry.locked"
    assert str(os.getpid()) in error["message"]
    assert home.json("pin", "old")["pinned"] is True


def test_a_damaged_registry_is_exit_78(home: Home) -> None:
    """Damage names file and commands to run next; nothing is overwritten."""
    journal = home.registry_path.with_name("prediction_registry.journal.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b"lightgbm", b"lightgbn", 1))
    before = home.tree()
    error = home.error("list", status=78)
    assert error["code"] == "registry.corrupted"
    assert "model-inbox verify" in error["hint"]
    assert home.error("pin", "old", status=78)["code"] == "registry.corrupted"
    assert home.tree() == before


def test_a_file_that_the_system_refuses_is_an_error_not_a_traceback(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OSError that no part of ours expected names the file, and says whose it is."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(home.folder / "models" / "x"))

    monkeypatch.setattr("model_inbox.registry.ModelRegistry.list_models", refuse)
    error = home.error("list", status=1)
    assert error["message"] == f"cannot use '{home.folder}/models/x': Permission denied"
    assert "sudo -u" in error["hint"]


@pytest.mark.parametrize("words", [["list", "--as-of", "soon"], ["retention", "plan", "--now", "2026-13-01"]])
def test_a_time_that_is_none_is_usage(home: Home, words: list[str]) -> None:
    """A time that cannot be read is usage (2), and the answer says how to write one."""
    result = home.run(*words)
    assert result.exit_code == 2
    assert "2025-10-25T12:00:00Z" in result.stderr


def test_an_error_is_told_with_its_hint(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error is one line, its hint the second, and the status its own."""

    def damaged(*_: object, **__: object) -> None:
        raise RegistryCorrupted("/x", 7, "bad \x1b[31m line")

    monkeypatch.setattr("model_inbox.registry.ModelRegistry.list_models", damaged)
    result = home.run("list")
    first, second = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (78, "")
    assert first == "model-inbox: cannot use '/x': damaged at byte 7: bad \\x1b[31m line"
    assert second.startswith("  Nothing was changed.")

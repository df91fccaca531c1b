"""Every command does what its help says, for people and for programs, and exits with the documented status."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner, Result

from model_inbox import ModelMetadata, ModelRegistry, Problem, RegistryCorrupted
from model_inbox.base.flocks import FileLock
from model_inbox.base.users import person
from model_inbox.cli import COMMANDS, root
from model_inbox.cli.verify import progress_bar
from model_inbox.config.load import load_config, parse_config
from support.places import DATA

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Home:
    """A folder with a registry, and the command line in it. The registry's clock stands where we put it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry_path = folder / "models" / "prediction_registry.json"
        self.storage_dir = folder / "models" / "prediction"
        self.clock = T0

    def open(self) -> ModelRegistry:
        """Open the registry to change it, at the time of `clock`."""
        return ModelRegistry(self.registry_path, self.storage_dir, actor="test", clock=lambda: self.clock)

    def register(self, model_id: str, *, days: int = 0, pair: str = "USD/EUR", **fields: Any) -> None:
        """Register a model that was trained `days` after T0, at that time."""
        values: dict[str, Any] = {
            "model_type": "lightgbm",
            "currency_pair": pair,
            "trained_at": T0 + days * DAY,
            "version": "1.10",
            "validation_metrics": {"1d": {"rmse": 0.25}},
            "min_samples": 100,
            "calibration_ok": True,
            "features_used": ["sma_5", "rsi_14"],
            "horizons": [1, 7],
            **fields,
        }
        self.clock = T0 + days * DAY
        with self.open() as registry:
            registry.register_model(ModelMetadata(model_id, **values), {"model": model_id}, {"scaler": model_id})

    def run(self, *args: str, stdin: str | None = None) -> Result:
        """Call the command line."""
        return CliRunner().invoke(root, list(args), input=stdin, prog_name="model-inbox")

    def text(self, *args: str, status: int = 0) -> str:
        """Call it and return what it prints for people."""
        result = self.run(*args)
        assert result.exit_code == status, result.output
        return result.stdout

    def json(self, *args: str, status: int = 0) -> Any:
        """Call it with --json and return what it prints."""
        return json.loads(self.text(*args, "--json", status=status))

    def error(self, *args: str, status: int) -> dict[str, Any]:
        """Call it with --json, see it fail on both streams, and return the error."""
        result = self.run(*args, "--json")
        assert result.exit_code == status, result.output
        error: dict[str, Any] = json.loads(result.stdout)["error"]
        assert result.stderr.startswith(f"model-inbox: {error['message']}\n")
        assert error["message"].startswith("cannot ")
        return error

    def stored(self) -> dict[str, Any]:
        """Read the registry as a plain reader of JSON does."""
        entries: dict[str, Any] = json.loads(self.registry_path.read_text())
        return entries

    def tree(self) -> dict[str, tuple[object, ...]]:
        """Return every file and folder with its bytes, rights, owner and times (but for when it was read)."""
        return {
            str(path): (
                path.read_bytes() if path.is_file() else b"",
                *(about.st_ino, about.st_mode, about.st_nlink, about.st_uid, about.st_gid),
                *(about.st_mtime_ns, about.st_ctime_ns),
            )
            for path in sorted(self.folder.rglob("*"))
            for about in [path.lstat()]
        }


@pytest.fixture(name="empty")
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_INBOX_CONFIG", raising=False)
    yield Home(tmp_path)
    structlog.reset_defaults()  # a command sets up the log of its process, which is ours here


@pytest.fixture(name="home")
def _home(empty: Home) -> Home:
    """Three models: `old`, `new` of USD/EUR a day later, `other` of USD/CHF two days later."""
    empty.register("old")
    empty.register("new", days=1)
    empty.register("other", days=2, pair="USD/CHF")
    return empty


def commands() -> list[tuple[list[str], click.Command]]:
    """Return every command with the words that call it."""
    found: list[tuple[list[str], click.Command]] = []

    def walk(words: list[str], command: click.Command) -> None:
        context = click.Context(command)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                walk([*words, name], inner)
        else:
            found.append((words, command))

    walk([], root)
    return found


# --- all commands ------------------------------------------------------------------------------------------


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
        *("run", "drop", "check", "list", "show", "history", "alias", "pin", "unpin", "tag", "delete", "restore"),
        "replace-scaler",
        *("trash list", "trash purge", "rejected list", "rejected show", "rejected retry", "rejected purge"),
        *("retention plan", "retention apply", "verify", "rebuild"),
        *("allowlist explain", "allowlist diff", "allowlist build"),
        *("config check", "config show", "config schema", "schema"),
        *("status", "reload", "inbox list", "inbox explain", "logs"),
    }
    help_text = CliRunner().invoke(root, ["--help"]).stdout
    assert all(f"\n  {name} " in help_text for name in COMMANDS)


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
    ["history"],
    ["trash", "list"],
    ["trash", "purge"],
    ["retention", "plan"],
    ["retention", "apply"],
    ["verify"],
)
WRITING = (["alias", "a", "b"], ["pin", "a"], ["unpin", "a"], ["tag", "a", "b"], ["delete", "a"], ["restore", "a"])


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


# --- list, show, history -----------------------------------------------------------------------------------


def test_list_is_newest_first_and_filtered(home: Home) -> None:
    """`list --json` is an array of entries, newest first, of a pair, of a type, or as of a time."""
    assert [entry["model_id"] for entry in home.json("list")] == ["other", "new", "old"]
    assert [entry["model_id"] for entry in home.json("list", "--currency-pair", "USD/EUR")] == ["new", "old"]
    assert [entry["model_id"] for entry in home.json("list", "--model-type", "lstm")] == []
    assert [entry["model_id"] for entry in home.json("list", "--as-of", "2026-01-01T12:00:00Z")] == ["old"]
    assert home.json("list", "--as-of", "2025-12-31") == []
    assert home.json("list")[2] == home.json("show", "old")


def test_list_for_people_is_one_line_a_model(home: Home) -> None:
    """The table has a title line and then one line for each model, with pins and aliases."""
    home.text("alias", "champion", "new")
    home.text("pin", "new")
    lines = home.text("list").splitlines()
    assert [line.split()[0] for line in lines] == ["MODEL", "other", "new", "old"]
    assert lines[2].split()[1:6] == ["USD/EUR", "lightgbm", "1.10", "2026-01-02", "00:00"]
    assert lines[2].endswith("pinned, champion")
    assert home.text("list", "--model-type", "x") == "No such model.\n"


def test_list_of_an_empty_registry(empty: Home) -> None:
    """An empty registry is no error."""
    empty.open().close()
    assert empty.text("list") == "No models are registered.\n"
    assert empty.json("list") == []
    assert empty.text("history") == "Nothing has happened yet.\n"
    assert empty.text("retention", "plan") == "No models are registered.\n"


@pytest.mark.parametrize("words", [["list", "--as-of", "soon"], ["retention", "plan", "--now", "2026-13-01"]])
def test_a_time_that_is_none_is_usage(home: Home, words: list[str]) -> None:
    """A time that cannot be read is usage (2), and the answer says how to write one."""
    result = home.run(*words)
    assert result.exit_code == 2
    assert "2025-10-25T12:00:00Z" in result.stderr


def test_show_tells_everything(home: Home) -> None:
    """The card has metadata, metrics, files with sizes and digests, imports, and the history."""
    home.register(
        "full",
        days=3,
        tags={"stage": "live", "audit": ""},
        description="[bold]first[/bold]\nsecond",
        validation_metrics={"1d": {"rmse": 0.123456789, "acc": 1}, "7d": {"rmse": 2.0}},
    )
    home.text("tag", "full", "seen=yes", "--reason", "a look")
    card = home.text("show", "full")
    entry = home.json("show", "full")
    for text in (
        "USD/EUR",
        "1.10",
        "2026-01-04 00:00 UTC",
        "2: sma_5, rsi_14",
        "1 d, 7 d",
        "stage=live, audit, seen=yes",
        "[bold]first[/bold]\n               second",
        entry["model_path"],
        entry["sha256"],
        entry["scaler_path"],
        entry["scaler_sha256"],
        "registered from Python",
        "register by test",
        "tag by cli:",
        ": a look",
    ):
        assert text in card
    metrics = card.partition("metrics\n")[2].splitlines()
    assert [line.split() for line in metrics[:3]] == [["rmse", "acc"], ["1d", "0.123457", "1"], ["7d", "2"]]
    os.unlink(entry["model_path"])
    assert f"{entry['model_path']} (missing)" in home.text("show", "full")


def test_show_of_other_metrics(home: Home) -> None:
    """Metrics that are not grouped alike are one to a line by their dotted names; none are said to be none."""
    home.register("flat", days=3, validation_metrics={"rmse": 0.5, "1d": {"acc": 1}})
    home.register("none", days=4, validation_metrics={}, features_used=[])
    assert home.text("show", "flat").partition("metrics\n")[2].startswith("  rmse    0.5\n  1d.acc  1\n")
    card = home.text("show", "none")
    assert "metrics\n  none\n" in card
    assert "features     none\n" in card


def test_show_of_a_model_from_the_inbox_sums_its_imports_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports are counted by package; a model that may import nothing says so."""
    entry = {**home.json("show", "old"), "origin": "inbox", "integrity": "digest", "drop_id": "d-1"}
    names = {"numpy.ndarray": "r", "numpy.dtype": "r", "sklearn.x.Y": "r"}
    for imports, said in ((names, "3 names: numpy (2), sklearn (1); --json"), ({}, "may import\n  nothing\n")):
        shown = {**entry, "imports": imports}
        monkeypatch.setattr("model_inbox.registry.ModelRegistry.get_model_info", lambda *_, shown=shown, **__: shown)
        card = home.text("show", "old")
        assert said in card
        assert "the inbox (whole by digest), drop d-1" in card


def test_show_of_what_is_not_there(home: Home) -> None:
    """An unknown id, and one that was not registered yet, are exit 1."""
    assert home.error("show", "nothing", status=1)["code"] == "registry.not_found"
    assert home.error("show", "new", "--as-of", "2026-01-01", status=1)["code"] == "registry.not_found"
    assert home.json("show", "old", "--as-of", "2026-01-01T12:00:00Z")["model_id"] == "old"


def test_history_tells_who_what_and_why(home: Home) -> None:
    """Each change is one object, oldest first, and one line for people; of one model also what happened to it."""
    home.text("alias", "champion", "old")
    home.text("alias", "champion", "new", "--reason", "better")
    home.text("delete", "other", "--reason", "wrong rates")
    lines = home.json("history")
    assert [(line["sequence"], line["operation"], line["model_id"]) for line in lines] == [
        (1, "register", "old"),
        (2, "register", "new"),
        (3, "register", "other"),
        (4, "alias", "old"),
        (5, "alias", "new"),
        (6, "retire", "other"),
    ]
    assert lines[0]["at"] == "2026-01-01T00:00:00.000000Z"
    assert (lines[5]["actor"][:4], lines[5]["reason"]) == ("cli:", "wrong rates")
    assert (lines[4]["alias"], lines[4]["also"]) == ("champion", ["old"])
    assert [line["sequence"] for line in home.json("history", "old")] == [1, 4, 5]
    table = home.text("history", "old").splitlines()
    assert len(table) == 4
    assert table[1].split()[:4] == ["1", "2026-01-01", "00:00:00", "register"]
    assert "alias champion moved to new" in table[3]
    assert table[3].endswith("better")
    assert len(home.text("history").splitlines()) == 7
    assert home.error("history", "nothing", status=1)["code"] == "registry.not_found"


def test_show_cuts_a_long_history(home: Home) -> None:
    """The card ends with the last ten changes and says how many were before."""
    for number in range(11):
        home.text("tag", "old", f"n={number}")
    card = home.text("show", "old")
    assert "2 earlier: `model-inbox history old`" in card
    assert len([line for line in card.splitlines() if " tag by " in line]) == 10


# --- changes -----------------------------------------------------------------------------------------------


def test_a_change_is_in_the_file_when_the_command_returns(home: Home) -> None:
    """A plain reader of the JSON file sees a command's change at once."""
    home.text("pin", "old", "--reason", "audit")
    assert home.stored()["old"]["pinned"] is True
    assert home.text("unpin", "old") == "'old' is not pinned.\n"
    assert home.stored()["old"]["pinned"] is False
    assert home.json("unpin", "new")["model_id"] == "new"
    assert home.error("pin", "nothing", status=1)["code"] == "registry.not_found"
    assert [line["reason"] for line in home.json("history", "old")] == ["register_model", "audit", ""]


def test_an_alias_is_set_moved_and_removed(home: Home) -> None:
    """An alias names one model of its pair and type; removing it from another is exit 1, a bad name usage."""
    assert home.json("alias", "champion", "old")["aliases"] == ["champion"]
    assert home.text("alias", "champion", "new") == "'champion' names 'new' (of 'USD/EUR' 'lightgbm').\n"
    assert [entry["aliases"] for entry in home.stored().values()] == [[], ["champion"], []]
    assert home.error("alias", "--remove", "champion", "old", status=1)["code"] == "registry.not_found"
    assert home.text("alias", "--remove", "champion", "new").startswith("'champion' no longer names 'new'")
    assert home.stored()["new"]["aliases"] == []
    assert home.error("alias", "champion", "nothing", status=1)["code"] == "registry.not_found"
    assert home.run("alias", "a/b", "old").exit_code == 2


def test_tags_are_set_and_removed(home: Home) -> None:
    """NAME=VALUE sets, NAME sets without a value, NAME= and --remove remove; what cannot be a tag is exit 1."""
    assert home.json("tag", "old", "stage=live", "a=b=c", "production")["tags"] == {
        "stage": "live",
        "a": "b=c",
        "production": "",
    }
    assert home.text("tag", "old", "stage=", "--remove", "a") == "'old' has the tags production.\n"
    assert home.stored()["old"]["tags"] == {"production": ""}
    assert home.text("tag", "old", "production=") == "'old' has no tags.\n"
    assert home.error("tag", "old", "bad name=1", status=1)["code"] == "metadata.invalid"
    assert home.run("tag", "old").exit_code == 2
    assert home.run("tag", "old", "a=1", "a=2").exit_code == 2


def test_a_deleted_model_can_be_restored(home: Home) -> None:
    """`delete` moves to the trash, `trash list` shows it, `restore` brings it back with its files."""
    entry = home.json("show", "old")
    assert home.json("delete", "old", "--reason", "wrong") == {"model_id": "old", "sequence": 1, "reason": "wrong"}
    assert not Path(entry["model_path"]).exists()
    (held,) = home.json("trash", "list")
    assert (held["model_id"], held["sequence"], held["reason"]) == ("old", 1, "wrong")
    assert held["size_bytes"] == entry["size_bytes"]
    row = home.text("trash", "list").splitlines()[1]
    assert row.startswith("old ")
    assert row.endswith("wrong")
    assert home.text("restore", "old") == "'old' is registered again.\n"
    assert Path(entry["model_path"]).exists()
    assert home.json("trash", "list") == []
    assert home.text("trash", "list") == "The trash is empty.\n"
    assert home.error("restore", "old", status=1)["code"] == "registry.model_id_taken"
    assert home.error("restore", "nothing", status=1)["code"] == "registry.not_found"
    assert home.text("delete", "old").startswith("'old' is in the trash")
    assert home.json("restore", "old", "--sequence", "1")["model_id"] == "old"


def test_a_scaler_is_replaced_by_one_that_the_scan_accepts(home: Home) -> None:
    """The file is copied and judged as in the inbox, never loaded; the old scaler stays loadable from old entries."""
    file = home.folder / "better.pkl"
    file.write_bytes(pickle.dumps({"scaler": "better"}))
    with home.open() as registry:
        before = registry.registry["old"]
    entry = home.json("replace-scaler", "old", str(file), "--reason", "wrong window")
    assert home.stored()["old"]["scaler_sha256"] == entry["scaler_sha256"] != before["scaler_sha256"]
    assert entry["scaler_imports"] == {}
    with home.open() as registry:
        assert registry.load_scaler(entry) == {"scaler": "better"}
        assert registry.load_scaler(before) == {"scaler": "old"}
    assert home.json("history", "old")[-1] | {"at": ""} == {
        "sequence": 4,
        "at": "",
        "operation": "replace_scaler",
        "model_id": "old",
        "drop_id": None,
        "actor": f"cli:{person()}",
        "reason": "wrong window",
    }
    assert "its scaler, of line 4: nothing" in home.text("show", "old")
    assert home.text("replace-scaler", "old", str(file)).startswith("'old' has another scaler: ")


def test_a_scaler_that_the_scan_refuses_changes_nothing(home: Home) -> None:
    """The problems are told, and what would have run did not; an unknown model and a missing file are errors too."""
    file = home.folder / "bad.pkl"
    file.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")

    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in home.folder.rglob("*") if path.is_file()}

    before = files()
    error = home.error("replace-scaler", "old", str(file), status=1)
    assert error["code"] == "scaler.refused"
    assert any("os.system" in problem["message"] for problem in error["problems"]), error
    assert files() == before
    file.unlink()
    assert home.run("replace-scaler", "old", str(file)).exit_code == 2
    (home.folder / "good.pkl").write_bytes(pickle.dumps(1))
    assert home.error("replace-scaler", "none", str(home.folder / "good.pkl"), status=1)["code"] == "registry.not_found"


def test_protected_and_unknown_models_are_not_deleted(home: Home) -> None:
    """A pin or an alias protects, with the way out in the hint; an unknown id is exit 1, too."""
    home.text("pin", "old")
    home.text("alias", "champion", "new")
    assert "model-inbox unpin old" in home.error("delete", "old", status=1)["hint"]
    assert home.error("delete", "new", status=1)["code"] == "registry.protected"
    assert home.error("delete", "nothing", status=1)["code"] == "registry.not_found"
    assert set(home.stored()) == {"old", "new", "other"}


def test_the_trash_is_purged_only_when_confirmed(home: Home) -> None:
    """Without --yes and without a terminal the plan is shown, and nothing goes (1)."""
    home.text("delete", "old")
    home.text("delete", "new")
    before = home.tree()
    result = home.run("trash", "purge", "old")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].startswith("old ")
    assert "--yes" in result.stderr
    assert home.error("trash", "purge", "--all", status=1)["code"] == "command.refused"
    assert home.error("trash", "purge", "other", status=1)["code"] == "registry.not_found"
    assert home.tree() == before


def test_the_trash_is_purged_by_name_by_age_or_all(home: Home) -> None:
    """A name goes at once, `purge` alone takes what is older than the grace, --all everything."""
    home.clock = datetime.now(UTC) - 8 * DAY  # a day more than the default grace
    with home.open() as registry:
        registry.delete_model("old")
    home.text("delete", "new")
    home.text("delete", "other")
    done = home.json("trash", "purge", "--yes")
    assert [item["model_id"] for item in done["purged"]] == ["old"]
    assert done["bytes_freed"] > 0
    assert home.json("trash", "purge", "--yes") == {"purged": [], "in_use": [], "bytes_freed": 0}
    assert home.text("trash", "purge", "--yes").startswith("Nothing in the trash is old enough")
    assert "Removed 1 model for good" in home.text("trash", "purge", "new", "--yes")
    assert "Removed 1 model for good" in home.text("trash", "purge", "--all", "--yes")
    assert home.json("trash", "list") == []
    assert [line["operation"] for line in home.json("history", "other")] == ["register", "retire", "purge"]


def test_a_model_that_is_being_read_stays_in_the_trash(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process has open is not purged: exit 75, and it can be restored still."""
    home.text("delete", "old")
    monkeypatch.setattr("model_inbox.registry.trash._in_use", lambda _folder: True)
    done = home.json("trash", "purge", "--all", "--yes", status=75)
    assert [item["model_id"] for item in done["in_use"]] == ["old"]
    assert "'old' stays" in home.text("trash", "purge", "--all", "--yes", status=75)
    assert home.json("restore", "old")["model_id"] == "old"


# --- rejected ----------------------------------------------------------------------------------------------

DROP_ID = "20260101T000000000000Z-0001-bad"


@pytest.fixture(name="refused")
def _refused(empty: Home) -> Home:
    """An inbox with one rejected drop that has two problems."""
    folder = empty.folder / "inbox" / "rejected" / DROP_ID
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_text("model_type: x\n")
    (folder / "bad.pkl").write_bytes(pickle.dumps(1))
    problems = [
        Problem(
            "sidecar.unknown_key", "'colour' is no field", "Did you mean currency_pair?", "colour", 3, 1, "bad.yaml"
        ),
        Problem("artifact.truncated", "the model has lost\x1b[31m its end", "Write it again", file="bad.pkl"),
    ]
    reason = {
        "drop_id": DROP_ID,
        "outcome": "rejected",
        "model_id": None,
        "at": "2026-01-01T00:00:00.000Z",
        "stem": "bad",
        "owner": "trainer",
        "problems": [problem.as_dict() for problem in problems],
    }
    (folder / "reason.json").write_text(json.dumps(reason))
    return empty


def test_rejected_drops_are_listed(refused: Home) -> None:
    """The list has each drop with its codes, for people and programs."""
    (drop,) = refused.json("rejected", "list")
    assert (drop["drop_id"], drop["files"]) == (DROP_ID, ["bad.pkl", "bad.yaml"])
    line = refused.text("rejected", "list").splitlines()[1]
    assert line.split()[:2] == [DROP_ID, "bad"]
    assert line.endswith("sidecar.unknown_key, artifact.truncated")


def test_a_rejected_drop_is_shown_with_every_problem(refused: Home) -> None:
    """`rejected show` finds it by id or stem, and tells of each problem place, code and remedy, escaped."""
    shown = refused.text("rejected", "show", "bad")
    assert shown == refused.text("rejected", "show", DROP_ID)
    assert "trainer" in shown
    assert "- bad.yaml:3:1: 'colour' is no field [sidecar.unknown_key]\n      Did you mean currency_pair?\n" in shown
    assert "- bad.pkl: the model has lost\\x1b[31m its end [artifact.truncated]\n      Write it again\n" in shown
    assert "\x1b" not in shown
    assert refused.json("rejected", "show", "bad")["problems"][0]["line"] == 3
    assert refused.error("rejected", "show", "good", status=1)["code"] == "registry.not_found"


def test_a_rejected_drop_without_readable_reasons_is_shown(refused: Home) -> None:
    """A damaged reason.json hides neither the drop nor its files."""
    reason = refused.folder / "inbox" / "rejected" / DROP_ID / "reason.json"
    for text in ("{", '{"problems": [1, {"code": 2}]}', '{"problems": "none"}'):
        reason.write_text(text)
        shown = refused.text("rejected", "show", DROP_ID)
        assert "bad.pkl, bad.yaml" in shown
        assert "reasons cannot be read" in shown
        assert DROP_ID in refused.text("rejected", "list")


def test_a_rejected_drop_goes_back_to_the_inbox(refused: Home) -> None:
    """`retry` moves its files back; onto a newer file of that name it is refused and nothing moves."""
    inbox = refused.folder / "inbox"
    (inbox / "bad.yaml").write_text("newer\n")
    before = refused.tree()
    assert refused.error("rejected", "retry", "bad", status=1)["code"] == "storage.failed"
    assert refused.tree() == before
    (inbox / "bad.yaml").unlink()
    done = refused.json("rejected", "retry", "bad")
    assert (done["drop_id"], done["files"]) == (DROP_ID, ["bad.pkl", "bad.yaml"])
    assert sorted(path.name for path in inbox.iterdir()) == ["bad.pkl", "bad.yaml", "rejected"]
    assert refused.text("rejected", "list") == "Nothing was rejected.\n"


def test_rejected_drops_are_purged_when_confirmed(refused: Home) -> None:
    """Without --yes nothing goes; with it what is older than asked, and the bytes are counted."""
    assert refused.run("rejected", "purge").exit_code == 1
    assert refused.json("rejected", "purge", "--older-than", "5200w", "--yes") == {"purged": [], "bytes_freed": 0}
    assert refused.text("rejected", "purge", "--older-than", "5200w").startswith("Nothing was rejected more than")
    assert refused.run("rejected", "purge", "--older-than", "soon").exit_code == 2
    assert refused.run("rejected", "purge", "--older-than", "1d", "--all").exit_code == 2
    shown = refused.text("rejected", "purge", "--all", "--yes")
    assert "bad.pkl, bad.yaml" in shown
    assert "Removed 1 rejected drop for good" in shown
    assert refused.json("rejected", "list") == []


def test_a_name_that_is_no_text_is_shown_escaped(refused: Home) -> None:
    """A file whose name is no UTF-8 breaks neither the JSON nor the card."""
    folder = refused.folder / "inbox" / "rejected" / DROP_ID
    (folder / os.fsdecode(b"\xff.pkl")).write_bytes(b"")
    assert refused.json("rejected", "show", DROP_ID)["files"][-1] == "\udcff.pkl"
    assert "\\udcff.pkl" in refused.text("rejected", "show", DROP_ID)


def test_retry_says_what_it_did(refused: Home) -> None:
    """For people the names of the files are said."""
    assert refused.text("rejected", "retry", DROP_ID) == "bad.pkl, bad.yaml: in the inbox again.\n"


# --- retention ---------------------------------------------------------------------------------------------


def rules(mode: str = "enforce", last: int = 1, breaker: str = "{max_deletes: 50, max_fraction: 1}") -> str:
    """Return a configuration that keeps the `last` newest of a group."""
    policies = f"[{{match: {{currency_pair: '*'}}, keep: {{last: {last}}}}}]"
    return f"retention: {{mode: {mode}, breaker: {breaker}, policies: {policies}}}\n"


def test_the_plan_gives_reasons_and_changes_nothing(home: Home) -> None:
    """Every model is in the plan with its reasons, and the tree is the same afterwards."""
    (home.folder / "config.yaml").write_text(rules())
    before = home.tree()
    plan = home.json("retention", "plan")
    assert [item["model_id"] for item in plan["retire"]] == ["old"]
    assert {item["model_id"]: bool(item["reasons"]) for item in plan["keep"]} == {"new": True, "other": True}
    assert plan["bytes_freed"] == home.json("show", "old")["size_bytes"]
    shown = home.text("retention", "plan")
    assert shown.startswith("Retire 1 model (")
    assert "Keep 2 models:" in shown
    assert "last 1/1" in shown
    assert home.tree() == before


def test_the_plan_can_be_tried_with_other_rules_and_another_time(home: Home) -> None:
    """--policy holds what stands under `retention:`, --now the time; a bad file is exit 78."""
    policy = home.folder / "policy.yaml"
    policy.write_text("policies: [{match: {currency_pair: '*'}, keep: {last: 1}}]\n")
    plan = home.json("retention", "plan", "--policy", "policy.yaml")
    assert [item["model_id"] for item in plan["retire"]] == ["old"]
    assert "retention.mode is off" in home.text("retention", "plan", "--policy", "policy.yaml")
    # On the first day the model of the second is dated in the future, and is held for that.
    kept = home.json("retention", "plan", "--policy", "policy.yaml", "--now", "2026-01-01T12:00:00Z")["keep"]
    assert [item["model_id"] for item in kept if "future" in " ".join(item["reasons"])] == ["other", "new"]
    policy.write_text("policies: [{keep: {lst: 1}}]\n")
    assert home.error("retention", "plan", "--policy", "policy.yaml", status=78)["code"] == "config.invalid"
    assert home.run("retention", "plan", "--policy", "nothing.yaml").exit_code == 2


def test_the_plan_is_applied_when_confirmed(home: Home) -> None:
    """`apply` shows the plan and refuses without a yes; with --yes the models are in the trash."""
    (home.folder / "config.yaml").write_text(rules())
    before = home.tree()
    result = home.run("retention", "apply")
    assert (result.exit_code, "Retire 1 model" in result.stdout, "--yes" in result.stderr) == (1, True, True)
    assert home.tree() == before
    done = home.json("retention", "apply", "--yes")
    assert ([item["model_id"] for item in done["retire"]], done["retired"], done["skipped"]) == (["old"], ["old"], [])
    assert set(home.stored()) == {"new", "other"}
    assert home.json("history", "old")[-1]["actor"].startswith("cli:")
    assert home.json("retention", "apply", "--yes")["retired"] == []
    assert "Keep 2 models" in home.text("retention", "apply")


def test_apply_with_other_modes(home: Home) -> None:
    """With mode off the command retires by hand; with dry-run nothing at all is touched."""
    (home.folder / "config.yaml").write_text(rules("dry-run"))
    before = home.tree()
    assert home.error("retention", "apply", "--yes", status=1)["code"] == "command.refused"
    assert "retention.mode is dry-run" in home.text("retention", "plan")
    assert home.tree() == before
    (home.folder / "config.yaml").write_text(rules("off"))
    assert "Retired 1 model" in home.text("retention", "apply", "--yes")
    assert set(home.stored()) == {"new", "other"}


def test_the_breaker_stops_apply_until_it_is_overridden(home: Home) -> None:
    """A plan over the limits is exit 1 and retires nothing, unless --override-breaker."""
    (home.folder / "config.yaml").write_text(rules(breaker="{max_deletes: 0}"))
    assert home.json("retention", "plan")["breaker"]["code"] == "retention.breaker"
    assert "[retention.breaker]" in home.text("retention", "plan")
    assert "--override-breaker" in home.error("retention", "apply", "--yes", status=1)["hint"]
    assert "old" in home.stored()
    assert home.json("retention", "apply", "--yes", "--override-breaker")["retired"] == ["old"]


def test_apply_stops_when_the_plan_is_another_by_then(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registration between the question and the answer that changes the plan is exit 75, and nothing goes."""
    (home.folder / "config.yaml").write_text(rules())

    def answer_late(*_: object, **__: object) -> None:
        home.register("newer", days=3)

    monkeypatch.setattr("model_inbox.cli.retention.ask", answer_late)
    assert home.error("retention", "apply", status=75)["code"] == "retention.changed"
    assert set(home.stored()) == {"old", "new", "other", "newer"}


def test_apply_tells_what_was_protected_meanwhile(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin that comes while the plan is carried out wins, and is told."""
    (home.folder / "config.yaml").write_text(rules())
    delete = ModelRegistry.delete_model

    def pinned_first(registry: ModelRegistry, model_id: str, **options: Any) -> bool:
        registry.pin(model_id)
        return delete(registry, model_id, **options)

    monkeypatch.setattr(ModelRegistry, "delete_model", pinned_first)
    shown = home.text("retention", "apply", "--yes")
    assert "Retired 0 models" in shown
    assert shown.rstrip().endswith("old")


def test_restore_says_when_the_rules_would_retire_it_again(home: Home) -> None:
    """Plan, apply, undo: who brings a model back learns that a pin is needed, unless the rules hold it by now."""
    (home.folder / "config.yaml").write_text(rules())
    home.text("retention", "apply", "--yes")
    assert home.text("restore", "old") == (
        "'old' is registered again.\nThe rules let go of it: `model-inbox pin old`, or the next run retires it again.\n"
    )
    home.text("pin", "old")
    assert "Keep 3 models" in home.text("retention", "apply", "--yes")
    home.text("unpin", "old")
    home.text("retention", "apply", "--yes")
    home.text("delete", "new")
    assert home.text("restore", "old") == "'old' is registered again.\n"


# --- verify and rebuild ------------------------------------------------------------------------------------

FIELDS = {
    "model_type": "lightgbm",
    "currency_pair": "USD/EUR",
    "trained_at": "2026-01-01T00:00:00Z",
    "version": "1",
    "validation_metrics": "{}",
    "min_samples": "1",
    "calibration_ok": "true",
    "features_used": "[]",
    "horizons": "[1]",
}


def test_verify_tells_what_does_not_agree(home: Home) -> None:
    """Exit 0 and ok when all agrees, else 1 with every problem; --no-digests reads no stored file."""
    assert home.json("verify") == {"ok": True, "problems": []}
    assert home.text("verify") == "Everything agrees.\n"
    path = home.storage_dir / "old.pkl"
    path.chmod(0o640)
    path.write_bytes(bytes(len(path.read_bytes())))
    assert home.text("verify", "--no-digests") == "Everything agrees; the digests were not compared.\n"
    said = home.json("verify", status=1)
    (problem,) = said["problems"]
    assert (said["ok"], problem["code"], problem["file"]) == (False, "registry.digest_mismatch", str(path))
    (home.storage_dir / "new.pkl").unlink()
    shown = home.text("verify", status=1)
    assert shown.startswith("2 problems:\n")
    assert "[registry.file_missing]" in shown
    assert "[registry.digest_mismatch]" in shown


def test_rebuild_makes_a_damaged_registry_anew(home: Home) -> None:
    """It tells what it made, what is lost and where the old files are; afterwards `verify` finds nothing."""
    journal = home.registry_path.with_name("prediction_registry.journal.jsonl")
    text = journal.read_bytes()
    journal.write_bytes(text.replace(b'"model_id":"new"', b'"model_id":"mew"', 1))
    (home.storage_dir / "other.pkl").unlink()
    assert "journal.damaged" in {problem["code"] for problem in home.json("verify", status=1)["problems"]}
    shown = home.text("rebuild")
    assert "models registered" in shown
    assert "- lost: other: other.pkl: the file is missing" in shown
    assert home.json("verify") == {"ok": True, "problems": []}
    assert sorted(home.stored()) == ["new", "old"]
    (kept,) = home.registry_path.parent.glob("prediction_registry.rebuilt-*")
    assert (kept / journal.name).read_bytes() != text
    assert str(kept) in shown
    made = home.json("rebuild")
    assert (made["entries"], made["lines_lost"], made["lost"]) == (2, 0, [])
    assert made["epoch"].startswith("3-")


def test_rebuild_knows_the_registry_from_its_receipts(home: Home) -> None:
    """Where no file of the registry is left, the answers to drops say which one it was; unreadable ones say nothing."""
    for path in home.registry_path.parent.glob("prediction_registry.*json*"):
        path.unlink()
    receipts = home.folder / "inbox" / "receipts"
    receipts.mkdir(parents=True)
    for number, text in enumerate(("{", "[]", '{"registry_id": null, "epoch": null, "at": "2027"}')):
        (receipts / f"odd{number}.json").write_text(text)
    for stem, at, registry_id, epoch in (
        ("other", "2026-11-24T12:00:00.000Z", "b" * 32, f"9-{0:016x}"),
        ("late", "2026-11-25T12:00:00.000Z", "a" * 32, f"4-{0:016x}"),
        ("early", "2026-11-23T12:00:00.000Z", "a" * 32, f"2-{0:016x}"),
    ):
        answer = {"at": at, "registry_id": registry_id, "epoch": epoch}
        (receipts / f"{stem}.json").write_text(json.dumps(answer))
    made = home.json("rebuild")
    assert (made["registry_id"], made["epoch"].partition("-")[0]) == ("a" * 32, "5")


def test_rebuild_scans_by_the_configuration(home: Home) -> None:
    """What the configuration allows beyond the shipped lists is allowed to a model that only a sidecar tells of."""
    (home.storage_dir / "mine.pkl").write_bytes(b"\x80\x02cmymodels.core\nModel\n)\x81.")
    text = "".join(f"{name}: {value}\n" for name, value in FIELDS.items())
    (home.storage_dir / "mine.yaml").write_text(text + "...\n")
    (home.folder / "config.yaml").write_text("pickle: {allow: {mymodels.core.Model: nr}}\n")
    made = home.json("rebuild")
    assert (made["from_sidecars"], made["lost"]) == (["mine"], [])
    assert list(home.stored()["mine"]["imports"]) == ["mymodels.core.Model"]
    assert home.json("verify")["ok"] is True


def test_rebuild_waits_for_nobody_and_makes_nothing_of_nothing(home: Home, empty: Home) -> None:
    """While a daemon holds the registry exit 75 naming it; where there is nothing exit 1."""
    lock = FileLock(home.registry_path.with_name(".prediction_registry.daemon.lock"), "test's")
    lock.acquire(0)
    error = home.error("rebuild", status=75)
    assert (error["code"], f"process {os.getpid()}" in error["message"]) == ("registry.locked", True)
    lock.close()
    (home.folder / "config.yaml").write_text("registry: {path: none/registry.json, storage_dir: none/prediction}\n")
    assert home.error("rebuild", status=1)["code"] == "registry.failed"
    assert not (home.folder / "none").exists()


def test_the_progress_bar_is_shown_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the audit gets something to tell its progress to; elsewhere nothing."""
    with progress_bar(shown=False) as progress:
        assert progress is None
    with progress_bar(shown=True) as progress:
        assert progress is not None
        progress(1, 4)
        progress(4, 4)
    assert capsys.readouterr().out == ""


# --- config ------------------------------------------------------------------------------------------------


def test_config_check_lists_everything(empty: Home) -> None:
    """A right file is exit 0; a wrong one exit 78 with all its problems; none at all means the defaults."""
    assert empty.text("config", "check").startswith("There is no config.yaml")
    assert empty.json("config", "check") == {"ok": True, "path": None, "problems": []}
    file = empty.folder / "config.yaml"
    file.write_text("inbox: {path: here}\n")
    assert empty.text("config", "check") == f"'{file}' is right.\n"
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


# --- drop --------------------------------------------------------------------------------------------------

SIDECAR = """model_type: lightgbm
currency_pair: USD/EUR
trained_at: 2025-10-25T12:00:00Z
version: 1.10
validation_metrics: {rmse: 0.1}
min_samples: 10
calibration_ok: true
features_used: [a, b]
horizons: [1]
"""


@pytest.fixture(name="files")
def _files(empty: Home) -> Home:
    """A model, a scaler and a sidecar beside an empty inbox."""
    (empty.folder / "inbox").mkdir()
    (empty.folder / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
    (empty.folder / "s.pkl").write_bytes(pickle.dumps([1]))
    (empty.folder / "usd_eur.yaml").write_text(SIDECAR)
    return empty


def test_a_drop_is_written_under_the_name_of_its_sidecar(files: Home) -> None:
    """Model, scaler and sealed sidecar are in the inbox; without --wait that is all."""
    done = files.json("drop", "m.pkl", "--meta", "usd_eur.yaml", "--scaler", "s.pkl")
    assert (done["outcome"], done["model_id"], done["drop_id"]) == ("dropped", "usd_eur", None)
    inbox = files.folder / "inbox"
    assert sorted(path.name for path in inbox.iterdir()) == ["usd_eur.pkl", "usd_eur.yaml", "usd_eur_scaler.pkl"]
    assert (inbox / "usd_eur.yaml").read_text().endswith("\n...\n")
    assert files.error("drop", "m.pkl", "--meta", "usd_eur.yaml", status=1)["code"] == "drop.refused"
    (files.folder / "elsewhere").mkdir()
    said = files.text("drop", "m.pkl", "--meta", "usd_eur.yaml", "--inbox", "elsewhere")
    assert said.startswith("Dropped 'usd_eur' into 'elsewhere'")


def test_a_drop_with_a_wrong_sidecar_is_not_written(files: Home) -> None:
    """All problems of the sidecar are told, with their places, and the inbox stays empty."""
    (files.folder / "usd_eur.yaml").write_text(SIDECAR.replace("currency_pair", "curency_pair"))
    error = files.error("drop", "m.pkl", "--meta", "usd_eur.yaml", status=1)
    assert {problem["code"] for problem in error["problems"]} == {"sidecar.unknown_key", "sidecar.missing_field"}
    assert list((files.folder / "inbox").iterdir()) == []
    assert files.run("drop", "nothing.pkl", "--meta", "usd_eur.yaml").exit_code == 2


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        ("registered", 0, "Registered 'usd_eur' (drop d-1)."),
        ("duplicate", 0, "was registered already"),
        ("rejected", 1, "Rejected 'usd_eur' (drop d-1):\n  - it is bad [artifact.bad]\n      Mend it\n"),
        (None, 75, "no answer came within"),
    ],
)
def test_the_answer_decides_the_status(
    files: Home, monkeypatch: pytest.MonkeyPatch, outcome: str | None, status: int, said: str
) -> None:
    """Registered and duplicate are 0, rejected 1 with its problems, no answer in time 75."""
    problems = [{"code": "artifact.bad", "message": "it is bad", "hint": "Mend it"}] if outcome == "rejected" else []
    receipt = {"outcome": outcome, "drop_id": "d-1", "problems": problems} if outcome else None
    waits: list[float] = []

    def answer(_folder: Path, _stem: str, _digest: str, seconds: float, **_: object) -> dict[str, Any] | None:
        waits.append(seconds)
        return receipt

    monkeypatch.setattr("model_inbox.producer.wait_for_receipt", answer)
    assert said in files.text("drop", "m.pkl", "--meta", "usd_eur.yaml", "--wait", "90s", status=status)
    for path in (files.folder / "inbox").iterdir():
        path.unlink()
    answered = files.json("drop", "--wait", "m.pkl", "--meta", "usd_eur.yaml", status=status)
    assert answered["outcome"] == (outcome or "waiting")
    assert answered["problems"] == problems
    assert waits == [90, 60]


# --- check -------------------------------------------------------------------------------------------------


class Hostile:
    """Runs a command when unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def test_check_accepts_what_the_inbox_would(files: Home) -> None:
    """A sidecar is judged with the model and the scaler beside it; nothing is moved."""
    (files.folder / "usd_eur.pkl").write_bytes(pickle.dumps({"a": 1}))
    (files.folder / "usd_eur_scaler.pkl").write_bytes(pickle.dumps([1]))
    before = files.tree()
    done = files.json("check", "usd_eur.yaml", "usd_eur.pkl")
    assert (done["verdict"], done["problems"]) == ("accept", [])
    assert [(item["file"], item["kind"]) for item in done["pickles"]] == [
        ("usd_eur.pkl", "plain"),
        ("usd_eur_scaler.pkl", "plain"),
    ]
    assert files.text("check", "m.pkl", "s.pkl").startswith("ACCEPT\n\nm.pkl (plain, ")
    assert files.tree() == before


def test_check_prints_all_that_is_known_of_a_pickle(files: Home) -> None:
    """Kind, frameworks with versions, names with their uses, and code carried by value with the three ways out."""
    shutil.copy(DATA / "pickles" / "scaler-protocol2.pkl", files.folder / "x.pkl")
    said = files.text("check", "x.pkl")
    assert "x.pkl (plain, 698 B, of numpy 2, scikit-learn 1.9.1)" in said
    assert "numpy.dtype: to be referred to, be called, have its state set" in said
    import cloudpickle

    (files.folder / "y.pkl").write_bytes(cloudpickle.dumps(lambda: 1))
    result = files.run("check", "y.pkl")
    assert result.exit_code == 1
    words = " ".join(result.stdout.split())
    assert "carries functions or classes themselves, not only their names" in words
    assert "cloudpickle.cloudpickle._make_function: to be referred to, be called" in words
    for way in ("pickle.allow", "a state dict", "ModelRegistry.register_model"):
        assert way in words


def test_check_tells_every_problem_at_once(files: Home) -> None:
    """Faults of sidecar, file and pickle are told together, with their places, and the pickle is not run."""
    digest = "0" * 64
    text = SIDECAR.replace("currency_pair", "curency_pair") + f"sha256: {{model: '{digest}'}}\n"
    (files.folder / "usd_eur.yaml").write_text(text)
    (files.folder / "usd_eur.pkl").write_bytes(pickle.dumps(Hostile()))
    done = files.json("check", "usd_eur.yaml", status=1)
    assert done["verdict"] == "reject"
    assert [problem["code"] for problem in done["problems"]] == [
        "sidecar.unknown_key",
        "sidecar.missing_field",
        "artifact.digest_mismatch",
        "artifact.never_allowed",
    ]
    assert (done["problems"][0]["file"], done["problems"][0]["line"]) == ("usd_eur.yaml", 2)
    assert done["pickles"][0]["imports"] == {"posix.system": "cr"}
    shown = files.text("check", "usd_eur.yaml", status=1)
    assert "posix.system: to be referred to, be called" in shown
    assert "- usd_eur.yaml:2:1: " in shown
    assert not (files.folder / "ran").exists()


def test_check_finds_files_as_the_inbox_does(files: Home) -> None:
    """Missing, linked, cut and too large files are told with the inbox's own codes; a missing end only once."""
    sidecar, model = files.folder / "usd_eur.yaml", files.folder / "usd_eur.pkl"
    assert [p["code"] for p in files.json("check", "usd_eur.yaml", status=1)["problems"]] == ["artifact.missing"]
    model.symlink_to("m.pkl")
    assert [p["code"] for p in files.json("check", "usd_eur.yaml", status=1)["problems"]] == ["artifact.not_regular"]
    assert [p["code"] for p in files.json("check", "usd_eur.pkl", status=1)["problems"]] == ["artifact.not_regular"]
    model.unlink()
    model.write_bytes(pickle.dumps({"a": 1})[:-1])
    assert [p["code"] for p in files.json("check", "usd_eur.yaml", status=1)["problems"]] == ["artifact.truncated"]
    sidecar.write_text(SIDECAR + "model_file: m.pkl\n")
    assert files.json("check", "usd_eur.yaml")["verdict"] == "accept"
    (files.folder / "config.yaml").write_text("inbox: {max_artifact_size: 1B}\nchecks: {model_types: [lstm]}\n")
    assert [p["code"] for p in files.json("check", "usd_eur.yaml", status=1)["problems"]] == [
        "artifact.too_large",
        "checks.model_type",
    ]


def test_check_of_names_that_cannot_be(files: Home) -> None:
    """A sidecar of another suffix, a stem that is no id and a linked sidecar are told; what is not there is usage."""
    (files.folder / "m.yml").write_text(SIDECAR)
    assert [p["code"] for p in files.json("check", "m.yml", status=1)["problems"]] == ["drop.no_sidecar"]
    (files.folder / "a_scaler.yaml").write_text(SIDECAR + "model_file: m.pkl\n")
    codes = [p["code"] for p in files.json("check", "a_scaler.yaml", status=1)["problems"]]
    assert codes == ["drop.invalid_name"]
    (files.folder / "link.yaml").symlink_to("usd_eur.yaml")
    assert [p["code"] for p in files.json("check", "link.yaml", status=1)["problems"]] == ["drop.sidecar_not_regular"]
    assert files.run("check", "nothing.yaml").exit_code == 2
    assert files.run("check").exit_code == 2


def test_check_warns_where_nothing_is_wrong(files: Home) -> None:
    """What is only worth a warning is a note, and the verdict is to accept."""
    (files.folder / "m.yaml").write_text(SIDECAR.replace("12:00:00Z", "12:00:00"))
    done = files.json("check", "m.yaml")
    assert (done["verdict"], [note["code"] for note in done["notes"]]) == ("accept", ["sidecar.no_zone"])
    assert "notes\n  - m.yaml:3:13: " in files.text("check", "m.yaml")


# --- reporting ---------------------------------------------------------------------------------------------


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

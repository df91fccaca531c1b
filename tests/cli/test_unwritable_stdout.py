"""Every command with a stdout that takes nothing ends as those of coreutils do."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model_inbox.cli import main
from support.home import SIDECAR, Home
from support.tree import commands

ANSWERING = {
    "drop": "m.pkl --meta usd_eur.yaml",
    "wait": "answered",
    "check": "usd_eur.yaml",
    "list": "",
    "show": "old",
    "why": "old",
    "history": "",
    "report": "",
    "diff": "old new",
    "get": "--pair USD/EUR --type lightgbm --path",
    "alias set": "champion old",
    "alias list": "",
    "promote": "new --reason better",
    "rollback": "--pair USD/EUR --type lightgbm --alias best",
    "hold": "spare --reason odd",
    "unhold": "old",
    "pin": "old",
    "unpin": "old",
    "tag": "old audit",
    "record": "old --metrics rmse=1",
    "delete": "old",
    "restore": "retired",
    "replace-scaler": "old s.pkl",
    "trash list": "",
    "trash purge": "--all --yes",
    "inbox list": "",
    "inbox explain": "stray.pkl",
    "rejected list": "",
    "rejected show": "20260101T000000000000Z-0001-bad",
    "rejected retry": "20260101T000000000000Z-0001-bad",
    "rejected purge": "--all --yes",
    "retention plan": "",
    "retention simulate": "",
    "retention apply": "--yes",
    "retention confirm-clock": "",
    "logs": "--file log.jsonl",
    "verify": "",
    "rebuild": "",
    "backup make": "backups",
    "backup list": "snapshots",
    "backup verify": "snapshots",
    "backup restore": "snapshots --to restored",
    "backup plan": "snapshots --keep-last 1",
    "backup apply": "snapshots --keep-last 1 --yes",
    "mlflow status": "",
    "status": "",
    "allowlist explain": "numpy.ndarray",
    "allowlist diff": "numpy",
    "config check": "",
    "config show": "",
    "config schema": "",
    "init": "begun",
    "schema": "entry",
}
"""The arguments with which each command prints an answer in the folder of `_folder`."""

# `run` and `web` print nothing; `reload` prints where a daemon answers, `allowlist build` where frameworks are
# installed.
# A replica is pulled by rsync, which need not be here: tests/system.
# The others of `mlflow` need one: tests/mlflow.
ELSEWHERE = {"run", "web", "reload", "allowlist build", "replica pull", "replica status"} | {
    f"mlflow {word}" for word in ("push", "mirror", "verify", "retry", "import")
}


def test_every_command_is_tried_here() -> None:
    """The table above has every command of the command line."""
    assert {" ".join(words) for words, _ in commands()} == ANSWERING.keys() | ELSEWHERE


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command has something to say."""
    folder = tmp_path_factory.mktemp("home")
    home = Home(folder)
    for number, name in enumerate(("spare", "old", "new", "retired")):
        home.register(name, days=number)
    with home.open() as registry:
        registry.delete_model("retired")
        for name in ("old", "new"):
            registry.promote(name, "best")
    (folder / "config.yaml").write_text("{}\n")
    (folder / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
    (folder / "s.pkl").write_bytes(pickle.dumps([1]))
    (folder / "usd_eur.yaml").write_text(SIDECAR)
    (folder / "log.jsonl").write_text(
        '{"timestamp": "2026-01-01T00:00:00Z", "level": "info", "event": "daemon.ready"}\n'
    )
    rejected = folder / "inbox" / "rejected" / "20260101T000000000000Z-0001-bad"
    rejected.mkdir(parents=True)
    answer = '{"drop_id": "20260101T000000000000Z-0001-bad", "outcome": "rejected", "stem": "bad", "problems": []}'
    (rejected / "reason.json").write_text(answer)
    (rejected / "bad.pkl").write_bytes(b"no pickle")
    (folder / "inbox" / "stray.pkl").write_bytes(b"no pickle")
    (folder / "inbox" / "receipts").mkdir()
    receipt = {**json.loads(answer), "outcome": "registered", "owner": {"name": "us", "uid": os.geteuid()}}
    (folder / "inbox" / "receipts" / "answered.json").write_text(json.dumps(receipt))
    assert ended(folder, ["backup", "make", "snapshots"], to_devnull) == 0
    return folder


def ended(folder: Path, words: list[str], open_stdout: Callable[[], object]) -> int:
    """Call the command line in a child process with descriptor 1 as `open_stdout` leaves it.

    Returns the exit code, or minus the number of the signal that ended it.
    """
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.chdir(folder)
            os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            open_stdout()
            sys.argv = ["model-inbox", *words]
            sys.stderr = os.fdopen(2, "w", closefd=False)
            sys.stdout = os.fdopen(1, "w", closefd=False) if open_stdout is not closed else None  # type: ignore[assignment]
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 70
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def to_devnull() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def to_file() -> None:
    os.dup2(os.open("stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)


def full() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def closed() -> None:
    os.close(1)


def without_reader() -> None:
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(reader)


@pytest.mark.parametrize("command", ANSWERING)
def test_an_answer_that_cannot_be_written_is_an_error(folder: Path, tmp_path: Path, command: str) -> None:
    """A full disk and a closed stdout: exit 1 and one line. A reader that has ended: SIGPIPE, and no word."""
    words = [*command.split(), *ANSWERING[command].split()]

    def tried(name: str, extra: list[str], open_stdout: Callable[[], object]) -> tuple[int, list[str]]:
        shutil.copytree(folder, tmp_path / name, symlinks=True)
        status = ended(tmp_path / name, [*words, *extra], open_stdout)
        return status, (tmp_path / name / "stderr").read_text().splitlines()

    _, said = tried("usual", [], to_file)
    assert (tmp_path / "usual" / "stdout").stat().st_size > 0, said
    for name, extra, open_stdout, why in (
        ("full", ["--json"], full, "No space left on device"),
        ("closed", [], closed, "Bad file descriptor"),
    ):
        status, lines = tried(name, extra, open_stdout)
        assert (status, lines) == (1, [f"model-inbox: write error: {why}"])
    status, lines = tried("without_reader", [], without_reader)
    assert (status, lines) == (-signal.SIGPIPE, [])

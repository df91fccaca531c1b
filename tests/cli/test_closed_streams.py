"""The program without stdin, stdout or stderr: it works, and the status says what is lost."""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from support.world import sidecar

PROGRAM = [sys.executable, "-I", "-m", "model_inbox"]
PATIENCE_SECONDS = 60.0

CLOSED = {"stdin": (0,), "stdout": (1,), "stderr": (2,), "all": (0, 1, 2)}


def closing(numbers: Sequence[int]) -> Callable[[], None]:
    """Return a `preexec_fn` that closes these descriptors, as `0<&- 1>&- 2>&-` in a shell does."""

    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def start(folder: Path, *words: str, closed: Sequence[int] = ()) -> subprocess.Popen[str]:
    """Start the program in a folder, on pipes but for what is closed."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*PROGRAM, *words], cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True, preexec_fn=closing(closed)
    )


def until(process: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
    """Wait until it is so, as long as the process lives."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert process.poll() is None, process.returncode
        assert time.monotonic() < deadline
        select.select([], [], [], 0.05)


def running(folder: Path) -> bool:
    path = folder / "inbox" / "receipts" / ".status.json"
    return path.exists() and json.loads(path.read_text())["state"] == "running"


@pytest.mark.parametrize("closed", CLOSED.values(), ids=CLOSED.keys())
@pytest.mark.parametrize(
    ("words", "status", "answers"),
    [
        (["list"], 78, False),
        (["list", "--json"], 78, True),
        (["config", "show"], 0, True),
        (["config", "check", "--json"], 0, True),
        (["status"], 1, True),
        (["check", "good.pkl"], 0, True),
        (["drop", "good.pkl", "--meta", "good.yaml"], 0, True),
        (["trash", "purge", "--all"], 78, False),
        (["--version"], 0, True),
        (["list", "--help"], 0, True),
        (["nothing"], 2, False),
        (["logs", "--file", "nothing.jsonl"], 75, False),
    ],
)
def test_every_command_ends_as_it_does_with_all_streams(
    tmp_path: Path, words: list[str], status: int, answers: bool, closed: Sequence[int]
) -> None:
    """What is closed changes no exit status but that of an answer without stdout, which is 1. No traceback."""
    (tmp_path / "config.yaml").write_text("{}\n")
    (tmp_path / "good.pkl").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "good.yaml").write_bytes(sidecar())
    (tmp_path / "inbox").mkdir()
    process = start(tmp_path, *words, closed=closed)
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    unsaid = 1 in closed and answers
    assert process.returncode == (status or 1 if unsaid else status), stderr
    assert "Traceback" not in stdout + stderr
    if closed == (1,) and answers:
        assert stderr.splitlines()[-1] == "model-inbox: write error: Bad file descriptor"


@pytest.mark.parametrize("words", [["config", "show"], ["list", "--json"], ["list", "--help"], ["--version"]])
def test_an_answer_that_stdout_does_not_take_is_an_error_in_one_line(tmp_path: Path, words: list[str]) -> None:
    """stdout on a full disk: exit 1 as coreutils do, and no traceback."""
    (tmp_path / "config.yaml").write_text("{}\n")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*PROGRAM, *words], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == (78 if words[0] == "list" and "--help" not in words else 1), done.stderr
    assert done.stderr.splitlines()[-1] == "model-inbox: write error: No space left on device"
    assert "Traceback" not in done.stderr


def test_an_error_that_stderr_does_not_take_keeps_its_exit_status(tmp_path: Path) -> None:
    """stderr on a full disk: what the command found is still said by its status."""
    (tmp_path / "config.yaml").write_text("{}\n")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*PROGRAM, "list"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=full)
    assert (done.returncode, done.stdout) == (78, b"")


@pytest.mark.parametrize("closed", CLOSED.values(), ids=CLOSED.keys())
def test_the_daemon_runs_and_no_file_of_its_own_gets_log_lines(tmp_path: Path, closed: Sequence[int]) -> None:
    """It takes a drop and ends as asked. Descriptors 0 to 2 are pipes or /dev/null; the status says what is lost."""
    (tmp_path / "config.yaml").write_text("inbox: {settle_seconds: 50ms}\nlogging: {file: null}\n")
    process = start(tmp_path, "run", closed=closed)
    try:
        until(process, lambda: running(tmp_path))
        for number in (0, 1, 2):
            target = os.readlink(f"/proc/{process.pid}/fd/{number}")
            assert target == os.devnull if number in closed else target.startswith("pipe:")
        (tmp_path / "inbox" / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
        (tmp_path / "inbox" / "m.yaml").write_bytes(sidecar())
        until(process, (tmp_path / "inbox" / "receipts" / "m.json").exists)
        asked = subprocess.run([*PROGRAM, "status", "--json"], cwd=tmp_path, capture_output=True, text=True)
        codes = [problem["code"] for problem in json.loads(asked.stdout)["problems"]]
        assert ("status.log_lost" in codes) == (2 in closed)
        journal = (tmp_path / "models" / "prediction_registry.journal.jsonl").read_text()
        assert "daemon." not in journal
    finally:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0


def test_a_log_file_gets_the_lines_that_stderr_cannot(tmp_path: Path) -> None:
    """With `logging.file` nothing is lost, and nothing is complained of."""
    (tmp_path / "config.yaml").write_text("logging: {file: daemon.jsonl}\n")
    process = start(tmp_path, "run", closed=(0, 1, 2))
    try:
        until(process, lambda: running(tmp_path))
        asked = subprocess.run([*PROGRAM, "status", "--json"], cwd=tmp_path, capture_output=True, text=True)
        assert "status.log_lost" not in asked.stdout
    finally:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_SECONDS)
    events = [json.loads(line)["event"] for line in (tmp_path / "daemon.jsonl").read_text().splitlines()]
    assert (events[0], events[-1]) == ("daemon.started", "daemon.stopped")


def test_a_log_that_cannot_be_written_is_said_by_the_status(tmp_path: Path) -> None:
    """stderr on a full disk, or a log file in a folder that is not there: the daemon works, and the status says why."""
    nowhere = "logging: {file: nowhere/daemon.jsonl}"
    for config, said in (("logging: {file: null}", "No space left"), (nowhere, "nowhere/daemon.jsonl")):
        (tmp_path / "config.yaml").write_text(config)
        with Path("/dev/full").open("w") as full:
            process = subprocess.Popen([*PROGRAM, "run"], cwd=tmp_path, stderr=full, text=True)
        try:
            until(process, lambda: running(tmp_path))
            asked = subprocess.run([*PROGRAM, "status", "--json"], cwd=tmp_path, capture_output=True, text=True)
            (lost,) = [p for p in json.loads(asked.stdout)["problems"] if p["code"] == "status.log_lost"]
            assert said in lost["message"]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0

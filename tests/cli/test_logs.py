"""`logs` answers from what there is, says what it read, and never takes a missing log for a quiet one."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_inbox.telemetry.logging import OWN_FILE_BYTES, configure
from support.home import SIDECAR, Home, rules
from support.waiting import wait_until

DROP = "20260101T120000000000Z-0001-bad"
PROGRAM = [sys.executable, "-m", "model_inbox"]
QUESTIONS = ("why", "rejected", "retired", "durations", "retries", "changes", "outages")


def line(second: int, event: str, level: str = "info", **fields: object) -> str:
    """Return a line of a JSON log."""
    return json.dumps({"timestamp": f"2026-01-01T12:00:{second:02}Z", "level": level, "event": event, **fields})


def reject(home: Home, drop_id: str = DROP, owner: object = "alice") -> None:
    """Put a rejected drop where the daemon puts one."""
    folder = home.folder / "inbox" / "rejected" / drop_id
    folder.mkdir(parents=True)
    problem = {"code": "artifact.truncated", "message": "it ends too early"}
    reason = {"stem": "bad", "owner": owner, "at": "2026-01-01T12:00:00.000Z", "problems": [problem]}
    (folder / "reason.json").write_text(json.dumps(reason))


@pytest.fixture(name="quiet", autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose journal has nothing of the unit."""
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


@pytest.mark.parametrize("question", QUESTIONS)
def test_without_a_log_no_question_is_answered_with_nothing_happened(home: Home, question: str) -> None:
    """Exit 75 (but for what the history knows); it says which log was looked for, and what is unknown."""
    done = home.run("logs", question)
    assert done.exit_code == (0 if question == "retired" else 75)
    assert "There is no log to read: " in done.stderr
    assert "prediction_registry.log.jsonl" in done.stderr
    assert ("Not known without a log: " in done.stderr) == (question != "retired")
    assert "known" in done.stdout or question == "retired"
    assert json.loads(home.run("logs", question, "--json").stdout) == []


def test_without_a_log_a_rejection_is_answered_from_its_folder(home: Home) -> None:
    """What is in rejected/ is named with owner and codes; what became of others is said to be unknown."""
    reject(home)
    done = home.run("logs", "rejected")
    assert (done.exit_code, "alice" in done.stdout, DROP in done.stdout) == (75, True, True)
    assert "Read: " in done.stderr and "from 2026-01-01 12:00:00 to 2026-01-01 12:00:00 UTC" in done.stderr
    assert "purged, or retried" in done.stderr
    done = home.run("logs", "why", "--drop", "bad")
    assert (done.exit_code, "it ends too early" in done.stdout) == (0, True)
    assert home.run("logs", "why", "--drop", "worse").exit_code == 75
    assert DROP in home.run("logs", "--drop", "bad").stdout


def test_without_a_log_retirements_are_answered_from_the_history(home: Home) -> None:
    """The history has every retirement by the rules, so that this answer is whole."""
    (home.folder / "config.yaml").write_text(rules())
    from model_inbox.config.load import load_config
    from model_inbox.retention.apply import apply_retention

    section = load_config(None, env={}, cwd=home.folder).retention
    with home.open() as registry:
        apply_retention(registry, section, home.clock)
    done = home.run("logs", "retired", "--json")
    assert done.exit_code == 0
    assert [row["model_id"] for row in json.loads(done.stdout)] == ["old"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_empty_log_is_no_answer(home: Home, question: str) -> None:
    """A file without a line is 75, and says that it has none."""
    (home.folder / "empty.jsonl").touch()
    done = home.run("logs", question, "--file", "empty.jsonl")
    assert (done.exit_code, "which has no lines of a JSON log" in done.stderr) == (75, True)


def test_a_log_that_begins_later_is_said(home: Home) -> None:
    """An answer is whole only if the log begins before the time that is asked about."""
    (home.folder / "log.jsonl").write_text(line(10, "drop.rejected", "warning", drop_id=DROP, stem="bad") + "\n")
    early = home.run("logs", "rejected", "--file", "log.jsonl", "--since", "2026-01-01T12:00Z")
    assert (early.exit_code, "begins later than 2026-01-01 12:00:00 UTC" in early.stderr) == (75, True)
    late = home.run("logs", "rejected", "--file", "log.jsonl", "--since", "2026-01-01T12:00:10Z")
    assert (late.exit_code, DROP in late.stdout) == (0, True)
    assert "from 2026-01-01 12:00:10 to 2026-01-01 12:00:10 UTC" in late.stderr


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (gzip.compress(b"{}\n" * 1000)[:-9], "log.jsonl.1.gz"),
        (gzip.compress(os.urandom(5000))[:20] + b"\xff" * 3000, "log.jsonl.1.gz"),
        (gzip.compress(b"no JSON\n"), "1 line of"),
    ],
    ids=["cut", "garbage", "other lines"],
)
def test_a_part_that_cannot_be_read_is_named(home: Home, damaged: bytes, said: str) -> None:
    """The other parts are read all the same, and the exit status says that something is missing."""
    (home.folder / "log.jsonl.1.gz").write_bytes(damaged)
    (home.folder / "log.jsonl").write_text(line(10, "drop.rejected", "warning", drop_id=DROP, stem="bad") + "\n")
    done = home.run("logs", "rejected", "--file", "log.jsonl")
    assert (done.exit_code, DROP in done.stdout) == (75, True)
    (unread,) = [text for text in done.stderr.splitlines() if text.startswith("Not read: ")]
    assert said in unread


def test_a_line_that_is_being_written_is_no_damage(home: Home) -> None:
    """The last line without its end is still on its way: the answer is whole."""
    (home.folder / "log.jsonl").write_text(line(10, "daemon.ready") + '\n{"timestamp": "2026')
    assert home.run("logs", "rejected", "--file", "log.jsonl").exit_code == 0


def test_a_daemon_that_a_running_one_turned_away_is_no_outage(home: Home) -> None:
    """It started and failed, since the other holds the lock; the other went on."""
    lines = [
        line(0, "daemon.ready"),
        line(5, "daemon.started", pid=7),
        line(6, "daemon.failed", "critical", code="registry.locked", problem="another daemon"),
        line(9, "drop.registered", drop_id="x"),
    ]
    (home.folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    assert json.loads(home.run("logs", "outages", "--file", "log.jsonl", "--json").stdout) == []


# --- the daemon's own log ---------------------------------------------------------------------------------------------


@contextmanager
def daemon(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon on pipes, until the block ends."""
    process = subprocess.Popen([*PROGRAM, "run"], cwd=folder, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_daemon_keeps_the_log_that_answers(empty: Home) -> None:
    """Without any setting: a rejection, a kill and a restart are in the answers, and each of these is whole."""
    log = empty.folder / "models" / "prediction_registry.log.jsonl"

    def logged(event: str) -> list[dict[str, Any]]:
        lines = log.read_text().splitlines() if log.exists() else []
        return [one for one in map(json.loads, lines) if one["event"] == event]

    with daemon(empty.folder) as first:
        wait_until(lambda: logged("daemon.ready"))
        (empty.folder / "inbox" / "bad.pkl").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
        (empty.folder / "inbox" / "bad.yaml").write_text(f"{SIDECAR}...\n")
        wait_until(lambda: logged("drop.rejected"))
        first.send_signal(signal.SIGKILL)
        first.wait()
        (down,) = empty.json("logs", "outages")
        assert (down["to"], down["exactly"]) == (None, False)
    assert "not running" in empty.text("logs", "outages")
    with daemon(empty.folder):
        wait_until(lambda: len(logged("daemon.ready")) == 2)
        (down,) = empty.json("logs", "outages")
        assert down["to"] is not None
        assert [row["stem"] for row in empty.json("logs", "rejected")] == ["bad"]


def test_the_own_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full file is renamed, the oldest of five goes, and no line is lost in between."""
    import io

    import structlog

    log = structlog.get_logger("model_inbox")
    monkeypatch.setattr("model_inbox.telemetry.logging.OWN_FILE_BYTES", 1000)
    paths = [tmp_path / "models" / name for name in ("log", "log.1", "log.2")]
    out = io.StringIO()
    configure(format="console", stream=out, own_files=paths)
    try:
        log.info("registry.opened", sequence=0)
        paths[0].parent.mkdir()
        for number in range(1, 100):
            log.info("registry.opened", sequence=number)
    finally:
        configure(stream=io.StringIO())
        structlog.reset_defaults()
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["log", "log.1", "log.2"]
    kept = [json.loads(text)["sequence"] for path in reversed(paths) for text in path.read_text().splitlines()]
    assert kept == list(range(kept[0], 100))
    assert all(path.stat().st_size < 1200 for path in paths)
    assert OWN_FILE_BYTES == 10 * 1024 * 1024


def test_with_the_journal_there_is_no_own_log(tmp_path: Path) -> None:
    """Under systemd nothing changes: the journal has the log."""
    configure(format="journal", own_files=[tmp_path / "log"])
    configure(format="json", own_files=[])
    assert list(tmp_path.glob("log*")) == []


def test_the_times_of_an_answer_are_those_of_its_log(home: Home) -> None:
    """What is asked about is compared with the first line that is kept, also in a rotated file."""
    moment = datetime.now(UTC) - timedelta(days=2)
    old = json.dumps({"timestamp": moment.isoformat(), "level": "info", "event": "daemon.ready"})
    (home.folder / "log.jsonl.1").write_text(old + "\n")
    (home.folder / "log.jsonl").write_text(
        line(10, "daemon.ready").replace("2026-01-01", f"{datetime.now(UTC):%Y-%m-%d}")
    )
    done = home.run("logs", "rejected", "--since", "yesterday", "--file", "log.jsonl")
    assert (done.exit_code, done.stdout) == (0, "Nothing was rejected.\n")
    assert "and 1 rotated file" in done.stderr


def test_of_several_problems_of_a_kind_the_table_names_the_kind_once(home: Home) -> None:
    """In the order of the log; `problems` has each of them."""
    codes, problems = ["sidecar.field", "sidecar.missing", "sidecar.field"], ["a", "b", "c"]
    said = line(1, "drop.rejected", "warning", drop_id=DROP, stem="bad", codes=codes, problems=problems)
    (home.folder / "log.jsonl").write_text(f"{said}\n")
    (row,) = json.loads(home.run("logs", "rejected", "--file", "log.jsonl", "--json").stdout)
    assert (row["codes"], row["problems"]) == (["sidecar.field", "sidecar.missing"], problems)


@pytest.mark.parametrize(("owner", "shown"), [({"name": "alice", "uid": 1001}, "alice"), ({"uid": 1001}, "1001")])
def test_an_owner_is_shown_as_the_log_has_it(home: Home, owner: dict[str, Any], shown: str) -> None:
    """A name, or the number of a user without one, also where an answer comes from receipts and reasons."""
    reject(home, owner=owner)
    for question in ("rejected", "why"):
        (row,) = json.loads(home.run("logs", question, "--drop", "bad", "--json").stdout)
        assert row["owner"] == shown

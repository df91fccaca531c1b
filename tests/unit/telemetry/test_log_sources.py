"""Where log lines come from: files and what was rotated away, a file that is followed, and journalctl."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model_inbox.errors import StorageError
from model_inbox.telemetry.logread.sources import (
    LogUnreadable,
    Tail,
    follow,
    journal_command,
    journal_lines,
    lines_of,
    rotated,
)


def aged(path: Path, data: bytes, seconds: float) -> Path:
    path.write_bytes(data)
    os.utime(path, (seconds, seconds))
    return path


def test_what_logrotate_left_belongs_to_the_log(tmp_path: Path) -> None:
    """Numbers and dates, packed or not, before or behind the suffix, oldest first; other files beside it do not."""
    mine = [
        aged(tmp_path / "log.jsonl.2.gz", b"", 100),
        aged(tmp_path / "log.jsonl-20261122", b"", 200),
        aged(tmp_path / "log-20261123.jsonl", b"", 300),
        aged(tmp_path / "log.jsonl.1", b"", 400),
        aged(tmp_path / "log.jsonl", b"", 500),
    ]
    for name in ("log.jsonl.bak", "log.jsonlx", "other.jsonl", "log2.jsonl", "log-old.jsonl", "log.json"):
        (tmp_path / name).touch()
    (tmp_path / "log.jsonl.3").mkdir()
    assert rotated(tmp_path / "log.jsonl") == mine
    assert rotated(tmp_path / "none.jsonl") == []
    with pytest.raises(StorageError, match="cannot read the log"):
        rotated(tmp_path / "nowhere" / "log.jsonl")


def test_lines_are_read_from_all_files(tmp_path: Path) -> None:
    """Packed files are unpacked; a file from before the time is left out, and so are lines without a needle."""
    old = aged(tmp_path / "log.2.gz", gzip.compress(b"one\ntwo\n"), 100)
    new = aged(tmp_path / "log", b"three\nfour", 200)
    assert list(lines_of([old, new], None, [])) == [b"one\n", b"two\n", b"three\n", b"four"]
    assert list(lines_of([old, new], datetime.fromtimestamp(150, UTC), [])) == [b"three\n", b"four"]
    assert list(lines_of([old, new], None, ["t", "ur"])) == [b"two\n", b"three\n", b"four"]


@pytest.mark.parametrize("data", [b"no gzip at all", gzip.compress(b"x" * 1000, mtime=0)[:-12]])
def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path, data: bytes) -> None:
    """A packed file that is damaged or cut is no empty log."""
    broken = aged(tmp_path / "log.1.gz", data, 100)
    with pytest.raises(StorageError, match=r"cannot read the log .*log\.1\.gz"):
        list(lines_of([broken], None, []))


def test_a_file_is_followed_through_rotations(tmp_path: Path) -> None:
    """Each whole line comes once: appended, written in pieces, after a rename and after a cut; none from before."""
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    whole, tail = Tail(path, whole=True), Tail(path)
    assert (whole.lines(), tail.lines()) == ([b"before"], [])
    whole.close()
    with path.open("ab") as file:
        file.write(b"one\ntw")
        file.flush()
        assert tail.lines() == [b"one"]
        file.write(b"o\n")
        file.flush()
        assert tail.lines() == [b"two"]
        path.rename(tmp_path / "log.1")
        assert tail.lines() == []
        file.write(b"three\n")  # the writer has not noticed yet
    path.write_bytes(b"four\n")
    assert tail.lines() == [b"three", b"four"]
    os.truncate(path, 0)
    with path.open("ab") as file:
        file.write(b"5\n")
    assert tail.lines() == [b"5"]
    tail.close()


def test_a_file_that_comes_later_is_followed(tmp_path: Path) -> None:
    """There need not be a log yet; its first line is the first that comes. Nothing new is waited for."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        (tmp_path / "log").write_bytes(b"first\n")

    tail = Tail(tmp_path / "log")
    assert next(follow(tail, pause)) == b"first"
    assert pauses == [0.2]
    tail.close()


def test_the_journal_is_asked_for_what_is_needed() -> None:
    """Unit, times and events become arguments; whole fields always."""
    since, until = datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)
    assert journal_command("x.service", since=since, until=until, events=("a.b", "c.d")) == [
        *("journalctl", "--all", "--quiet", "--no-pager", "--output=json", "--unit=x.service"),
        *("--since=@1795478400", "--until=@1795564801", "EVENT=a.b", "EVENT=c.d"),
    ]
    assert journal_command("x.service", following=True)[-2:] == ["--follow", "--lines=10"]


def program(folder: Path, text: str) -> list[str]:
    path = folder / "journalctl"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


def test_what_journalctl_says_is_passed_on(tmp_path: Path) -> None:
    """Its lines are ours; where it has none and says that it may not, that is an error with what helps."""
    assert list(journal_lines(program(tmp_path, "echo one; echo two"))) == [b"one\n", b"two\n"]
    assert list(journal_lines(program(tmp_path, "true"))) == []
    for text in ("echo 'No journal files were opened due to insufficient permissions.' >&2", "echo broken >&2; exit 1"):
        with pytest.raises(LogUnreadable, match="cannot read the journal: ") as caught:
            list(journal_lines(program(tmp_path, text)))
        assert "systemd-journal" in caught.value.hint
    with pytest.raises(LogUnreadable, match="this machine has no journalctl"):
        list(journal_lines([str(tmp_path / "none")]))


def test_journalctl_is_ended_when_nobody_reads_on(tmp_path: Path) -> None:
    """A reader that has seen enough leaves no process behind."""
    lines = journal_lines(program(tmp_path, f"echo $$ >{tmp_path}/pid; echo one; exec sleep 600"))
    assert next(lines) == b"one\n"
    lines.close()
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()

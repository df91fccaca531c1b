"""Where log lines go, and that nothing is lost when the file is moved under the writer's hands."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from model_inbox.telemetry.logging import configure

log = structlog.get_logger("model_inbox")


@pytest.fixture(name="out")
def _out() -> Iterator[io.StringIO]:
    yield io.StringIO()
    configure(stream=io.StringIO())  # lets go of the last file
    structlog.reset_defaults()


def lines_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def sequences(*paths: Path) -> list[int]:
    return [line["sequence"] for path in paths for line in lines_in(path)]


def test_a_line_is_json_with_its_fields(out: io.StringIO) -> None:
    """A line carries timestamp, level and event first, then ids, then the rest; what is None is left out."""
    configure(format="json", stream=out)
    log.warning("drop.rejected", codes=["a.b"], model_id=None, drop_id="d", seconds=0.1234567891)
    line = json.loads(out.getvalue())
    assert list(line) == ["timestamp", "level", "event", "drop_id", "codes", "seconds"]
    assert line["timestamp"].endswith("Z")
    assert line | {"timestamp": ""} == {
        "timestamp": "",
        "level": "warning",
        "event": "drop.rejected",
        "drop_id": "d",
        "codes": ["a.b"],
        "seconds": 0.123457,
    }


def test_no_terminal_sequence_reaches_a_line(out: io.StringIO) -> None:
    """What a terminal would act on is escaped, in nested values, too."""
    configure(format="json", stream=out)
    log.info("drop.waiting", stem="a\x1b[2Jb", problems=["\r\nfake"], steps={"x\x07": "\x9b"})
    line = json.loads(out.getvalue())
    assert (line["stem"], line["problems"], line["steps"]) == (
        "a\\x1b[2Jb",
        ["\\r\\nfake"],
        {"x\\x07": "\\x9b"},
    )


def test_a_file_that_is_renamed_is_begun_again(out: io.StringIO, tmp_path: Path) -> None:
    """After logrotate's rename, with or without a new file made by it, the next line is in the new file."""
    path = tmp_path / "log.jsonl"
    configure(format="json", stream=out, file=path)
    log.info("registry.opened", sequence=1)
    path.rename(tmp_path / "log.jsonl.1")
    log.info("registry.opened", sequence=2)
    path.rename(tmp_path / "log.jsonl.2")
    path.touch(0o640)
    log.info("registry.opened", sequence=3)
    assert sequences(tmp_path / "log.jsonl.1", tmp_path / "log.jsonl.2", path) == [1, 2, 3]


def test_a_file_that_is_cut_goes_on_at_its_new_end(out: io.StringIO, tmp_path: Path) -> None:
    """After logrotate's copytruncate the next line begins the file: there is no hole before it."""
    path = tmp_path / "log.jsonl"
    configure(format="json", stream=out, file=path)
    log.info("registry.opened", sequence=1)
    os.truncate(path, 0)
    log.info("registry.opened", sequence=2)
    assert path.read_bytes().startswith(b"{")
    assert sequences(path) == [2]


def test_a_file_that_cannot_be_written_is_said_once(out: io.StringIO, tmp_path: Path) -> None:
    """A missing folder stops nothing: it is one error on the other output, and lines come when it is there."""
    path = tmp_path / "missing" / "log.jsonl"
    configure(format="json", stream=out, file=path)
    log.info("registry.opened", sequence=1)
    log.info("registry.opened", sequence=2)
    path.parent.mkdir()
    log.info("registry.opened", sequence=3)
    said = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in said] == ["daemon.log_unwritten", *["registry.opened"] * 3]
    assert (said[0]["path"], said[0]["problem"]) == (str(path), "No such file or directory")
    assert sequences(path) == [3]


def test_a_torn_line_spoils_no_other(out: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a full disk takes a part of a line, the next line begins on a line of its own."""
    path = tmp_path / "log.jsonl"
    configure(format="json", stream=out, file=path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:20]))
    log.info("registry.opened", sequence=1)
    monkeypatch.undo()
    log.info("registry.opened", sequence=2)
    torn, whole = path.read_text().splitlines()[0], path.read_text().splitlines()[-1]
    assert len(torn) == 20
    assert json.loads(whole)["sequence"] == 2


def test_a_reload_lets_go_of_the_file_before(out: io.StringIO, tmp_path: Path) -> None:
    """Each `configure` closes what the one before had open."""
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        configure(format="json", stream=out, file=tmp_path / f"{number}.jsonl")
        log.info("registry.opened", sequence=number)
    assert len(os.listdir("/proc/self/fd")) <= before + 1

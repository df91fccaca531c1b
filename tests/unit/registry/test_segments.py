"""The journal on disk: the current segment, closed ones, and the step from one to the next."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from model_inbox import RegistryCorrupted, RegistryError, RegistryTooNew, StorageError
from model_inbox.base.disk import Disk
from model_inbox.registry import segments
from model_inbox.registry.journal import seal
from model_inbox.registry.segments import JournalFile, all_lines, lines_of_operations, newest_lines
from support.crash_disk import QuickDisk
from support.crash_kit import FailingDisk, open_registry, register


def test_a_copied_registry_finishes_a_segment_change_that_was_cut_short(tmp_path: Path) -> None:
    """A crash left the current segment linked in the history; a copy makes two files of it; the next change works."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    (tmp_path / "history").mkdir()
    shutil.copy(tmp_path / "registry.journal.jsonl", tmp_path / "history" / "00000000000000000000.jsonl")
    register(registry, "b", b"b")
    registry.change_segment()
    assert [line.model_id for line in registry.history()] == ["a", "b"]


def test_a_closed_segment_with_other_lines_is_never_replaced(tmp_path: Path) -> None:
    """A file in the history that is no beginning of the current segment is left alone, and the change refused."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    (tmp_path / "history").mkdir()
    other = tmp_path / "history" / "00000000000000000000.jsonl"
    other.write_text("something else\n")
    with pytest.raises(RegistryCorrupted, match=r"00000000000000000000\.jsonl"):
        registry.change_segment()
    assert other.read_text() == "something else\n"


def test_a_journal_cut_short_behind_a_writer_is_not_appended_to(tmp_path: Path) -> None:
    """A file that became shorter than what was committed is damage: nothing is written behind its end."""
    registry = open_registry(tmp_path)
    path = tmp_path / "registry.journal.jsonl"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 5)
    with pytest.raises(RegistryCorrupted):
        register(registry, "a")
    assert path.stat().st_size == size - 5


# --- reading the history -----------------------------------------------------------------------------------


def _overtaken(monkeypatch: pytest.MonkeyPatch, journal: Path, work: Any) -> None:
    """Have `work` done each time before the journal is read."""
    original = segments.read_segment

    def read(path: Path) -> Any:
        if path == journal:
            work()
        return original(path)

    monkeypatch.setattr(segments, "read_segment", read)


def test_a_history_that_grows_while_it_is_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many segments are closed between a look at the history and one at the journal, no line is missed."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    register(registry, "a")
    left = iter(range(12))

    def change() -> None:
        if next(left, None) is not None:
            registry.tag("a", {"n": str(registry.sequence)})
            registry.change_segment()

    _overtaken(monkeypatch, tmp_path / "registry.journal.jsonl", change)
    lines = all_lines(tmp_path / "registry.journal.jsonl", tmp_path / "history")
    assert [line.sequence for line in lines] == list(range(1, 14))


def test_a_history_that_never_stands_still_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever for files that change all the time."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    register(registry, "a")

    def change() -> None:
        registry.tag("a", {"n": str(registry.sequence)})
        registry.change_segment()

    monkeypatch.setattr(segments, "_LOOKS_AT_HISTORY", 3)
    _overtaken(monkeypatch, tmp_path / "registry.journal.jsonl", change)
    with pytest.raises(RegistryError, match="changed during each of many tries"):
        all_lines(tmp_path / "registry.journal.jsonl", tmp_path / "history")


@pytest.mark.parametrize("segment", ["00000000000000000001.jsonl", "00000000000000000002.jsonl"])
def test_a_segment_that_is_gone_from_the_middle_is_damage(tmp_path: Path, segment: str) -> None:
    """The history is told with a hole in it only when asked for; the error names the file before the hole."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    for name in "abc":
        register(registry, name, name.encode())
        registry.change_segment()
    (tmp_path / "history" / segment).unlink()
    before = f"{int(segment[:20]) - 1:020d}.jsonl"
    with pytest.raises(RegistryCorrupted, match=rf"{before}.*it ends at line {int(segment[:20])}"):
        registry.history()
    gone = int(segment[:20]) + 1
    assert [line.sequence for line in registry.history(over_gaps=True)] == [
        number for number in (1, 2, 3) if number != gone
    ]
    assert registry.missing_lines() == [(gone, gone)]


def test_a_segment_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    """A folder in the place of a segment is an error that names it."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    register(registry, "a")
    registry.change_segment()
    (tmp_path / "history" / "00000000000000000000.jsonl").unlink()
    (tmp_path / "history" / "00000000000000000000.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"00000000000000000000\.jsonl"):
        registry.history()


# --- the current segment -----------------------------------------------------------------------------------


def test_a_journal_of_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    """A journal that a later version wrote is neither read nor changed, and the message says what helps."""
    open_registry(tmp_path).close()
    path = tmp_path / "registry.journal.jsonl"
    path.write_bytes(seal({"format": "model-inbox-journal/4", "base_sequence": 0}))
    before = path.read_bytes()
    with pytest.raises(RegistryTooNew, match=r"registry\.journal\.jsonl.*model-inbox-journal/4") as caught:
        open_registry(tmp_path)
    assert "newer model-inbox" in caught.value.hint
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b'{"format":"model-inbox-journal/1"',
        b"not json\n",
        seal({"format": "something/1", "base_sequence": 0}),
        seal({"format": "model-inbox-journal/1", "base_sequence": -1}),
        seal({"format": "model-inbox-journal/1", "base_sequence": True}),
        seal({"format": "model-inbox-journal/1", "base_sequence": 0, "base_time": 7}),
        seal({"format": "model-inbox-journal/2", "base_sequence": 0}),
        seal({"format": "model-inbox-journal/2", "registry_id": "0" * 32, "base_sequence": 0}),
        seal({"format": "model-inbox-journal/2", "registry_id": "0" * 32, "epoch": 1, "base_sequence": 0}),
        seal({"format": "model-inbox-journal/2", "registry_id": "../x", "epoch": f"1-{0:016x}", "base_sequence": 0}),
    ],
)
def test_a_journal_without_its_header_is_damage(tmp_path: Path, header: bytes) -> None:
    """The first line says what comes before it; without that nothing can be trusted."""
    open_registry(tmp_path).close()
    (tmp_path / "registry.journal.jsonl").write_bytes(header)
    with pytest.raises(RegistryCorrupted, match=r"registry\.journal\.jsonl.*byte 0"):
        open_registry(tmp_path, read_only=True)


def test_a_journal_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """A symlink in the place of the journal is refused by readers and writers, with the path."""
    open_registry(tmp_path).close()
    path = tmp_path / "registry.journal.jsonl"
    path.rename(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    for read_only in (True, False):
        with pytest.raises(StorageError, match=r"open the journal .*registry\.journal\.jsonl"):
            open_registry(tmp_path, read_only=read_only)


class FullDisk(QuickDisk):
    """Writes half of what it is given, and then there is no room."""

    def __init__(self) -> None:
        self.full = False

    def write(self, fd: int, data: bytes | memoryview) -> None:
        if self.full:
            Disk.write(self, fd, bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(fd, data)


def test_half_a_line_on_a_full_disk_is_taken_back(tmp_path: Path) -> None:
    """The failed change is an error, nothing of it is left, and the next one goes behind the last whole line."""
    disk = FullDisk()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "a")
    size = (tmp_path / "registry.journal.jsonl").stat().st_size
    disk.full = True
    with pytest.raises(StorageError, match="append to the journal") as caught:
        registry.pin("a")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "registry.journal.jsonl").stat().st_size == size
    assert registry.get_model_info("a")["pinned"] is False  # type: ignore[index]
    disk.full = False
    registry.pin("a")
    assert [line.sequence for line in open_registry(tmp_path, read_only=True).history()] == [1, 2]


def test_a_line_that_was_read_and_then_taken_back_is_forgotten(tmp_path: Path) -> None:
    """A reader that saw a line before its sync failed shows what is there instead, of the same length or not."""
    writer = open_registry(tmp_path, disk=QuickDisk())
    register(writer, "a")
    reader = open_registry(tmp_path, read_only=True)

    class Unsynced(QuickDisk):
        def fsync(self, fd: int) -> None:
            assert reader.registry["a"]["tags"] == {"n": "1"}
            writer._store.journal._disk = QuickDisk()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer._store.journal._disk = Unsynced()
    with pytest.raises(StorageError):
        writer.tag("a", {"n": "1"})
    assert reader.registry["a"]["tags"] == {}
    assert reader.sequence == 1
    writer.tag("a", {"n": "2"})
    assert reader.registry["a"]["tags"] == {"n": "2"}


@pytest.mark.parametrize("step", ["link", "fsync_dir"])
def test_a_change_of_segment_that_fails_leaves_the_old_one_current(tmp_path: Path, step: str) -> None:
    """What cannot be linked into the history is not replaced, and the next change comes to the end."""
    disk = FailingDisk()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "a")
    (tmp_path / "history").mkdir()
    original = JournalFile.change_segment

    def failing(self: JournalFile, *arguments: Any) -> None:
        disk.failing = {step: OSError(errno.EIO, "Input/output error")}
        try:
            original(self, *arguments)
        finally:
            disk.failing = {}

    JournalFile.change_segment = failing  # type: ignore[method-assign]
    try:
        with pytest.raises(StorageError, match="change the journal segment"):
            registry.change_segment()
    finally:
        JournalFile.change_segment = original  # type: ignore[method-assign]
    assert registry.pin("a")["sequence"] == 1
    registry.change_segment()
    assert [line.operation for line in registry.history()] == ["register", "pin"]


def test_closing_a_segment_waits_until_the_file_system_counts_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system whose clock stands still the time of change is made another one before the name goes."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    register(registry, "a")
    original = JournalFile.look
    ticks: list[int] = []

    def slow(self: JournalFile) -> tuple[int, int, int, int]:
        inode, size, _, names = original(self)
        return inode, size, len(ticks) // 5, names

    def touch(self: Disk, fd: int) -> None:
        ticks.append(1)

    monkeypatch.setattr(JournalFile, "look", slow)
    monkeypatch.setattr(Disk, "touch", touch)
    registry.change_segment()
    assert len(ticks) == 5


def test_the_newest_lines_are_read_across_segments(tmp_path: Path) -> None:
    """Newest first, as many as are wanted or as there are, and not the header of a segment."""
    registry = open_registry(tmp_path)
    for name in "abc":
        register(registry, name, name.encode())
    registry.change_segment()
    register(registry, "d", b"d")
    paths = tmp_path / "registry.journal.jsonl", tmp_path / "history"
    assert [line.model_id for line in newest_lines(*paths, 3)] == ["d", "c", "b"]
    assert [line.model_id for line in newest_lines(*paths, 9)] == ["d", "c", "b", "a"]
    assert newest_lines(*paths, 0) == []


def test_a_torn_last_line_is_not_among_the_newest(tmp_path: Path) -> None:
    """Its writer has not committed it."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    with (tmp_path / "registry.journal.jsonl").open("ab") as journal:
        journal.write(b'{"sequence":2,"time"')
    assert [line.model_id for line in newest_lines(tmp_path / "registry.journal.jsonl", tmp_path / "history", 5)] == [
        "a"
    ]


def test_lines_of_several_operations_are_found_in_order(tmp_path: Path) -> None:
    """In all segments, whatever other texts say: a reason that looks like an operation is none."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    registry.pin("a", reason='"operation":"hold"')
    registry.change_segment()
    registry.unpin("a")
    registry.hold("a", reason="worse")
    paths = tmp_path / "registry.journal.jsonl", tmp_path / "history"
    found = lines_of_operations(*paths, {"pin", "hold"})
    assert [(line.sequence, line.operation) for line in found] == [(2, "pin"), (4, "hold")]

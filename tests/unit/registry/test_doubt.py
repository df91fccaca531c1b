"""A write to the journal that fails and cannot be undone: settled at the next change, once the disk works again."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_inbox import RegistryCorrupted, StorageError
from model_inbox.base.disk import Disk
from support.crash_disk import QuickDisk
from support.crash_kit import open_registry, register, staged
from support.plain_reader import read_history, read_registry


class SickDisk(QuickDisk):
    """A disk whose fsync and truncate fail while `sick`, after writing the whole of a line or half of it."""

    def __init__(self, half: bool = False) -> None:
        self.sick = False
        self.half = half

    def _fail(self) -> None:
        if self.sick:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write(self, fd: int, data: bytes | memoryview) -> None:
        if self.sick and self.half:
            Disk.write(self, fd, bytes(data)[: len(data) // 2])
            self._fail()
        super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._fail()

    def truncate(self, fd: int, size: int) -> None:
        self._fail()
        super().truncate(fd, size)


def events(logs: Any) -> list[str]:
    return [entry["event"] for entry in logs if entry["event"].startswith("journal.")]


@pytest.mark.parametrize("half", [True, False], ids=["half a line", "a whole line"])
def test_a_handle_goes_on_when_the_disk_works_again(tmp_path: Path, half: bool) -> None:
    """What failed is an error as long as the disk does, said once; then every change works in the same handle."""
    disk = SickDisk(half)
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "a")
    with capture_logs() as logs:
        disk.sick = True
        with pytest.raises(StorageError) as caught:
            registry.pin("a")
        assert caught.value.transient and "found out at the next change" in caught.value.hint
        for _ in range(3):
            with pytest.raises(StorageError):
                registry.tag("a", {"n": "1"})
        assert registry.problem is not None
        disk.sick = False
        registry.tag("a", {"n": "2"})
    assert registry.problem is None
    assert events(logs) == ["journal.write_failed", "journal.settled"]
    assert [entry["found_lines"] for entry in logs if entry["event"] == "journal.settled"] == [0 if half else 1]
    lines = [line["operation"] for line in read_history(tmp_path / "registry.json")]
    assert lines == (["register", "tag"] if half else ["register", "pin", "tag"])
    assert registry.get_model_info("a")["tags"] == {"n": "2"}  # type: ignore[index]
    assert read_registry(tmp_path / "registry.json")["a"]["pinned"] is not half
    registry.close()


def test_the_same_drop_is_registered_once_and_told_so(tmp_path: Path) -> None:
    """Its line was whole though its write failed: the next try finds it, and is no duplicate of itself."""
    disk = SickDisk()
    registry = open_registry(tmp_path, disk=disk)
    candidate = staged(registry, "a", b"model")
    disk.sick = True
    with pytest.raises(StorageError):
        registry.register_staged([candidate])
    disk.sick = False
    (done,) = registry.register_staged([candidate])
    assert (done.outcome, done.entry["sequence"]) == ("registered", 1)
    (other,) = registry.register_staged([staged(registry, "a", b"model")])
    assert other.outcome == "registered"  # the same drop_id
    assert [line["model_id"] for line in read_history(tmp_path / "registry.json")] == ["a"]


def test_what_others_built_on_it_stays(tmp_path: Path) -> None:
    """Another process read the line under the lock and committed behind it: both lines stay under their numbers."""
    disk = SickDisk()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "a")
    disk.sick = True
    with pytest.raises(StorageError):
        registry.pin("a")
    with open_registry(tmp_path, disk=QuickDisk()) as other:
        assert other.registry["a"]["pinned"] is True
        other.tag("a", {"n": "1"})
        other.change_segment()
    disk.sick = False
    registry.unpin("a")
    history = [(line["sequence"], line["operation"]) for line in read_history(tmp_path / "registry.json")]
    assert history == [(1, "register"), (2, "pin"), (3, "tag"), (4, "unpin")]


def test_a_sync_that_failed_is_not_believed_the_second_time(tmp_path: Path) -> None:
    """The kernel reports a failed write once: the lines of a writer that died are written again, not synced again."""
    with open_registry(tmp_path, disk=QuickDisk()) as other:
        register(other, "a")
        other.pin("a")
    disk = SickDisk()
    registry = open_registry(tmp_path, disk=disk)
    inode = (tmp_path / "registry.journal.jsonl").stat().st_ino
    disk.sick = True
    with pytest.raises(StorageError, match="sync the journal"):
        registry.pin("a")  # pinned already: it relies on the line that is there
    disk.sick = False
    registry.pin("a")
    assert (tmp_path / "registry.journal.jsonl").stat().st_ino != inode
    assert [line["operation"] for line in read_history(tmp_path / "registry.json")] == ["register", "pin"]


def test_acknowledged_lines_that_are_gone_are_damage(tmp_path: Path) -> None:
    """The disk came back without a line that was acknowledged: that is said, and nothing is written over it."""
    disk = SickDisk()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "a")
    journal = tmp_path / "registry.journal.jsonl"
    old = journal.read_bytes()
    registry.pin("a")
    disk.sick = True
    with pytest.raises(StorageError):
        registry.unpin("a")
    journal.write_bytes(old)
    disk.sick = False
    with pytest.raises(RegistryCorrupted, match="ends at line 1, but lines up to 2 were committed") as caught:
        registry.unpin("a")
    assert caught.value.exit_status == 78
    assert journal.read_bytes() == old

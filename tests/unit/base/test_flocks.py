"""The two locks: who holds them, how long one waits, what is said."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from model_inbox import RegistryError, RegistryLocked, StorageError
from model_inbox.base.flocks import FileLock
from support.crash_kit import open_registry, register


def test_a_full_disk_does_not_keep_a_lock_from_being_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder's name in the file is a courtesy: without room for it the lock is taken all the same."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = FileLock(tmp_path / "lock", "test's")
    lock.acquire(0)
    lock.release()
    lock.close()


def test_a_file_system_without_locks_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where flock is refused (NFS without a lock manager) nothing is changed, and the error says what it is about."""

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with open_registry(tmp_path) as registry:
        register(registry, "a")
        before = (tmp_path / "registry.journal.jsonl").read_bytes()
        monkeypatch.setattr(fcntl, "flock", refused)
        with pytest.raises(RegistryError, match=r"writer\.lock.*the file system refuses locks.*No locks") as caught:
            registry.pin("a")
        assert "local file system" in caught.value.hint
        assert not isinstance(caught.value, RegistryLocked)  # trying again does not help
        assert caught.value.exit_status == 1
        assert registry.get_model_info("a") is not None
        assert (tmp_path / "registry.journal.jsonl").read_bytes() == before
        monkeypatch.undo()
    assert list(open_registry(tmp_path, read_only=True).registry) == ["a"]


def test_a_lock_file_that_was_removed_is_locked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock on a file that nobody else can find would exclude nobody: it is given up for one on the new file."""
    lock, other = FileLock(tmp_path / "lock", "test's"), FileLock(tmp_path / "lock", "test's")
    original = fcntl.flock
    moments = iter([True])

    def removed(fd: int, how: int) -> None:
        original(fd, how)
        if next(moments, False):
            (tmp_path / "lock").unlink()

    monkeypatch.setattr(fcntl, "flock", removed)
    lock.acquire(0)
    with pytest.raises(RegistryLocked, match=rf"within 0 s: held by 'process {os.getpid()} \("):
        other.acquire(0)
    lock.close()
    other.acquire(0)
    other.close()


@pytest.mark.parametrize("text", [b"", b"\n"])
def test_a_holder_that_left_no_name_is_said_to_be_one(tmp_path: Path, text: bytes) -> None:
    """The text in the file is for people; without it the time-out is still told."""
    lock, other = FileLock(tmp_path / "lock", "test's"), FileLock(tmp_path / "lock", "test's")
    lock.acquire(0)
    (tmp_path / "lock").write_bytes(text)
    with pytest.raises(RegistryLocked, match="held by a process that left no name"):
        other.acquire(0)
    (tmp_path / "lock").unlink()
    assert other.holder() == "a process that left no name"
    lock.close()
    other.close()


def test_a_hostile_name_in_the_lock_file_is_escaped(tmp_path: Path) -> None:
    """Text that somebody wrote into the file does not reach the terminal of who reads the error."""
    lock = FileLock(tmp_path / "lock", "test's")
    (tmp_path / "lock").write_bytes(b"\x1b[31mroot\nall is well " + b"x" * 500)
    assert "\x1b" not in lock.holder() and "\n" not in lock.holder()
    assert len(lock.holder()) < 300


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """A symlink is refused with the path: the file that it names is not made."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"open the lock .*lock"):
        FileLock(tmp_path / "lock", "test's").acquire(0)
    assert not (tmp_path / "elsewhere").exists()


def test_a_child_has_no_part_in_the_lock_of_its_parent(tmp_path: Path) -> None:
    """After a fork the child neither holds nor frees what the parent locked, and can wait for it like anybody."""
    lock = FileLock(tmp_path / "lock", "test's")
    with lock:  # leaving the block releases
        lock.acquire(0)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                lock.release()
                try:
                    lock.acquire(0)
                except RegistryLocked:
                    status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(RegistryLocked):
            FileLock(tmp_path / "lock", "test's").acquire(0)
    FileLock(tmp_path / "lock", "test's").acquire(0)

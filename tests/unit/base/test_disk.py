"""The one place that changes the disk durably."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_inbox.base import disk as fsio
from model_inbox.base.copying import copy_open_file
from model_inbox.base.disk import (
    FLUSH_BYTES,
    SYNC_TOGETHER_FILES,
    Disk,
    PacedDisk,
    Sync,
    is_temporary,
    open_regular,
    replace_file,
    sync_files,
    temporary_name,
)
from model_inbox.errors import StorageError
from support.examples import examples


def test_what_a_crash_left_under_the_same_process_number_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container every run has the same process number and counts from zero: its temporary names differ."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "file"
    monkeypatch.setattr(fsio, "_counter", itertools.count(), raising=False)
    fsio.temporary_name(Disk(), path).write_bytes(b"half")
    monkeypatch.setattr(fsio, "_counter", itertools.count(), raising=False)
    replace_file(Disk(), path, b"whole", 0o640)
    assert path.read_bytes() == b"whole"


class Counting(Disk):
    """Notes which syncs were asked for, of which file."""

    def __init__(self) -> None:
        self.synced: list[str] = []

    def _note(self, what: str, fd: int) -> None:
        self.synced.append(f"{what} {Path(os.readlink(f'/proc/self/fd/{fd}')).name}")

    def fsync(self, fd: int) -> None:
        self._note("fsync", fd)

    def syncfs(self, fd: int) -> None:
        self._note("syncfs", fd)


def test_many_files_are_synced_together_and_large_ones_by_themselves(tmp_path: Path) -> None:
    """Few: each. Many: all at once, but for those that take so long that signs of life must come in between."""
    paths = [tmp_path / f"{number:02d}" for number in range(SYNC_TOGETHER_FILES)]
    for path in paths:
        path.write_bytes(b"x")
    os.truncate(paths[3], FLUSH_BYTES + 1)
    few, many = Counting(), Counting()
    sync_files(few, paths[:-1])
    sync_files(many, paths)
    assert few.synced == [f"fsync {path.name}" for path in paths[:-1]]
    assert many.synced == ["fsync 03", f"syncfs {paths[-1].name}"]


def test_a_sync_that_fails_says_so_when_it_is_waited_for(tmp_path: Path) -> None:
    """Not before: what was to be done meanwhile is done."""

    class Failing(Disk):
        def fsync(self, fd: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "one"
    path.write_bytes(b"x")
    for sync in (Sync(Failing(), [path]), Sync(Disk(), [path, tmp_path / "none"])):
        with pytest.raises(StorageError, match="sync"):
            sync.wait()


def test_many_files_are_synced_beside_other_work(tmp_path: Path) -> None:
    """The daemon's disk goes on without the caller, who hears of the end, and of what went wrong, by waiting."""
    goes_on, ends = threading.Event(), threading.Event()

    class Slow(Disk):
        def syncfs(self, fd: int) -> None:
            goes_on.set()
            ends.wait(60)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    class SlowPaced(PacedDisk, Slow):
        pass

    paths = [tmp_path / f"{number:02d}" for number in range(SYNC_TOGETHER_FILES)]
    for path in paths:
        path.write_bytes(b"x")
    sync = Sync(SlowPaced(lambda: None), paths)
    assert goes_on.wait(60) and not ends.is_set()
    ends.set()
    with pytest.raises(StorageError, match=paths[-1].name):
        sync.wait()


def test_a_long_name_in_many_bytes_gets_a_temporary_one(tmp_path: Path) -> None:
    """A name has 255 bytes at most, whatever they stand for."""
    path = tmp_path / ("\u00e4" * 125)
    replace_file(Disk(), path, b"whole", 0o600)
    assert path.read_bytes() == b"whole"
    assert is_temporary(temporary_name(Disk(), path).name)


# --- copies ----------------------------------------------------------------------------------------------------------


class WithoutReflinks(Disk):
    """A file system that shares no blocks."""

    def clone(self, source: int, target: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def copied(source: Path, target: Path) -> tuple[str, int]:
    fd = open_regular(source)
    try:
        return copy_open_file(WithoutReflinks(), fd, target, 0o640)
    finally:
        os.close(fd)


def test_a_hole_is_copied_as_a_hole(tmp_path: Path) -> None:
    """A file of 128 MiB that takes 8 KiB on the disk takes as much as a copy; the digest is of all its bytes."""
    source, target = tmp_path / "sparse", tmp_path / "copy"
    with source.open("wb") as file:
        file.write(b"begin")
        file.truncate((1 << 27) - 3)
        file.seek(0, os.SEEK_END)
        file.write(b"end")
    found, size = copied(source, target)
    # The digest of b"begin", 2^27 - 8 zeros and b"end", by sha256sum.
    assert (found, size) == ("4caf744d74829d51f1cec7bcd918f8d864100dc972d8a93e80dba4e37ac7af99", 1 << 27)
    assert target.stat().st_size == 1 << 27
    assert target.stat().st_blocks <= source.stat().st_blocks


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([1, 4096, 5000, 65_535, 65_536, 70_000, 300_000])), max_size=6)
)
def test_a_copy_has_the_bytes_of_its_source_wherever_its_holes_are(
    memory_folder: Path, parts: list[tuple[bool, int]]
) -> None:
    """Holes at the begin, between data and at the end, short ones and long ones: bytes, size and digest are equal."""
    source, target = memory_folder / "source", memory_folder / "target"
    target.unlink(missing_ok=True)
    wanted = b"".join((b"\0" if is_hole else b"x") * size for is_hole, size in parts)
    with source.open("wb") as file:
        for is_hole, size in parts:
            if is_hole:
                file.seek(size, os.SEEK_CUR)
            else:
                file.write(b"x" * size)
        file.truncate(len(wanted))
    assert copied(source, target) == (hashlib.sha256(wanted).hexdigest(), len(wanted))
    assert target.read_bytes() == wanted


def test_a_copy_where_holes_are_not_known_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without SEEK_DATA copies the zeros like any bytes."""
    (tmp_path / "source").write_bytes(b"a" + b"\0" * 200_000 + b"b")
    monkeypatch.delattr(os, "SEEK_DATA")
    assert copied(tmp_path / "source", tmp_path / "target")[1] == 200_002
    assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()

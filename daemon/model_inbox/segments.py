"""The journal on disk: the current segment, the closed ones in `history/`, and the step from one to the next.

Owns the file `<registry>.journal.jsonl` and the folder `history/`. Reads for everybody; appends, cuts and changes
segments only for the holder of the writer lock. Knows lines, not models.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .errors import RegistryCorrupted, RegistryMissing, RegistryTooNew, StorageError
from .fsio import Disk, make_folder, remove_quietly, temporary_name, write_new_file
from .journal import (
    Damage,
    Line,
    Segment,
    TooNew,
    encode_header,
    encode_line,
    parse_segment,
    read_header,
)

__all__ = [
    "JournalFile",
    "all_lines",
    "base_name",
    "begin_segment",
    "first_base",
    "history_segments",
    "read_segment",
    "segment_name",
]

JOURNAL_MODE = 0o640
_LOOKS_AT_HISTORY = 5


class JournalFile:
    """An open current segment, read up to `offset` (the end of the last whole line) and line `sequence`.

    A handle that only reads opens the file read-only. Raises RegistryMissing when there is no journal,
    RegistryCorrupted with the offset when it is damaged, RegistryTooNew for a newer format.
    """

    def __init__(self, path: Path, disk: Disk, *, writable: bool) -> None:
        self.path = path
        self._disk = disk
        self._writable = writable
        try:
            if writable:
                self._fd = disk.open_append(path)
            else:
                self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise RegistryMissing(f"cannot open {str(path)!r}: there is no such journal") from None
        except OSError as error:
            raise StorageError("open the journal", path, error) from error
        self.inode = os.fstat(self._fd).st_ino
        self.broken: StorageError | None = None
        self._last = b""  # the last line read, to notice that a writer took it back
        try:
            data = self._read(0)
            with _damage_in(path, 0):
                self.base_sequence, self.offset = read_header(data)
            self.sequence = self.base_sequence
            self.synced = 0  # the offset up to which we know that the bytes last
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def is_current(self) -> bool:
        """Tell whether the path still names the file that is open here."""
        try:
            return os.stat(self.path, follow_symlinks=False).st_ino == self.inode
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError("look at the journal", self.path, error) from error

    def read_new(self) -> Segment | None:
        """Return the lines that were appended since, or None when what was read before is no longer there.

        None means that a writer took back an append whose sync failed: the caller starts over. A torn tail is
        not read and not an error: its writer is at work, or died before it could commit.
        """
        start = self.offset - len(self._last)
        data = self._read(start)
        if not data.startswith(self._last):
            return None
        with _damage_in(self.path, self.offset):
            segment = parse_segment(data[len(self._last) :], self.sequence)
        if segment.lines:
            whole = data[: len(self._last) + segment.end]
            self._last = whole[whole.rfind(b"\n", 0, -1) + 1 :]
            self.offset += segment.end
            self.sequence = segment.lines[-1].sequence
        return segment

    def cut_torn_tail(self) -> int:
        """Under the writer lock: cut what is behind the last whole line; return how many bytes that was.

        A crash before the cut leaves the tail for the next writer; after it, the journal is whole.
        """
        lost = os.fstat(self._fd).st_size - self.offset
        if lost > 0:
            self._take_back()
        return max(lost, 0)

    def sync(self) -> None:
        """Make everything read so far last, unless we know that it does.

        A writer that died between its append and its sync leaves lines that we can read and a power cut could
        still take: whoever acts on them (drops a source, says "registered") syncs first.
        """
        if self.synced < self.offset:
            try:
                self._disk.fsync(self._fd)
            except OSError as error:
                raise StorageError("sync the journal", self.path, error) from error
            self.synced = self.offset

    def append(self, lines: Sequence[Line]) -> None:
        """Commit lines: one write, one fsync. Afterwards they are there whatever happens.

        A crash before the fsync leaves a prefix of the write: some of the lines whole, or a torn one that the
        next writer cuts. When the write or the fsync fails, what was written is taken back and the error
        raised; when even that fails, this handle refuses to append again, since it no longer knows the end.
        """
        if self.broken is not None:
            raise self.broken
        data = b"".join(encode_line(line) for line in lines)
        try:
            self._disk.write(self._fd, data)
            self._disk.fsync(self._fd)
        except OSError as error:
            failure = StorageError("append to the journal", self.path, error)
            try:
                self._take_back()
            except StorageError as worse:
                self.broken = worse
                raise worse from error
            raise failure from error
        self.offset += len(data)
        self.synced = self.offset
        self.sequence = lines[-1].sequence
        self._last = data[data.rfind(b"\n", 0, -1) + 1 :]

    def change_segment(self, history: Path) -> None:
        """Under the writer lock, and after a durable checkpoint: close this segment and begin the next.

        The old file is linked into `history/` (synced), then a new one renamed over its name (synced). A crash
        in between leaves the old segment current and in the history at once: the next change finds the link.
        """
        make_folder(self._disk, history, 0o750)
        closed = history / segment_name(self.base_sequence)
        try:
            try:
                self._disk.link(self.path, closed)
            except FileExistsError:
                if closed.stat().st_ino != self.inode:
                    raise
            self._disk.fsync_dir(history)
            begin_segment(self._disk, self.path, self.sequence)
        except OSError as error:
            raise StorageError("change the journal segment at", self.path, error) from error

    def _read(self, start: int) -> bytes:
        try:
            size = os.fstat(self._fd).st_size - start
            parts = []
            while size > 0 and (part := os.pread(self._fd, min(size, 1 << 30), start)):
                parts.append(part)
                start += len(part)
                size -= len(part)
        except OSError as error:
            raise StorageError("read the journal", self.path, error) from error
        return b"".join(parts)

    def _take_back(self) -> None:
        try:
            self._disk.truncate(self._fd, self.offset)
            self._disk.fsync(self._fd)
        except OSError as error:
            raise StorageError("cut the journal back to its last commit", self.path, error) from error
        self.synced = self.offset


def begin_segment(disk: Disk, path: Path, base_sequence: int) -> None:
    """Put a new, empty segment at `path`, replacing what stands there, and make it last."""
    temporary = temporary_name(path)
    write_new_file(disk, temporary, encode_header(base_sequence), JOURNAL_MODE)
    try:
        disk.rename(temporary, path)
    except OSError:
        remove_quietly(disk, temporary)
        raise
    disk.fsync_dir(path.parent)


def segment_name(base_sequence: int) -> str:
    """Return the name in `history/` of the segment that follows `base_sequence`; names sort by age."""
    return f"{base_sequence:020d}.jsonl"


def history_segments(history: Path) -> list[Path]:
    """Return the closed segments that are kept, oldest first."""
    names = []
    with suppress(FileNotFoundError):
        names = [name for name in os.listdir(history) if name.endswith(".jsonl") and name[:20].isdigit()]
    return [history / name for name in sorted(names)]


def base_name(sequence: int) -> str:
    """Return the name in `history/` of the entries as they were after line `sequence`, where the history begins."""
    return f"{sequence:020d}.base.json"


def first_base(history: Path, before_sequence: int) -> Path | None:
    """Return the base file for lines that begin with `before_sequence`; None when nothing came before them."""
    names = []
    with suppress(FileNotFoundError):
        names = [
            name
            for name in os.listdir(history)
            if name.endswith(".base.json") and name[:20].isdigit() and int(name[:20]) < before_sequence
        ]
    return history / max(names) if names else None


def read_segment(path: Path) -> tuple[int, tuple[Line, ...], int]:
    """Return (base_sequence, lines, torn bytes) of a segment, current or closed.

    Raises RegistryCorrupted, RegistryTooNew, StorageError.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError("read the journal segment", path, error) from error
    with _damage_in(path, 0):
        base, start = read_header(data)
    with _damage_in(path, start):
        segment = parse_segment(data[start:], base)
    return base, segment.lines, segment.torn


class _damage_in:  # noqa: N801  # a context manager that reads as a phrase
    """Turn what the journal's parser says into errors that name the file and the offset in it."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._start = start

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Damage):
            raise RegistryCorrupted(self._path, self._start + error.offset, error.what) from None
        if isinstance(error, TooNew):
            raise RegistryTooNew(f"cannot read {str(self._path)!r}: {error}", hint="Use a newer model-inbox") from None


def all_lines(journal: Path, history: Path) -> list[Line]:
    """Return every line that is kept, oldest first: the closed segments, then the current one.

    A segment that is linked into the history while still current is read once. One that is closed while we read
    shows as a gap, and we look again. Raises as `read_segment` does, and RegistryCorrupted for a real gap.
    """
    for attempt in range(_LOOKS_AT_HISTORY):
        lines: list[Line] = []
        gap: Path | None = None
        for path in [*history_segments(history), journal]:
            try:
                base, found, _ = read_segment(path)
            except StorageError as error:
                if error.errno != errno.ENOENT:
                    raise
                continue
            if lines and base > lines[-1].sequence:
                gap = path
                break
            reached = lines[-1].sequence if lines else -1
            lines.extend(line for line in found if line.sequence > reached)
        if gap is None:
            return lines
        if attempt + 1 == _LOOKS_AT_HISTORY:
            raise RegistryCorrupted(gap, 0, f"the lines after line {lines[-1].sequence} are in no segment")
    return []

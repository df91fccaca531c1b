"""The journal on disk: the current segment, the closed ones in `history/`, and the step from one to the next.

Owns the file `<registry>.journal.jsonl` and the folder `history/`. Reads for everybody; appends, cuts and changes
segments only for the holder of the writer lock. Knows lines, not models.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import time
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..base.disk import Disk, make_folder, open_regular, replace_file, temporary_name
from ..errors import RegistryCorrupted, RegistryError, RegistryMissing, RegistryTooNew, StorageError
from .journal import (
    FORMAT,
    Damage,
    Header,
    Line,
    TooNew,
    decode_line,
    encode_header,
    encode_line,
    parse_segment,
    parse_time,
    read_header,
)
from .position import Identity

__all__ = [
    "JournalFile",
    "JournalInDoubt",
    "ReadSegment",
    "all_lines",
    "base_files",
    "base_name",
    "base_sequence",
    "begin_segment",
    "check_base",
    "first_base",
    "history_segments",
    "lines_of_operation",
    "lines_of_operations",
    "newest_lines",
    "read_segment",
    "segment_name",
]

JOURNAL_MODE = 0o640
_LOOKS_AT_HISTORY = 1_000
# A first guess at the length of a segment's last line.
_TAIL_BYTES = 1 << 14
_HEADER_BYTES_MAX = 4096
_TICK_SECONDS = 0.001
_TICKS_MAX = 2_000  # no file system counts in more than a second
_SEGMENT_NAME = re.compile(r"[0-9]{20}\.jsonl", re.ASCII)
_BASE_NAME = re.compile(r"[0-9]{20}(?:\.([0-9a-f]{8}))?\.base\.json", re.ASCII)


class JournalFile:
    """An open current segment, read up to `offset` (the end of the last whole line) and line `sequence`.

    A handle that only reads opens the file read-only. Raises RegistryMissing when there is no journal,
    RegistryCorrupted with the offset when it is damaged, RegistryTooNew for a newer format.
    """

    def __init__(self, path: Path, disk: Disk, *, writable: bool) -> None:
        self.path = path
        self._disk = disk
        try:
            self.fd = disk.open_append(path) if writable else open_regular(path)
        except FileNotFoundError:
            raise RegistryMissing(f"cannot open {str(path)!r}: there is no such journal") from None
        except OSError as error:
            raise StorageError("open the journal", path, error) from error
        self.inode = os.fstat(self.fd).st_ino
        self._last = b""  # the last line read, to notice that a writer took it back
        try:
            with _damage_in(path, 0):
                header = read_header(self._read(0, _HEADER_BYTES_MAX))
            self.format = FORMAT if header.identity is None else header.format
            """The format of the segments that follow this one."""
            self.identity = header.identity
            self.base_sequence = self.sequence = header.base_sequence
            self.base_time = header.base_time
            self.begin = self.offset = header.end
            self.synced = 0  # the offset up to which we know that the bytes last
            self._is_name_synced = False
            self.is_closed = False
            """Whether another file was at the path when this one was last read: its segment is closed."""
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._disk.close(self.fd)

    def is_current(self) -> bool:
        """Return whether the path still names the file that is open here."""
        try:
            return os.stat(self.path, follow_symlinks=False).st_ino == self.inode
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError("look at the journal", self.path, error) from error

    def look(self) -> tuple[int, int, int, int]:
        """Return what tells readers that there is something new: inode, size, time of change, number of names.

        Appends change the size. When a segment is closed its inode loses the path's name, so the number of names
        or, when it was linked into the history since the last look, the time of change is another.
        """
        found = os.fstat(self.fd)
        return found.st_ino, found.st_size, found.st_ctime_ns, found.st_nlink

    def read_new(self) -> tuple[Line, ...] | None:
        """Return the lines that were appended since, or None when what was read before is no longer there.

        None means that a writer took back an append whose sync failed: the caller starts over. A torn tail is
        not read and not an error: its writer is at work, or died before it could commit.
        """
        start = self.offset - len(self._last)
        data = self._read(start)
        # Behind the first read: a segment that is closed later than that shows at the next look.
        self.is_closed = not self.is_current()
        if data == self._last:
            return ()
        while True:
            if not data.startswith(self._last):
                return None
            try:
                segment = parse_segment(data[len(self._last) :], self.sequence)
                break
            except Damage as damage:
                # A read that overlaps the cutting of a torn tail and the append after it can see some of both.
                again = self._read(start)
                if again == data:
                    raise RegistryCorrupted(self.path, self.offset + damage.offset, damage.what) from None
                data = again
        if segment.lines:
            whole = data[: len(self._last) + segment.end]
            self._last = whole[whole.rfind(b"\n", 0, -1) + 1 :]
            self.offset += segment.end
            self.sequence = segment.lines[-1].sequence
        return segment.lines

    def cut_torn_tail(self) -> int:
        """Under the writer lock: cut what is behind the last whole line; return how many bytes that was.

        A crash before the cut leaves the tail for the next writer; after it, the journal is whole. Raises
        RegistryCorrupted when the file is shorter than what was read from it.
        """
        size = os.fstat(self.fd).st_size
        if size < self.offset:
            raise RegistryCorrupted(self.path, size, f"the file ends there, but {self.offset} bytes were committed")
        if size > self.offset:
            self._take_back()
        return size - self.offset

    def sync(self) -> None:
        """Make everything read so far durable, unless we know that it is.

        A writer that died between its append and its sync leaves lines that we can read and a power cut could
        still take: a caller that acts on them (drops a source, says "registered") syncs first.
        """
        self._sync_name()
        if self.synced < self.offset:
            try:
                self._disk.fsync(self.fd)
            except OSError as error:
                raise JournalInDoubt("sync the journal", self.path, error) from error
            self.synced = self.offset

    def _sync_name(self) -> None:
        """Sync the folder, once: the process that put this file in its place may have died before that.

        Without it a power cut could bring back the file before this one, and what was committed here with it.
        """
        if not self._is_name_synced:
            try:
                self._disk.fsync_dir(self.path.parent)
            except OSError as error:
                raise StorageError("sync the folder of the journal", self.path, error) from error
            self._is_name_synced = True

    def append(self, lines: Sequence[Line]) -> tuple[int, int, int, int]:
        """Commit lines: one write, one fsync. Afterwards they are there whatever happens. Return the look after it.

        A crash before the fsync leaves a prefix of the write: some of the lines whole, or a torn one that the
        next writer cuts. When the write or the fsync fails, what was written is taken back and StorageError
        raised; when even that fails, JournalInDoubt.
        """
        data = b"".join(encode_line(line) for line in lines)
        self._sync_name()
        try:
            self._disk.write(self.fd, data)
            self._disk.fsync(self.fd)
        except OSError as error:
            try:
                self._take_back()
            except StorageError as worse:
                raise JournalInDoubt(worse.operation, self.path, error) from worse
            raise StorageError("append to the journal", self.path, error) from error
        self.offset += len(data)
        self.synced = self.offset
        self.sequence = lines[-1].sequence
        self._last = data[data.rfind(b"\n", 0, -1) + 1 :]
        return self.look()

    def take_over(self, identity: Identity, name: str) -> None:
        """Under the writer lock: put a segment of the format `name` with the same lines in the place of this file.

        With another identity, an epoch begins that has all lines of this segment.

        A crash leaves the old file or the new one (see `begin_segment`). The file that is open here is not the current
        one afterwards: open the journal again.
        """
        lines = self._read(self.begin, self.offset - self.begin)
        begin_segment(self._disk, self.path, identity, self.base_sequence, self.base_time, lines, name=name)

    def rewrite(self) -> None:
        """Under the writer lock: put a durable copy of this segment, up to its last whole line, in its place.

        For a file of which nobody knows what the medium holds. A crash leaves the old file or the copy. The file that
        is open here is not the current one afterwards: open the journal again.
        """
        data = self._read(0, self.offset)
        replace_file(self._disk, self.path, data, JOURNAL_MODE)

    def change_segment(self, history: Path, identity: Identity, last_time: str) -> None:
        """Under the writer lock, and after a durable checkpoint: close this segment and begin the next.

        The old file is linked into `history/` (synced), then a new one renamed over its name (synced). A crash
        in between leaves the old segment current and in the history at once: the next change finds the link.
        """
        make_folder(self._disk, history, 0o750)
        closed = history / segment_name(self.base_sequence)
        before = self.look()
        try:
            try:
                self._disk.link(self.path, closed)
            except FileExistsError:
                if closed.stat().st_ino != self.inode:
                    self._replace_closed(closed)
            self._disk.fsync_dir(history)
            self._become_newer(before)
        except OSError as error:
            raise StorageError("change the journal segment at", self.path, error) from error
        begin_segment(self._disk, self.path, identity, self.sequence, last_time, name=self.format)

    def _replace_closed(self, closed: Path) -> None:
        """Put this segment in the place of a closed file that holds nothing but its beginning.

        Such a file is what a copy of the registry, or a new epoch, makes of a link that a crash left: its header may
        be another one, its lines are the first of this segment.
        """
        begun = closed.read_bytes()
        with _damage_in(closed, 0):
            header = read_header(begun)
        if header.base_sequence != self.base_sequence or not self._read(self.begin).startswith(begun[header.end :]):
            raise RegistryCorrupted(
                closed, 0, f"it stands where the segment that follows line {self.base_sequence} belongs, but is another"
            )
        temporary = temporary_name(self._disk, closed)
        self._disk.link(self.path, temporary)
        self._disk.rename(temporary, closed)

    def _read(self, start: int, limit: int | None = None) -> bytes:
        try:
            size = os.fstat(self.fd).st_size - start
            if limit is not None:
                size = min(size, limit)
            parts = []
            while size > 0 and (part := os.pread(self.fd, min(size, 1 << 30), start)):
                parts.append(part)
                start += len(part)
                size -= len(part)
        except OSError as error:
            raise StorageError("read the journal", self.path, error) from error
        return b"".join(parts)

    def _become_newer(self, before: tuple[int, int, int, int]) -> None:
        """See to it that the file's time of change is another than before, whatever readers have looked at.

        The clock of a file system stands still for some milliseconds: two changes of one tick look the same, and a
        reader that looked between them would not notice the second.
        """
        for _ in range(_TICKS_MAX):
            if self.look()[2] != before[2]:
                return
            time.sleep(_TICK_SECONDS)
            self._disk.touch(self.fd)

    def _take_back(self) -> None:
        try:
            before = self.look()
            self._disk.truncate(self.fd, self.offset)
            self._disk.fsync(self.fd)
            self._become_newer(before)  # what is appended next may be as long as what is cut here
        except OSError as error:
            raise StorageError("cut the journal back to its last commit", self.path, error) from error
        self.synced = self.offset


class JournalInDoubt(StorageError):
    """Nobody knows where the journal ends on the medium: nothing is appended before `rewrite` has settled it.

    An append failed and could not be undone, or a sync failed. A later sync would prove nothing, as the kernel reports
    a failed write once.
    """

    def __init__(self, operation: str, path: object, cause: OSError) -> None:
        super().__init__(operation, path, cause)
        self.hint = "Whether the last change is committed is found out at the next change, once the disk works again"


def begin_segment(
    disk: Disk,
    path: Path,
    identity: Identity,
    base_sequence: int,
    base_time: str,
    lines: bytes = b"",
    *,
    name: str = FORMAT,
) -> None:
    """Put a segment at `path`, replacing what stands there, durably. Raises StorageError.

    `lines` are the bytes of those that it begins with, from the line after `base_sequence` on. One rename changes
    header and lines together: a crash before it leaves the old file with its epoch, after it the new one with its own.
    """
    replace_file(disk, path, encode_header(identity, base_sequence, base_time, name=name) + lines, JOURNAL_MODE)


def segment_name(base_sequence: int) -> str:
    """Return the name in `history/` of the segment that follows `base_sequence`; names sort by age."""
    return f"{base_sequence:020d}.jsonl"


def history_segments(history: Path) -> list[Path]:
    """Return the closed segments that are kept, oldest first."""
    names = []
    with suppress(FileNotFoundError):
        names = [name for name in os.listdir(history) if _SEGMENT_NAME.fullmatch(name)]
    return [history / name for name in sorted(names)]


def base_name(sequence: int, data: bytes) -> str:
    """Return the name in `history/` of the entries as they were after line `sequence`, where the history begins.

    It holds the CRC-32 of the bytes, since nothing else would tell when one of them rots.
    """
    return f"{sequence:020d}.{zlib.crc32(data):08x}.base.json"


def check_base(path: Path, data: bytes) -> None:
    """Raise RegistryCorrupted when these are not the bytes that the base file's name speaks of, if it does."""
    named = _BASE_NAME.fullmatch(path.name)
    if named is not None and named[1] is not None and named[1] != f"{zlib.crc32(data):08x}":
        raise RegistryCorrupted(path, None, "its bytes are not those that its name tells the CRC-32 of")


def base_files(history: Path) -> list[Path]:
    """Return the base files that are there, newest first."""
    names = []
    with suppress(FileNotFoundError):
        names = [name for name in os.listdir(history) if _BASE_NAME.fullmatch(name)]
    return [history / name for name in sorted(names, reverse=True)]


def base_sequence(path: Path) -> int:
    """Return the line that a base file's name says it stands behind."""
    return int(path.name[:20])


def first_base(history: Path, before_sequence: int) -> Path | None:
    """Return the base file for lines that begin with `before_sequence`; None when nothing came before them."""
    return next((path for path in base_files(history) if base_sequence(path) < before_sequence), None)


def read_segment(path: Path) -> ReadSegment:
    """Return what a segment holds, current or closed. Raises RegistryCorrupted, RegistryTooNew, StorageError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError("read the journal segment", path, error) from error
    with _damage_in(path, 0):
        header = read_header(data)
    with _damage_in(path, header.end):
        segment = parse_segment(data[header.end :], header.base_sequence)
    return ReadSegment(path, header, segment.lines, header.end + segment.end, segment.torn)


@dataclass(frozen=True, slots=True)
class ReadSegment:
    """A whole segment: `end` is the offset behind its last line, `torn` the bytes behind that."""

    path: Path
    header: Header
    lines: tuple[Line, ...]
    end: int
    torn: int


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
            raise RegistryTooNew.of_file(self._path, error) from None


def all_lines(journal: Path, history: Path, *, over_gaps: bool = False) -> list[Line]:
    """Return every line that is kept, oldest first: the closed segments, then the current one.

    A segment that is linked into the history while still current is read once. One that is closed while we read
    shows as a gap, and we go on from there with what the history holds by then. A gap in files that nobody changes is
    a segment that was removed or cut. Raises as `read_segment` does, and RegistryCorrupted for such a gap; with
    `over_gaps` the lines behind it follow instead, and `missing_lines` tells the numbers of the others.
    """
    lines: list[Line] = []
    reached: int | None = None
    last: Path | None = None
    seen: object = None
    go_over = False
    for _ in range(_LOOKS_AT_HISTORY):
        names = history_segments(history)
        there = (reached, names, _inode_of(journal))
        for path in [*names, journal]:
            if last is not None and path != journal and path.name < last.name:
                continue  # read before; the last one may have been the current segment then, and have grown
            try:
                found = read_segment(path)
            except StorageError as error:
                if error.errno != errno.ENOENT:
                    raise
                continue
            if reached is not None and found.header.base_sequence > reached and not go_over:
                break
            first = max(found.header.base_sequence, reached or 0)
            lines.extend(line for line in found.lines if line.sequence > first)
            reached = max(first, found.lines[-1].sequence if found.lines else first)
            if path != journal:
                last = path
        else:
            if last is not None or not history_segments(history):
                return lines
            lines, reached = [], None  # the first segment of all was closed between the look and the reading
            continue
        go_over = there == seen
        if go_over and not over_gaps:
            where = last if last is not None else journal
            raise RegistryCorrupted(
                where, None, f"it ends at line {reached}, and the lines after that are in no segment"
            )
        seen = there
    raise RegistryError(f"cannot read {str(history)!r}: it changed during each of many tries")


def lines_of_operation(
    journal: Path, history: Path, operation: str, *, since: datetime | None = None, newest: bool = False
) -> list[Line]:
    """Return the lines of an operation that is rare, in order; see `lines_of_operations`."""
    return lines_of_operations(journal, history, {operation}, since=since, newest=newest)


def lines_of_operations(
    journal: Path,
    history: Path,
    operations: Collection[str],
    *,
    since: datetime | None = None,
    newest: bool = False,
) -> list[Line]:
    """Return the lines of operations that are rare, in order, as far as they can be read.

    Lines are searched as bytes, so that it costs little more than reading the files. Damaged ones are left out: other
    readers tell of them. The current segment is read first: it may be closed meanwhile. With `since` no segment is read
    whose lines are all from before that time, with `newest` none before the newest segment that has such a line. Raises
    StorageError.
    """
    found: dict[int, Line] = {}
    for path in (journal, *reversed(history_segments(history))):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # pruned meanwhile
        except OSError as error:
            raise StorageError("read the journal segment", path, error) from error
        found |= {line.sequence: line for line in _lines_in(data, operations)}
        if (since is not None and _begins_before(data, since)) or (newest and found):
            break
    return [found[sequence] for sequence in sorted(found)]


def _lines_in(data: bytes, operations: Collection[str]) -> Iterator[Line]:
    """Yield the sound lines of these operations in the bytes of a segment."""
    names = b"|".join(re.escape(operation.encode()) for operation in sorted(operations))
    begin = 0
    # One search for all: it is as quick as that for a single text.
    for match in re.finditer(b'"operation":"(?:%s)"' % names, data):
        at = match.start()
        if at < begin:
            continue
        end = data.find(b"\n", at)
        if end < 0:
            return
        with suppress(Damage):
            line = decode_line(data[data.rfind(b"\n", 0, at) + 1 : end])
            if line.operation in operations:
                yield line
        begin = end


def newest_lines(journal: Path, history: Path, count: int) -> list[Line]:
    """Return the newest lines, the newest first, as far as they can be read. Reads little more than these.

    Damaged ones are left out, as by `lines_of_operations`. Raises StorageError.
    """
    found: dict[int, Line] = {}
    for path in (journal, *reversed(history_segments(history))):
        try:
            raw = _last_lines(path, count - len(found))
        except FileNotFoundError:
            continue  # pruned meanwhile
        except OSError as error:
            raise StorageError("read the journal segment", path, error) from error
        for one in raw:
            # The header is no line either.
            with suppress(Damage):
                line = decode_line(one)
                found[line.sequence] = line
        if len(found) >= count:
            break
    return [found[sequence] for sequence in sorted(found, reverse=True)[:count]]


def _last_lines(path: Path, count: int) -> list[bytes]:
    """Return the last whole lines of a file, at least `count` if it has so many, without their newlines."""
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END)
        data = b""
        # One newline more than lines: the first piece may be the end of a line.
        while start > 0 and data.count(b"\n") <= count:
            step = min(start, max(_TAIL_BYTES, len(data)))
            start -= step
            file.seek(start)
            data = file.read(step) + data
    lines = data.split(b"\n")
    # What is behind the last newline is no whole line, and nor is what a piece begins with.
    return lines[(1 if start > 0 else 0) : -1]


def _begins_before(data: bytes, moment: datetime) -> bool:
    """Return whether the line before a segment is from before that time."""
    with suppress(Damage, TooNew, ValueError):
        header = read_header(data)
        return bool(header.base_time) and parse_time(header.base_time) < moment
    return False


def missing_lines(history: Path, begins: int) -> list[tuple[int, int]]:
    """Return the numbers of the lines that are in no segment, as pairs of a first and a last one.

    `begins` is the line before the first of the current segment. Reads names and, of each closed segment, its last
    line. Damaged lines are not missing. Raises StorageError.
    """
    try:
        names = sorted(os.listdir(history))
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise StorageError("list", history, error) from error
    segments = [history / name for name in names if _SEGMENT_NAME.fullmatch(name)]
    oldest = base_sequence(segments[0]) if segments else begins
    bases = [base_sequence(history / name) for name in names if _BASE_NAME.fullmatch(name)]
    # What a prune removed is no loss: the entries as they were after it are in the newest base.
    reached = max((base for base in bases if base <= oldest), default=0)
    missing = []
    for path, follower in itertools.zip_longest(segments, segments[1:]):
        if base_sequence(path) > reached:
            missing.append((reached + 1, base_sequence(path)))
        last = _last_sequence(path)
        if last is None:
            last = base_sequence(follower) if follower is not None else begins
        reached = max(reached, base_sequence(path), last)
    if begins > reached:
        missing.append((reached + 1, begins))
    return missing


def _last_sequence(path: Path) -> int | None:
    """Return the number of a segment's last line, or of the line before a segment without lines; None if damaged."""
    try:
        with path.open("rb") as file:
            size = start = file.seek(0, os.SEEK_END)
            data = b""
            while start > 0 and data.count(b"\n") < 2:
                start = max(0, start - max(_TAIL_BYTES, len(data)))
                file.seek(start)
                data = file.read(size - start)
        raw = data[data.rfind(b"\n", 0, -1) + 1 :].rstrip(b"\n")
        if start == 0 and raw == data.rstrip(b"\n"):
            return read_header(data).base_sequence
        return decode_line(raw).sequence
    except (OSError, Damage, TooNew):
        return None


def _inode_of(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None

"""What can still be read of a registry's own files, whatever became of them: sound lines, damages, the JSON file.

Owns the tolerant reading that `audit` tells of and `rebuild` builds on. A line counts when its checksum holds and its
number is greater than those before it; bytes that are none are a `Problem` with file and offset, and the reading goes
on behind them. Never changes anything, never takes a lock, and raises nothing for what a file holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import ModelInboxError, RegistryCorrupted, RegistryTooNew, StorageError, raise_if_transient
from ...problems import Problem
from ...problems.journal import (
    journal_base_damaged,
    journal_base_missing,
    journal_cut,
    journal_damaged,
    journal_gap,
    journal_missing,
)
from ...problems.registry import (
    registry_checkpoint_damaged,
    registry_checkpoint_missing,
    registry_mark_damaged,
    registry_mark_differs,
    registry_mark_missing,
    registry_unreadable,
)
from ..checkpoint import Mark, parse_checkpoint
from ..checkpoint_file import read_mark
from ..entry import EntryFields
from ..journal import Damage, Header, Line, TooNew, decode_line, read_header
from ..paths import HISTORY_NAME, RegistryFiles
from ..position import Identity
from ..segments import base_files, base_sequence, check_base, history_segments
from ..state import State

__all__ = ["Base", "Evidence", "Piece", "Sound", "read_evidence", "unreadable"]

_LOOKS_MAX = 5


@dataclass(frozen=True, slots=True)
class Sound:
    """A line whose checksum holds, and its bytes without the newline."""

    line: Line
    raw: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment as far as it is sound. `reached` is the greatest number that a line in it had, damaged ones counted.

    `header` is None where it is damaged; `inode` is 0 for a file that cannot be read.
    """

    path: Path
    inode: int
    header: Header | None
    lines: tuple[Sound, ...]
    reached: int
    problems: tuple[Problem, ...]

    @property
    def begins_after(self) -> int | None:
        """The number of the line before its first, as header, name or first line tell; None when nothing does."""
        if self.header is not None:
            return self.header.base_sequence
        if self.path.parent.name == HISTORY_NAME:
            return _base_in_name(self.path)
        return self.lines[0].line.sequence - 1 if self.lines else None


@dataclass(frozen=True, slots=True)
class Base:
    """The entries as they were after line `sequence`, where the history that is kept begins."""

    sequence: int
    entries: Mapping[str, EntryFields]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the registry's own files say.

    `lines` maps numbers to sound lines of all segments. `entries` are those of the JSON file, None when it is missing
    or damaged; `checkpoint_sequence` is the line after which they were exactly so, None when that is not known.
    `reached` is the greatest number that any file tells of. `base` is None where the beginning is lost. `identities`
    are those that the files name, the current one first; none in a registry that has none yet.
    """

    files: RegistryFiles
    closed: tuple[Piece, ...]
    current: Piece | None
    mark: Mark | None
    data: bytes | None
    entries: Mapping[str, EntryFields] | None
    checkpoint_sequence: int | None
    lines: Mapping[int, Sound]
    base: Base | None
    reached: int
    identities: tuple[Identity, ...]
    problems: tuple[Problem, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All segments that are there, oldest first."""
        return (*self.closed, self.current) if self.current is not None else self.closed

    @property
    def too_new(self) -> Problem | None:
        """The problem with a file that a newer version wrote, if there is one."""
        return next((problem for problem in self.problems if problem.code == "registry.too_new"), None)

    @property
    def base_lost_after(self) -> int:
        """The line after which lines were lost when `base` is None: that of the newest older base file, or 0."""
        begins = min((piece.begins_after for piece in self.pieces if piece.begins_after is not None), default=0)
        older: list[int] = []
        with _unless_it_may_pass("list", self.files.history):
            older = [base_sequence(path) for path in base_files(self.files.history) if base_sequence(path) < begins]
        return max(older, default=0)

    @property
    def begun(self) -> Header | None:
        """The header of the current segment; None where that is lost, and nobody knows which lines it had."""
        return self.current.header if self.current is not None else None

    @property
    def is_whole(self) -> bool:
        """Whether the lines are all there, from the beginning that is kept to the end."""
        return self.base is not None and all(n in self.lines for n in range(self.base.sequence + 1, self.reached + 1))

    def replayed(self, base: Base) -> State:
        """Return the entries that the sound lines give when applied to `base`."""
        return self._after(base.entries, base.sequence)

    def seen(self) -> State | None:
        """Return what readers see, the JSON file and the current segment; None when they cannot read it."""
        if self.entries is None or self.current is None or self.current.header is None:
            return None
        return self._after(self.entries, self.current.header.base_sequence)

    def shown(self) -> State | None:
        """Return the entries of the JSON file, brought up to date with the lines behind the mark.

        Also of a file that was edited. Without a mark, all lines of the current segment count more than the file. None
        where there is no file that can be read.
        """
        if self.data is None:
            return None
        try:
            entries = parse_checkpoint(self.files.path, self.data)
        except RegistryCorrupted:
            return None
        if self.mark is not None:
            return self._after(entries, self.mark.sequence)
        return self._after(entries, self.begun.base_sequence if self.begun is not None else self.reached)

    def known(self) -> State | None:
        """Return the JSON file's entries brought up to date with every sound line; None without a JSON file."""
        if self.entries is None:
            return None
        if self.checkpoint_sequence is not None:
            return self._after(self.entries, self.checkpoint_sequence)
        begins = self.current.begins_after if self.current is not None else None
        return self._after(self.entries, begins if begins is not None else self.reached)

    def _after(self, entries: Mapping[str, EntryFields], sequence: int) -> State:
        state = State(str(self.files.path.parent), dict(entries), sequence)
        for number in sorted(self.lines):
            if number > sequence:
                state.apply(self.lines[number].line)
        return state


def read_evidence(path: Path) -> Evidence:
    """Return what the files of the registry at `path` say, sound and damaged.

    In the order of a reader: the journal is opened first, so that a checkpoint that is written meanwhile holds no
    line that is not read; when the segment was changed meanwhile it starts over.
    """
    for _ in range(_LOOKS_MAX):
        found = _read_once(path)
        if found.current is None or _inode(found.files.journal) == found.current.inode:
            break
    return found


def _read_once(path: Path) -> Evidence:
    files = RegistryFiles(path)
    problems: list[Problem] = []
    fd = _open(files.journal)
    try:
        mark = _read_mark(files, problems)
        data, entries = _read_checkpoint(path, mark, problems)
        current = _read_piece(files.journal, fd)
    finally:
        if fd is not None:
            os.close(fd)
    closed: tuple[Piece, ...] = ()
    try:
        closed = tuple(piece for piece in map(_read_piece, history_segments(files.history)) if piece is not None)
    except OSError as error:
        problems.append(unreadable(files.history, error))
    headers = [piece.header for piece in (current, *reversed(closed)) if piece is not None and piece.header is not None]
    identities = [header.identity for header in headers if header.identity is not None]
    if mark is not None and mark.identity is not None:
        if current is not None and current.header is not None and current.header.identity != mark.identity:
            problems.append(
                registry_mark_differs(files.mark, str(mark.identity), str(current.header.identity or "none"))
            )
        identities.insert(1, mark.identity)
    if current is None:
        problems.append(journal_missing(files.journal))
    pieces = (*closed, current) if current is not None else closed
    for piece in pieces:
        problems += piece.problems
    lines = {sound.line.sequence: sound for piece in pieces for sound in piece.lines}
    problems += _gaps(pieces)
    base = _read_base(files, pieces, problems)
    reached = max([piece.reached for piece in pieces] + [base.sequence if base is not None else 0])
    if mark is not None and mark.sequence > reached:
        problems.append(journal_cut(files.journal, reached, mark.sequence))
        reached = mark.sequence
    if entries is None and data is None and (mark is not None or (base is not None and base.sequence > 0) or closed):
        problems.append(registry_checkpoint_missing(path))
    if mark is None and closed and not any(problem.code == "registry.mark_damaged" for problem in problems):
        problems.append(registry_mark_missing(files.mark))
    exact = mark.sequence if mark is not None and data is not None and mark.is_of(data) else None
    return Evidence(
        files,
        closed,
        current,
        mark,
        data,
        entries,
        exact,
        lines,
        base,
        reached,
        tuple(dict.fromkeys(identities)),
        tuple(dict.fromkeys(problems)),
    )


# --- segments ------------------------------------------------------------------------------------------------


def _read_piece(path: Path, fd: int | None = None) -> Piece | None:
    """Return a segment as far as it is sound; None when there is no file. `fd` is the file, if it is open already."""
    try:
        with open(path if fd is None else fd, "rb", closefd=fd is None) as file:  # may be a descriptor
            inode = os.fstat(file.fileno()).st_ino
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Piece(path, 0, None, (), _base_in_name(path), (unreadable(path, error),))
    try:
        header = read_header(data)
    except TooNew as error:
        return Piece(path, inode, None, (), _base_in_name(path), (_too_new(path, error),))
    except Damage as damage:
        problems = [journal_damaged(path, 0, damage.what)]
        sound, reached = _sound_lines(path, data, 0, None, _base_in_name(path), problems)
        return Piece(path, inode, None, sound, reached, tuple(problems))
    problems = []
    if path.parent.name == HISTORY_NAME and _base_in_name(path) != header.base_sequence:
        what = f"its name does not say what its header does: lines after line {header.base_sequence}"
        problems.append(journal_damaged(path, 0, what))
    sound, reached = _sound_lines(path, data, header.end, header.base_sequence, header.base_sequence, problems)
    return Piece(path, inode, header, sound, reached, tuple(problems))


def _sound_lines(
    path: Path, data: bytes, start: int, expected: int | None, reached: int, problems: list[Problem]
) -> tuple[tuple[Sound, ...], int]:
    """Return the sound lines of `data` from `start` on, and the greatest number reached.

    `expected` is the number of the line before; None behind a damaged header, which is then the first damage, known
    already. Bytes behind the last newline are a torn append that was never committed, unless they are a whole line.
    """
    sound: list[Sound] = []
    in_header = expected is None
    while start < len(data):
        end = data.find(b"\n", start)
        raw, offset = data[start : end if end >= 0 else len(data)], start
        start = end + 1 if end >= 0 else len(data)
        if end < 0:
            if _decoded(raw[:-1]) is None:
                break  # torn
            problems.append(journal_damaged(path, len(data) - 1, "the newline of the last line is another byte"))
            raw, expected = raw[:-1], None
        line = _decoded(raw)
        if line is None:
            if not in_header:
                problems.append(journal_damaged(path, offset, "a line whose checksum does not match its bytes"))
                reached += 1
            in_header, expected = False, None  # the next sound line tells how many are lost
            continue
        in_header = False
        if (expected is not None and line.sequence != expected + 1) or line.sequence <= _last(sound):
            problems.append(
                journal_damaged(path, offset, f"line {line.sequence} follows line {expected or _last(sound)}")
            )
        if line.sequence > _last(sound):
            sound.append(Sound(line, raw))
            expected = reached = line.sequence
    return tuple(sound), reached


def _last(sound: list[Sound]) -> int:
    return sound[-1].line.sequence if sound else 0


def _decoded(raw: bytes) -> Line | None:
    try:
        return decode_line(raw)
    except Damage:
        return None


def _gaps(pieces: tuple[Piece, ...]) -> list[Problem]:
    """Return a problem for each segment that does not begin where those before it end."""
    problems = []
    reached: int | None = None
    for piece in pieces:
        begins = piece.begins_after
        if reached is not None and begins is not None and begins > reached:
            problems.append(journal_gap(piece.path, reached + 1, begins))
        reached = max(reached or 0, piece.reached, begins or 0)
    return problems


def _base_in_name(path: Path) -> int:
    digits = path.name[:20]
    return int(digits) if digits.isdecimal() and digits.isascii() else 0


# --- the JSON file, its mark, the base -----------------------------------------------------------------------


def _read_mark(files: RegistryFiles, problems: list[Problem]) -> Mark | None:
    try:
        return read_mark(files.mark)
    except RegistryTooNew as error:
        problems.append(error.as_problem(file=str(files.mark)))
        return None
    except ModelInboxError as error:
        if isinstance(error, StorageError) and error.transient:
            raise
        problems.append(registry_mark_damaged(files.mark, error.message))
        return None


def _read_checkpoint(
    path: Path, mark: Mark | None, problems: list[Problem]
) -> tuple[bytes | None, dict[str, EntryFields] | None]:
    """Return the bytes of the JSON file, and its entries unless they are damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None, None
    except OSError as error:
        problems.append(unreadable(path, error))
        return b"", None
    try:
        entries = parse_checkpoint(path, data)
    except RegistryCorrupted as error:
        problems.append(registry_checkpoint_damaged(path, error.message))
        return data, None
    if mark is not None and not mark.fits(data):
        what = "the JSON file's bytes are not those of the checkpoint that was written last"
        problems.append(registry_checkpoint_damaged(path, what))
        return data, None
    return data, entries


def _read_base(files: RegistryFiles, pieces: tuple[Piece, ...], problems: list[Problem]) -> Base | None:
    """Return where the history begins: before line 1, or with the newest base file that is sound; None when lost.

    A base file is needed only where the first segment does not begin with line 1.
    """
    begins = min((piece.begins_after for piece in pieces if piece.begins_after is not None), default=None)
    if begins == 0:
        return Base(0, {})
    bases: list[Path] = []
    with _unless_it_may_pass("list", files.history):
        bases = base_files(files.history)
    found = len(problems)
    for path in bases:
        sequence = base_sequence(path)
        if begins is not None and sequence > begins:
            continue
        try:
            data = path.read_bytes()
            check_base(path, data)
            entries = parse_checkpoint(path, data)
        except OSError as error:
            problems.append(unreadable(path, error))
            continue
        except RegistryCorrupted as error:
            problems.append(journal_base_damaged(path, error.message))
            continue
        if begins is None or sequence == begins or len(problems) > found:
            return Base(sequence, entries)
        break  # older than what the segments build on
    if len(problems) == found and begins is not None:
        older = max((sequence for sequence in map(base_sequence, bases) if sequence < begins), default=0)
        problems.append(journal_base_missing(files.history, older + 1, begins))
    return None


# --- files ---------------------------------------------------------------------------------------------------


def unreadable(path: Path, error: OSError) -> Problem:
    """Return the problem of a file that cannot be read. Raises StorageError for an error that may pass."""
    raise_if_transient("read", path, error)
    return registry_unreadable(path, error.strerror or error)


@contextmanager
def _unless_it_may_pass(operation: str, path: Path) -> Iterator[None]:
    """End the block at an OSError. Raises StorageError for one that may pass."""
    try:
        yield
    except OSError as error:
        raise_if_transient(operation, path, error)


def _open(path: Path) -> int | None:
    with _unless_it_may_pass("read", path):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return None


def _inode(path: Path) -> int:
    with _unless_it_may_pass("look at", path):
        return path.lstat().st_ino
    return 0


def _too_new(path: Path, error: TooNew) -> Problem:
    return RegistryTooNew.of_file(path, error).as_problem(file=str(path))

"""A registry's own files as a whole: making them where there are none, and reading them all together.

Owns the order in which they are made and read, so that two makers agree and a reader never mixes files of two moments.
Follows nothing and changes nothing that is there: the store goes on from what is returned.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..base.disk import Disk, exists, make_folder, read_bytes, replace_file
from ..errors import RegistryCorrupted, RegistryError, RegistryMissing
from .checkpoint import CHECKPOINT_MODE, Mark, checkpoint_bytes, parse_checkpoint
from .checkpoint_file import read_mark
from .entry import EntryFields, sequence_of
from .journal import Segment
from .paths import JOURNAL_SUFFIX, RegistryFiles
from .position import Identity
from .segments import JournalFile, base_name, begin_segment, history_segments

__all__ = ["Opened", "make_files", "older_copy", "open_journal", "read_files"]

_TRIES_MAX = 100


@dataclass(frozen=True, slots=True)
class Opened:
    """What was read together: the open journal with the lines in it, and the checkpoint that they are applied to."""

    journal: JournalFile
    segment: Segment
    entries: dict[str, EntryFields]
    mark: Mark | None
    data: bytes | None


def make_files(files: RegistryFiles, disk: Disk) -> None:
    """Under the writer lock: make the files of an empty registry, or of one whose JSON file somebody else made.

    The JSON file comes first: after a crash in between, the next maker finds it and goes on. Raises RegistryCorrupted
    where only the journal is missing, RegistryError in the folder of another registry.
    """
    if exists(files.mark) or history_segments(files.history):
        raise RegistryCorrupted(files.journal, None, "the journal is missing, its history is not")
    for other in sorted(files.path.parent.glob(f"*{JOURNAL_SUFFIX}")):
        raise RegistryError(
            f"cannot make the registry {str(files.path)!r}: its folder belongs to that of {other.name!r}",
            hint="History and trash are beside a registry: give each one a folder of its own",
        )
    entries: dict[str, EntryFields] = {}
    if exists(files.path):
        entries = parse_checkpoint(files.path, read_bytes(files.path))
    else:
        replace_file(disk, files.path, checkpoint_bytes({}), CHECKPOINT_MODE)
    base = 0
    if entries:  # the history begins with what the other program's file held
        base = max(1, *(sequence_of(entry) for entry in entries.values()))
        make_folder(disk, files.history)
        data = checkpoint_bytes(entries)
        replace_file(disk, files.history / base_name(base, data), data, CHECKPOINT_MODE)
    begin_segment(disk, files.journal, Identity.new(disk.token), base, "")


def read_files(files: RegistryFiles, disk: Disk, *, writable: bool) -> Opened:
    """Read journal and checkpoint together, and start over while either changes meanwhile.

    The journal is opened first and read last: a checkpoint that is put in place in between holds no line that is not
    read after it. The mark is read before the JSON file. Raises RegistryMissing, RegistryCorrupted, RegistryTooNew and
    StorageError.
    """
    for _ in range(_TRIES_MAX):
        journal = open_journal(files, disk, writable=writable)
        try:
            opened = _read_with(files, journal)
        except BaseException:
            with suppress(OSError):
                journal.close()
            raise
        if opened is not None:
            return opened
        journal.close()
    raise RegistryError(f"cannot read the registry {str(files.path)!r}: it changed during each of many tries")


def open_journal(files: RegistryFiles, disk: Disk, *, writable: bool) -> JournalFile:
    """Open the current segment. Raises RegistryMissing, or RegistryCorrupted where only the journal is missing."""
    try:
        return JournalFile(files.journal, disk, writable=writable)
    except RegistryMissing:
        if exists(files.path) or exists(files.mark):
            raise RegistryCorrupted(files.journal, None, "the journal is missing") from None
        raise RegistryMissing(
            f"cannot open the registry {str(files.path)!r}: there is none",
            hint="A writer makes it: `ModelRegistry(path, storage_dir)`, or the daemon when it starts",
        ) from None


def older_copy(journal: Path, reached: int, committed: int) -> RegistryCorrupted:
    """Return the error for a journal that ends at line `reached`, before the line `committed` of the same epoch."""
    return RegistryCorrupted(
        journal, None, f"it ends at line {reached}, but lines up to {committed} were committed in this epoch"
    )


def _read_with(files: RegistryFiles, journal: JournalFile) -> Opened | None:
    """Read the checkpoint and then the lines of an open journal; None when any of them changed in between."""
    mark = read_mark(files.mark)
    data = _read_json(files, journal)
    fault = _disagreement(files, journal, mark, data)
    if fault is not None:
        if journal.is_current() and read_mark(files.mark) == mark:  # so it was the mark while the others were read
            raise fault
        return None
    entries = parse_checkpoint(files.path, data) if data is not None else {}
    segment = journal.read_new()
    if segment is None or not journal.is_current():
        return None
    if mark is not None and journal.sequence < mark.sequence:
        raise RegistryCorrupted(
            files.journal,
            journal.offset,
            f"it ends at line {journal.sequence}, but lines up to {mark.sequence} were committed",
        )
    return Opened(journal, segment, entries, mark, data)


def _read_json(files: RegistryFiles, journal: JournalFile) -> bytes | None:
    """Return the bytes of the JSON file; None when it is not there and the journal does not build on it."""
    try:
        return read_bytes(files.path)
    except FileNotFoundError:
        if journal.base_sequence == 0:
            return None
        raise RegistryCorrupted(
            files.path, None, f"the file is missing, the journal begins after line {journal.base_sequence}"
        ) from None


def _disagreement(
    files: RegistryFiles, journal: JournalFile, mark: Mark | None, data: bytes | None
) -> RegistryCorrupted | None:
    """Return in what the mark disagrees with the journal's header or with the JSON file; None when in nothing."""
    if mark is None:
        return None
    if mark.identity is not None and mark.identity != journal.identity:
        return RegistryCorrupted(
            files.mark,
            None,
            f"it is of the epoch {mark.identity}, the journal of {journal.identity or 'none'}: a rebuild was cut "
            "short, or one of the two files is a copy",
        )
    if data is not None and not mark.fits(data):
        return RegistryCorrupted(files.path, None, "its bytes are not those of the checkpoint that was written last")
    return None

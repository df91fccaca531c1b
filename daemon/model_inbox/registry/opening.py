"""A registry's own files as a whole: making them where there are none, and reading them all together.

Owns the order in which they are made and read, so that two makers agree and a reader never mixes files of two moments.
Follows nothing and changes nothing that is there: the store goes on from what is returned.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..base.disk import Disk, exists, is_mounted_read_only, make_folder, read_bytes, replace_file
from ..errors import RegistryCorrupted, RegistryError, RegistryMissing
from .access import why_not_writable
from .checkpoint import CHECKPOINT_MODE, Mark, checkpoint_bytes, parse_checkpoint
from .derived import Fault, Judged, judge_entries, judge_mark, older_copy
from .entry import EntryFields, sequence_of
from .history import entries_after
from .journal import Line
from .paths import JOURNAL_SUFFIX, RegistryFiles
from .position import Identity
from .segments import JournalFile, base_name, begin_segment, history_segments
from .state import State

__all__ = [
    "Opened",
    "bytes_or_none",
    "change_refused",
    "make_files",
    "must_be_no_replica",
    "open_journal",
    "read_files",
]

_TRIES_MAX = 100


@dataclass(frozen=True, slots=True)
class Opened:
    """What was read together: the open journal with the lines in it, and the entries that they are applied to.

    `faults` are the derived files that are to be made again.
    """

    journal: JournalFile
    lines: tuple[Line, ...]
    entries: dict[str, EntryFields]
    mark: Mark | None
    data: bytes | None
    faults: tuple[Fault, ...]


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
    """Read journal and checkpoint together, and start over while either changes meanwhile. See `_judge`.

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


def change_refused(path: Path, denied: str) -> RegistryError:
    """Return the error for a change by a handle that only reads. `denied` says why, if it was not asked for."""
    if denied:
        hint = "Change it as the user who owns its folder (the service); reading works as you are"
        if exists(RegistryFiles(path).replica):
            hint = (
                "Make the change there; the next pull brings it here. If the replica is damaged, remove its folder and "
                "pull again"
            )
        elif is_mounted_read_only(path.parent):
            hint = "Reading works. Mount the file system for writing, when its disk works, to change the registry"
        return RegistryError(f"cannot change the registry {str(path)!r}: {denied}", hint=hint)
    return RegistryError(
        f"cannot change the registry {str(path)!r}: it was opened read-only",
        hint="Open it without read_only=True",
    )


def must_be_no_replica(path: Path) -> None:
    """Raise RegistryError if the registry's folder is a replica: only a pull changes it, and no daemon serves it."""
    if exists(RegistryFiles(path).replica):
        raise change_refused(path, why_not_writable(path))


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


def must_be_wanted(files: RegistryFiles, *, read_only: bool) -> None:
    """Raise RegistryMissing if the path is a folder, or if a registry would be made where the path looks mistyped.

    A writer makes a registry where there is none: with a name that ends in `.json`, in a folder that it may have to
    make, but not the folders above that. So no mistake leaves folders or a registry behind.
    """
    path = files.path
    if path.is_dir():
        inside = [path / name for name in sorted(os.listdir(path)) if exists(RegistryFiles(path / name).journal)]
        named = inside[0] if inside else path / "prediction_registry.json"
        raise RegistryMissing(
            f"cannot open the registry {str(path)!r}: it is a folder",
            hint=f"Name the JSON file in it, such as {str(named)!r}",
        )
    if read_only or any(map(exists, (path, files.journal, files.history))):
        return
    message = f"cannot make a registry at {str(path)!r}"
    if path.suffix != ".json":
        raise RegistryMissing(
            f"{message}: the name does not end in .json", hint="Check the path: there is no registry yet"
        )
    if not path.parent.parent.is_dir():
        raise RegistryMissing(
            f"{message}: the folder {str(path.parent.parent)!r} does not exist",
            hint="Check the path, or make that folder. The last folder of the path is made if it is missing",
        )


def _read_with(files: RegistryFiles, journal: JournalFile) -> Opened | None:
    """Read the derived files and then the lines of an open journal; None when any of them changed in between."""
    mark_data, data = bytes_or_none(files.mark), bytes_or_none(files.path)
    lines = journal.read_new()
    if lines is None or journal.is_closed:
        return None
    try:
        opened = _judge(files, journal, lines, mark_data, data)
        is_well = not opened.faults
    except RegistryError:
        # What was wrong may have been that the files were of two moments.
        if _is_still(files, journal, mark_data, data):
            raise
        return None
    return opened if is_well or _is_still(files, journal, mark_data, data) else None


def _judge(
    files: RegistryFiles, journal: JournalFile, lines: tuple[Line, ...], mark_data: bytes | None, data: bytes | None
) -> Opened:
    """Return the entries before the lines of the journal, with what is wrong with the derived files.

    They are in the JSON file if the mark confirms that, else in the history. A journal that begins with line 1 needs
    neither. Raises RegistryCorrupted when they are in no file, or when the journal was cut.
    """
    judged = judge_mark(files, mark_data, journal.identity)
    mark = judged.mark
    if mark is not None and journal.sequence < mark.sequence:
        raise older_copy(files.journal, journal.sequence, mark.sequence)
    begins = journal.base_sequence
    is_confirmed = mark is not None and data is not None and mark.fits(data)
    if begins == 0:
        entries: dict[str, EntryFields] = {}
    elif is_confirmed and data is not None:
        entries = parse_checkpoint(files.path, data)
    else:
        entries = _from_history(files, begins, judged, mark, data)
    before = State(str(files.path.parent), entries, begins, journal.base_time, journal.identity)
    faults = [judged.fault] if judged.fault is not None else []
    if not is_confirmed and (fault := judge_entries(files, mark, data, before, lines)) is not None:
        faults.append(fault)
    if mark_data is None and not faults and _had_mark(files, data, before):
        faults.append(Fault(files.mark, "missing", "the mark of the checkpoint is missing"))
    return Opened(journal, lines, entries, mark, data, tuple(faults))


def _from_history(
    files: RegistryFiles, sequence: int, judged: Judged, mark: Mark | None, data: bytes | None
) -> dict[str, EntryFields]:
    """Return the entries after line `sequence` from the closed segments. Raises RegistryCorrupted with what is lost."""
    try:
        return entries_after(files, sequence)
    except RegistryError as error:
        if data is None:
            path, what = files.path, "the file is missing"
        elif mark is not None:
            path, what = files.path, "its bytes are not those of the checkpoint that was written last"
        else:
            path, what = files.mark, judged.fault.what if judged.fault is not None else "the file is missing"
        lost = f"the entries as they were after line {sequence}, where the journal begins, are in no other file"
        raise RegistryCorrupted(path, None, f"{what}, and {lost} ({error.message})") from error


def _had_mark(files: RegistryFiles, data: bytes | None, before: State) -> bool:
    """Return whether there was a checkpoint, so that a mark should be there.

    A registry that was just made, or that adopted the JSON file of another program, has none yet.
    """
    if any(int(path.name[:20]) < before.sequence for path in history_segments(files.history)):
        return True
    return data is not None and parse_checkpoint(files.path, data) != before.entries


def bytes_or_none(path: Path) -> bytes | None:
    """Return the bytes of a file of ours, None for one that is not there. Raises StorageError."""
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None


def _is_still(files: RegistryFiles, journal: JournalFile, mark_data: bytes | None, data: bytes | None) -> bool:
    """Return whether the files are the ones that were read together."""
    return journal.is_current() and bytes_or_none(files.mark) == mark_data and bytes_or_none(files.path) == data

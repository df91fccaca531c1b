"""Derived files that were found edited or damaged: kept beside the new ones, and said field by field.

Owns the names and the number of the kept files, and what is logged. The judgement is `derived`'s, the new files are
written by `checkpoint_file`. Never removes a found file before it has a second name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..base.disk import Disk, remove_quietly
from ..base.log import log
from ..errors import RegistryCorrupted, StorageError
from .derived import CHANGES_SHOWN, Fault, judge_entries, judge_mark
from .opening import bytes_or_none, read_files
from .paths import RegistryFiles
from .state import State

__all__ = ["Rewritten", "find_faults", "is_set_aside", "log_ignored", "log_rewritten", "set_aside"]

# Of each derived file, that many found ones are kept; the oldest goes first.
KEPT_MAX = 10
_KEPT = re.compile(r"\.(?:edited|damaged|outdated)-(?P<time>[0-9]{8}T[0-9]{6}Z)(?:-(?P<number>[0-9]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A derived file that was made again at that time. `kept` is what was found; None when nothing was there."""

    fault: Fault
    kept: Path | None
    at: datetime


def find_faults(files: RegistryFiles, disk: Disk, held: State) -> tuple[Fault, ...]:
    """Under the writer lock: return what is wrong with the derived files. `held` is what a handle knows of the entries.

    What the files no longer tell is compared with that. Raises RegistryCorrupted when the journal is damaged or cut.
    """
    try:
        opened = read_files(files, disk, writable=False)
    except RegistryCorrupted as error:
        if error.path == str(files.journal):
            raise
    else:
        opened.journal.close()
        return opened.faults
    judged = judge_mark(files, bytes_or_none(files.mark), held.identity)
    fault = judge_entries(files, judged.mark, bytes_or_none(files.path), held, ())
    return tuple(one for one in (judged.fault, fault) if one is not None)


def set_aside(files: RegistryFiles, disk: Disk, faults: Sequence[Fault], now: datetime) -> list[Rewritten]:
    """Under the writer lock: give each found file a second name, durably. Raises StorageError.

    A crash before the fsync may forget the second name, and the file is at its own name then; after it both names are
    there, and the next writer uses the second name that it finds.
    """
    found = [Rewritten(fault, _keep(files, disk, fault, now), now) for fault in faults]
    if any(one.kept is not None for one in found):
        try:
            disk.fsync_dir(files.path.parent)
        except OSError as error:
            raise StorageError("keep the files that were found in", files.path.parent, error) from error
    return found


def is_set_aside(files: RegistryFiles, path: Path) -> bool:
    """Return whether a file is one that `set_aside` kept."""
    if path.parent != files.path.parent:
        return False
    return any(_KEPT.fullmatch(path.name.removeprefix(one.name)) for one in (files.path, files.mark))


def log_rewritten(found: Sequence[Rewritten]) -> None:
    """Log what was made again, and what the files that were found would have changed."""
    for one in found:
        log.warning(
            "registry.file_rewritten",
            path=str(one.fault.path),
            problem=one.fault.what,
            changes=_shown(one.fault),
            kept=str(one.kept) if one.kept is not None else None,
        )


def log_ignored(faults: Sequence[Fault]) -> None:
    """Log which derived files a handle that only reads does not use."""
    for fault in faults:
        log.warning("registry.file_ignored", path=str(fault.path), problem=fault.what, changes=_shown(fault))


def _shown(fault: Fault) -> list[str]:
    more = len(fault.changes) - CHANGES_SHOWN
    return [*fault.changes[:CHANGES_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _keep(files: RegistryFiles, disk: Disk, fault: Fault, now: datetime) -> Path | None:
    if fault.how == "missing":
        return None
    kept = _kept_of(fault.path)
    with suppress(OSError):
        inode = os.lstat(fault.path).st_ino
        for path in kept:
            if os.lstat(path).st_ino == inode:  # an earlier try kept it, and could not write the new file
                return path
    number = 1
    while True:
        target = files.set_aside(fault.path, fault.how, now, number)
        try:
            disk.link(fault.path, target)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise StorageError("keep the file that was found as", target, error) from error
        else:
            break
    for path in [*kept, target][:-KEPT_MAX]:
        remove_quietly(disk, path)
    return target


def _kept_of(path: Path) -> list[Path]:
    """Return the found files that are kept of a derived file, oldest first."""
    found: list[tuple[str, int, Path]] = []
    for name in os.listdir(path.parent):
        kept = _KEPT.fullmatch(name.removeprefix(path.name)) if name.startswith(path.name) else None
        if kept is not None:
            found.append((kept["time"], int(kept["number"] or 1), path.with_name(name)))
    return [one for _, _, one in sorted(found)]

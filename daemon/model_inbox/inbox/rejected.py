"""Rejected drops and old receipts: list them, show them, send one back to the inbox, remove them after their time.

Owns `inbox/rejected/` and `inbox/receipts/` once `pipeline` has written there. Never judges anything: a drop that is
sent back is judged like any other.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from ..base.copying import copy_file, move_file
from ..base.disk import Disk, read_regular, remove_quietly
from ..errors import EntryNotFound, ModelInboxError, StorageError
from ..model.file_names import SIDECAR
from ..model.receipt import REASON_NAME
from ..problems import quoted
from .claim_names import claimed_at, is_older, original_name

__all__ = [
    "RejectedDrop",
    "find_rejected",
    "is_older",
    "list_rejected",
    "newest_rejected",
    "purge_receipts",
    "purge_rejected",
    "retry_rejected",
]

_REASON_BYTES_MAX = 4 << 20
# As `model-inbox drop` makes them: the service reads a drop as a member of the inbox's group.
DROPPED_MODE = 0o640


@dataclass(frozen=True, slots=True)
class RejectedDrop:
    """A drop in `rejected/`. `reason` is its reason.json (empty when it cannot be read), `files` what is kept.

    `is_closed`: it is another user's, and this process may not look into it.
    """

    drop_id: str
    folder: Path
    reason: dict[str, Any]
    files: tuple[str, ...]
    is_closed: bool = False

    @property
    def bytes(self) -> int:
        """The size of all files together, also of its reasons."""
        return sum(map(self.size_of, (*self.files, REASON_NAME)))

    def size_of(self, name: str) -> int:
        """Return the size of one of its files, in bytes. 0 if it is not there."""
        with contextlib.suppress(OSError):
            return (self.folder / name).lstat().st_size
        return 0

    def as_dict(self) -> dict[str, Any]:
        """Return the drop as a JSON object: reason.json with the names of the files."""
        return {**self.reason, "drop_id": self.drop_id, "files": list(self.files), "folder": str(self.folder)}


def list_rejected(rejected_dir: Path) -> list[RejectedDrop]:
    """Return the rejected drops, oldest first. Raises StorageError."""
    return [_read(rejected_dir / name) for name in _drop_ids(rejected_dir)]


def newest_rejected(rejected_dir: Path, count: int) -> tuple[list[RejectedDrop], int]:
    """Return the newest rejected drops, newest first, and how many there are. The others are not read.

    Raises StorageError.
    """
    drop_ids = _drop_ids(rejected_dir)
    newest = drop_ids[: -count - 1 : -1]
    return [_read(rejected_dir / name) for name in newest], len(drop_ids)


def _drop_ids(rejected_dir: Path) -> list[str]:
    """Return the names of the folders of rejected drops, oldest first."""
    try:
        names = sorted(os.listdir(rejected_dir))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError("list", rejected_dir, error) from error
    return [name for name in names if claimed_at(name) is not None]


def find_rejected(rejected_dir: Path, drop_id: str) -> RejectedDrop:
    """Return one rejected drop by its id, or by a stem or model_id that only one has (the newest of several).

    Raises EntryNotFound.
    """
    if claimed_at(drop_id) is not None and (rejected_dir / drop_id).is_dir():
        drop = _read(rejected_dir / drop_id)
        if drop.is_closed:
            raise ModelInboxError(
                f"cannot look into the rejected drop {quoted(drop_id)}: it is another user's",
                hint="Its owner can, and the service: run the command as one of them, or as root",
            )
        return drop
    for drop in reversed(list_rejected(rejected_dir)):
        if drop_id in (drop.reason.get("stem"), drop.reason.get("model_id")):
            return drop
    raise EntryNotFound(
        f"cannot find a rejected drop {quoted(drop_id)}",
        hint="`model-inbox rejected list` shows their ids and stems",
    )


def retry_rejected(drop: RejectedDrop, inbox: Path, disk: Disk) -> list[str]:
    """Put the files of a rejected drop back into the inbox, the sidecar last, and return their names.

    Raises StorageError (EEXIST) when a name is taken there by now, before anything has moved. A crash in between
    leaves the rest in `rejected/`; doing it again completes it. A producer may not change `rejected/`: its files are
    copied, and the rejected drop stays.
    """
    names = sorted(drop.files, key=lambda name: SIDECAR.fullmatch(name) is not None)
    targets = {name: inbox / original_name(name) for name in names}
    for target in targets.values():
        if os.path.lexists(target):
            raise StorageError("put back", target, FileExistsError(errno.EEXIST, "a newer file of that name is there"))
    if not disk.may_write(drop.folder):
        for name, target in targets.items():
            copy_file(disk, drop.folder / name, target, DROPPED_MODE)
        return [target.name for target in targets.values()]
    for name, target in targets.items():
        move_file(disk, drop.folder / name, target)
    remove_quietly(disk, drop.folder / REASON_NAME)
    with contextlib.suppress(OSError):
        disk.rmdir(drop.folder)
    return [target.name for target in targets.values()]


def purge_rejected(
    rejected_dir: Path,
    now: datetime,
    keep_seconds: float,
    disk: Disk,
    corrected: Callable[[datetime], datetime] = lambda at: at,
) -> tuple[int, int]:
    """Remove the rejected drops that are older than `keep_seconds`; return (drops, bytes).

    `corrected` returns the right time for one that a clock may have shown which was wrong.

    One that cannot be removed keeps no other from going; the first such error is raised in the end (StorageError).
    """
    drops = freed = 0
    failed: StorageError | None = None
    for drop in list_rejected(rejected_dir):
        if not is_older(drop.drop_id, now, keep_seconds, corrected):
            continue
        size = drop.bytes
        try:
            for name in (*drop.files, REASON_NAME):  # the reasons last: what is left of it stays explained
                with contextlib.suppress(FileNotFoundError):
                    disk.unlink(drop.folder / name)
            disk.rmdir(drop.folder)
        except OSError as error:
            failed = failed or StorageError("purge", drop.folder, error)
            continue
        drops += 1
        freed += size
    if failed is not None:
        raise failed
    return drops, freed


def purge_receipts(receipts_dir: Path, now: datetime, keep_seconds: float, disk: Disk) -> int:
    """Remove receipts that were written longer ago than `keep_seconds`; return how many."""
    oldest = now.timestamp() - keep_seconds
    count = 0
    try:
        with disk.scan(receipts_dir) as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_mtime < oldest and not entry.is_dir():
                    disk.unlink(receipts_dir / entry.name)
                    count += 1
    except OSError as error:
        raise StorageError("purge receipts in", receipts_dir, error) from error
    return count


def _read(folder: Path) -> RejectedDrop:
    try:
        reason = orjson.loads(read_regular(folder / REASON_NAME, _REASON_BYTES_MAX))
    except (OSError, ValueError):
        reason = {}
    is_closed = False
    try:
        files = tuple(sorted(name for name in os.listdir(folder) if name != REASON_NAME))
    except OSError as error:
        files, is_closed = (), isinstance(error, PermissionError)
    return RejectedDrop(folder.name, folder, reason if isinstance(reason, dict) else {}, files, is_closed)

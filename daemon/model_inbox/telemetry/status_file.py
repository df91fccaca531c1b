"""The status file: writing and reading it.

Owns the status file (docs/reference/formats.md), a small JSON document that the daemon replaces every few seconds. It
is for information only: no decision depends on it and it is never synced. A daemon that starts takes from it only when
the daemon before last registered and rejected a drop. Never locks a file: `health` asks the lock whether a daemon runs.

The same document is written to two places for two groups of users: beside the registry for users of models, and in
`inbox/receipts/` for producers.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..base.disk import Disk, read_regular, remove_quietly
from ..base.shapes import Shape, conforming
from ..errors import StorageError

__all__ = [
    "FORMAT",
    "Publisher",
    "StatusFile",
    "disk_left",
    "is_newer",
    "look_at_status",
    "newest_of",
    "process_started",
    "read_status",
    "why_unreplaceable",
    "why_unwritable",
]

FORMAT = "model-inbox-status/1"
STATUS_MODE = 0o640
BLOCK_BYTES = 4096
# On a full disk a short document must fit into the blocks that the file already has.
BYTES_MIN = 2 * BLOCK_BYTES
BYTES_MAX = 1 << 20
READ_AGAIN_SECONDS = 0.02
READ_ATTEMPTS = 5


# From linux/fs.h.
_FS_IOC_GETFLAGS = 0x80086601
_FS_IMMUTABLE = 0x10
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PROBLEM: Shape = {"code": str, "message": str, "hint": str}
_WAITS: Shape = {
    "name": str,
    "owner": str,
    "since": str,
    "until": str,
    "stale": bool,
    "problems": [_PROBLEM],
    "seen": {},
}
_SHAPE: Shape = {
    "format": str,
    "at": str,
    "next_at": str,
    "serial": int,
    "pid": int,
    "process_started": int,
    "version": str,
    "state": str,
    "ready": bool,
    "doing": str,
    "started_at": str,
    "deaf": bool,
    "deaf_because": str,
    "waiting": int,
    "oldest": _WAITS,
    "waiting_files": [_WAITS],
    "deferred": int,
    "deferred_drops": [
        {
            "drop_id": str,
            "stem": str,
            "files": [str],
            "owner": str,
            "cause": str,
            "hint": str,
            "attempts": int,
            "retry_at": str,
        }
    ],
    "last_registered_at": str,
    "last_rejected_at": str,
    "storage": [{"stops": [str], "problem": str, "hint": str}],
    "status_files": [{"path": str, "problem": str}],
    "unmovable": {"count": int, "first": _PROBLEM},
    "failing": [{"task": str, "cause": str}],
    "inbox": {"path": str, "watcher": str, "reachable": bool, "problem": str},
    "registry": {
        "entries": int,
        "sequence": int,
        "committed": int,
        "journal_bytes": int,
        "registry_id": str,
        "epoch": str,
        "problem": str,
        "history_problem": str,
        "missing_lines": str,
        "rewritten": [{"path": str, "at": str, "problem": str, "kept": str, "changes": [str]}],
    },
    "clock": {"problem": str, "words": str, "before": str, "after": str, "held_until": str, "behind": bool},
    "retention": {"mode": str, "last_run_at": str, "next_run_at": str, "breaker": str, "problem": str},
    "disks": [
        {
            "folder": str,
            "path": str,
            "free_bytes": int,
            "size_bytes": int,
            "free_inodes": int,
            "inodes": int,
        }
    ],
    "config": {
        "path": str,
        "loaded_at": str,
        "restart_needed": [str],
        "reload": {
            "began": float,
            "at": str,
            "outcome": str,
            "problems": [_PROBLEM],
            "changed": [str],
            "restart_needed": [str],
        },
    },
    "metrics": {"problem": str},
    "log": {"problem": str},
}
"""The fields that somebody reads. Other users may write to the folders of this file, so nothing else is believed."""
_DETAILS = ("waiting_files", "deferred_drops", "problems_of_reload")


# --- writing -----------------------------------------------------------------------------------------------


class Publisher:
    """Writes the status file to each of its places."""

    def __init__(self, paths: Sequence[Path], disk: Disk | None = None) -> None:
        self.paths = tuple(paths)
        self._disk = disk if disk is not None else Disk()
        self.failed: tuple[dict[str, str], ...] = ()
        """The places that could not be written the last time: `path` and `problem`."""

    @property
    def problem(self) -> str:
        """Why places could not be written the last time, or ""."""
        return "; ".join(failure["problem"] for failure in self.failed)

    @property
    def is_mute(self) -> bool:
        """Whether no place could be written the last time."""
        return bool(self.failed) and len(self.failed) == len(self.paths)

    def publish(self, document: Mapping[str, Any]) -> str:
        """Write the document to all places. Return why some of them failed, or "". Never raises OSError.

        The file is not synced, because after a power failure no daemon runs that it could describe. A crash before the
        rename leaves the old file, and a temporary one that the next call removes.
        """
        data = _encoded(document)
        failed = []
        for path in self.paths:
            try:
                self._replace(path, data, document)
            except OSError as error:
                problem = f"cannot write {str(path)!r}: {error.strerror or error}"
                failed.append({"path": str(path), "problem": problem})
        self.failed = tuple(failed)
        return self.problem

    def _replace(self, path: Path, data: bytes, document: Mapping[str, Any]) -> None:
        temporary = path.with_name(f".{path.name.removeprefix('.')}.new")
        remove_quietly(self._disk, temporary)
        try:
            fd = self._disk.create(temporary, STATUS_MODE)
            try:
                self._disk.write(fd, data)
            finally:
                self._disk.close(fd)
            self._disk.rename(temporary, path)
        except OSError as error:
            remove_quietly(self._disk, temporary)
            if error.errno not in _FULL:
                raise
            self._overwrite(path, data, document)

    def _overwrite(self, path: Path, data: bytes, document: Mapping[str, Any]) -> None:
        """Overwrite the existing file in place. A full disk has no room for a new file, and must be reported."""
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            room = os.fstat(fd).st_size
            if len(data) > room:
                short = {name: value for name, value in document.items() if name not in _DETAILS}
                deferred = document.get("deferred_drops") or ()
                data = _encoded({**short, "waiting_files": [], "deferred_drops": list(deferred)[:1], "shortened": True})
            if len(data) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            self._disk.write(fd, data.rstrip(b"\n").ljust(room - 1) + b"\n")
        finally:
            os.close(fd)


def _encoded(document: Mapping[str, Any]) -> bytes:
    """Return the document as JSON, padded with spaces to whole blocks."""
    try:
        data = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    except TypeError:
        # A name that is not UTF-8. The json module escapes it.
        data = json.dumps(document, indent=2, default=str).encode()
    size = max(-(-(len(data) + 1) // BLOCK_BYTES) * BLOCK_BYTES, BYTES_MIN)
    return data.ljust(size - 1) + b"\n"


def process_started(pid: int) -> int | None:
    """Return when a process started, in the kernel's ticks since boot, or None if no such process is visible.

    Process ids are used again. Together with its start time an id names one process until the next boot.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def disk_left(folder: str, path: Path) -> dict[str, Any] | None:
    """Return the free space and inodes on a folder's disk for users other than root, or None if that fails."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return {
        "folder": folder,
        "path": str(path),
        "free_bytes": found.f_bavail * found.f_frsize,
        "size_bytes": found.f_blocks * found.f_frsize,
        "free_inodes": found.f_favail,
        "inodes": found.f_files,
    }


def why_unwritable(folder: Path) -> str:
    """Return what keeps the owner of a folder from writing in it, as far as it can be seen without writing, or "".

    For a user who may not look at the folder nothing is known.
    """
    try:
        found, disk = folder.stat(), os.statvfs(folder)
    except OSError:
        return ""
    if disk.f_flag & os.ST_RDONLY:
        return "it is on a file system that is mounted read-only"
    if disk.f_blocks and not disk.f_bavail:
        return "its disk is full"
    if found.st_uid != 0 and not found.st_mode & stat.S_IWUSR:
        return f"its mode {stat.S_IMODE(found.st_mode):04o} lets its owner not write"
    return "it has the attribute i (`chattr -i` removes it)" if _is_immutable(folder) else ""


def why_unreplaceable(path: Path) -> str:
    """Return what keeps a file from being replaced though its folder can be written, or ""."""
    return "it has the attribute i (`chattr -i` removes it)" if _is_immutable(path) else ""


def _is_immutable(path: Path) -> bool:
    """Return whether a path has the attribute that `chattr +i` sets; False if the file system has none."""
    flags = bytearray(8)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.ioctl(fd, _FS_IOC_GETFLAGS, flags)
    except OSError:
        return False
    finally:
        os.close(fd)
    return bool(int.from_bytes(flags[:4], sys.byteorder) & _FS_IMMUTABLE)


# --- reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StatusFile:
    """What was found at one place of the status file.

    Without a document, `error` says why the file cannot be read. Without both, `exists` says whether there is a file:
    one that is no status document is damaged, or another program's. Fields of the document of another type than the
    daemon's are left out.
    """

    path: Path
    document: dict[str, Any] | None = None
    error: StorageError | None = None
    exists: bool = True


def look_at_status(path: Path) -> StatusFile:
    """Return what is at one place of the status file. Never raises OSError."""
    for attempt in range(READ_ATTEMPTS):
        try:
            data = read_regular(path, BYTES_MAX)
        except FileNotFoundError:
            return StatusFile(path, exists=False)
        except OSError as error:
            return StatusFile(path, error=StorageError("read", path, error))
        with suppress(ValueError):
            document = orjson.loads(data)
            if isinstance(document, dict) and str(document.get("format", "")).startswith("model-inbox-status/"):
                return StatusFile(path, conforming(document, _SHAPE))
        # On a full disk the file is overwritten in place, so a reader can see a part of it. Read it again.
        if attempt < READ_ATTEMPTS - 1:
            time.sleep(READ_AGAIN_SECONDS)
    return StatusFile(path)


def read_status(path: Path) -> dict[str, Any] | None:
    """Return the document at `path`, or None if there is none. Raises StorageError if it cannot be read."""
    found = look_at_status(path)
    if found.error is not None:
        raise found.error
    return found.document


def is_newer(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether a document was written after another one, by what the two say.

    Documents of one process are numbered, so that a clock that was set back does not matter. Times of files are not
    used: a copy has a new one.
    """
    process, serial = ("pid", "process_started"), "serial"
    if all(one.get(name) == other.get(name) for name in process) and serial in one and serial in other:
        return _number(one[serial]) > _number(other[serial])
    return str(one.get("at", "")) > str(other.get("at", ""))


def newest_of(documents: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the document that was written last, or None if there is none."""
    newest: dict[str, Any] | None = None
    for document in documents:
        if newest is None or is_newer(document, newest):
            newest = document
    return newest


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0

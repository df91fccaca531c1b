"""What the daemon tells of itself: a small file that it replaces, and what is to be made of it.

Owns the status file (docs/reference/formats.md), written and read, and the judgement whether all is well. It is news,
not state: nothing depends on it, nothing is synced, and a daemon that starts finds in it only when its forerunner last
registered and rejected. Never locks anything: whether the daemon lives is told by its lock, as `locks` finds out.

The same bytes stand in two places, for the two groups that may ask: beside the registry for those who read models,
in `inbox/receipts/` for those who drop them.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from ..base.disk import Disk, read_regular, remove_quietly
from ..errors import StorageError

__all__ = ["FORMAT", "Publisher", "disk_left", "process_started", "read_status"]

FORMAT = "model-inbox-status/1"
STATUS_MODE = 0o640
BLOCK_BYTES = 4096
BYTES_MIN = 2 * BLOCK_BYTES  # room for a short document in the blocks that the file has, when the disk is full
BYTES_MAX = 1 << 20
READ_AGAIN_SECONDS = 0.02
READ_ATTEMPTS = 5


_FULL = (errno.ENOSPC, errno.EDQUOT)
_DETAILS = ("waiting_files", "deferred_drops", "problems_of_reload")


# --- writing -----------------------------------------------------------------------------------------------


class Publisher:
    """Replaces the status file, in each of its places. `disk` does the steps."""

    def __init__(self, paths: Sequence[Path], disk: Disk | None = None) -> None:
        self.paths = tuple(paths)
        self._disk = disk if disk is not None else Disk()

    def publish(self, document: Mapping[str, Any]) -> str:
        """Write a document everywhere; return what kept it from a place, or "". Never raises OSError.

        Nothing is synced: after a power cut there is no daemon to tell of. A crash between the two steps leaves the
        old file, and the new one under a name that the next writing removes.
        """
        data = _encoded(document)
        failed = ""
        for path in self.paths:
            try:
                self._replace(path, data, document)
            except OSError as error:
                failed = failed or f"cannot write {str(path)!r}: {error.strerror or error}"
        return failed

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
        """Write into the file that is there: a full disk is what people must hear of, and its blocks it has."""
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
    """Return the document as JSON, filled up with spaces to whole blocks."""
    try:
        data = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    except TypeError:  # a name that is no UTF-8: JSON can say it escaped
        data = json.dumps(document, indent=2, default=str).encode()
    size = max(-(-(len(data) + 1) // BLOCK_BYTES) * BLOCK_BYTES, BYTES_MIN)
    return data.ljust(size - 1) + b"\n"


def process_started(pid: int) -> int | None:
    """Return when a process started, in the kernel's ticks since boot; None when there is no such process to see.

    With the process id it names a process for good, while ids alone are used again.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def disk_left(folder: str, path: Path) -> dict[str, Any] | None:
    """Return what is left on the disk of a folder, for who is not root; None when it cannot be asked."""
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


# --- reading -----------------------------------------------------------------------------------------------


def read_status(path: Path) -> dict[str, Any] | None:
    """Return the document at `path`, or None when there is none. Raises StorageError when it cannot be read."""
    for attempt in range(READ_ATTEMPTS):
        try:
            data = read_regular(path, BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError("read", path, error) from error
        with suppress(ValueError):
            document = orjson.loads(data)
            if isinstance(document, dict) and str(document.get("format", "")).startswith("model-inbox-status/"):
                return document
        if attempt < READ_ATTEMPTS - 1:
            time.sleep(READ_AGAIN_SECONDS)  # on a full disk it is written in place: this was half of it
    return None


# --- judging -----------------------------------------------------------------------------------------------

"""What the daemon tells of itself: a small file that it replaces, and what is to be made of it.

Owns the status file (docs/formats.md), written and read, and the judgement whether all is well. It is news, not
state: nothing depends on it, nothing is synced, and a daemon that starts finds in it only when its forerunner last
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
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson

from ..base.disk import Disk, read_regular, remove_quietly
from ..base.flocks import Holding, who_holds
from ..base.units import format_duration, format_size
from ..errors import StorageError
from ..problems import Problem, quoted
from ..registry.paths import daemon_lock, status_paths

__all__ = [
    "FORMAT",
    "Daemon",
    "Publisher",
    "assess",
    "disk_left",
    "find_daemon",
    "process_started",
    "read_status",
    "state_of",
]

FORMAT = "model-inbox-status/1"
STATUS_MODE = 0o640
BLOCK_BYTES = 4096
BYTES_MIN = 2 * BLOCK_BYTES  # room for a short document in the blocks that the file has, when the disk is full
BYTES_MAX = 1 << 20
READ_AGAIN_SECONDS = 0.02
READ_ATTEMPTS = 5
LATE_SECONDS = 15.0  # how much later than promised the next document may be before the daemon counts as stuck

NEARLY_FULL_FRACTION = 0.05
NEARLY_FULL_BYTES = 10 << 30

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


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon that was found, or that there is none: whether its lock is held, and what it told last."""

    holding: Holding
    document: dict[str, Any] | None

    @property
    def is_told_of(self) -> bool:
        """Whether the document is by the process that holds the lock."""
        pid = self.holding.pid
        return bool(self.holding.held and self.document and (pid is None or pid == self.document.get("pid")))


def find_daemon(registry_path: Path, inbox_path: Path) -> Daemon:
    """Look for a daemon, and for what it told, by the registry and then by the inbox.

    One of the two may have moved in config.yaml since the daemon was started. Raises StorageError when neither tells
    anything because this user may not look.
    """
    unreadable: StorageError | None = None
    told: list[Daemon] = []
    locks = (daemon_lock(registry_path), inbox_path / ".processing" / ".daemon.lock")
    for lock, path in zip(locks, status_paths(registry_path, inbox_path), strict=True):
        document = None
        try:
            document = read_status(path)
        except StorageError as error:
            unreadable = unreadable or error
        told.append(Daemon(_alive(who_holds(lock), document), document))
    document = next((one.document for one in told if one.document is not None), None)
    for one in told:
        if one.holding.held:
            return one if one.is_told_of else Daemon(one.holding, document)
    if document is None and unreadable is not None:
        raise unreadable
    # The lock on the registry is the one that tells: that on the inbox is not for every user to see.
    holding = told[0].holding if told[0].holding.held is not None else told[1].holding
    return Daemon(_alive(holding, document), document)


def _alive(holding: Holding, document: Mapping[str, Any] | None) -> Holding:
    """Tell by the process that a document names whether the daemon lives, where the lock is hidden from us."""
    pid = (document or {}).get("pid")
    if holding.held is not None or not isinstance(pid, int) or document is None:
        return holding
    started = process_started(pid)
    return (
        Holding(held=True, pid=pid) if started is not None and started == document.get("process_started") else holding
    )


# --- judging -----------------------------------------------------------------------------------------------


State = Literal["starting", "running", "stopping", "stopped", "unknown"]


def state_of(document: Mapping[str, Any] | None, holding: Holding) -> State:
    """Return what the daemon does, from what it said last and from whether its lock is held."""
    if holding.held is False:
        return "stopped"
    if document is None:
        return "starting" if holding.held else "unknown"
    if holding.pid is not None and holding.pid != document.get("pid"):
        return "starting"  # the document is its forerunner's
    said = document.get("state")
    if said in ("starting", "running", "stopping"):
        return said  # type: ignore[no-any-return]  # narrowed by the line above
    return "unknown"


def assess(
    document: Mapping[str, Any] | None, holding: Holding, now: datetime, *, disks: Sequence[Mapping[str, Any]]
) -> list[Problem]:
    """Return everything that is not well, in the order in which to mend it. Pure: all that it needs is given."""
    state = state_of(document, holding)
    found: list[Problem] = []
    if state == "stopped":
        died = document is not None and document.get("state") in ("starting", "running")
        last = "; the last one ended without saying so: see its log" if died else ""
        found.append(
            Problem("status.not_running", f"no daemon runs{last}", "Start it: `systemctl start model-inbox`, or `run`")
        )
    elif state == "unknown":
        found.append(
            Problem(
                "status.unknown",
                "whether a daemon runs cannot be told: neither its lock nor its status can be read by this user",
                "Ask as the service's user or as root, or as a member of its groups",
            )
        )
    elif state != "running" or document is None or not document.get("ready"):
        found.append(Problem("status.not_ready", f"the daemon is {state} and takes no drops now", "Wait for it"))
    if document is not None and state == "running":
        found += _late(document, now)
        found += _said_problems(document)
    for disk in disks:
        found += _nearly_full(disk)
    return found


def _late(document: Mapping[str, Any], now: datetime) -> list[Problem]:
    at, due = _instant(document.get("at")), _instant(document.get("next_at"))
    if at is None or due is None or now <= due + timedelta(seconds=LATE_SECONDS):
        return []
    age = format_duration((now - at).total_seconds())
    return [
        Problem(
            "status.unresponsive",
            f"the daemon last told of itself {age} ago: it hangs, or can write its status no more",
            "Look at the log; a hung one is restarted by systemd when WatchdogSec= is set",
        )
    ]


def _said_problems(document: Mapping[str, Any]) -> list[Problem]:
    """Return the problems that the daemon tells of itself."""
    found = []
    inbox, registry = document.get("inbox") or {}, document.get("registry") or {}
    retention, config = document.get("retention") or {}, document.get("config") or {}
    if inbox.get("reachable") is False:
        hint = "See that the folder is there, mounted, and belongs to the service's user"
        found.append(Problem("status.inbox_unreachable", f"the inbox cannot be used: {inbox.get('problem')}", hint))
    if document.get("deaf"):
        hint = "Nothing, if it passes: the folder is looked at by the clock meanwhile"
        found.append(
            Problem("status.deaf", f"file events do not reach the daemon: {document.get('deaf_because')}", hint)
        )
    if document.get("deferred"):
        causes = [drop.get("cause") for drop in document.get("deferred_drops") or ()]
        said = f": {causes[0]}" if causes else ""
        drops = "1 drop" if document["deferred"] == 1 else f"{document['deferred']} drops"
        found.append(
            Problem(
                "status.deferred",
                f"{drops} could not be decided{said}",
                "Mend the disk or the lock; they are tried again by themselves",
            )
        )
    if registry.get("checkpoint_failed"):
        hint = "Mend the disk; nothing is lost, the journal has it all"
        found.append(Problem("status.checkpoint_failed", "the registry's JSON file is not up to date", hint))
    if retention.get("breaker_tripped"):
        found.append(
            Problem(
                "status.breaker_tripped",
                f"retention retired nothing: {retention.get('breaker')}",
                "Look at `model-inbox retention plan`; if it is right: `retention apply --override-breaker`",
            )
        )
    if retention.get("failed"):
        found.append(
            Problem("status.retention_failed", f"retention stopped half-way: {retention.get('problem')}", "See the log")
        )
    if config.get("refused"):
        hint = "`model-inbox config check` shows what is wrong; mend it, then `model-inbox reload`"
        found.append(Problem("status.config_refused", "config.yaml was refused; an older one is in force", hint))
    if why := (document.get("metrics") or {}).get("problem"):
        found.append(Problem("status.metrics_failed", f"metrics are not published: {why}", "Mend `metrics:`"))
    return found


def _nearly_full(disk: Mapping[str, Any]) -> list[Problem]:
    free, size = int(disk.get("free_bytes", 0)), int(disk.get("size_bytes", 0))
    inodes, left = int(disk.get("inodes", 0)), int(disk.get("free_inodes", 0))
    where = f"the disk of {quoted(disk.get('folder'))[1:-1]} ({quoted(disk.get('path'), 400)})"
    if size and free < size * NEARLY_FULL_FRACTION and free < NEARLY_FULL_BYTES:
        message = f"{where} is nearly full: {format_size(free)} of {format_size(size)} are left"
        return [Problem("status.disk_nearly_full", message, "Make room: drops are deferred when it is full")]
    if inodes and left < inodes * NEARLY_FULL_FRACTION:
        message = f"{where} has nearly no inodes: {left} of {inodes} are left"
        return [Problem("status.disk_nearly_full", message, "Remove files: drops are deferred when there are none")]
    return []


def _instant(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None

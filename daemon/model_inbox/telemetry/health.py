"""Whether all is well: what the status file says, compared with the clock and with who holds the locks.

Owns the judgement that `model-inbox status` prints and exits with. Never writes the status file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from ..base.flocks import Holding, who_holds
from ..base.units import format_duration, format_size
from ..errors import StorageError
from ..problems import Problem, quoted
from ..registry.paths import daemon_lock, status_paths
from .status_file import process_started, read_status

__all__ = [
    "LATE_SECONDS",
    "NEARLY_FULL_BYTES",
    "NEARLY_FULL_FRACTION",
    "Daemon",
    "State",
    "assess",
    "find_daemon",
    "state_of",
]

LATE_SECONDS = 15.0  # how much later than promised the next document may be before the daemon counts as stuck
NEARLY_FULL_FRACTION = 0.05
NEARLY_FULL_BYTES = 10 << 30


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

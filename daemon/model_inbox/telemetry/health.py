"""The health of the daemon, from its status file, the clock, and the holder of its lock.

Owns the problems that `model-inbox status` prints and its exit code. Never writes the status file.
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
from ..problems import Problem
from ..problems.status import (
    status_breaker_tripped,
    status_checkpoint_failed,
    status_clock_jumped,
    status_clock_unknown,
    status_config_refused,
    status_deaf,
    status_deferred,
    status_disk_nearly_full,
    status_history_damaged,
    status_inbox_unreachable,
    status_lines_missing,
    status_log_lost,
    status_metrics_failed,
    status_not_ready,
    status_not_running,
    status_registry_failed,
    status_retention_failed,
    status_rotation_failed,
    status_task_failing,
    status_unknown,
    status_unresponsive,
)
from ..registry.paths import daemon_lock, status_paths
from .status_file import process_started, read_status

__all__ = [
    "LATE_SECONDS",
    "NEARLY_FULL_BYTES",
    "NEARLY_FULL_FRACTION",
    "Daemon",
    "DaemonState",
    "assess",
    "find_daemon",
    "state_of",
]

# The daemon counts as unresponsive if its next status document is later than announced by more than this.
LATE_SECONDS = 15.0
NEARLY_FULL_FRACTION = 0.05
NEARLY_FULL_BYTES = 10 << 30


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon, running or not: the holder of its lock, and the last status document."""

    holding: Holding
    document: dict[str, Any] | None

    @property
    def wrote_document(self) -> bool:
        """Whether the process that holds the lock wrote the document."""
        pid = self.holding.pid
        return bool(self.holding.held and self.document and (pid is None or pid == self.document.get("pid")))


def find_daemon(registry_path: Path, inbox_path: Path) -> Daemon:
    """Find the daemon and its status document, by the registry and then by the inbox.

    One of the two paths in config.yaml may have changed since the daemon was started. Raises StorageError if no
    document is found and one could not be read.
    """
    unreadable: StorageError | None = None
    found: list[Daemon] = []
    locks = (daemon_lock(registry_path), inbox_path / ".processing" / ".daemon.lock")
    for lock, path in zip(locks, status_paths(registry_path, inbox_path), strict=True):
        document = None
        try:
            document = read_status(path)
        except StorageError as error:
            unreadable = unreadable or error
        found.append(Daemon(_alive(who_holds(lock), document), document))
    document = next((one.document for one in found if one.document is not None), None)
    for one in found:
        if one.holding.held:
            return one if one.wrote_document else Daemon(one.holding, document)
    if document is None and unreadable is not None:
        raise unreadable
    # Prefer the registry's lock: some users may not see that of the inbox.
    holding = found[0].holding if found[0].holding.held is not None else found[1].holding
    return Daemon(_alive(holding, document), document)


def _alive(holding: Holding, document: Mapping[str, Any] | None) -> Holding:
    """Return the holder of the lock. If this user cannot see it, use the process that the document names."""
    pid = (document or {}).get("pid")
    if holding.held is not None or not isinstance(pid, int) or document is None:
        return holding
    started = process_started(pid)
    return (
        Holding(held=True, pid=pid) if started is not None and started == document.get("process_started") else holding
    )


DaemonState = Literal["starting", "running", "stopping", "stopped", "unknown"]


def state_of(document: Mapping[str, Any] | None, holding: Holding) -> DaemonState:
    """Return the daemon's state, from its last document and the holder of its lock."""
    if holding.held is False:
        return "stopped"
    if document is None:
        return "starting" if holding.held else "unknown"
    # The document is from the daemon before this one.
    if holding.pid is not None and holding.pid != document.get("pid"):
        return "starting"
    said = document.get("state")
    if said in ("starting", "running", "stopping"):
        return said  # type: ignore[no-any-return]  # narrowed by the line above
    return "unknown"


def assess(
    document: Mapping[str, Any] | None, holding: Holding, now: datetime, *, disks: Sequence[Mapping[str, Any]]
) -> list[Problem]:
    """Return all problems of the daemon, in the order in which to correct them. Pure: reads no clock and no file."""
    state = state_of(document, holding)
    found: list[Problem] = []
    if state == "stopped":
        died = document is not None and document.get("state") in ("starting", "running")
        found.append(status_not_running(died=died))
    elif state == "unknown":
        found.append(status_unknown())
    elif state != "running" or document is None or not document.get("ready"):
        found.append(status_not_ready(state))
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
    return [status_unresponsive(format_duration((now - at).total_seconds()))]


def _said_problems(document: Mapping[str, Any]) -> list[Problem]:
    """Return the problems that the daemon reports in its document."""
    found = []
    inbox, registry = document.get("inbox") or {}, document.get("registry") or {}
    retention, config = document.get("retention") or {}, document.get("config") or {}
    if inbox.get("reachable") is False:
        found.append(status_inbox_unreachable(inbox.get("problem")))
    if document.get("deaf"):
        found.append(status_deaf(document.get("deaf_because")))
    if document.get("deferred"):
        causes = [drop.get("cause") for drop in document.get("deferred_drops") or ()]
        found.append(status_deferred(document["deferred"], causes[0] if causes else None))
    found += [status_task_failing(one.get("task"), one.get("cause")) for one in document.get("failing") or ()]
    if why := registry.get("problem"):
        found.append(status_registry_failed(why))
    if why := registry.get("history_problem"):
        found.append(status_history_damaged(why))
    if registry.get("checkpoint_failed"):
        found.append(status_checkpoint_failed())
    if registry.get("rotation_failed"):
        found.append(status_rotation_failed())
    if lines := registry.get("missing_lines"):
        found.append(status_lines_missing(lines))
    clock = document.get("clock") or {}
    if why := clock.get("problem"):
        found.append(status_clock_unknown(why))
    if clock.get("words"):
        told = (clock.get(name) for name in ("words", "before", "after", "held_until"))
        found.append(status_clock_jumped(*told, behind=bool(clock.get("behind"))))
    if retention.get("breaker_tripped"):
        found.append(status_breaker_tripped(retention.get("breaker")))
    if retention.get("failed"):
        found.append(status_retention_failed(retention.get("problem")))
    if config.get("refused"):
        found.append(status_config_refused())
    if why := (document.get("metrics") or {}).get("problem"):
        found.append(status_metrics_failed(why))
    if why := (document.get("log") or {}).get("problem"):
        found.append(status_log_lost(why))
    return found


def _nearly_full(disk: Mapping[str, Any]) -> list[Problem]:
    free, size = int(disk.get("free_bytes", 0)), int(disk.get("size_bytes", 0))
    inodes, left = int(disk.get("inodes", 0)), int(disk.get("free_inodes", 0))
    left_of = ""
    if size and free < size * NEARLY_FULL_FRACTION and free < NEARLY_FULL_BYTES:
        left_of = f"{format_size(free)} of {format_size(size)}"
    elif inodes and left < inodes * NEARLY_FULL_FRACTION:
        left_of = f"{left} of {inodes} inodes"
    return [status_disk_nearly_full(disk.get("folder"), disk.get("path"), left_of)] if left_of else []


def _instant(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None

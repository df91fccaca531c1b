"""The health of the daemon, from its status file, the clock, and the holder of its lock.

Owns the problems that `model-inbox status` prints and its exit code. Never writes the status file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ..base.flocks import Holding, who_holds
from ..base.instants import parse_stored
from ..base.units import format_duration, format_size
from ..problems import Problem, quoted
from ..problems.status import (
    status_breaker_tripped,
    status_checkpoint_failed,
    status_clock_jumped,
    status_clock_unknown,
    status_config_refused,
    status_deaf,
    status_deferred,
    status_disk_nearly_full,
    status_drops_unmovable,
    status_file_unwritten,
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
    status_storage_unwritable,
    status_task_failing,
    status_unknown,
    status_unresponsive,
)
from ..registry.paths import daemon_lock, status_paths
from .status_file import StatusFile, is_newer, look_at_status, newest_of, process_started

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
    """A daemon, running or not: the holder of its lock, and its newest status document.

    `files` are the places of the status file, as they were found.
    """

    holding: Holding
    document: dict[str, Any] | None
    files: tuple[StatusFile, ...] = ()

    @property
    def wrote_document(self) -> bool:
        """Whether the process that holds the lock wrote the document."""
        return bool(self.holding.held and self.document and _wrote(self.holding, self.document))

    def other_files(self) -> Iterator[tuple[StatusFile, str]]:
        """Yield the places whose document is not the one that is used, with what is wrong there."""
        for file in self.files:
            if file.error is not None:
                yield file, file.error.message
            elif file.document is None:
                if file.exists:
                    yield file, f"{str(file.path)!r} is no status document of model-inbox"
            elif self.document is not None and is_newer(self.document, file.document):
                yield file, f"{str(file.path)!r} is older: it was written {file.document.get('at')}"
            elif self.document is not None and _process(file.document) != _process(self.document):
                yield file, f"{str(file.path)!r} is of another process ({file.document.get('pid')})"


def find_daemon(registry_path: Path, inbox_path: Path) -> Daemon:
    """Find the daemon and its newest status document, by the registry and then by the inbox.

    One of the two paths in config.yaml may have changed since the daemon was started. On a disk that cannot be written
    an old document stays, so the newer one of what the holder of the lock wrote is used. Raises StorageError if no
    document is found and one could not be read.
    """
    locks = (daemon_lock(registry_path), inbox_path / ".processing" / ".daemon.lock")
    files = tuple(map(look_at_status, status_paths(registry_path, inbox_path)))
    holdings = [_alive(who_holds(lock), file.document) for lock, file in zip(locks, files, strict=True)]
    documents = [file.document for file in files if file.document is not None]
    for holding in holdings:
        if holding.held:
            own = [document for document in documents if _wrote(holding, document)]
            return Daemon(holding, newest_of(own or documents), files)
    errors = [file.error for file in files if file.error is not None]
    if not documents and errors:
        raise errors[0]
    # Prefer the registry's lock: some users may not see that of the inbox.
    holding = holdings[0] if holdings[0].held is not None else holdings[1]
    newest = newest_of(documents)
    return Daemon(_alive(holding, newest), newest, files)


def _wrote(holding: Holding, document: Mapping[str, Any]) -> bool:
    return holding.pid is None or holding.pid == document.get("pid")


def _process(document: Mapping[str, Any]) -> tuple[object, object]:
    return document.get("pid"), document.get("process_started")


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
    document: Mapping[str, Any] | None,
    holding: Holding,
    now: datetime,
    *,
    disks: Sequence[Mapping[str, Any]],
    unwritable: Mapping[str, str] = MappingProxyType({}),
    unreplaceable: Mapping[str, str] = MappingProxyType({}),
) -> list[Problem]:
    """Return all problems of the daemon, in the order in which to correct them. Pure: reads no clock and no file.

    `unwritable` are folders of the daemon that it cannot write, as seen from outside, and why: it may not have noticed
    yet, or have no place left to say so. `unreplaceable` are such status files.
    """
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
        found += _late(document, now, {**unwritable, **unreplaceable})
        if not document.get("status_files"):
            found += [status_file_unwritten(path, why) for path, why in unreplaceable.items()]
        found += _said_problems(document)
    if state != "running" or not (document or {}).get("storage"):
        found += _unnoticed(unwritable)
    for disk in disks:
        found += _nearly_full(disk)
    return found


def _unnoticed(unwritable: Mapping[str, str]) -> list[Problem]:
    """Return the folders that cannot be written, for a daemon that does not say that of any."""
    hint = "Correct that; the daemon goes on by itself"
    return [
        status_storage_unwritable(f"cannot write in {quoted(folder, 400)}: {why}", hint, stops=True)
        for folder, why in unwritable.items()
    ]


def _late(document: Mapping[str, Any], now: datetime, unwritable: Mapping[str, str]) -> list[Problem]:
    at, due = parse_stored(document.get("at")), parse_stored(document.get("next_at"))
    if at is None or due is None or now - due <= timedelta(seconds=LATE_SECONDS):
        return []
    why = "; ".join(f"it cannot write in {quoted(folder, 400)}: {cause}" for folder, cause in unwritable.items())
    return [status_unresponsive(format_duration((now - at).total_seconds()), why)]


def _said_problems(document: Mapping[str, Any]) -> list[Problem]:
    """Return the problems that the daemon reports in its document."""
    found = []
    inbox, registry = document.get("inbox") or {}, document.get("registry") or {}
    retention, config = document.get("retention") or {}, document.get("config") or {}
    if inbox.get("reachable") is False:
        found.append(status_inbox_unreachable(inbox.get("problem")))
    for obstacle in document.get("storage") or ():
        stops = "take" in (obstacle.get("stops") or ())
        found.append(status_storage_unwritable(obstacle.get("problem"), obstacle.get("hint"), stops=stops))
    found += [status_file_unwritten(one.get("path"), one.get("problem")) for one in document.get("status_files") or ()]
    if unmovable := document.get("unmovable"):
        first = unmovable.get("first") or {}
        found.append(status_drops_unmovable(unmovable.get("count"), first.get("message"), first.get("hint", "")))
    if document.get("deaf"):
        found.append(status_deaf(document.get("deaf_because")))
    if document.get("deferred"):
        causes = [drop.get("cause") for drop in document.get("deferred_drops") or ()]
        hints = [drop.get("hint") for drop in document.get("deferred_drops") or ()]
        found.append(status_deferred(document["deferred"], causes[0] if causes else None, hints[0] if hints else None))
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
    free, size = disk.get("free_bytes") or 0, disk.get("size_bytes") or 0
    inodes, left = disk.get("inodes") or 0, disk.get("free_inodes") or 0
    left_of = ""
    if size and free < size * NEARLY_FULL_FRACTION and free < NEARLY_FULL_BYTES:
        left_of = f"{format_size(free)} of {format_size(size)}"
    elif inodes and left < inodes * NEARLY_FULL_FRACTION:
        left_of = f"{left} of {inodes} inodes"
    return [status_disk_nearly_full(disk.get("folder"), disk.get("path"), left_of)] if left_of else []

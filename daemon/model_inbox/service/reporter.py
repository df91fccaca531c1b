"""What the daemon tells of itself, collected from its parts: the status document, the line for systemd, the metrics.

Owns when they are published, and what is in the status (docs/reference/formats.md). Reads what the service and its
parts have and changes nothing of it; `status_file` writes the file and judges it, `metrics` makes text of the numbers,
`metrics_server` serves that text. Only the loop calls it, and only between two pieces of work: within one the registry
may be locked.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

import structlog

from .. import __version__
from ..base.disk import remove_quietly
from ..base.instants import millisecond_stamp, parse_stored
from ..base.machine import Machine
from ..base.units import counted
from ..config.settings import Config
from ..errors import StorageError
from ..inbox.claims import Claim, Retry
from ..inbox.drop import Sighting, seen_as
from ..inbox.folder import Inbox, Rescan
from ..inbox.obstacles import Obstacle
from ..inbox.older_copy import Told, told_by_status
from ..inbox.pipeline import Intake
from ..inbox.readiness import Wait
from ..pickles import Scanner
from ..problems import Problem, escaped
from ..registry.clock import in_words
from ..registry.clock_watch import Looked
from ..registry.derived import CHANGES_SHOWN
from ..registry.healing import Rewritten
from ..registry.paths import RegistryFiles
from ..registry.registry import ModelRegistry
from ..telemetry.logging import log_problem
from ..telemetry.metrics import render
from ..telemetry.metrics_server import MetricsServer
from ..telemetry.status_file import FORMAT, Publisher, disk_left, newest_of, process_started, read_status
from .health import Health
from .maintenance import Maintenance
from .schedule import LookSchedule
from .unforeseen import Failing, Unforeseen
from .watching import Watching

__all__ = ["Reported", "Reporter"]

log = structlog.get_logger("model_inbox")

# The status is published at most that often, but for the answer to a reload and before long work.
PUBLISH_SECONDS = 1.0
# And at least that often, or as often as the folder is looked at.
PUBLISH_SECONDS_MAX = 60.0
# A drop has a model and a scaler.
SCANS_PER_DROP = 2
# Of what waits, the oldest that many are in the status.
WAITING_SHOWN = 50
PUBLISHING = "publishing the status"
DEFERRED_SHOWN = 50


class Reported(Protocol):
    """The parts of the daemon that its status is made of."""

    config: Config
    registry: ModelRegistry
    scanner: Scanner
    intake: Intake
    inbox: Inbox
    watching: Watching
    schedule: LookSchedule
    maintenance: Maintenance
    health: Health
    unforeseen: Unforeseen


class Reporter:
    """Collects what the daemon tells of itself, and publishes it when something changed or by the clock.

    Without a publisher no status file is written. `started_with` is the configuration of the start, which says what the
    daemon works on.
    """

    def __init__(
        self,
        service: Reported,
        publisher: Publisher | None,
        machine: Machine,
        *,
        started_with: Config,
    ) -> None:
        self._service = service
        self._publisher = publisher
        self._started_with = started_with
        self._accounts = machine.accounts
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._disk = machine.disk
        self.state: Literal["starting", "running", "stopping"] = "starting"
        self.doing = "starting"
        self._is_open = False
        self._started_at = self._loaded_at = millisecond_stamp(self._clock())
        self._process_started = process_started(os.getpid())
        self._journal = RegistryFiles(started_with.registry.path).journal
        self._restart_needed: tuple[str, ...] = ()
        self._reload: dict[str, Any] | None = None
        self._status_problem = ""
        self._deaf_since: datetime | None = None
        self._last: dict[str, str | None] = {"last_registered_at": None, "last_rejected_at": None}
        self._position: dict[str, Any] = {}
        self.last_published: datetime | None = None
        """When the daemon before us published its last status, by the clock."""
        self._published: object = None
        self._published_at: float | None = None
        self._promised_until = 0.0
        self._serial = 0
        self._told_version = 0
        self._unwritten_since = 0.0
        self._work_seconds = 0.0
        self._changed = False
        self._server: MetricsServer | None = None

    # --- when -------------------------------------------------------------------------------------------------

    def begin(self) -> list[Told]:
        """Go on from what the daemon before us published last, and publish that this one starts. The locks are ours.

        Returns the last lines of the registry that were told of. The latest is told on until the registry is open: of
        an older copy, it may be the only trace of what is missing.
        """
        found: list[dict[str, Any]] = []
        for path in self._publisher.paths if self._publisher is not None else ():
            with contextlib.suppress(StorageError):
                found.append(read_status(path) or {})
        newest = newest_of(found) or {}
        self._last = {name: _text_or_none(newest.get(name)) for name in self._last}
        stamps = [at for document in found if (at := parse_stored(document.get("at"))) is not None]
        self.last_published = max(stamps, default=None)
        told = [line for document in found for line in told_by_status(document)]
        if told:
            latest = max(told, key=lambda line: (line.identity.epoch_number, line.sequence))
            identity = latest.identity
            self._position = {
                "registry_id": identity.registry_id,
                "epoch": identity.epoch,
                "committed": latest.sequence,
            }
        self.publish()
        return told

    def opened(self) -> None:
        """Note that every part that the status is made of is there now."""
        self._is_open = True

    def enter(self, state: Literal["running", "stopping"]) -> None:
        """Publish that the daemon serves from now on, or that it ends."""
        self.state = state
        self.doing = "" if state == "running" else state
        self.publish()

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds the status is to be published, or None before it was for the first time."""
        if self._published_at is None:
            return None
        wait = PUBLISH_SECONDS if self._changed else self._longest
        return max(self._published_at + wait - now, 0.0)

    @property
    def _longest(self) -> float:
        return min(self._service.config.inbox.rescan_seconds, PUBLISH_SECONDS_MAX)

    @property
    def _next_seconds(self) -> float:
        """In how many seconds the next status comes at the latest.

        A drop may come at any time, and no status is written while it is scanned. So the time of its scans is always
        in the promise: a status of its own before each drop would cost more than a small drop does.
        """
        scans = SCANS_PER_DROP * self._service.config.pickle.time_limit
        return self._longest + scans + self._work_seconds

    @contextlib.contextmanager
    def work(self, doing: str, seconds: float = 0.0) -> Iterator[None]:
        """Say what the daemon does in the block, and how long that may take until `publish_if_due` is called next."""
        before, self.doing = self.doing, doing
        self.allow(seconds)
        try:
            yield
        finally:
            self.doing = before
            self.allow(0.0)

    def allow(self, seconds: float) -> None:
        """Say how long the work that begins may take, beside scans, until `publish_if_due` is called next.

        A status that is late says that the daemon hangs. So one is published now if the last one promised the next
        for an earlier moment. Ends with `work`.
        """
        self._work_seconds = seconds
        if seconds and self._published_at is not None and self._monotonic() + seconds > self._promised_until:
            self.publish()

    def publish_if_due(self) -> None:
        """Publish if something changed and the last time is long enough ago, or if it is time anyhow.

        Cheap enough to be called after each drop: between the times it looks at the clock and no more.
        """
        if self._published_at is None:
            return
        if self._is_open and self._service.intake.obstacles.version != self._told_version:
            self.publish()
            return
        since = self._monotonic() - self._published_at
        if since < PUBLISH_SECONDS:
            self._changed = True  # perhaps: it is found out when it is time
            return
        self._publish_safely(only_news=since < 0.9 * self._longest)

    def publish(self) -> None:
        """Publish now, in every place."""
        self._publish_safely(only_news=False)

    def _publish_safely(self, *, only_news: bool) -> None:
        """Publish. What nobody foresaw costs this status, and neither the drop nor the work that comes next."""
        unforeseen = self._service.unforeseen
        if unforeseen.failing and unforeseen.waits(PUBLISHING) > 0:
            return
        try:
            document = self.document()
            if only_news and _gist(document) == self._published:
                self._changed = False
            else:
                self._publish(document)
        except Exception as error:  # noqa: BLE001  # whatever it is, the daemon's work goes on
            self._published_at = self._monotonic()
            unforeseen.failed(PUBLISHING, error)
        else:
            if unforeseen.failing:
                unforeseen.succeeded(PUBLISHING)

    def _publish(self, document: dict[str, Any]) -> None:
        self._serial += 1
        document["serial"] = self._serial
        self._publish_metrics(document)
        document["metrics"]["problem"] = _metrics_problem(self._service.health)  # of this time, not of the last
        if self._publisher is not None:
            self._publisher.publish(document)
            if self._status_problem != self._publisher.problem:
                document = self._note_unwritten(self._publisher)
        if self._is_open:
            self._told_version = self._service.intake.obstacles.version
        self._published = _gist(document)
        self._published_at = self._monotonic()
        self._promised_until = self._published_at + self._next_seconds
        self._changed = False

    def _note_unwritten(self, publisher: Publisher) -> dict[str, Any]:
        """Note that the status files can be written no more, or again. Return the document that says so.

        The place that can still be written gets it at once. The log has a line for what no obstacle explains, and in
        any case when no place is left.
        """
        before, self._status_problem = self._status_problem, publisher.problem
        obstacles = self._service.intake.obstacles if self._is_open else None
        if obstacles is not None:
            obstacles.suspect()
        if not before:
            self._unwritten_since = self._monotonic()
        if not publisher.problem:
            log.info("daemon.status_restored", seconds=self._monotonic() - self._unwritten_since)
        elif (
            obstacles is None
            or publisher.is_mute
            or not all(obstacles.explains(failure["path"]) for failure in publisher.failed)
        ):
            log.warning("daemon.status_unwritten", problem=publisher.problem)
        self._serial += 1
        document = {**self.document(), "serial": self._serial}
        publisher.publish(document)
        return document

    # --- what happened ----------------------------------------------------------------------------------------

    def loaded(self, began: float, changed: Sequence[str], restart: Sequence[str]) -> None:
        """Publish that a reload was carried out. `began` is of the kernel's clock."""
        self._loaded_at = millisecond_stamp(self._clock())
        self._restart_needed = tuple(restart)
        self._answer(began, "loaded", changed=list(changed), restart_needed=list(restart), problems=[])

    def refused(self, began: float, problems: Sequence[Problem]) -> None:
        """Publish that a reload was refused."""
        told = [problem.as_dict() for problem in problems]
        self._answer(began, "refused", changed=[], restart_needed=list(self._restart_needed), problems=told)

    def _answer(self, began: float, outcome: str, **told: Any) -> None:
        self._reload = {"began": began, "at": millisecond_stamp(self._clock()), "outcome": outcome, **told}
        self.publish()

    # --- metrics ----------------------------------------------------------------------------------------------

    def serve(self, server: MetricsServer | None) -> None:
        """Give the metrics to a server, now and whenever the status is published; to none from now on with None."""
        self._server = server
        if server is not None:
            server.publish(render(self.document(), self._service.intake.tally))

    def _publish_metrics(self, document: dict[str, Any]) -> None:
        textfile, health = self._service.config.metrics.textfile, self._service.health
        if textfile is None:
            health.textfile_problem = ""
        if not self._is_open or (textfile is None and self._server is None):
            return
        text = render(document, self._service.intake.tally)
        if self._server is not None:
            self._server.publish(text)
            if self._server.problem and not health.listen_problem:
                log.error("daemon.metrics_unwritten", problem=self._server.problem)
            health.listen_problem = self._server.problem
        if textfile is not None:
            problem = self._write_textfile(textfile, text)
            if problem and problem != health.textfile_problem:
                log.error("daemon.metrics_unwritten", problem=problem)
            health.textfile_problem = problem

    def _write_textfile(self, path: Path, text: bytes) -> str:
        """Replace the file for node_exporter. Return why that was not possible, or "". Nothing is synced."""
        temporary = path.with_name(f".{path.name}.new")
        remove_quietly(self._disk, temporary)
        try:
            fd = self._disk.create(temporary, 0o644)  # node_exporter is another user
            try:
                self._disk.write(fd, text)
            finally:
                self._disk.close(fd)
            self._disk.rename(temporary, path)
        except OSError as error:
            remove_quietly(self._disk, temporary)
            return f"cannot write {str(path)!r}: {error.strerror or error}"
        return ""

    def remove_textfile(self) -> None:
        """Remove the file for node_exporter, which would go on telling old numbers."""
        path = self._service.config.metrics.textfile
        if path is not None:
            remove_quietly(self._disk, path)

    # --- what is told -----------------------------------------------------------------------------------------

    def line(self) -> str:
        """Return what we do, for systemd's status line."""
        service = self._service
        parts = [counted(len(service.registry.registry), "model"), f"{service.schedule.waiting} waiting"]
        parts.append(f"{len(service.intake.deferred)} deferred")
        tally = service.intake.tally.drops
        parts.append(f"{tally['registered']} registered and {tally['rejected']} rejected since the start")
        what = "watching"
        obstacle = next(iter(service.intake.obstacles.found.values()), None)
        if self._publisher is not None and self._publisher.is_mute:
            what = f"cannot write its status files: {self._publisher.problem}"
        elif obstacle is not None:
            what = obstacle.error.message
        elif service.health.inbox_problem:
            what = "cannot use the inbox"
        elif service.health.watch_problem:
            what = "no file events arrive: rescans at intervals"
        elif service.watching.polling:
            what = "polling"
        return f"{(self.doing or what).capitalize()}; {', '.join(parts)}"

    def document(self) -> dict[str, Any]:
        """Return everything that is told, as the status file has it."""
        service, now = self._service, self._clock()
        config = service.config
        started = self._started_with
        told: dict[str, Any] = {
            "format": FORMAT,
            "serial": 0,
            "at": millisecond_stamp(now),
            "next_at": millisecond_stamp(now + timedelta(seconds=self._next_seconds)),
            "state": self.state,
            "ready": self.state == "running",
            "doing": self.doing or "waiting for drops",
            "version": __version__,
            "pid": os.getpid(),
            "process_started": self._process_started,
            "started_at": self._started_at,
            "deaf": False,
            "deaf_because": None,
            "waiting": 0,
            "oldest": None,
            "deferred": 0,
            **self._last,
            "config": {
                "path": str(path) if (path := config.path) is not None else None,
                "loaded_at": self._loaded_at,
                "restart_needed": list(self._restart_needed),
                "refused": self._reload is not None and self._reload["outcome"] == "refused",
                "reload": self._reload,
            },
            "inbox": {
                "path": str(started.inbox.path),
                "reachable": None,
                "problem": None,
                "watcher": None,
                "max_sidecar_size": config.inbox.max_sidecar_size,
                "max_artifact_size": config.inbox.max_artifact_size,
            },
            "checks": {
                "model_types": config.checks.model_types,
                "currency_pairs": config.checks.currency_pairs,
                "pair_pattern": config.checks.pair_pattern,
            },
            "registry": {"path": str(started.registry.path), **self._position},
            "retention": {"mode": config.retention.mode},
            "clock": None,
            "disks": [
                left
                for folder, path in (("inbox", started.inbox.path), ("models", started.registry.storage_dir))
                if (left := disk_left(folder, path)) is not None
            ],
            "metrics": {
                "textfile": str(config.metrics.textfile) if config.metrics.textfile is not None else None,
                "listen": config.metrics.listen,
                "problem": _metrics_problem(service.health),
            },
            "log": {"problem": log_problem() or None},
            "failing": [self._failing(one, now) for one in self._service.unforeseen.failing.values()],
            "status_files": list(self._publisher.failed) if self._publisher is not None else [],
            "storage": [],
            "unmovable": None,
            "waiting_files": [],
            "deferred_drops": [],
        }
        if self._is_open:
            self._add_work(told, now)
        return told

    def _add_work(self, told: dict[str, Any], now: datetime) -> None:
        """Add what is known once everything is open."""
        service = self._service
        intake, registry, rescan, health = service.intake, service.registry, service.schedule.last, service.health
        for outcome in ("registered", "rejected"):
            if (moment := intake.tally.last_at.get(outcome)) is not None:
                self._last[f"last_{outcome}_at"] = millisecond_stamp(moment)
        self._deaf_since = (self._deaf_since or now) if health.watch_problem else None
        shown = self._waiting_files(rescan, now) if rescan is not None else []
        again = {claim.drop_id: claim for claim in intake.in_hand if claim.retry and os.path.exists(claim.folder)}
        again |= {claim.drop_id: claim for claim in intake.deferred}
        deferred = [again[drop_id] for drop_id in sorted(again)]
        told |= {
            **self._last,
            "deaf": bool(health.watch_problem),
            "deaf_because": health.watch_problem or None,
            "deaf_since": millisecond_stamp(self._deaf_since) if self._deaf_since is not None else None,
            "waiting": rescan.waiting if rescan is not None else 0,
            "oldest": shown[0] if shown else None,
            "deferred": len(deferred),
            "drops": {**intake.tally.drops, "put_back": intake.tally.put_back},
            "scanner_restarts": getattr(service.scanner, "restarts", 0),
            "waiting_files": shown,
            "deferred_drops": [self._deferred(claim, now) for claim in deferred[:DEFERRED_SHOWN]],
            "storage": [self._obstacle(obstacle, now) for obstacle in intake.obstacles.found.values()],
            "unmovable": _unmovable(service.inbox.unmovable()),
        }
        told["inbox"] |= {
            "reachable": not health.inbox_problem,
            "problem": health.inbox_problem or None,
            "watcher": "polling" if service.watching.watch.polling else "inotify",
        }
        summary = registry.summary()
        identity, problem = summary.identity, summary.problem
        told["registry"] |= {
            "entries": summary.entries,
            "registry_id": identity.registry_id if identity is not None else None,
            "epoch": identity.epoch if identity is not None else None,
            "sequence": summary.sequence,
            "committed": summary.committed,
            "journal_bytes": _size_of(self._journal),
            "problem": str(problem) if problem is not None else None,
            "history_problem": health.history_problem or None,
            "rewritten": [_rewritten(one) for one in summary.rewritten],
            "checkpoint_failed": health.checkpoint_failed,
            "rotation_failed": health.rotation_failed,
            "missing_lines": health.missing_lines or None,
        }
        told["clock"] = _clock(registry.clock_watch.seen, now)
        is_on = service.config.retention.mode != "off"
        ran_at = service.maintenance.retention_ran_at
        next_run_in = max(service.maintenance.retention_at - self._monotonic(), 0.0)
        told["retention"] |= {
            "last_run_at": millisecond_stamp(ran_at) if ran_at is not None else None,
            "next_run_at": millisecond_stamp(now + timedelta(seconds=next_run_in)) if is_on else None,
            "breaker_tripped": is_on and bool(health.breaker),
            "breaker": (is_on and health.breaker) or None,
            "failed": is_on and bool(health.retention_problem),
            "problem": (is_on and health.retention_problem) or None,
        }

    def _deferred(self, claim: Claim, now: datetime) -> dict[str, Any]:
        retry = claim.retry if claim.retry is not None else Retry(0, 0.0, "")
        wait = max(self._service.intake.retry_at(claim) - self._monotonic(), 0.0)
        return {
            "drop_id": claim.drop_id,
            "stem": escaped(claim.stem),
            "files": [escaped(name) for name in claim.files],
            "owner": claim.owner_name,
            "cause": retry.cause,
            "hint": retry.hint or None,
            "attempts": retry.attempts,
            "retry_at": millisecond_stamp(now + timedelta(seconds=wait)),
        }

    def _failing(self, one: Failing, now: datetime) -> dict[str, Any]:
        wait = max(one.at - self._monotonic(), 0.0)
        return {
            "task": one.task,
            "cause": one.cause,
            "attempts": one.attempts,
            "retry_at": millisecond_stamp(now + timedelta(seconds=wait)),
        }

    def _obstacle(self, obstacle: Obstacle, now: datetime) -> dict[str, Any]:
        error = obstacle.error
        wait = self._service.intake.obstacles.pause_left()
        return {
            "path": error.path,
            "errno": errno.errorcode.get(error.errno or 0),
            "problem": error.message,
            "hint": obstacle.hint,
            "stops": sorted(obstacle.stops),
            "since": millisecond_stamp(obstacle.since),
            "retry_at": millisecond_stamp(now + timedelta(seconds=wait)),
        }

    def _waiting_files(self, rescan: Rescan, now: datetime) -> list[dict[str, Any]]:
        """Return what waits longest, the longest first: drops by their sidecars, and single files.

        All producers read this. In a private inbox it leaves out the problems of sidecars, which quote them; their
        owners see them by `inbox explain`.
        """
        private = self._service.inbox.privacy.is_on
        waits: list[tuple[int, str, tuple[Sighting, ...], Wait]] = []
        for drop, decision in rescan.drops:
            if isinstance(decision, Wait):
                seen = tuple(drop.sightings[name] for name in drop.present)
                waits.append((_changed_ns(seen), drop.sidecar_name, seen, decision))
        for stray, stray_decision in rescan.strays:
            if isinstance(stray_decision, Wait) and stray.kind != "folder":
                waits.append((_changed_ns((stray,)), stray.name, (stray,), stray_decision))
        passed = self._monotonic() - rescan.at
        shown = []
        for changed_ns, name, seen, wait in heapq.nsmallest(WAITING_SHOWN, waits, key=lambda item: item[0]):
            # A producer sets the times of its files as it likes: what lies ahead counts as now.
            since = datetime.fromtimestamp(min(max(changed_ns, 0) / 1e9, now.timestamp()), UTC)
            until = None if wait.until is None else millisecond_stamp(now + timedelta(seconds=wait.until - passed))
            shown.append(
                {
                    "name": escaped(name),
                    "owner": self._accounts.name_of(seen[0].owner),
                    "since": millisecond_stamp(since),
                    "problems": [
                        problem.as_dict()
                        for problem in wait.problems
                        if not (private and problem.code.startswith("sidecar."))
                    ],
                    "until": until,
                    "stale": wait.stale,
                    "seen": {escaped(sighting.name): seen_as(sighting) for sighting in seen},
                }
            )
        return shown


def _unmovable(problems: Sequence[Problem]) -> dict[str, Any] | None:
    """Return how many drops cannot be moved, and why the first cannot, or None."""
    return {"count": len(problems), "first": problems[0].as_dict()} if problems else None


def _rewritten(one: Rewritten) -> dict[str, Any]:
    return {
        "path": str(one.fault.path),
        "at": millisecond_stamp(one.at),
        "problem": one.fault.what,
        "changes": list(one.fault.changes[:CHANGES_SHOWN]),
        "kept": str(one.kept) if one.kept is not None else None,
    }


def _clock(looked: Looked | None, now: datetime) -> dict[str, Any] | None:
    """Return what is told of a jump of the clock that still counts, or of why that cannot be found out."""
    if looked is None or (looked.doubt is None and not looked.problem):
        return None
    doubt = looked.doubt
    told: dict[str, Any] = {"problem": looked.problem or None}
    if doubt is not None:
        told |= {
            "sequence": doubt.sequence,
            "before": millisecond_stamp(doubt.jump.before),
            "after": millisecond_stamp(doubt.jump.after),
            "seconds": doubt.jump.seconds,
            "words": in_words(doubt.jump),
            "held_until": millisecond_stamp(now + timedelta(seconds=doubt.hold_seconds)) if doubt.is_held else None,
            "behind": doubt.behind_seconds > 0,
        }
    return told


def _metrics_problem(health: Health) -> str | None:
    """Return why metrics are not published, or None."""
    return "; ".join(filter(None, (health.listen_problem, health.textfile_problem))) or None


def _changed_ns(seen: Sequence[Sighting]) -> int:
    """Return when the last of the files changed, by their own times: the inbox may know them no longer."""
    return max(max(sighting.mtime_ns, sighting.ctime_ns) for sighting in seen)


def _gist(document: dict[str, Any]) -> object:
    """Return what of a document is news: all but what passes with time."""
    passing = ("serial", "at", "next_at", "disks", "waiting_files", "deferred_drops", "oldest", "failing")
    kept = {name: value for name, value in document.items() if name not in passing}
    kept["clock"] = {n: v for n, v in (document["clock"] or {}).items() if n != "held_until"}
    kept["retention"] = {n: v for n, v in document["retention"].items() if n not in ("next_run_at", "last_run_at")}
    waits = [(w["name"], w["stale"], [p.get("message") for p in w["problems"]]) for w in document["waiting_files"]]
    kept["storage"] = [(one["path"], one["problem"]) for one in document["storage"]]
    failing = [(one["task"], one["cause"], one["attempts"]) for one in document["failing"]]
    return (
        kept,
        waits,
        failing,
        [(drop["drop_id"], drop["cause"], drop["attempts"]) for drop in document["deferred_drops"]],
    )


def _text_or_none(value: object) -> str | None:
    moment = parse_stored(value)
    return millisecond_stamp(moment) if moment is not None else None


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None

"""The daemon: one loop that looks at the inbox, takes what is whole, and keeps house.

Owns the process: signals, the watch, timers, the two locks, reload, and the order of start and stop. Every pass is
the same, whatever woke it (start, hint, timer, retry): list the folder, decide, carry out. What happens to a drop
is `intake`'s; what is in the inbox `inbox`'s; what to retire `retirement`'s.

The loop sleeps in one place, on a pipe that hints and signals write to, until the next thing is due. Between two
pieces of work (two drops, two batches, the parts of a pass) it publishes status and metrics. From within a piece of
work only the watchdog gets its sign of life: whoever is called from below a commit must not ask the registry.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from .. import __version__
from ..base.disk import Disk, PacedDisk, make_folder
from ..base.flocks import FileLock
from ..base.machine import Machine, utc_now
from ..config.changes import describe_changes, settings_of
from ..config.load import load_config
from ..config.settings import Config
from ..errors import ConfigError, ModelInboxError, RegistryLocked, StorageError
from ..inbox.claims import Claim
from ..inbox.drop import Drop, is_ignored, scaler_stem
from ..inbox.folder import Inbox, Rescan, limits_of
from ..inbox.late_scaler import find_scalerless_model
from ..inbox.pipeline import Intake
from ..inbox.readiness import Refuse, Take, Wait
from ..inbox.rejected import purge_receipts, purge_rejected
from ..inbox.validation import Checks
from ..inbox.watch import Watch, is_network_file_system
from ..pickles import Allowlist, Scanner
from ..problems import quoted
from ..problems.codes import Code
from ..problems.config import config_not_available
from ..problems.drop import drop_not_movable, drop_scaler_late
from ..registry.paths import daemon_lock, status_paths
from ..registry.registry import ModelRegistry
from ..retention.apply import apply_retention, purge_leftovers, purge_trash
from ..telemetry.logging import configure
from ..telemetry.metrics import CONTENT_TYPE
from ..telemetry.metrics_server import MetricsServer
from ..telemetry.status_file import Publisher
from ..telemetry.watchdog import Heartbeat
from .health import Health
from .reporter import News

__all__ = ["Service", "run"]

log = structlog.get_logger("model_inbox")

BATCH_DROPS = 128
BATCH_SECONDS = 0.5
BATCH_BYTES = 256 << 20  # what is digested and written in about a second: a large model holds up no more than itself
COLLECT_AFTER_OBJECTS = 20_000
PASS_SECONDS = 2.0  # then the folder is looked at again, for what came meanwhile
PASS_PER_LOOK = 9.0  # but a pass takes this many times as long as its look, so that looking is a tenth of the work,
PASS_OF_RESCAN = 0.3  # and at most that part of `rescan_seconds`: what comes meanwhile is not to wait longer than those
POLLING_SECONDS = 2.0
CANARY_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 3600.0
REWATCH_SECONDS = 5.0
RETENTION_DELAY_SECONDS = 1.0
LOOK_AGAIN_FRACTION = 10.0  # what has stayed as it is for t, and may change unseen, is looked at again after t / 10
LOOK_PAUSE_FACTOR = 3.0  # after a look that took t, the next hint waits 3 t: storms cost a quarter of a core
LOOK_PAUSE_SECONDS_MAX = 2.0
# Problems of a drop that are not told while they are all that it waits for: it will be whole soon, or the log said it
# when its claim failed.
_NOT_TOLD: frozenset[Code] = frozenset({"drop.settling", "drop.not_movable"})
# Problems that may pass without an event of the file system.
_CHANGES_UNSEEN: frozenset[Code] = frozenset({"artifact.open_for_writing", "drop.unreadable"})
TELL_SECONDS = 5.0  # what waits for less is an ordinary copy, which comes to its end by itself
# How long a drop may take, for the promise when the next status comes: a slow disk, and two scans at their limit.
SLOW_BYTES_PER_SECOND = 50e6
SCANS_PER_DROP = 2
MAINTENANCE_SECONDS = 600.0  # what applying the rules, or emptying the trash, may take at most between two signs of it
LOCK_SECONDS = 0.5  # a command that asks whether the lock is held may hold it for an instant
# What was said of these, beside names of files, which hold no slash.
_INBOX, _WATCH, _UNMOVABLE, _ARRIVING = "/inbox", "/watch", "/unmovable/", "/arriving/"


class Service:
    """One daemon on one inbox and one registry.

    `start` takes the locks and settles what an earlier daemon left, `step` makes one pass, `close` lets go;
    `run` below does these under signals.
    """

    def __init__(
        self,
        config: Config,
        *,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        disk: Disk | None = None,
        make_scanner: Callable[[Config], Scanner] | None = None,
        heartbeat: Heartbeat | None = None,
        publisher: Publisher | None = None,
        adjust: Callable[[Config], Config] = lambda config: config,
    ) -> None:
        self.config = config
        self._adjust = adjust
        self._started_with = config
        self._clock = clock
        self._monotonic = monotonic
        self._heartbeat = heartbeat if heartbeat is not None else Heartbeat(environment={})
        self._progress = self._heartbeat.beat
        self._disk = disk if disk is not None else PacedDisk(self._progress)
        self._machine = Machine(clock, monotonic, self._disk, progress=self._progress)
        self._wake = wake
        self._make_scanner = make_scanner if make_scanner is not None else _scanner
        self._stack = contextlib.ExitStack()
        self._inbox_lock: FileLock | None = None
        self._inbox_locks = self._stack.enter_context(contextlib.ExitStack())
        self.health = Health()
        self._said: dict[str, str] = {}  # what was logged last of each thing: only to log it once
        self._waits_since: dict[str, float] = {}
        self._tell_at: float | None = None
        self._checkpoint_at: float | None = None
        self._last_checkpoint = monotonic()
        self._housekeeping_at = monotonic()
        self._retention_at = monotonic()
        self._canary_at: float | None = None
        self._canary_due = monotonic()
        self._rewatch_at: float | None = None
        self.waiting = 0
        self.last_rescan: Rescan | None = None
        self._left_unfinished = False
        self._is_behind = False  # a pass ended before all that was ready was carried out
        self._unseen_after: float | None = None
        self._news = News(self, publisher, started_with=config, clock=clock, monotonic=monotonic)
        self.server: MetricsServer | None = None

    # --- start and stop ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the locks, open everything, settle what was in hand. Raises ConfigError, RegistryError,
        RegistryLocked (a second daemon), StorageError.
        """
        config = self.config
        disk = self._disk
        self.inbox = Inbox(
            config.inbox.path,
            limits_of(config.inbox, polling=config.inbox.watcher == "polling"),
            self._machine,
        )
        self._stack.callback(self.inbox.close)
        self.inbox.prepare()
        self._lock_inbox()
        registry_path = config.registry.path
        make_folder(disk, registry_path.parent)
        registry_lock = _locked(
            daemon_lock(registry_path),
            f"daemon's lock on the registry {registry_path}",
        )
        self._stack.callback(registry_lock.close)
        self._news.begin()
        self.registry = ModelRegistry(
            registry_path,
            config.registry.storage_dir,
            lock_timeout=config.registry.lock_timeout,
            actor="daemon",
            clock=self._clock,
            disk=disk,
        )
        self._stack.callback(self.registry.close)
        log.info(
            "registry.opened",
            path=str(registry_path),
            entries=len(self.registry.registry),
            sequence=self.registry.sequence,
        )
        self.scanner = self._paced(self._make_scanner(config))
        self._stack.callback(self._close_scanner)
        self.intake = Intake(
            self.inbox,
            self.registry,
            self.scanner,
            _checks(config),
            self._machine,
            between_drops=self._publish_due,
        )
        self._make_watch(polling=self._must_poll())
        self._stack.callback(self._stop_watch)
        self._listen(config)
        self._stack.callback(self._stop_listening)
        self._news.opened()
        # The watch first, then the look: what arrives in between is seen by one of them.
        self._start_watch()
        self._left_unfinished = True
        self._finish_left()  # a file that cannot be moved or removed is no reason to take no drops
        self._go_on(self.intake.recover())

    def close(self) -> None:
        """Write the checkpoint and let go of everything."""
        self._stack.close()

    def _close_scanner(self) -> None:
        self.scanner.close()

    def _paced(self, scanner: Scanner) -> Scanner:
        scanner.progress = self._progress
        return scanner

    def _lock_inbox(self) -> None:
        """Take the lock in the folder that is at the inbox's path now, in place of one on another folder."""
        path = self.inbox.processing_dir / ".daemon.lock"
        if self._inbox_lock is not None and self._inbox_lock.is_in_place:
            return  # the folder went away and came back: a second lock on its file would wait for the first
        lock = _locked(path, f"daemon's lock on the inbox {self.inbox.path}")
        self._inbox_locks.close()
        self._inbox_locks.callback(lock.close)
        self._inbox_lock = lock

    # --- one pass ---------------------------------------------------------------------------------------------

    def step(self, cause: str, stopping: Callable[[], bool] = lambda: False) -> None:
        """Look at the inbox once and carry out what was decided. Raises RegistryError for a damaged registry."""
        if not self._keep_in_place():
            self.last_rescan = None
            return
        self._news.doing = "looking at the inbox"
        self._keep_watching()
        self._go_on(self.intake.resume())
        try:
            rescan = self.inbox.rescan()
        except StorageError as error:
            if self._is_news(_INBOX, str(error)):
                log.error("inbox.unreadable", path=str(self.inbox.path), problem=str(error))
            self.health.inbox_problem = str(error)
            self.last_rescan = None
            return
        self.health.inbox_problem = ""
        self._said.pop(_INBOX, None)
        self.last_rescan = rescan
        self.intake.tally.rescans += 1
        self._unseen_after = self._look_again_after(rescan)
        ready = rescan.ready()
        log.debug(
            "inbox.rescanned",
            cause=cause,
            found=rescan.found,
            ready=len(ready),
            waiting=len(rescan.drops) - len(ready),
            seconds=rescan.seconds,
        )
        self._tell(rescan)
        if ready:
            self._news.doing = "taking 1 drop" if len(ready) == 1 else f"taking {len(ready)} drops"
        # Who started us waits to hear that we are ready: the rest of what lies there comes with the next pass.
        longest = 0.0 if cause == "start" else self.config.inbox.rescan_seconds * PASS_OF_RESCAN
        seconds = max(PASS_SECONDS, min(PASS_PER_LOOK * rescan.seconds, longest))
        took_all = self._take(ready, self._time_is_up(seconds, stopping))
        refused_all = self._refuse_strays(rescan, self._time_is_up(seconds, stopping))
        self._is_behind = not (took_all and refused_all)
        if not self._is_behind:
            self.intake.rest()
        self._news.doing = ""

    def _time_is_up(self, seconds: float, stopping: Callable[[], bool]) -> Callable[[], bool]:
        ends = self._monotonic() + seconds
        return lambda: stopping() or self._monotonic() >= ends

    def _take(self, ready: Sequence[tuple[Drop, Take | Refuse]], enough: Callable[[], bool]) -> bool:
        """Claim and go on in batches: drops that are ready together commit together, and none waits long.

        Tells whether it came to the end before it was `enough`. What is left over is found by the next look, which
        puts in turn what came meanwhile.
        """
        batch: list[Claim] = []
        size = 0
        began = self._monotonic()
        done = True
        for drop, decision in ready:
            if enough():
                done = False
                break
            try:
                if isinstance(decision, Take):
                    claim = self.intake.take(drop, decision.integrity)
                else:
                    claim = self.intake.refuse(drop, decision.problems)
            except StorageError as error:
                problem = drop_not_movable(drop.sidecar_name, str(error))
                self.inbox.note_unmovable(drop.stem, problem, self.config.inbox.rescan_seconds)
                self._say_cannot_claim(drop, error)
                continue
            if claim is not None:
                batch.append(claim)
                size += claim.size
            if len(batch) >= BATCH_DROPS or size >= BATCH_BYTES or self._monotonic() - began > BATCH_SECONDS:
                self._go_on(batch, more=True)
                batch, size = [], 0
                began = self._monotonic()
        self._go_on(batch)
        return done

    def _go_on(self, claims: Sequence[Claim], *, more: bool = False) -> None:
        if not claims and not self.intake.in_hand:
            return
        before = self.registry.sequence
        largest = max((claim.size for claim in claims), default=0)
        self._news.allow(largest / SLOW_BYTES_PER_SECOND + SCANS_PER_DROP * self.config.pickle.time_limit)
        self.intake.go_on(claims, more=more)
        self._news.allow(0)
        self._publish_due()
        if self.registry.sequence != before:
            # Not after each: what the rules cost grows with the registry, what a registration costs must not.
            self._retention_at = min(self._retention_at, self._monotonic() + RETENTION_DELAY_SECONDS)
            self._checkpoint_at = self._checkpoint_at or self._checkpoint_due()

    def _refuse_strays(self, rescan: Rescan, enough: Callable[[], bool]) -> bool:
        """Refuse what has been without a sidecar for too long; tell whether it came to the end."""
        for stray, decision in rescan.strays:
            if enough():
                return False
            problems = decision.problems
            if isinstance(decision, Wait):
                model_id = find_scalerless_model(stray, self.inbox, self.registry, self._clock())
                if model_id is None:
                    continue
                problems = (drop_scaler_late(stray.name, model_id),)
            try:
                claim = self.intake.refuse_stray(stray, problems)
            except StorageError as error:
                if self._is_news(_UNMOVABLE + stray.name, str(error)):
                    log.warning("drop.stray_move_failed", name=quoted(stray.name)[1:-1], problem=str(error))
                continue
            if claim is None:
                continue
            if isinstance(decision, Wait):
                claim.model_id = model_id
                log.error(
                    "drop.scaler_late",
                    stem=quoted(claim.stem)[1:-1],
                    model_id=model_id,
                    drop_id=claim.drop_id,
                )
            self.intake.go_on([claim])
        return True

    # --- saying what waits, once --------------------------------------------------------------------------------

    def _tell(self, rescan: Rescan) -> None:
        """Say of each drop and stray what it waits for, when that changes; forget those that are gone."""
        before, self._waits_since = self._waits_since, {}
        self._tell_at = None
        self.waiting = rescan.waiting
        for drop, decision in rescan.drops:
            if not isinstance(decision, Wait):
                continue
            since = self._waits_since[drop.sidecar_name] = before.get(drop.sidecar_name, rescan.at)
            if len(decision.problems) == 1 and decision.problems[0].code in _NOT_TOLD:
                continue
            self._tell_waiting(drop.sidecar_name, drop.stem, decision, rescan.at - since)
        for stray, stray_decision in rescan.strays:
            if not isinstance(stray_decision, Wait):
                continue
            since = self._waits_since[stray.name] = before.get(stray.name, rescan.at)
            if stray_decision.stale:
                problem = str(stray_decision.problems[0])
                if self._is_news(stray.name, problem):
                    log.warning("drop.stray_found", name=quoted(stray.name)[1:-1], problem=problem)
            elif self.inbox.unchanged_seconds(stray.name) >= self.inbox.limits.settle_seconds:
                self._tell_waiting(stray.name, stray.name, stray_decision, rescan.at - since)
        if rescan.partial:  # what there was no time to look at has not gone
            self._waits_since = {**before, **self._waits_since}
            return
        names = {prefix + name for name in self._waits_since for prefix in ("", _ARRIVING)}
        names |= {_UNMOVABLE + drop.sidecar_name for drop, _ in rescan.drops}
        names |= {_UNMOVABLE + stray.name for stray, _ in rescan.strays}
        for name in list(self._said):
            if name not in names and name not in (_INBOX, _WATCH):
                del self._said[name]

    def _tell_waiting(self, name: str, stem: str, decision: Wait, waited: float) -> None:
        """Say what a drop waits for: once it has waited longer than a copy takes, and again when it is something else.

        How much of a file is there may change with each look, and is no news.
        """
        what = f"{decision.stale} {[(problem.code, problem.file, problem.field) for problem in decision.problems]}"
        said = [str(problem) for problem in decision.problems]
        shown = quoted(stem, 255)[1:-1]
        if waited < TELL_SECONDS and not decision.stale:
            tell_at = self._monotonic() + TELL_SECONDS - waited
            self._tell_at = tell_at if self._tell_at is None else min(self._tell_at, tell_at)
            if self._is_news(_ARRIVING + name, what):
                log.debug("drop.arriving", stem=shown, problems=said)
        elif self._is_news(name, what):
            if decision.stale:
                log.warning("drop.stale", stem=shown, problems=said, age_seconds=self.inbox.age_seconds(name))
            else:
                log.info("drop.waiting", stem=shown, problems=said, until=decision.until)

    def _is_news(self, name: str, what: str) -> bool:
        """Tell whether this was not the last thing said of that name."""
        if self._said.get(name) == what:
            return False
        self._said[name] = what
        return True

    def _say_cannot_claim(self, drop: Drop, error: StorageError) -> None:
        if self._is_news(_UNMOVABLE + drop.sidecar_name, f"{error.operation} {error.errno}"):
            log.warning("drop.move_failed", stem=quoted(drop.stem, 255)[1:-1], problem=str(error))

    # --- the watch --------------------------------------------------------------------------------------------

    def _must_poll(self) -> bool:
        """Tell whether the folder is to be listed by the clock: by config.yaml, or by the file system that it is on.

        Raises StorageError.
        """
        watcher = self._started_with.inbox.watcher
        try:
            return watcher == "polling" or (watcher == "auto" and is_network_file_system(self.inbox.path))
        except OSError as error:
            raise StorageError("look at the file system of", self.inbox.path, error) from error

    def _make_watch(self, *, polling: bool) -> None:
        self.watch = Watch(self.inbox.path, self._wake, polling=polling, is_ignored=is_ignored)
        self.inbox.limits = limits_of(self.config.inbox, polling=polling)

    def _stop_watch(self) -> None:
        self.watch.stop()

    def _start_watch(self) -> None:
        if self._try_watch():
            self._canary_due = self._monotonic()
        else:
            self._watch_lost(self.watch.deaf_because)

    def _try_watch(self) -> bool:
        began = self.watch.start()
        self.health.watch_problem = "" if began else self.watch.deaf_because or "no watch"
        if began:
            self._rewatch_at = None
        return began

    def _watch_lost(self, cause: str) -> None:
        if self._is_news(_WATCH, cause):
            log.warning("inbox.watch_lost", cause=cause)
        self._rewatch_at = self._monotonic() + REWATCH_SECONDS

    def _keep_in_place(self) -> bool:
        """Notice that the inbox is another folder now, and make it ours; tell whether there is one to work in.

        One that was renamed away is waited for: making a new one would stand in its way when it comes back. One
        that was removed for good is made anew.
        """
        if self.inbox.is_in_place:
            return True
        try:
            self.inbox.prepare(make=self.inbox.is_removed)
            self._lock_inbox()
            polling = self._must_poll()
        except (ConfigError, StorageError, RegistryLocked) as error:
            self.inbox.close()
            if self._is_news(_INBOX, str(error)):
                log.error("inbox.unavailable", path=str(self.inbox.path), problem=str(error))
            self.health.inbox_problem = str(error)
            return False
        self._rewatch_at = None
        if polling != self.watch.polling:  # else it is noticed below that another folder is being watched
            self.watch.stop()
            self._make_watch(polling=polling)
            self._start_watch()
        return True

    def _keep_watching(self) -> None:
        """Notice a watch that went deaf, and make it anew. Costs one stat a pass and a small file now and then."""
        now = self._monotonic()
        if self.watch.polling:
            return
        lost = ""
        if self.watch.is_deaf:
            if self._rewatch_at is not None and now < self._rewatch_at:
                return
            lost = self.watch.deaf_because or "no watch"
        elif self.watch.moved():
            lost = "the folder at the inbox's path is another one now"
        elif not self.watch.is_alive:
            lost = "a thread of the watch ended"
        elif self._canary_at is not None and now >= self._canary_at + CANARY_SECONDS:
            self._canary_at = None
            if not self.watch.canary_came(0):
                lost = "a file of our own was made and no event came"
        elif self._canary_at is None and now >= self._canary_due:
            self.watch.send_canary()
            self._canary_at = now
            self._canary_due = now + self.config.inbox.rescan_seconds
        if not lost:
            return
        self._watch_lost(lost)
        self._canary_at = None
        if self._try_watch():
            self._said.pop(_WATCH, None)
            self._canary_due = now
            log.info("inbox.watch_restored", watcher="inotify")

    # --- keeping house ----------------------------------------------------------------------------------------

    def keep_house(self) -> None:
        """Do what is due by the clock: retention, checkpoint, removal of what has been kept long enough."""
        now = self._monotonic()
        if now >= self._retention_at:
            self._retention_at = now + self.config.retention.interval.seconds
            self._news.doing = "applying the retention rules"
            self._news.allow(MAINTENANCE_SECONDS if self.config.retention.mode != "off" else 0)
            self._retire()
            self._news.allow(0)
            self._news.doing = ""
        if now >= self._housekeeping_at:
            self._housekeeping_at = now + HOUSEKEEPING_SECONDS
            self._purge_old()
        if self._checkpoint_at is not None and now >= self._checkpoint_at:
            self._checkpoint()

    def _retire(self) -> None:
        """Apply the rules and empty the trash of what is due. What fails of it keeps nothing else from being done:
        on a full disk it is the purge that makes room.
        """
        section = self.config.retention
        if section.mode == "off":
            self.health.retention_problem = self.health.breaker = ""
            return
        before, now = self.registry.sequence, self._clock()
        problems: list[str] = []
        self._news.retention_ran()
        with _attempt() as rules:
            done = apply_retention(self.registry, section, now)
            self.health.breaker = str(done.plan.breaker) if done.refused else ""
            self.intake.tally.retired += len(done.retired)
        if rules.problem:
            log.error("retention.failed", problem=rules.problem)
            problems.append(rules.problem)
        self._publish_due()
        if section.mode == "enforce":
            problems += self._finish_left()
            self._publish_due()
            problems += self._empty_trash(section.trash_grace.seconds, now)
            self._left_unfinished = bool(problems)
        self.health.retention_problem = problems[0] if problems else ""
        if self.registry.sequence != before:
            self._checkpoint_at = self._checkpoint_at or self._checkpoint_due()

    def _finish_left(self) -> list[str]:
        """Move what a writer that died left behind, and what could not be moved the last time. Return what failed."""
        with _attempt() as leftovers:
            found = self.registry.finish_retirements()
            if self._left_unfinished:  # looks through the whole history, so not each time
                found += self.registry.finish_purges()
                self._left_unfinished = False
            if found:
                log.warning("registry.leftover_found", count=found)
        if not leftovers.problem:
            return []
        self._left_unfinished = True
        log.error("registry.leftover_unmoved", problem=leftovers.problem)
        return [leftovers.problem]

    def _empty_trash(self, grace_seconds: float, now: datetime) -> list[str]:
        """Purge what has been in the trash for longer than the grace. Return what failed."""
        with _attempt() as models:
            purge_trash(self.registry, grace_seconds, now)
        self._publish_due()
        with _attempt() as others:
            purge_leftovers(Path(self.registry.registry_path).parent / ".trash", grace_seconds, now, self._disk)
        failed = [attempt.problem for attempt in (models, others) if attempt.problem]
        for problem in failed:
            log.error("retention.purge_failed", problem=problem)
        return failed

    def _purge_old(self) -> None:
        """Remove what has been kept long enough. What cannot be removed keeps nothing else from going."""
        if self.inbox.is_in_place:
            self._purge_answers()
            self._publish_due()
        with _attempt() as history:
            self.registry.prune_history(self.config.registry.history_keep)
        if history.problem:
            log.error("registry.prune_failed", problem=history.problem)
        if self._left_unfinished and self.config.retention.mode != "enforce":  # else it is tried at each run
            self._finish_left()

    def _purge_answers(self) -> None:
        """Remove rejected drops and receipts that have been kept long enough."""
        inbox, now = self.config.inbox, self._clock()
        with _attempt() as rejected:
            drops, freed = purge_rejected(self.inbox.rejected_dir, now, inbox.rejected_keep, self._disk)
            if drops:
                log.info("drop.rejected_purged", purged=drops, bytes=freed)
        if rejected.problem:
            log.error("inbox.purge_failed", path=str(self.inbox.rejected_dir), problem=rejected.problem)
        self._publish_due()
        with _attempt() as answers:
            receipts = purge_receipts(self.inbox.receipts_dir, now, inbox.receipts_keep, self._disk)
            if receipts:
                log.debug("inbox.receipts_purged", purged=receipts)
        if answers.problem:
            log.error("inbox.purge_failed", path=str(self.inbox.receipts_dir), problem=answers.problem)

    def _checkpoint_due(self) -> float:
        """Within a second of idle, and at most every `checkpoint_seconds`."""
        return max(self._monotonic() + 0.5, self._last_checkpoint + self.config.registry.checkpoint_seconds)

    def _checkpoint(self) -> None:
        began = self._monotonic()
        self._checkpoint_at = None
        self._last_checkpoint = began
        with _attempt() as checkpoint:
            if self.registry.checkpoint():
                log.debug(
                    "registry.checkpointed",
                    sequence=self.registry.sequence,
                    seconds=self._monotonic() - began,
                )
        if checkpoint.problem:
            log.error("registry.checkpoint_failed", problem=checkpoint.problem)
        with _attempt() as rotation:
            self.registry.change_segment_when_outgrown()
        if rotation.problem:
            log.error("journal.rotation_failed", problem=rotation.problem)
        self.health.checkpoint_failed = bool(checkpoint.problem)
        self.health.rotation_failed = bool(rotation.problem)
        if checkpoint.problem or rotation.problem:
            self._checkpoint_at = began + max(self.config.registry.checkpoint_seconds, 1.0)

    # --- time and reload --------------------------------------------------------------------------------------

    def next_seconds(self) -> float:
        """Return how long the loop may sleep when nothing happens."""
        now = self._monotonic()
        due = [
            POLLING_SECONDS if self.watch.polling else self.config.inbox.rescan_seconds,
            self._housekeeping_at - now,
        ]
        if self.config.retention.mode != "off":
            due.append(self._retention_at - now)
        if self.last_rescan is not None:
            rescan = self.last_rescan
            if rescan.partial or self._is_behind:
                return 0.0
            if rescan.next_at is not None:
                due.append(rescan.next_at - now)
            if self._unseen_after is not None:
                due.append(rescan.at + self._unseen_after - now)
            held_until = self.inbox.held_until(rescan.at)  # by what was carried out after the look, too
            if held_until is not None:
                due.append(held_until - now)
        else:
            due.append(1.0)
        moments = (self._checkpoint_at, self._rewatch_at, self._tell_at if self.last_rescan is not None else None)
        due.extend(moment - now for moment in moments if moment is not None)
        if self._canary_at is None and not self.watch.polling and not self.watch.is_deaf:
            due.append(self._canary_due - now)  # whether it came is asked at the next pass, whatever that is for
        if self.intake.next_retry_seconds is not None:
            due.append(self.intake.next_retry_seconds)
        return max(min(due), 0.0) + 0.001

    @property
    def retention_seconds(self) -> float:
        """In how many seconds the rules are applied next, if they are on."""
        return max(self._retention_at - self._monotonic(), 0.0)

    def _look_again_after(self, rescan: Rescan) -> float | None:
        """In how many seconds to look again at what may change without an event, or None.

        A writer that has the file mapped and a right that is given send none; nor does the time that tells a
        late scaler from the first file of a drop. The longer a thing has stayed so, the less often it is looked at.
        """
        settle = self.inbox.limits.settle_seconds
        ages = [
            min(self.inbox.age_seconds(name) for name in drop.present)
            for drop, decision in rescan.drops
            if _may_change_unseen(decision)
        ]
        waits = [max(settle, age / LOOK_AGAIN_FRACTION) for age in ages]
        for stray, _ in rescan.strays:
            if scaler_stem(stray.name) is not None:
                left = settle - self.inbox.unchanged_seconds(stray.name)
                waits += [left] if left > 0 else []
        return min(waits, default=None)

    def reload(self) -> None:
        """Read config.yaml again. A bad one is refused with its problems, and the old stays in force.

        The answer is published at once, for whoever waits for it.
        """
        path, began = self.config.path, time.monotonic()  # the kernel's clock: other processes have the same
        try:
            new = self._adjust(load_config(path, env=os.environ, cwd=Path.cwd()))
            scanner = self._paced(self._make_scanner(new)) if new.pickle != self.config.pickle else None
            try:
                self._listen(new)
            except BaseException:
                if scanner is not None:
                    scanner.close()
                raise
        except ModelInboxError as error:
            problems = getattr(error, "problems", ()) or (error.as_problem(),)
            said = [str(problem) for problem in problems]
            log.error("config.refused", path=str(path), problems=said)
            self._news.refused(began, problems)
            return
        changed, _ = describe_changes(self.config, new)
        _, restart = describe_changes(self._started_with, new)  # said until there is a restart
        if self.config.metrics.textfile not in (None, new.metrics.textfile):
            self._news.remove_textfile()
        self.config = new
        self.inbox.limits = limits_of(new.inbox, polling=self.watch.polling)
        self.intake.judge.checks = _checks(new)
        self.registry.lock_timeout = new.registry.lock_timeout
        if scanner is not None:
            self.scanner.close()
            self.scanner = self.intake.judge.scanner = scanner
        self._retention_at = self._housekeeping_at = self._monotonic()
        if self._checkpoint_at is not None:
            self._checkpoint_at = self._checkpoint_due()
        self._canary_due = min(self._canary_due, self._monotonic() + new.inbox.rescan_seconds)
        configure_logs(new)
        log.info(
            "config.loaded",
            path=str(path),
            changed=list(changed),
            restart_needed=list(restart),
            settings=settings_of(new),
        )
        self._news.loaded(began, changed, restart)

    # --- what is told of us -----------------------------------------------------------------------------------

    def _publish_due(self) -> None:
        """Publish what is due, between two pieces of work: the registry is asked, so none of its locks may be held."""
        self._progress()
        self._news.when_due()

    def begin_serving(self) -> None:
        """Say that drops are taken from now on."""
        self._news.state = "running"
        self._news.publish()
        self.tell()

    def begin_stopping(self) -> None:
        """Say that we end."""
        self.intake.rest()
        self._news.state = "stopping"
        self._news.publish()

    def tell(self) -> None:
        """Publish the status if it is time, and say in a line what we do."""
        self._news.when_due()
        self._heartbeat.say(self._news.line())

    @property
    def news_seconds(self) -> float:
        """In how many seconds the status is to be published again."""
        return self._news.due_seconds

    def _listen(self, config: Config) -> None:
        """Listen where `metrics.listen` says, if that is another address than now.

        At a reload an address that cannot be had is refused, and the old one kept. At the start it is only said:
        the drops come first.
        """
        address = config.metrics.listen
        if self.server is not None and address == self.server.address and not self.server.problem:
            return
        if address is None:
            self._stop_listening()
            return
        try:
            new = MetricsServer(address, CONTENT_TYPE)
        except OSError as error:
            problem = config_not_available(address, error.strerror or error)
            if config is not self.config:
                raise ConfigError(f"cannot use the configuration {str(config.path)!r}: 1 problem", [problem]) from error
            log.error("daemon.metrics_unwritten", problem=problem.message)
            self.health.listen_problem = problem.message
            return
        self._stop_listening()
        self.server = new
        self._news.serve(new)
        new.start()

    def _stop_listening(self) -> None:
        self._news.serve(None)
        self.health.listen_problem = ""
        if self.server is not None:
            self.server.close()
            self.server = None


@dataclass(slots=True)
class _Attempt:
    """A piece of maintenance that may fail. `problem` says why it did, or is empty."""

    problem: str = ""


@contextlib.contextmanager
def _attempt() -> Iterator[_Attempt]:
    """Note why the block failed, and go on after it: what fails must not keep the rest from being done."""
    attempt = _Attempt()
    try:
        yield attempt
    except (StorageError, RegistryLocked) as error:
        attempt.problem = str(error)


def _may_change_unseen(decision: object) -> bool:
    """A writer that has the file mapped, or a right that is given, sends no event: look again by the clock."""
    return isinstance(decision, Wait) and any(problem.code in _CHANGES_UNSEEN for problem in decision.problems)


def _checks(config: Config) -> Checks:
    return Checks(config.checks.model_types, config.checks.currency_pairs, config.inbox.max_artifact_size)


def _scanner(config: Config) -> Scanner:
    section = config.pickle
    return Scanner(
        Allowlist.load(section.frameworks, section.allow),
        memory_limit=section.memory_limit,
        time_limit=section.time_limit,
    )


def configure_logs(config: Config) -> None:
    """Set up logging as config.yaml says."""
    configure(format=config.logging.format, level=config.logging.level, file=config.logging.file)


def _locked(path: Path, purpose: str) -> FileLock:
    """Return a lock that is held. Raises RegistryLocked, saying who holds it, at once."""
    lock = FileLock(path, purpose)
    try:
        lock.acquire(LOCK_SECONDS)
    except RegistryLocked as error:
        lock.close()
        raise RegistryLocked(
            f"cannot start: another model-inbox daemon holds the {purpose}: {lock.holder()}",
            hint="One daemon serves one inbox and one registry; stop the other one first",
        ) from error
    return lock


class _Alarm:
    """A pipe that the loop sleeps on. Hints and signals write a byte; writing never blocks and never fails."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # full: the loop is awake already; closed: it has ended
            os.write(self.writer, b"!")

    def sleep(self, seconds: float) -> bool:
        """Sleep until it rings or the time is over. Return whether it rang."""
        ready, _, _ = select.select([self.reader], [], [], max(seconds, 0.0))
        if ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(self.reader, 4096):
                    pass
        return bool(ready)


class _Signals:
    """What signals asked for, to be done by the loop."""

    def __init__(self, alarm: _Alarm) -> None:
        self._alarm = alarm
        self.stop: str | None = None
        self.reload = False

    def handle(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self.reload = True
        else:
            self.stop = signal.Signals(number).name
        self._alarm.ring()

    def stopping(self) -> bool:
        return self.stop is not None


@contextlib.contextmanager
def _handling(signals: _Signals) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, signals.handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(config: Config, adjust: Callable[[Config], Config] = lambda config: config) -> None:
    """Run the daemon until SIGTERM or SIGINT. Raises what `Service.start` and a damaged registry raise.

    `adjust` is applied to each configuration that is read later: what the command line says holds on.
    """
    began = time.monotonic()
    alarm = _Alarm()
    signals = _Signals(alarm)
    heartbeat = Heartbeat()
    publisher = Publisher(status_paths(config.registry.path, config.inbox.path))
    service = Service(config, wake=alarm.ring, heartbeat=heartbeat, publisher=publisher, adjust=adjust)
    with _handling(signals), contextlib.closing(service):
        log.info(
            "daemon.started",
            version=__version__,
            pid=os.getpid(),
            config=str(config.path) if config.path is not None else None,
            inbox=str(config.inbox.path),
            registry=str(config.registry.path),
            settings=settings_of(config),
        )
        service.start()
        # A drop makes thousands of objects and no cycles: the collector would look at them again and again in a flood.
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER_OBJECTS)
        service.step("start", signals.stopping)
        service.keep_house()
        heartbeat.ready()
        service.begin_serving()
        log.info(
            "daemon.ready",
            waiting=service.waiting,
            entries=len(service.registry.registry),
            seconds=time.monotonic() - began,
        )
        _loop(service, signals, alarm, heartbeat)
        log.info("daemon.stopping", signal=signals.stop)
        heartbeat.stopping()
        service.begin_stopping()
    log.info("daemon.stopped", uptime_seconds=time.monotonic() - began)


def _loop(service: Service, signals: _Signals, alarm: _Alarm, heartbeat: Heartbeat) -> None:
    looked = time.monotonic()
    look_at = looked + service.next_seconds()
    while not signals.stopping():
        waits = [look_at - time.monotonic(), service.news_seconds, heartbeat.sleep_seconds]
        rang = alarm.sleep(min(wait for wait in waits if wait is not None))
        heartbeat.beat()
        if signals.stopping():
            return
        if signals.reload:
            signals.reload = False
            heartbeat.reloading()
            service.reload()
            heartbeat.ready()
        elif not rang and time.monotonic() < look_at:  # only to give a sign of life, or to tell of ourselves
            service.tell()
            continue
        if rang and service.last_rescan is not None:
            # Many events may ring for one look: leave the folder alone a little while in proportion to its size.
            pause = min(service.last_rescan.seconds * LOOK_PAUSE_FACTOR, LOOK_PAUSE_SECONDS_MAX)
            left = looked + pause - time.monotonic()
            if left > 0:
                time.sleep(left)
        looked = time.monotonic()
        service.step("hint" if rang else "timer", signals.stopping)
        service.keep_house()
        service.tell()
        look_at = time.monotonic() + service.next_seconds()

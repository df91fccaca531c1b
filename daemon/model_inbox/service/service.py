"""The daemon's parts put together: start, one pass, reload, close.

Owns the two locks, the order in which parts are opened and closed, and the order of work in a pass. Every pass is the
same, whatever woke it (start, hint, timer, retry): list the folder, decide, carry out. What happens to a drop belongs
to `inbox`, what is done by the clock to `maintenance`, when the next pass comes to each part's `due_in`.

Between two pieces of work (two drops, two batches, the parts of a pass) status and metrics are published. From within a
piece of work only the watchdog gets its sign of life: what is called from below a commit must not query the registry.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from ..base.disk import make_folder
from ..base.flocks import FileLock
from ..base.machine import Machine
from ..config.changes import describe_changes, settings_of
from ..config.rules import rules_text
from ..config.settings import Config
from ..errors import ConfigError, ModelInboxError, RegistryLocked, StorageError
from ..exit_codes import EXIT_TRY_AGAIN
from ..inbox.failures import FATAL_ERRORS
from ..inbox.folder import Inbox, Rescan, limits_of
from ..inbox.older_copy import Told, refuse_older_copy, told_by_receipts
from ..inbox.pipeline import Intake
from ..inbox.validation import Checks
from ..inbox.watch import Watch
from ..pickles import Scanner
from ..registry.paths import daemon_lock
from ..registry.registry import ModelRegistry
from ..telemetry.metrics_server import MetricsServer
from ..telemetry.status_file import Publisher
from ..telemetry.watchdog import Heartbeat
from .health import Health
from .maintenance import Maintenance
from .passes import Taking
from .reload import Reloaded, checks_of, configure_logs, open_server, read_again, scanner_of
from .reporter import Reporter
from .schedule import LookSchedule
from .unforeseen import Unforeseen
from .waiting_log import WaitingLog
from .watching import MakeWatch, Watching

__all__ = ["Service"]

_T = TypeVar("_T")

log = structlog.get_logger("model_inbox")

# How long a pass takes before the folder is looked at again, for what came meanwhile.
PASS_SECONDS = 2.0
# A pass may take 9 times as long as the look that it began with, so that looking stays under 10 % of the time.
PASS_PER_LOOK = 9.0
# And at most that part of `rescan_seconds`: what comes meanwhile must not wait longer than those.
PASS_OF_RESCAN = 0.3
# A command that asks whether a lock is held may hold it for an instant.
LOCK_SECONDS = 0.5


class Service:
    """One daemon on one inbox and one registry.

    `start` takes the locks and settles what an earlier daemon left, `step` makes one pass, `run_maintenance` does what
    is due by the clock, `close` releases everything. `loop.run` does these under signals.

    Whatever the daemon asks of the outside is passed in here: `machine` has the clocks, the disk, the leases and the
    watchdog's sign of life, `make_watch` makes the watch on the folder, `make_scanner` what looks into pickles, and
    `heartbeat` tells the service manager in words what is done.
    """

    def __init__(
        self,
        config: Config,
        machine: Machine,
        *,
        wake: Callable[[], None] = lambda: None,
        make_scanner: Callable[[Config], Scanner] = scanner_of,
        make_watch: MakeWatch = Watch,
        heartbeat: Heartbeat | None = None,
        publisher: Publisher | None = None,
        adjust: Callable[[Config], Config] = lambda config: config,
    ) -> None:
        self.config = config
        self._adjust = adjust
        self._started_with = config
        self._heartbeat = heartbeat if heartbeat is not None else Heartbeat(environment={})
        self._machine = machine
        self._wake = wake
        self._make_scanner = make_scanner
        self._make_watch = make_watch
        self._stack = contextlib.ExitStack()
        self._inbox_lock: FileLock | None = None
        self._inbox_locks = self._stack.enter_context(contextlib.ExitStack())
        self._logged_problem = ""  # of the inbox: only to log it once
        self.health = Health()
        self.unforeseen = Unforeseen(machine.monotonic)
        self.server: MetricsServer | None = None
        self.reporter = Reporter(self, publisher, machine, started_with=config)

    # --- start and stop ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the locks, open everything, settle what was in hand. Raises ConfigError, RegistryError,
        RegistryLocked (a second daemon), StorageError.
        """
        self._open_inbox()
        self._lock_registry()
        told = self.reporter.begin()
        self._open_registry()
        self._refuse_older_copy(told)
        self._make_parts()
        # The watch first, then the look: what arrives in between is seen by one of them.
        self._stack.callback(self.watching.stop)
        self.watching.start()
        self._serve_at_start()
        self._stack.callback(self._serve, None)
        self.reporter.opened()
        # Before anything is stamped or judged by the clock.
        if self.reporter.last_published is not None:
            self.registry.clock_watch.note_shown(self.reporter.last_published)
        self._look_at_clock()
        # Files that cannot be moved are no reason to take no drops.
        self.maintenance.settle_leftovers(starting=True)
        self.maintenance.look_at_history()
        self._try("going on with drops in progress", lambda: self._taking.go_on(self.intake.recover()))

    def close(self) -> None:
        """Write the checkpoint and release everything."""
        self._stack.close()

    def _open_inbox(self) -> None:
        section = self.config.inbox
        self.inbox = Inbox(
            section.path,
            limits_of(section, polling=section.watcher == "polling"),
            self._machine,
        )
        self._stack.callback(self.inbox.close)
        self.inbox.privacy.is_on = section.private
        self.inbox.prepare()
        self._say_if_not_private()
        self._lock_inbox()

    def _say_if_not_private(self) -> None:
        if self.inbox.privacy.is_on and not self.inbox.privacy.has_acls:
            log.warning("inbox.without_acls", path=str(self.inbox.path))
        if (shared := self.inbox.not_sticky) is not None:
            log.warning("inbox.unprotected", path=str(self.inbox.path), problem=shared.message, hint=shared.hint)
        if left_open := self.inbox.privacy.left_open:
            log.warning("inbox.left_open", path=str(left_open[0]), count=len(left_open))

    def _lock_registry(self) -> None:
        path = self.config.registry.path
        make_folder(self._machine.disk, path.parent)
        lock = _locked(daemon_lock(path), f"daemon's lock on the registry {path}")
        self._stack.callback(lock.close)

    def _open_registry(self) -> None:
        section = self.config.registry
        self.registry = ModelRegistry(
            section.path,
            section.storage_dir,
            lock_timeout=section.lock_timeout,
            actor="daemon",
            clock=self._machine.clock,
            disk=self._machine.disk,
            boot=self._machine.boot,
        )
        self._stack.callback(self.registry.close)
        if self.registry.read_only:
            # A later right would not open it again: the service manager starts us again until it is there.
            error = StorageError("write in", section.path.parent, PermissionError(errno.EACCES, self.registry.denied))
            error.exit_status = EXIT_TRY_AGAIN
            raise error
        log.info(
            "registry.opened",
            path=str(section.path),
            entries=len(self.registry.registry),
            sequence=self.registry.sequence,
        )

    def _refuse_older_copy(self, told: Sequence[Told]) -> None:
        """Raise RegistryCorrupted if receipts, or what the last daemon `told`, have lines that the registry lacks."""
        position = self.registry.position
        if position is None:
            return
        receipts = told_by_receipts(self.inbox.receipts_dir)
        newest = list(itertools.islice(receipts, 1))
        refuse_older_copy(self.registry, itertools.chain(told, newest, receipts), self.registry.recent_drops())
        if newest and newest[0].identity.registry_id != position.registry_id:
            log.warning("registry.replaced", path=self.registry.registry_path, before=str(newest[0].identity))

    def _make_parts(self) -> None:
        self.scanner = self._paced(self._make_scanner(self.config))
        self._stack.callback(self._close_scanner)
        self.intake = Intake(
            self.inbox,
            self.registry,
            self.scanner,
            self._checks_of(self.config),
            self._machine,
            between_drops=self.reporter.publish_if_due,
            make_scanner=lambda: self._make_scanner(self.config),
            wake=self._wake,
        )
        self._stack.callback(self.intake.close)
        self.watching = Watching(
            self.inbox, self.config.inbox, self.health, self._machine, wake=self._wake, make_watch=self._make_watch
        )
        self.schedule = LookSchedule(self.inbox, self.watching, self._machine)
        self.waiting_log = WaitingLog(self.inbox, self._machine)
        self.maintenance = Maintenance(
            self.config,
            self.inbox,
            self.registry,
            self.intake.tally,
            self.health,
            self._machine,
            obstacles=self.intake.obstacles,
            work=self.reporter.work,
            publish_due=self.reporter.publish_if_due,
        )
        self.intake.foresee = self.maintenance.foresees
        self._taking = Taking(
            self.config,
            self.inbox,
            self.registry,
            self.intake,
            self.maintenance,
            self.waiting_log,
            self.reporter,
            self._machine,
        )

    def _close_scanner(self) -> None:
        self.scanner.close()

    def _paced(self, scanner: Scanner) -> Scanner:
        scanner.progress = self._machine.progress
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

    # --- when -------------------------------------------------------------------------------------------------

    def due_in(self, now: float) -> float:
        """Return in how many seconds the next pass is due: the least of what the parts say.

        What works on the inbox is not asked while there is none: only the schedule says when to look for it.
        """
        waits = [self.schedule.due_in(now), self.maintenance.due_in(now)]
        if self.schedule.last is not None:
            waits += [self.watching.due_in(now), self.waiting_log.due_in(now), self.intake.due_in(now)]
        return max(min(wait for wait in waits if wait is not None), 0.0)

    # --- one pass ---------------------------------------------------------------------------------------------

    def take_changed(self) -> Collection[str] | None:
        """Return the names that events told of, or None when it is time to list the whole folder."""
        changed = self.watching.watch.take_changed()
        return None if self.schedule.is_listing_due(self._machine.monotonic()) else changed

    def step(
        self, cause: str, stopping: Callable[[], bool] = lambda: False, changed: Collection[str] | None = None
    ) -> None:
        """Look at the inbox once and carry out what was decided. Raises RegistryError for a damaged registry.

        With names that `changed` the folder is not listed: these are looked at, and what was in sight before.
        """
        with self.reporter.work("looking at the inbox"):
            self.registry.check()
            if self._try("looking at the inbox", lambda: self._pass(cause, stopping, changed)) is None:
                self.schedule.failed()

    def _pass(self, cause: str, stopping: Callable[[], bool], changed: Collection[str] | None) -> bool:
        """Look, and carry out what was decided. Return that it came to its end."""
        self._look_at_clock()
        if self.intake.obstacles.found:
            self.intake.obstacles.look_if_due()
        rescan = self._look(changed)
        if rescan is not None:
            self._carry_out(rescan, cause, stopping)
        return True

    def _look_at_clock(self) -> None:
        """Let the inbox know what it may believe of the clock. Raises RegistryError for a damaged registry."""
        clock = self.registry.clock_watch.look()
        self.inbox.clock_behind_seconds, self.inbox.clock_in_doubt = clock.behind_seconds, clock.hold_seconds > 0

    def _try(self, task: str, act: Callable[[], _T]) -> _T | None:
        """Do a piece of work. None if it failed in a way that nobody foresaw, or has to wait because it did."""
        if self.unforeseen.failing and self.unforeseen.waits(task) > 0:
            return None
        try:
            done = act()
        except FATAL_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing else must wait for it
            self.unforeseen.failed(task, error)
            return None
        if self.unforeseen.failing:
            self.unforeseen.succeeded(task)
        return done

    def _carry_out(self, rescan: Rescan, cause: str, stopping: Callable[[], bool]) -> None:
        """Take and refuse what a look found, as long as a pass may go on."""
        ready = rescan.ready()
        if (ready and not self.intake.obstacles.may_take()) or self.intake.obstacles.found:
            rescan = self._hold_back(rescan)
            ready = rescan.ready()
        log.debug(
            "inbox.rescanned",
            cause=cause,
            found=rescan.found,
            ready=len(ready),
            waiting=len(rescan.drops) - len(ready),
            seconds=rescan.seconds,
        )
        if ready:
            self.reporter.doing = "taking 1 drop" if len(ready) == 1 else f"taking {len(ready)} drops"
        # Who started us waits to hear that we are ready: the rest of what lies there comes with the next pass.
        longest = 0.0 if cause == "start" else self.config.inbox.rescan_seconds * PASS_OF_RESCAN
        seconds = max(PASS_SECONDS, min(PASS_PER_LOOK * rescan.seconds, longest))
        took_all = self._taking.take(ready, self._time_is_up(seconds, stopping))
        enough = self._time_is_up(seconds, stopping)
        refused_all = not rescan.strays or self._taking.refuse_strays(rescan, enough)
        if self._taking.has_failed:
            self._hold_back(self.inbox.as_held(rescan))
        is_behind = not (took_all and refused_all)
        self.schedule.ended(behind=is_behind)
        if not is_behind:
            self.intake.release_spare_folders()

    def _hold_back(self, rescan: Rescan) -> Rescan:
        """Let what an obstacle stops wait, and note that for the status: who asks is told what it waits for."""
        obstacles = self.intake.obstacles
        problem = obstacles.problem()
        refused = problem or obstacles.problem("refuse")
        if refused is not None:
            seconds = self._machine.monotonic() - rescan.at + obstacles.pause_left()
            rescan = rescan.held_by(refused, seconds, refusals_only=problem is None)
        self.schedule.held_back(rescan)
        return rescan

    def _look(self, changed: Collection[str] | None) -> Rescan | None:
        """Take up what is in hand, and list and judge what is in the inbox. None when that is not possible now."""
        if not self._find_inbox():
            self.schedule.failed()
            return None
        self.watching.keep()
        self._try("going on with drops in progress", self._resume)
        try:
            rescan = self.inbox.rescan(changed)
        except StorageError as error:
            if self._is_new_problem(error):
                log.error("inbox.unreadable", path=str(self.inbox.path), problem=str(error))
            self.schedule.failed()
            return None
        self.health.inbox_problem = self._logged_problem = ""
        self.schedule.looked(rescan, listed=changed is None)
        self.intake.tally.rescans += 1
        self.waiting_log.write(rescan)
        return rescan

    def _resume(self) -> None:
        """Go on with what is in hand: first what a pass left on its way that was cut short."""
        if self.intake.in_hand:
            self._taking.go_on([])
        if claims := self.intake.resume():
            self._taking.go_on(claims)

    def _find_inbox(self) -> bool:
        """Notice that the inbox is another folder now, and make it ours. Return whether there is one to work in.

        One that was renamed away is waited for: making a new one would stand in its way when it comes back. One
        that was removed, and not renamed, is made again.
        """
        if self.inbox.is_in_place:
            return True
        try:
            self.inbox.prepare(make=self.inbox.is_removed)
            self._lock_inbox()
            polling = self.watching.must_poll()
        except (ConfigError, StorageError, RegistryLocked) as error:
            self.inbox.close()
            if self._is_new_problem(error):
                log.error("inbox.unavailable", path=str(self.inbox.path), problem=str(error))
            return False
        self.watching.folder_changed(polling=polling)
        return True

    def _is_new_problem(self, error: ModelInboxError) -> bool:
        """Note why the inbox cannot be used. Return whether that is another reason than was logged last."""
        self.health.inbox_problem = str(error)
        is_new = self._logged_problem != str(error)
        self._logged_problem = str(error)
        return is_new

    def _time_is_up(self, seconds: float, stopping: Callable[[], bool]) -> Callable[[], bool]:
        ends = self._machine.monotonic() + seconds
        return lambda: stopping() or self._machine.monotonic() >= ends

    def run_maintenance(self) -> None:
        """Do what is due by the clock. Raises RegistryError for a damaged journal."""
        self._try("settling the registry", self.maintenance.settle)
        self._try("maintenance", self.maintenance.run)

    # --- reload -----------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read config.yaml again. A bad one is refused with its problems, and the old stays in force.

        The answer is published at once, for the command that waits for it.
        """
        began = time.monotonic()  # the kernel's clock: other processes have the same
        path = str(self.config.path)
        try:
            new = read_again(self.config, self.server, adjust=self._adjust, make_scanner=self._make_scanner)
        except (ModelInboxError, OSError) as caught:
            error = caught if isinstance(caught, ModelInboxError) else StorageError("read", path, caught)
            problems = getattr(error, "problems", ()) or (error.as_problem(),)
            log.error("config.refused", path=path, problems=[str(problem) for problem in problems])
            self.reporter.refused(began, problems)
            return
        changed, _ = describe_changes(self.config, new.config)
        _, restart = describe_changes(self._started_with, new.config)  # named until there is a restart
        if self.config.metrics.textfile not in (None, new.config.metrics.textfile):
            self.reporter.remove_textfile()
        self._apply(new)
        log.info(
            "config.loaded",
            path=path,
            changed=list(changed),
            restart_needed=list(restart),
            settings=settings_of(new.config),
        )
        self.reporter.loaded(began, changed, restart)

    def _apply(self, new: Reloaded) -> None:
        self.config = new.config
        self._try("setting the rights of the inbox", lambda: self._set_private(new.config.inbox.private))
        self.intake.judge.checks = self._checks_of(new.config)
        self.registry.lock_timeout = new.config.registry.lock_timeout
        if new.scanner is not None:
            self.scanner.close()
            self.scanner = self.intake.judge.scanner = self._paced(new.scanner)
        self.watching.reconfigure(new.config.inbox)
        self.maintenance.reconfigure(new.config)
        self.intake.foresee = self.maintenance.foresees
        self._taking.reconfigure(new.config)
        self._serve(new.server)
        configure_logs(new.config)

    def _checks_of(self, config: Config) -> Checks:
        """Return what drops must fulfil by a configuration, by whose rules the registry goes from now on."""
        return checks_of(config, self.registry.decide_by(rules_text(config)))

    def _set_private(self, private: bool) -> None:
        if private != self.inbox.privacy.is_on:
            self.inbox.set_private(private)
            self._say_if_not_private()

    # --- what is published ------------------------------------------------------------------------------------

    def begin_serving(self) -> None:
        """Publish that drops are taken from now on."""
        self.reporter.enter("running")
        self.report()

    def begin_stopping(self) -> None:
        """Publish that the daemon ends."""
        self.intake.release_spare_folders()
        self.reporter.enter("stopping")

    def report(self) -> None:
        """Publish the status if it is due, and tell the service manager in a line what we do."""
        self.reporter.publish_if_due()
        self._try("telling the service manager", lambda: self._heartbeat.say(self.reporter.line()))

    def _serve_at_start(self) -> None:
        """Serve metrics where config.yaml says. An address that cannot be bound is only logged: drops come first."""
        try:
            self._serve(open_server(self.config, None))
        except (ConfigError, StorageError) as error:
            problem = error.problems[0].message if isinstance(error, ConfigError) else error.message
            log.error("daemon.metrics_unwritten", problem=problem)
            self.health.listen_problem = problem

    def _serve(self, server: MetricsServer | None) -> None:
        """Give the metrics to this server from now on, and close the one before."""
        if server is self.server and server is not None:
            return
        if self.server is not None:
            self.server.close()
        self.server = server
        self.health.listen_problem = ""
        self.reporter.serve(server)
        if server is not None:
            server.start()


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

"""What the daemon does by the clock: the retention rules, the trash, the removal of what is old.

Owns when each of these is due, and that one that fails keeps none of the others from being done: on a full disk it is
the purge that makes room. What the rules say and what a purge removes is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import structlog

from ..base.machine import Machine
from ..base.units import spans
from ..config.settings import Config
from ..inbox.folder import Inbox
from ..inbox.obstacles import Obstacles
from ..inbox.pipeline import Foresee
from ..inbox.rejected import purge_receipts, purge_rejected
from ..problems import Problem
from ..registry.clock_watch import Looked
from ..registry.entry import EntryFields, as_fields
from ..registry.journal import format_time
from ..registry.paths import RegistryFiles
from ..registry.registry import ModelRegistry
from ..retention.apply import apply_retention, purge_leftovers, purge_trash, retire_held
from ..retention.foresight import foreseen
from ..retention.outcomes import breakers_in_words
from ..telemetry.metrics import Tally
from .attempt import Attempt, attempt
from .checkpointing import Checkpointing
from .health import Health
from .promoting import Promoting

__all__ = ["Maintenance"]

log = structlog.get_logger("model_inbox")

HOUSEKEEPING_SECONDS = 3600.0
# How long after a registration the rules are applied. Not after each: what they cost grows with the registry.
RETENTION_DELAY_SECONDS = 1.0
# How long one piece of maintenance may take: a trash of thousands of models on a slow disk.
MAINTENANCE_SECONDS = 600.0
# Of so many models a plan takes some 50 ms.
FORESEEN_MAX = 10_000


class Maintenance:
    """Keeps registry and folders in order. Times are of the monotonic clock, in seconds.

    `work` surrounds a piece of work that may take that many seconds. `publish_due` is called between two pieces, when
    no lock is held.
    """

    def __init__(
        self,
        config: Config,
        inbox: Inbox,
        registry: ModelRegistry,
        tally: Tally,
        health: Health,
        machine: Machine,
        *,
        obstacles: Obstacles,
        work: Callable[[str, float], AbstractContextManager[None]],
        publish_due: Callable[[], None],
    ) -> None:
        self._config = config
        self._inbox = inbox
        self._registry = registry
        self._history = str(RegistryFiles(Path(registry.registry_path)).history)
        self._tally = tally
        self._health = health
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._disk = machine.disk
        self._work = work
        self._publish_due = publish_due
        self.retention_ran_at: datetime | None = None
        """When the rules were last applied."""
        self.retention_at = machine.monotonic()
        """When, on the monotonic clock, they are applied next, if they are on."""
        self._housekeeping_at = machine.monotonic()
        self._clock_in_doubt = False
        self._logged_jump: int | None = None
        self.checkpointing = Checkpointing(config, registry, health, obstacles, machine)
        self.promoting = Promoting(config, registry, tally, machine)
        self._has_leftovers = True  # an earlier daemon may have left some

    # --- when -------------------------------------------------------------------------------------------------

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds something is to be done."""
        due = [self._housekeeping_at - now]
        if self._config.retention.mode != "off":
            due.append(self.retention_at - now)
        others = (self.promoting.due_in(now), self.checkpointing.due_in(now))
        return min(due + [seconds for seconds in others if seconds is not None])

    def committed(self) -> None:
        """Note that something was committed to the registry: rules and checkpoint are due soon."""
        self.retention_at = min(self.retention_at, self._monotonic() + RETENTION_DELAY_SECONDS)
        if self._config.promotion:
            self.promoting.expect()
        self.checkpointing.expect()

    @property
    def foresees(self) -> Foresee | None:
        """What tells which of the models that were just registered the rules will retire; None if they are not used."""
        section = self._config.retention
        return self._foresee if section.mode == "enforce" and section.policies else None

    def _foresee(self, entries: Sequence[EntryFields]) -> Mapping[str, Problem]:
        """Return the note for each of these entries that the rules will retire, by its id.

        Only models of the same pairs and types are planned for, unless the rules have larger groups. Where these are so
        large that each batch of drops would wait for the plan, nothing is foreseen.
        """
        section = self._config.retention
        if {"currency_pair", "model_type"} <= set(section.group_by):
            slots = dict.fromkeys((entry["currency_pair"], entry["model_type"]) for entry in entries)
            others = [as_fields(one) for slot in slots for one in self._registry.list_models(*slot)]
        else:
            others = self._registry.stored_entries()[2]
        if len(others) > FORESEEN_MAX:
            return {}
        return foreseen(entries, others, section, self._clock())

    def reconfigure(self, config: Config) -> None:
        """Go by another configuration, from now on and at once."""
        self._config = config
        self.retention_at = self._housekeeping_at = self._monotonic()
        self.promoting.reconfigure(config)
        self.checkpointing.reconfigure(config)

    # --- what -------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Find out what became of a write that failed, and have derived files made again that are not sound.

        What is foreseen is in the registry's own log and in the status; all else is raised.
        """
        with self._attempt() as settled:
            self._registry.settle()
            if not self._registry.derived_files_are_sound:
                self.checkpointing.expect()  # which makes them again
        if settled.unforeseen is not None:
            raise settled.unforeseen

    def run(self) -> None:
        """Do what is due. What fails is logged, and tried again. Raises RegistryError for a damaged journal."""
        now = self._monotonic()
        if self.promoting.run_if_due(now):
            # Before the rules of retention: a model that has an alias by now is not retired.
            self.checkpointing.expect()
        clock = self._look_at_clock(now)
        if now >= self.retention_at:
            self.retention_at = now + self._config.retention.interval.seconds
            if self._config.retention.mode == "off":
                self._health.retention_problem = self._health.breaker = ""
            elif self._clock_in_doubt:
                self.retention_at = now + min(self._config.retention.interval.seconds, clock.hold_seconds)
            else:
                with self._work("applying the retention rules", MAINTENANCE_SECONDS):
                    self._apply_rules(clock.now)
        if now >= self._housekeeping_at:
            self._housekeeping_at = now + HOUSEKEEPING_SECONDS
            if self._clock_in_doubt:
                self._housekeeping_at = now + min(HOUSEKEEPING_SECONDS, clock.hold_seconds)
            with self._work("removing what is old", MAINTENANCE_SECONDS):
                self._remove_old(clock.now)
        self.checkpointing.write_if_due(now)

    def _look_at_clock(self, now: float) -> Looked:
        """Look whether the clock can be believed, right before anything is removed by it.

        What was put off is due when it can be again. The same reading then decides about ages: a clock that jumps
        after it changes nothing.
        """
        clock = self._registry.clock_watch.look()
        was_in_doubt, self._clock_in_doubt = self._clock_in_doubt, clock.hold_seconds > 0
        if was_in_doubt and not self._clock_in_doubt:
            self.retention_at = self._housekeeping_at = now
        self._log_clock(clock)
        return clock

    def _log_clock(self, clock: Looked) -> None:
        """Log a jump once for each line, of any writer, and when it holds up nothing any more."""
        doubt = clock.doubt
        number = doubt.sequence if doubt is not None and doubt.is_held else None
        if doubt is not None and number is not None and number != self._logged_jump:
            log.error(
                "registry.clock_jumped",
                before=format_time(doubt.jump.before),
                after=format_time(doubt.jump.after),
                jump_seconds=doubt.jump.seconds,
                hold_seconds=doubt.hold_seconds,
                sequence=number,
            )
            self._logged_jump = number
        elif self._logged_jump is not None and not self._clock_in_doubt:
            log.info("registry.clock_believed", sequence=self._logged_jump)
            self._logged_jump = None

    def settle_leftovers(self, *, starting: bool = False) -> list[str]:
        """Move what a writer that died left behind, and what could not be moved the last time. Return what failed.

        When `starting`, files without an entry stay: the drops of the daemon before are taken up next, and use theirs.
        """
        with self._attempt() as leftovers:
            found = self._registry.finish_retirements()
            if self._has_leftovers:  # lists the stored files, so not each time
                found += self._registry.finish_purges()
                self._registry.check_labels()
                if not starting:
                    self._registry.set_aside_leftovers()
                self._has_leftovers = starting
            if found:
                log.warning("registry.leftover_found", count=found)
        if not leftovers.problem:
            return []
        self._has_leftovers = True
        log.error("registry.leftover_unmoved", problem=leftovers.problem, traceback=leftovers.traceback)
        return [leftovers.problem]

    def look_at_history(self) -> None:
        """Find out whether lines of the history are missing. Nothing that the daemon does depends on them."""
        with self._attempt() as history:
            missing = spans(self._registry.missing_lines())
            if missing and missing != self._health.missing_lines:
                log.error("journal.lines_missing", path=self._history, lines=missing)
            self._health.missing_lines = missing
        if history.problem:
            log.error("registry.prune_failed", problem=history.problem, traceback=history.traceback)

    def _apply_rules(self, now: datetime) -> None:
        """Apply the retention rules, and empty the trash of what is due."""
        section, health = self._config.retention, self._health
        before = self._registry.sequence
        self.retention_ran_at = now
        problems: list[str] = []
        with self._attempt() as rules:
            done = apply_retention(self._registry, section, now)
            health.breaker = breakers_in_words(done.plan) if done.refused else ""
            self._tally.retired += len(done.retired)
        if rules.problem:
            log.error("retention.failed", problem=rules.problem, traceback=rules.traceback)
            problems.append(rules.problem)
        self._publish_due()
        if section.mode == "enforce":
            problems += self.settle_leftovers()
            self._publish_due()
            problems += self._empty_trash(section.trash_grace.seconds, now)
            self._has_leftovers = bool(problems)
        health.retention_problem = problems[0] if problems else ""
        if self._registry.sequence != before:
            self.checkpointing.expect()

    def _empty_trash(self, grace_seconds: float, now: datetime) -> list[str]:
        """Purge what has been in the trash for longer than the grace. Return what failed."""
        with self._attempt() as models:
            purge_trash(self._registry, grace_seconds, now)
        self._publish_due()
        with self._attempt() as others:
            purge_leftovers(RegistryFiles(Path(self._registry.registry_path)).trash, grace_seconds, now, self._disk)
        failed = [attempt for attempt in (models, others) if attempt.problem]
        for one in failed:
            log.error("retention.purge_failed", problem=one.problem, traceback=one.traceback)
        return [one.problem for one in failed]

    def _remove_old(self, now: datetime) -> None:
        """Remove what has been kept long enough, if the clock can be believed, and look for what is wrong."""
        if self._inbox.is_in_place and not self._clock_in_doubt:
            self._purge_answers(now)
            self._publish_due()
        self.look_at_history()
        with self._attempt() as history:
            if not self._clock_in_doubt:
                self._registry.prune_history(self._config.registry.history_keep)
        if history.problem:
            log.error("registry.prune_failed", problem=history.problem, traceback=history.traceback)
        if not self._clock_in_doubt:
            self._retire_held(now)
        self._check_history()
        self._has_leftovers = True  # another writer may have died meanwhile
        if self._config.retention.mode != "enforce":  # else it is done at each run
            self.settle_leftovers()

    def _retire_held(self, now: datetime) -> None:
        """Retire the models that have been held long enough, whatever the retention rules say."""
        keep = self._config.registry.held_keep
        with self._attempt() as models:
            retired = retire_held(self._registry, keep, now)
            self._tally.retired += len(retired)
            if retired:
                self.checkpointing.expect()
        if models.problem:
            log.error("retention.failed", problem=models.problem, traceback=models.traceback)

    def _check_history(self) -> None:
        """Look for damage in closed segments. No drop depends on them, so it is only said, once for each cause."""
        problem = ""
        with self._attempt() as check:
            problem = self._registry.damage_in_history()
        problem = problem or check.problem
        if problem and problem != self._health.history_problem:
            log.error("registry.history_damaged", problem=problem, traceback=check.traceback)
        self._health.history_problem = problem

    def _purge_answers(self, now: datetime) -> None:
        """Remove rejected drops and receipts that have been kept long enough."""
        section = self._config.inbox
        rejected_dir, receipts_dir = self._inbox.rejected_dir, self._inbox.receipts_dir
        with self._attempt() as rejected:
            drops, freed = purge_rejected(
                rejected_dir, now, section.rejected_keep, self._disk, self._registry.clock_watch.corrected
            )
            if drops:
                log.info("drop.rejected_purged", purged=drops, bytes=freed)
        if rejected.problem:
            log.error(
                "inbox.purge_failed", path=str(rejected_dir), problem=rejected.problem, traceback=rejected.traceback
            )
        self._publish_due()
        with self._attempt() as answers:
            receipts = purge_receipts(receipts_dir, now, section.receipts_keep, self._disk)
            if receipts:
                log.debug("inbox.receipts_purged", purged=receipts)
        if answers.problem:
            log.error(
                "inbox.purge_failed", path=str(receipts_dir), problem=answers.problem, traceback=answers.traceback
            )

    def _attempt(self) -> AbstractContextManager[Attempt]:
        return attempt(self._registry)

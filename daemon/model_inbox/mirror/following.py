"""The mirror that goes on for months: what the feed says is brought to MLflow, in order, for as long as it runs.

Owns the loop, its position, what is retried and what is set aside. A failure that may pass stops the mirror where it
is, with growing pauses; a model that MLflow refuses is set aside, and the others go on. Never writes to the registry,
and never waits for MLflow with anything of the registry's held.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from ..base.instants import canonical_instant
from ..base.log import log
from ..errors import ModelInboxError, StorageError
from ..feed import Compare, Feed, Wakeups
from ..problems import escaped
from ..registry.entry import as_fields
from ..registry.journal import Line
from ..registry.paths import RegistryFiles
from ..registry.registry import ModelRegistry
from .client import Client
from .errors import MlflowUnreachable
from .files import registered
from .plan import Wanted, changes_of
from .progress import Aside, Folder, Progress
from .reconcile import differences, repair
from .writer import Target, Writer

__all__ = ["Mirror", "pause"]

PAUSE_MAX_SECONDS = 60.0
LINES_AT_ONCE = 50
"""So many lines are read as one: of a model that they change several times, the last is what counts."""
TRIES_MAX = 8
"""A model with which MLflow fails so often, although it answers otherwise, is set aside."""
PASSING_SECONDS = 300.0
"""Models that were set aside for a failure that may pass are tried again so often."""


def pause(attempt: int) -> float:
    """Return how long to wait after so many failures in a row, in seconds: 0.5, 1, 2, and so on, up to a minute."""
    return float(min(PAUSE_MAX_SECONDS, 0.5 * 2 ** min(attempt - 1, 10)))


class Mirror:
    """Brings a registry's changes to MLflow. The caller holds the lock of `folder`.

    `wait` is called with seconds, and returns early when something may have changed.
    """

    def __init__(
        self,
        client: Client,
        registry: ModelRegistry,
        target: Target,
        folder: Folder,
        *,
        clock: Callable[[], datetime],
        wait: Callable[[float], None],
    ) -> None:
        self._client = client
        self._registry = registry
        self._target = target
        self._folder = folder
        self._clock = clock
        self._wait = wait
        self._writer = Writer(client, registry, target, folder.work)
        self._files = RegistryFiles(Path(registry.registry_path))
        found = folder.read()
        if found.tracking_uri != client.shown_uri:
            # Another MLflow: nothing that was done for the one before is there.
            found = Progress(tracking_uri=client.shown_uri)
        self._progress = found
        self._feed = Feed(self._files, found.position_or_none())
        # Lines that were read and are not all done.
        self._lines: tuple[Line, ...] = ()
        self._failures = 0
        # The model that the last failures were about, and how often that was so.
        self._suspect: tuple[str, int] = ("", 0)
        # What was cut short is looked at closely when it is done again.
        self._looks_closely = True
        self._is_swept = False
        self._compare: Compare | None = None
        self._next_try = monotonic() + PASSING_SECONDS

    def run(self, *, until_idle: bool = False) -> None:
        """Go on for ever, or with `until_idle` until MLflow has everything."""
        log.info(
            "mlflow.started", tracking_uri=escaped(self._client.shown_uri), position=self._progress.position or None
        )
        wakeups = Wakeups(self._files.journal)
        try:
            while True:
                if not self._step():
                    self._rest()
                elif not self._lines and self._compare is None:
                    if until_idle:
                        return
                    wakeups.wait(1.0)
        finally:
            wakeups.close()
            self._feed.close()

    def _step(self) -> bool:
        """Do a part of what is to be done. Return False after a failure that may pass."""
        try:
            if not self._is_swept:
                if count := self._writer.sweep():
                    log.info("mlflow.swept", runs=count)
                self._is_swept = True
            self._retry_asked()
            self._retry_passing()
            if self._compare is None and not self._lines:
                found = self._feed.read()
                if isinstance(found, Compare):
                    self._compare = found
                else:
                    self._lines = found.lines
            if self._compare is not None:
                self._reconcile(self._compare)
            else:
                self._apply_lines()
        except MlflowUnreachable as error:
            self._note_failure(error)
            return False
        except ModelInboxError as error:
            # The registry, or our own folder. It may be away for a moment.
            self._note_failure(error)
            return False
        if self._failures:
            log.info("mlflow.reached", failures=self._failures)
            self._failures = 0
            self._keep(problem="", failed_at="")
        return True

    def _apply_lines(self) -> None:
        """Bring the next lines to MLflow, and keep the position after them."""
        if not self._lines:
            self._looks_closely = False
            return
        now, position = self._lines[:LINES_AT_ONCE], self._feed.position
        epoch = position.epoch if position is not None else ""
        pushed = 0
        # Nobody but us writes these models, and these lines are done for the first time: what they register is new.
        new = {line.sequence for line in now if line.operation == "register"} if not self._looks_closely else set()
        for wanted in changes_of(now, epoch):
            pushed += self._apply(wanted, is_new=wanted.entry.get("sequence") in new)
        self._lines = self._lines[len(now) :]
        if position is not None:
            # A crash before this is written does these lines again, which changes nothing.
            done = position.identity.at(now[-1].sequence)
            self._keep(position=str(done), pushed=self._progress.pushed + pushed)
        self._looks_closely = False
        # A request that came twice may have left a run behind.
        self._is_swept = not pushed or bool(self._lines)

    def _reconcile(self, because: Compare) -> None:
        """Compare both sides, mend what differs, and go on from the position of the comparison."""
        log.info("mlflow.comparing", because=escaped(because.because, 300))
        found = differences(self._client, self._registry, self._target)
        order = {one.model_id: at for at, one in enumerate(registered(self._registry))}
        missing = sorted(found.missing, key=lambda one: order.get(one.model_id, 0))
        pushed = 0
        for one in missing:
            pushed += self._apply(one, compare=True)
        mended = repair(self._writer, replace(found, missing=()))
        for failure in mended.failed:
            entry = self._registry.get_model_info(failure.model_id)
            self._set_aside(failure.model_id, int(entry["sequence"]) if entry else 0, failure.error)
        position = str(because.position) if because.position is not None else ""
        self._compare = None
        self._keep(position=position, pushed=self._progress.pushed + pushed + mended.pushed)
        log.info("mlflow.compared", pushed=pushed + mended.pushed, same=found.same, failed=len(mended.failed))
        # The first lines that come now may be some that the comparison saw.
        self._looks_closely = True

    def _apply(self, wanted: Wanted, *, compare: bool = False, is_new: bool = False) -> bool:
        """Bring one model to MLflow, or set it aside. Return whether anything was done. Raises MlflowUnreachable.

        One that `is_new` was never written before, and is not looked for; its version is, after it was made.
        """
        closely = compare or self._looks_closely
        try:
            outcome = self._writer.apply(wanted, () if is_new and not closely else None, compare=closely)
        except MlflowUnreachable as error:
            self._is_swept = False
            self._looks_closely = True
            if not self._is_suspect(wanted.model_id):
                raise
            # MLflow answers, but not about this model.
            self._set_aside(wanted.model_id, wanted.line, error)
            return False
        except StorageError as error:
            if error.transient:
                raise
            self._set_aside(wanted.model_id, wanted.line, error)
            return False
        except ModelInboxError as error:
            self._is_swept = False
            self._set_aside(wanted.model_id, wanted.line, error)
            return False
        except Exception as error:  # noqa: BLE001  # one model, and not the mirror
            # Nobody foresaw it.
            log.error(
                "mlflow.failed_unexpectedly",
                model_id=wanted.model_id,
                problem=escaped(error, 300),
                traceback=escaped(traceback.format_exc(), 8000),
            )
            self._is_swept = False
            self._set_aside(wanted.model_id, wanted.line, ModelInboxError(_cause(error)))
            return False
        self._suspect = ("", 0)
        self._no_longer_aside(wanted.model_id)
        if outcome == "pushed":
            word = "retired" if wanted.retired is not None else "mirrored"
            log.info("mlflow.mirrored", model_id=wanted.model_id, line=wanted.line, outcome=word)
        return outcome == "pushed"

    def _is_suspect(self, model_id: str) -> bool:
        """Count a failure with a model. Return whether it fails again and again while MLflow answers otherwise."""
        tries = self._suspect[1] + 1 if self._suspect[0] == model_id else 1
        try:
            self._client.experiment_id(self._target.experiment)
        except ModelInboxError:
            # MLflow is away: this says nothing about the model.
            return False
        self._suspect = (model_id, tries)
        return tries >= TRIES_MAX

    # --- what is set aside --------------------------------------------------------------------------------------

    def _retry_passing(self) -> None:
        """Try those again that MLflow failed with but did not refuse: its artifact store may have been away."""
        if monotonic() < self._next_try:
            return
        self._next_try = monotonic() + PASSING_SECONDS
        for one in [one for one in self._progress.set_aside.values() if one.passing]:
            self._suspect = (one.model_id, TRIES_MAX - 1)
            self.retry(one.model_id)

    def _retry_asked(self) -> None:
        for model_id in self._folder.asked_for():
            self.retry(model_id)
            self._folder.done_with(model_id)

    def retry(self, model_id: str) -> bool:
        """Try a model again, as the registry has it now. Return whether it is no longer set aside."""
        entry = next((one for one in registered(self._registry) if one.model_id == model_id), None)
        if entry is not None:
            self._apply(entry, compare=True)
        else:
            # It was retired meanwhile: what MLflow has of it is treated so.
            retired = [one for one in self._registry.retired() if one.model_id == model_id]
            if retired:
                line = self._registry.sequence
                said = {"at": canonical_instant(retired[-1].at), "reason": retired[-1].reason}
                self._apply(Wanted(as_fields(dict(retired[-1].entry)), line, self._epoch(), said), compare=True)
            else:
                for version in self._writer.find(model_id):
                    self._writer.remove(version)
                self._no_longer_aside(model_id)
        return model_id not in self._progress.set_aside

    def _epoch(self) -> str:
        identity = self._registry.identity
        return identity.epoch if identity is not None else ""

    def _set_aside(self, model_id: str, line: int, error: ModelInboxError) -> None:
        before = self._progress.set_aside.get(model_id)
        text = escaped(str(error), 1000)
        tries = before.tries + 1 if before is not None else 1
        passing = isinstance(error, MlflowUnreachable)
        one = Aside(model_id, line, canonical_instant(self._clock()), text, tries, passing)
        log.error("mlflow.set_aside", model_id=model_id, line=line, problem=text, tries=tries)
        self._suspect = ("", 0)
        self._keep(aside={**self._progress.set_aside, model_id: one})

    def _no_longer_aside(self, model_id: str) -> None:
        if model_id in self._progress.set_aside:
            rest = {name: one for name, one in self._progress.set_aside.items() if name != model_id}
            self._keep(aside=rest)
            log.info("mlflow.taken_back", model_id=model_id)

    # --- failures that may pass ---------------------------------------------------------------------------------

    def _note_failure(self, error: ModelInboxError) -> None:
        self._failures += 1
        text = escaped(str(error), 1000)
        # Once for each doubling: a night without MLflow is no flood.
        if self._failures & (self._failures - 1) == 0:
            seconds = pause(self._failures)
            log.warning("mlflow.unreachable", problem=text, failures=self._failures, retry_in_seconds=seconds)
        if self._progress.problem != text:
            self._keep(problem=text, failed_at=canonical_instant(self._clock()))

    def _rest(self) -> None:
        self._wait(pause(max(1, self._failures)))

    def _keep(self, **changes: Any) -> None:
        changed = replace(self._progress, through_server=self._writer.goes_through_the_server, **changes)
        self._progress = self._folder.write(changed)


def _cause(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()

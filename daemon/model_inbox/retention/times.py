"""How far back durations reach from a model's training time.

Durations are subtracted in the time zone of the section, where a day does not always have 24 hours. Never reads a
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta, tzinfo

from ..config.retention import BEGINNING, CalendarDuration
from .entries import Model

__all__ = ["Reach", "Times"]


class Times:
    """The time of the plan, and durations before a model's training time, with a cache for all groups of the plan."""

    def __init__(self, zone: tzinfo, now: datetime) -> None:
        self.now = now
        self._zone = zone
        self._steps: dict[CalendarDuration, dict[int, timedelta | None]] = {}
        self._labels: dict[str, dict[int, str]] = {}

    def at(self, now: datetime) -> Times:
        """Return the same for another time of the plan, with the same cache."""
        times = copy(self)
        times.now = now
        return times

    def labels(self, rule: str) -> dict[int, str]:
        """Return the cache of a rule's bucket names by number, which is shared by all groups."""
        return self._labels.setdefault(rule, {})

    def before(self, duration: CalendarDuration) -> Callable[[Model], datetime]:
        """Return a function from a model to the instant `duration` before its training time."""
        steps = self._steps.setdefault(duration, {})

        def before(model: Model) -> datetime:
            # The step is the same all day, unless the clocks change on this day or on the day that it leads to.
            day = model.local.toordinal()
            try:
                step = steps[day]
            except KeyError:
                step = steps[day] = self._step_on(model.local, duration)
            return model.instant - step if step else duration.before(model.instant, self._zone)

        return before

    def _step_on(self, local: datetime, duration: CalendarDuration) -> timedelta | None:
        first = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        last = local.replace(hour=23, minute=59, second=59, microsecond=999999, fold=1)
        try:
            steps = {moment.astimezone(UTC) - duration.before(moment, self._zone) for moment in (first, last)}
        except OverflowError:
            # A zone can move a part of the first or the last day out of the calendar.
            return None
        return steps.pop() if len(steps) == 1 else None


class Reach:
    """How far back a duration reaches in a group, counted from its newest model that is not in the future."""

    def __init__(self, models: Sequence[Model], duration: CalendarDuration, times: Times) -> None:
        self.duration = duration
        self._models = models
        self._before = times.before(duration)
        self._reference = next((at for at, model in enumerate(models) if model.instant <= times.now), None)
        # If all models are in the future there is no reference; all of them are protected then.
        start = BEGINNING if self._reference is None else self._before(models[self._reference])
        # The number of the newest models that are covered: those younger than the start.
        self.covered = next((at for at, model in enumerate(models) if model.instant <= start), len(models))
        self._displaced_by: list[int] | None = None

    @property
    def displaced_by(self) -> list[int]:
        """For each model, the position of the model that displaced it, or -1.

        Two pointers walk from the oldest to the newest model: the first model whose reach starts after another model
        displaced it.
        """
        if self._displaced_by is not None:
            return self._displaced_by
        models = self._models
        left = self._displaced_by = [-1] * len(models)
        behind = len(models) - 1
        for at in range(len(models) - 1, (self._reference or 0) - 1, -1):
            if behind < self.covered:
                break
            start = self._before(models[at])
            while models[behind].instant <= start:
                left[behind] = at
                behind -= 1
        return left

"""Time as a plan sees it: what lies in the future, and how far back a duration reaches.

Durations reach back from a model's own instant, in the zone of the section: a day is not always 24 hours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from ..config.retention import BEGINNING, CalendarDuration
from .entries import Model

__all__ = ["Reach", "Times"]


class Times:
    """Time as a plan sees it: what is in the future, and how far back a duration reaches from an instant."""

    def __init__(self, zone: tzinfo, now: datetime) -> None:
        self.now = now
        self._zone = zone
        self._steps: dict[CalendarDuration, dict[int, timedelta | None]] = {}
        self._labels: dict[str, dict[int, str]] = {}

    def labels(self, rule: str) -> dict[int, str]:
        """Return the names that were given to a rule's buckets, by their numbers: the same for all groups."""
        return self._labels.setdefault(rule, {})

    def before(self, duration: CalendarDuration) -> Callable[[Model], datetime]:
        """Return the function that gives `duration` before a model's instant."""
        steps = self._steps.setdefault(duration, {})

        def before(model: Model) -> datetime:
            # On a day without a change of the clocks, here or there, the step is as long at any time of day.
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
        except OverflowError:  # the first and the last day of the calendar are not whole in every zone
            return None
        return steps.pop() if len(steps) == 1 else None


class Reach:
    """How far back a duration reaches in a group, counted from its newest model that is not in the future."""

    def __init__(self, models: Sequence[Model], duration: CalendarDuration, times: Times) -> None:
        self.duration = duration
        self._models = models
        self._before = times.before(duration)
        self._reference = next((at for at, model in enumerate(models) if model.instant <= times.now), None)
        # Where all is in the future there is no reference, and all is protected anyway.
        start = BEGINNING if self._reference is None else self._before(models[self._reference])
        # The newest are covered, strictly younger than the start: so many of them.
        self.covered = next((at for at, model in enumerate(models) if model.instant <= start), len(models))
        self._left: list[int] | None = None

    @property
    def left(self) -> list[int]:
        """Return, for each model, the position of the one at whose coming it was left behind, or -1.

        Both are followed from the oldest to the newest: whoever came first and reached past a model counts.
        """
        if self._left is not None:
            return self._left
        models = self._models
        left = self._left = [-1] * len(models)
        behind = len(models) - 1
        for at in range(len(models) - 1, (self._reference or 0) - 1, -1):
            if behind < self.covered:
                break
            start = self._before(models[at])
            while models[behind].instant <= start:
                left[behind] = at
                behind -= 1
        return left

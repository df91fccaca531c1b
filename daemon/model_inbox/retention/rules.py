"""The rules of retention: whom each of them holds in a group, and since when the others are out of it.

Every rule is a function from the models of a group, newest first, to a `Ruling`. None knows of another.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from ..config.retention import Best, CalendarDuration, Policy, Window
from ..problems import Problem, quoted
from ..problems.retention import retention_metric
from .entries import LOCAL, TRAINED_AT, Model, listing
from .outcomes import group_text
from .times import Reach, Times

__all__ = ["Ruling", "rulings_of"]


class Ruling(NamedTuple):
    """What one rule says of a group, by position in its order.

    `held` gives the reason for each model that the rule holds; `fell`, given positions of others, says for
    each how it fell out (in one go, because there may be many). A firm rule is one that the budget does not
    overrule.
    """

    held: Mapping[int, str]
    fell: Callable[[Sequence[int]], list[str]] | None
    firm: bool


def rulings_of(
    models: Sequence[Model], policy: Policy, rules: Sequence[str], times: Times, warnings: list[Problem]
) -> list[Ruling]:
    """Return what each rule of a policy says of a group (`models`, newest first), the floor `min_keep` last."""
    keep = policy.keep
    rulings = []
    reaches: dict[CalendarDuration, Reach] = {}

    def reach_of(duration: CalendarDuration) -> Reach:
        if duration not in reaches:
            reaches[duration] = Reach(models, duration, times)
        return reaches[duration]

    for rule in rules:
        if rule == "last":
            rulings.append(_last(models, keep.last))
        elif rule == "within" and keep.within:
            rulings.append(_within(models, reach_of(keep.within)))
        elif rule == "best" and keep.best:
            rulings.append(_best(models, keep.best, warnings))
        elif rule == "tags":
            rulings += [_tagged(models, alternative) for alternative in keep.tags]
        else:
            bucket: int | Window = getattr(keep, rule)
            if isinstance(bucket, Window):
                rulings.append(_bucketed(models, rule, -1, reach_of(bucket.within), times))
            else:
                rulings.append(_bucketed(models, rule, bucket, None, times))
    floor = {at: f"min_keep {at + 1}/{policy.min_keep}" for at in range(min(policy.min_keep, len(models)))}
    rulings.append(Ruling(floor, None, firm=True))
    return rulings


def _last(models: Sequence[Model], count: int) -> Ruling:
    if count < 0:
        return Ruling({at: f"last {at + 1}/all" for at in range(len(models))}, None, firm=True)
    return Ruling(
        {at: f"last {at + 1}/{count}" for at in range(min(count, len(models)))},
        lambda gone: _since(f"last {count}", models, [at - count for at in gone]),
        firm=True,
    )


def _since(rule: str, models: Sequence[Model], pushed_by: Iterable[int]) -> list[str]:
    """Return since when models are out of a rule, each given the position of the one whose coming pushed it out.

    Most of a large plan is made here, so it runs without a step of the interpreter for each.
    """
    return list(map(f"{rule}: since ".__add__, map(TRAINED_AT, map(models.__getitem__, pushed_by))))


def _within(models: Sequence[Model], reach: Reach) -> Ruling:
    reason = f"within {reach.duration}"

    return Ruling(
        dict.fromkeys(range(reach.covered), reason),
        lambda gone: _since(reason, models, map(reach.left.__getitem__, gone)),
        firm=False,
    )


# The numbers of the buckets that local times fall into: cheap to compute, and only compared.
_BUCKETS: Final[Mapping[str, Callable[[Sequence[Model]], list[int]]]] = {
    # When the clocks go back an hour comes twice; `fold` tells the second from the first.
    "hourly": lambda models: [(at.toordinal() * 24 + at.hour) * 2 + at.fold for at in map(LOCAL, models)],
    "daily": lambda models: [at.toordinal() for at in map(LOCAL, models)],
    "weekly": lambda models: [(at.toordinal() - 1) // 7 for at in map(LOCAL, models)],  # day 1 was a Monday
    "monthly": lambda models: [at.year * 12 + at.month for at in map(LOCAL, models)],
    "yearly": lambda models: [at.year for at in map(LOCAL, models)],
}


def _bucket_label(rule: str, local: datetime) -> str:
    if rule == "weekly":
        year, week, _ = local.isocalendar()
        return f"weekly {year:04d}-W{week:02d}"
    if rule == "hourly":
        return f"hourly {local.isoformat(timespec='hours').replace('+00:00', 'Z')}"
    return f"{rule} {local.isoformat()[: {'daily': 10, 'monthly': 7, 'yearly': 4}[rule]]}"


def _bucketed(models: Sequence[Model], rule: str, count: int, reach: Reach | None, times: Times) -> Ruling:
    """Hold the newest of each of the `count` newest buckets (all if negative), within the reach if any."""
    labels = times.labels(rule)
    held: dict[int, str] = {}
    pushed = [-1] * len(models)  # by whose coming each fell out, as a position
    ranks: dict[int, int] = {}  # bucket number -> how many buckets are newer
    oldest: list[int] = []  # by rank, the oldest model of the bucket seen so far
    places = count if count >= 0 else len(models)
    covered = len(models) if reach is None else reach.covered
    number_before, rank = -1, -1
    for at, number in enumerate(_BUCKETS[rule](models)):
        if number == number_before:
            pushed[at] = at - 1
            oldest[rank] = at
            continue
        number_before = number
        if number in ranks:  # where the clocks went back over midnight, the day before comes twice
            rank = ranks[number]
            pushed[at], oldest[rank] = oldest[rank], at
            continue
        ranks[number] = rank = len(oldest)
        oldest.append(at)
        if rank >= places:
            pushed[at] = oldest[rank - places]
        elif at < covered:
            label = labels.get(number)
            if label is None:
                label = labels[number] = _bucket_label(rule, models[at].local)
            held[at] = label

    def fell(gone: Sequence[int]) -> list[str]:
        if reach is None:
            name = f"{rule} {count}" if count >= 0 else f"{rule} all"
            return _since(name, models, map(pushed.__getitem__, gone))
        # Whichever came first pushed it out, and positions grow with age.
        name, left = f"{rule} within {reach.duration}", reach.left
        return _since(name, models, [max(pushed[at], left[at]) for at in gone])

    return Ruling(held, fell, firm=False)


def _best(models: Sequence[Model], best: Best, warnings: list[Problem]) -> Ruling:
    path = best.metric.split(".")
    numbers = [_finite_number(model.metrics, path) for model in models]
    unfit = {at: number for at, number in enumerate(numbers) if isinstance(number, str)}
    if unfit:
        listed = (f"{quoted(models[at].model_id)} ({why})" for at, why in unfit.items())
        group, some = group_text(models[0].group), listing(listed, len(unfit))
        warnings.append(retention_metric(len(unfit), len(models), group, best.metric, some))
    ranked = [at for at in range(len(models)) if at not in unfit] if unfit else list(range(len(models)))
    # The sort is stable, also in reverse, so of equals the newer stays ahead.
    ranked.sort(key=numbers.__getitem__, reverse=best.order == "max")
    count = best.n if best.n >= 0 else len(ranked)
    rank_of = [0] * len(models)
    since = [0] * len(models)
    ahead: list[int] = []  # of those ranked so far, the `count` oldest; the newest of these first
    for rank, at in enumerate(ranked, start=1):
        rank_of[at] = rank
        if rank < count:
            ahead.append(at)
        elif rank == count:
            ahead.append(at)
            heapq.heapify(ahead)
        else:
            # It fell out when `count` better ones were there; if they were before it, it was never in.
            since[at] = at if at < ahead[0] else ahead[0]
            if at > ahead[0]:
                heapq.heapreplace(ahead, at)

    name = f"best {best.metric}"

    def fell(gone: Sequence[int]) -> list[str]:
        return [
            f"{name}: not eligible, {unfit[at]}"
            if at in unfit
            else f"{name} {numbers[at]:.10g} #{rank_of[at]}: since {models[since[at]].trained_at}"
            for at in gone
        ]

    return Ruling({at: f"{name} {numbers[at]:.10g} #{rank_of[at]}" for at in ranked[:count]}, fell, firm=True)


def _finite_number(metrics: Mapping[str, Any], path: Sequence[str]) -> float | str:
    """Return the finite number at `path`, or what is there instead."""
    value: Any = metrics
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return "missing"
        value = value[name]
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return value if math.isfinite(value) else str(value)
        except OverflowError:
            return "too large"
    return "nothing" if value is None else quoted(value, 20)


def _tagged(models: Sequence[Model], alternative: Sequence[str]) -> Ruling:
    wanted = [tag.partition("=") for tag in alternative]
    reason = f"tags [{', '.join(alternative)}]"
    held = {
        at: reason
        for at, model in enumerate(models)
        if model.tags
        and all(name in model.tags and (not equals or model.tags[name] == value) for name, equals, value in wanted)
    }
    return Ruling(held, lambda gone: [f"{reason}: not set"] * len(gone), firm=True)

"""The rules of retention: which models of a group each rule keeps, and since when it does not keep the others.

Each rule is a function from the models of a group, newest first, to a `Ruling`. A rule never depends on another.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ..base.instants import canonical_instant, parse_stored
from ..config.retention import Best, CalendarDuration, Holders, Policy, Window
from ..problems import Problem, quoted
from ..problems.retention import retention_metric
from .entries import LOCAL, TRAINED_AT, FormerHolders, Model, listing
from .outcomes import group_text
from .times import Reach, Times

__all__ = ["Ruling", "rulings_of"]


class Ruling(NamedTuple):
    """The result of one rule for a group. Models are given by their position in the group's order.

    `kept` has the reason for each model that the rule keeps. `why_not` returns, for a list of other positions, the
    reason why the rule does not keep each; it takes a list because there can be many. It is None for `min_keep` and
    for rules that keep all. The budget never retires a model that a rule with `beats_budget` keeps.
    """

    kept: Mapping[int, str]
    why_not: Callable[[Sequence[int]], list[str]] | None
    beats_budget: bool


def rulings_of(
    models: Sequence[Model],
    policy: Policy,
    rules: Sequence[str],
    times: Times,
    former: FormerHolders,
    warnings: list[Problem],
) -> list[Ruling]:
    """Return the result of each rule of a policy for a group (`models`, newest first), `min_keep` last.

    `former` are the models that held an alias before, in the whole registry.
    """
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
        elif rule == "registered_within" and keep.registered_within:
            rulings.append(_registered_within(models, keep.registered_within, times.now))
        elif rule == "best" and keep.best:
            rulings.append(_best(models, keep.best, warnings))
        elif rule == "holders" and keep.holders:
            rulings.append(_held_before(models, keep.holders, former))
        elif rule == "tags":
            rulings += [_tagged(models, alternative) for alternative in keep.tags]
        else:
            bucket: int | Window = getattr(keep, rule)
            if isinstance(bucket, Window):
                rulings.append(_bucketed(models, rule, -1, reach_of(bucket.within), times))
            else:
                rulings.append(_bucketed(models, rule, bucket, None, times))
    floor = {at: f"min_keep {at + 1}/{policy.min_keep}" for at in range(min(policy.min_keep, len(models)))}
    rulings.append(Ruling(floor, None, beats_budget=True))
    return rulings


def _last(models: Sequence[Model], count: int) -> Ruling:
    if count < 0:
        return Ruling({at: f"last {at + 1}/all" for at in range(len(models))}, None, beats_budget=True)
    return Ruling(
        {at: f"last {at + 1}/{count}" for at in range(min(count, len(models)))},
        lambda gone: _since(f"last {count}", models, [at - count for at in gone]),
        beats_budget=True,
    )


def _since(rule: str, models: Sequence[Model], pushed_by: Iterable[int]) -> list[str]:
    """Return the reasons why a rule keeps models no more. `pushed_by` has the positions of the models that displaced
    them.
    """
    # A large plan spends most of its time here: `map` avoids interpreted code for each model.
    return list(map(f"{rule}: since ".__add__, map(TRAINED_AT, map(models.__getitem__, pushed_by))))


def _within(models: Sequence[Model], reach: Reach) -> Ruling:
    reason = f"within {reach.duration}"

    return Ruling(
        dict.fromkeys(range(reach.covered), reason),
        lambda gone: _since(reason, models, map(reach.displaced_by.__getitem__, gone)),
        beats_budget=False,
    )


def _registered_within(models: Sequence[Model], duration: CalendarDuration, now: datetime) -> Ruling:
    """Keep what was registered less than `duration` before the latest registration that is not in the future."""
    name, length = f"registered_within {duration}", timedelta(seconds=duration.seconds)
    moments = [_moment(model.registered_at) for model in models]
    # In the order of time, each with the position of its model.
    order = sorted((moment, at) for at, moment in enumerate(moments) if moment is not None)
    latest = max((moment for moment, _ in order if moment <= now), default=None)

    def why_not(gone: Sequence[int]) -> list[str]:
        return [f"{name}: {_registered_since(moments[at], length, order)}" for at in gone]

    kept = {at: name for moment, at in order if latest is None or latest - moment < length}
    # The budget takes the oldest first: without this it would take a backfill, and with it the latest registration.
    return Ruling(kept, why_not, beats_budget=True)


def _moment(text: object) -> datetime | None:
    """Return the time of a registration, or None. What we wrote has a fast way: parsing takes ten times as long."""
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) and text.endswith("Z") else parse_stored(text)
    except ValueError:
        return None


def _registered_since(moment: datetime | None, length: timedelta, order: Sequence[tuple[datetime, int]]) -> str:
    """Return since when a model is kept no more: the first registration that was so much later."""
    if moment is None:
        return "not eligible, the time of its registration is missing"
    later = order[bisect_left(order, moment + length, key=itemgetter(0))]
    return f"since {canonical_instant(later[0])}"


# The bucket of each model as a number, which is fast to compute and to compare.
_BUCKETS: Final[Mapping[str, Callable[[Sequence[Model]], list[int]]]] = {
    # When the clocks go back, an hour comes twice; `fold` is 1 for the second.
    "hourly": lambda models: [(at.toordinal() * 24 + at.hour) * 2 + at.fold for at in map(LOCAL, models)],
    "daily": lambda models: [at.toordinal() for at in map(LOCAL, models)],
    # Day 1 of the calendar was a Monday.
    "weekly": lambda models: [(at.toordinal() - 1) // 7 for at in map(LOCAL, models)],
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
    """Keep the newest model of each of the `count` newest buckets (all if negative), within `reach` if given."""
    labels = times.labels(rule)
    kept: dict[int, str] = {}
    # The position of the model that displaced each model.
    pushed = [-1] * len(models)
    # The rank of each bucket number: how many buckets are newer.
    ranks: dict[int, int] = {}
    # By rank, the oldest model of the bucket so far.
    oldest: list[int] = []
    places = count if count >= 0 else len(models)
    covered = len(models) if reach is None else reach.covered
    number_before, rank = -1, -1
    for at, number in enumerate(_BUCKETS[rule](models)):
        if number == number_before:
            pushed[at] = at - 1
            oldest[rank] = at
            continue
        number_before = number
        # When the clocks go back over midnight, the day before comes twice.
        if number in ranks:
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
            kept[at] = label

    def why_not(gone: Sequence[int]) -> list[str]:
        if reach is None:
            name = f"{rule} {count}" if count >= 0 else f"{rule} all"
            return _since(name, models, map(pushed.__getitem__, gone))
        # The earlier of the two displaced it. Positions grow with age, so that is the larger one.
        name, left = f"{rule} within {reach.duration}", reach.displaced_by
        return _since(name, models, [max(pushed[at], left[at]) for at in gone])

    return Ruling(kept, why_not, beats_budget=False)


def _best(models: Sequence[Model], best: Best, warnings: list[Problem]) -> Ruling:
    path = best.metric.split(".")
    numbers = [_finite_number(model.metrics, path) for model in models]
    unfit = {at: number for at, number in enumerate(numbers) if isinstance(number, str)}
    if unfit:
        listed = (f"{quoted(models[at].model_id)} ({why})" for at, why in unfit.items())
        group, some = group_text(models[0].group), listing(listed, len(unfit))
        warnings.append(retention_metric(len(unfit), len(models), group, best.metric, some))
    ranked = [at for at in range(len(models)) if at not in unfit] if unfit else list(range(len(models)))
    # The sort is stable, also in reverse: of equal numbers, the newer model comes first.
    ranked.sort(key=numbers.__getitem__, reverse=best.order == "max")
    count = best.n if best.n >= 0 else len(ranked)
    rank_of = [0] * len(models)
    since = [0] * len(models)
    # A heap of the `count` oldest models ranked so far, with the newest of them first.
    ahead: list[int] = []
    for rank, at in enumerate(ranked, start=1):
        rank_of[at] = rank
        if rank < count:
            ahead.append(at)
        elif rank == count:
            ahead.append(at)
            heapq.heapify(ahead)
        else:
            # It was displaced when `count` better models existed. If all are older, it was never kept.
            since[at] = at if at < ahead[0] else ahead[0]
            if at > ahead[0]:
                heapq.heapreplace(ahead, at)

    name = f"best {best.metric}"

    def why_not(gone: Sequence[int]) -> list[str]:
        return [
            f"{name}: not eligible, {unfit[at]}"
            if at in unfit
            else f"{name} {numbers[at]:.10g} #{rank_of[at]}: since {models[since[at]].trained_at}"
            for at in gone
        ]

    kept = {at: f"{name} {numbers[at]:.10g} #{rank_of[at]}" for at in ranked[:count]}
    return Ruling(kept, why_not, beats_budget=True)


def _held_before(models: Sequence[Model], holders: Holders, former: FormerHolders) -> Ruling:
    rank_of = former.get(holders.alias, {})
    name = f"holders {holders.alias}"
    ranks = {at: rank_of.get((model.model_id, model.sequence), 0) for at, model in enumerate(models)}
    count = holders.last if holders.last >= 0 else len(models)
    total = holders.last if holders.last >= 0 else "all"
    kept = {at: f"{name} {rank}/{total}" for at, rank in ranks.items() if 0 < rank <= count}

    def why_not(gone: Sequence[int]) -> list[str]:
        return [f"{name}: {f'#{ranks[at]}' if ranks[at] else 'never held it, or long ago'}" for at in gone]

    return Ruling(kept, why_not, beats_budget=True)


def _finite_number(metrics: Mapping[str, Any], path: Sequence[str]) -> float | str:
    """Return the finite number at `path`, or text that says what is there instead."""
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
    kept = {
        at: reason
        for at, model in enumerate(models)
        if model.tags
        and all(name in model.tags and (not equals or model.tags[name] == value) for name, equals, value in wanted)
    }
    return Ruling(kept, lambda gone: [f"{reason}: not set"] * len(gone), beats_budget=True)

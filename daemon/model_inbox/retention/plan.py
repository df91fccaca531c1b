"""Which models stay and which go: the pure function (entries, policy, now) -> plan.

Owns the meaning of every retention rule, the reasons given for each model, and the limits on one run. It
reads registry entries and returns a value; it never reads a clock, touches a file, changes an entry or
retires anything: applying a plan is the business of others, who look at each entry again before they act.

How a plan comes about, group by group:

1. Entries are put in order, newest first: by trained_at as an instant, then registration sequence, then id.
2. Every rule of the policy looks at that order and says whom it holds. The rules are a union.
3. Pinned, aliased, future-dated and unreadable models are protected: they are never retired, yet they take
   their place in the order like any other, so that a pin does not make room for one model more.
4. The floor `min_keep` holds the newest, whatever the rules say.
5. The budget, last, lets go of the oldest that nothing but `within` and bucket rules hold.

Time is counted from the newest model of the group that is not in the future, never from `now`: a training job
that stopped retires nothing. `now` only tells what the future is.
"""

from __future__ import annotations

import gc
import heapq
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from fnmatch import translate
from fractions import Fraction
from itertools import islice
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ..base.units import format_size
from ..config.retention import BEGINNING, Best, Breaker, Duration, Policy, RetentionSection, Window
from ..model.metadata import canonical_instant, parse_instant
from ..problems import Problem, quoted

__all__ = ["Group", "Kept", "Plan", "Retired", "breaker_problem", "plan"]

Group = tuple[tuple[str, str], ...]  # ("currency_pair", "EUR/USD"), ("model_type", "lightgbm")


# -- the plan -----------------------------------------------------------------------------------------------


# Both are named tuples, because a plan may hold a hundred thousand of them and these are made twice as fast.


class Kept(NamedTuple):
    """A model that stays. `reasons`, never empty, names everything that protects or holds it.

    `bytes` is the size of the model with its scaler; `trained_at` is empty where it cannot be read.
    """

    model_id: str
    reasons: tuple[str, ...]
    bytes: int = 0
    group: Group = ()
    trained_at: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the model as a JSON object."""
        return _as_dict(self)


class Retired(NamedTuple):
    """A model that goes. `reasons`, never empty, names every rule that it fell out of and since when.

    "Since" is the training time of the model whose coming pushed this one out. `sequence` is that of its
    registration, by which it is told from a later model of the same id.
    """

    model_id: str
    reasons: tuple[str, ...]
    bytes: int = 0
    group: Group = ()
    trained_at: str = ""
    sequence: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the model as a JSON object."""
        return _as_dict(self)


def _as_dict(model: Kept | Retired) -> dict[str, Any]:
    return {
        "model_id": model.model_id,
        "reasons": list(model.reasons),
        "trained_at": model.trained_at,
        "bytes": model.bytes,
        "group": dict(model.group),
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run would do to the registry as it stood after the journal line `sequence`.

    `keep` is newest first (those without a place in the order at its end), `retire` oldest first; together
    they are all entries. `bytes_freed` is the size of `retire`. When `breaker` is set the plan is over the
    limits of one run: it shows what would go, and may be applied only by an operator's own hand.
    """

    keep: tuple[Kept, ...]
    retire: tuple[Retired, ...]
    bytes_freed: int
    warnings: tuple[Problem, ...] = ()
    sequence: int = 0
    breaker: Problem | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON object: what `model-inbox retention plan --json` prints."""
        return {
            "keep": [kept.as_dict() for kept in self.keep],
            "retire": [retired.as_dict() for retired in self.retire],
            "bytes_freed": self.bytes_freed,
            "sequence": self.sequence,
            "breaker": self.breaker.as_dict() if self.breaker else None,
            "warnings": [warning.as_dict() for warning in self.warnings],
        }


def plan(entries: Iterable[Mapping[str, Any]], section: RetentionSection, *, now: datetime, sequence: int = 0) -> Plan:
    """Return who stays and who goes under `section`, whatever its mode, with the reasons for each.

    `entries` are registry entries in any order; `now` is an aware datetime and decides only what is dated in
    the future; `sequence` is the journal's, carried along. An entry that cannot be read is kept and said in
    `warnings`. Raises ValueError for a `now` without a time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now has no time zone; pass an aware datetime, such as datetime.now(UTC)")
    with _collector_paused():
        return _plan(entries, section, now.astimezone(UTC), sequence)


@contextmanager
def _collector_paused() -> Iterator[None]:
    # Planning makes no reference cycles, only many tuples, and each hundred thousand of them would have the
    # collector walk all entries of the registry again: a third of the whole time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _plan(entries: Iterable[Mapping[str, Any]], section: RetentionSection, now: datetime, sequence: int) -> Plan:
    reader = _Reader(section.group_by, section.zone, now)
    times = _Times(section.zone, now)
    models = [model for entry in entries if (model := reader.read(entry)) is not None]
    models.sort(key=_ORDER, reverse=True)
    groups: dict[Group, list[int]] = {}  # their positions in the order
    for at, model in enumerate(models):
        groups.setdefault(model.group, []).append(at)
    policies = [(_matcher(policy), policy, policy.keep.rules()) for policy in section.policies]
    warnings = reader.warnings()
    outcomes: list[Kept | Retired | None] = [None] * len(models)
    for group, positions in sorted(groups.items()):
        members = [models[at] for at in positions]
        policy, rules = next(((policy, rules) for matches, policy, rules in policies if matches(group)), (None, ()))
        if policy is None:
            judged: Iterator[Kept | Retired] = (
                _kept(model, (*model.protection, "no policy matches its group")) for model in members
            )
        else:
            judged = _judge(members, policy, rules, times, warnings)
        for at, outcome in zip(positions, judged, strict=True):
            outcomes[at] = outcome
    keep = [outcome for outcome in outcomes if isinstance(outcome, Kept)]
    retire = [outcome for outcome in reversed(outcomes) if isinstance(outcome, Retired)]
    return Plan(
        keep=(*keep, *sorted(reader.strangers, key=lambda kept: kept.model_id)),
        retire=tuple(retire),
        bytes_freed=sum(retired.bytes for retired in retire),
        warnings=tuple(warnings),
        sequence=sequence,
        breaker=breaker_problem(len(retire), len(models) + len(reader.strangers), section.breaker),
    )


def breaker_problem(retired: int, total: int, breaker: Breaker) -> Problem | None:
    """Return why retiring `retired` of `total` models is too much for one run; None up to the limits."""
    if retired > breaker.max_deletes:
        limit, field = f"{breaker.max_deletes} models", "retention.breaker.max_deletes"
    # As it is written in decimals: in binary, 0.29 of 100 would be a little less than 29.
    elif retired > Fraction(str(breaker.max_fraction)) * total:
        limit, field = f"{breaker.max_fraction:g} of all", "retention.breaker.max_fraction"
    else:
        return None
    return Problem(
        "retention.breaker",
        f"the plan would retire {retired} of {total} models, and one run may retire {limit}",
        "Nothing is retired. Look at `model-inbox retention plan`; if that is what you want, run "
        "`model-inbox retention apply --override-breaker`",
        field,
    )


# -- entries as the rules see them --------------------------------------------------------------------------


class _Model(NamedTuple):
    instant: datetime  # in UTC: comparing datetimes of one zone is cheap
    sequence: int
    model_id: str
    local: datetime  # the same instant in the section's zone
    trained_at: str
    bytes: int
    group: Group
    protection: tuple[str, ...]
    tags: Mapping[str, str]
    metrics: Mapping[str, Any]


_NOTHING: Final[Mapping[str, Any]] = {}
_LISTED: Final = 10  # how many models a warning names
_ORDER: Final = itemgetter(0, 1, 2)  # instant, sequence, id
_LOCAL, _TRAINED_AT = itemgetter(3), itemgetter(4)
_CANONICAL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def _kept(model: _Model, reasons: tuple[str, ...]) -> Kept:
    return Kept(model.model_id, reasons, model.bytes, model.group, model.trained_at)


def _retired(model: _Model, reasons: tuple[str, ...]) -> Retired:
    # Made by the hundred thousand: past the constructor, which takes twice as long as the tuple itself.
    return tuple.__new__(Retired, (model.model_id, reasons, model.bytes, model.group, model.trained_at, model.sequence))


class _Reader:
    """Reads entries into models, and remembers what has to be said about them."""

    def __init__(self, group_by: Sequence[str], zone: tzinfo, now: datetime) -> None:
        self._group_by = group_by
        self._zone = zone
        self._now = now
        self._groups: dict[tuple[Any, ...], Group] = {}
        self.strangers: list[Kept] = []
        self._unreadable: list[str] = []
        self._future: list[str] = []

    def read(self, entry: Mapping[str, Any]) -> _Model | None:
        """Return the model, or None for one without a place in any order, which goes to `strangers`."""
        get = entry.get
        faults: list[str] = []
        model_id = get("model_id")
        if not isinstance(model_id, str):
            faults.append(_fault("model_id", model_id))
            model_id = str(model_id)
        moment = self._moment(get("trained_at"), faults)
        group = self._group(entry, faults)
        sequence, size = get("sequence"), get("size_bytes")
        if type(sequence) is not int or sequence < 0:
            sequence = _odd_number("sequence", sequence, faults)
        if type(size) is not int or size < 0:
            size = _odd_number("size_bytes", size, faults)
        pinned, aliases = get("pinned"), get("aliases")
        protection = _protection(pinned, aliases, faults) if pinned or aliases else ()
        tags = get("tags")
        tags = _tags(tags, faults) if tags else _NOTHING
        metrics = get("validation_metrics")
        if not isinstance(metrics, dict):
            if metrics is not None:
                faults.append(_fault("validation_metrics", metrics))
            metrics = _NOTHING
        if faults:
            self._unreadable.append(f"{quoted(model_id)} ({', '.join(faults)})")
            protection = (*protection, f"unreadable: {', '.join(faults)}")
        if moment is None or group is None:
            text = moment[2] if moment else ""
            self.strangers.append(Kept(model_id, protection, size, group or (), text))
            return None
        instant, local, text = moment
        if instant > self._now:
            self._future.append(f"{quoted(model_id)} ({text})")
            protection = (*protection, f"dated in the future: {text}")
        return _Model(instant, sequence, model_id, local, text, size, group, protection, tags, metrics)

    def warnings(self) -> list[Problem]:
        """Return what the operator should hear about the entries that were read."""
        found = []
        if self._unreadable:
            found.append(
                Problem(
                    "retention.unreadable",
                    f"{len(self._unreadable)} entries cannot be read and are kept: "
                    f"{_listing(self._unreadable, len(self._unreadable))}",
                    "Look at them with `model-inbox show ID` and `model-inbox verify`",
                )
            )
        if self._future:
            found.append(
                Problem(
                    "retention.future",
                    f"{len(self._future)} models are dated after {canonical_instant(self._now)} and "
                    f"are kept: {_listing(self._future, len(self._future))}",
                    "See that the clocks of this machine and of the training machines are right",
                )
            )
        return found

    def _moment(self, text: object, faults: list[str]) -> tuple[datetime, datetime, str] | None:
        try:
            if not isinstance(text, str):
                raise ValueError("no text")
            if _CANONICAL.fullmatch(text):  # as the registry writes it; the general way takes ten times as long
                instant = datetime.fromisoformat(text)
            else:
                instant = parse_instant(text).astimezone(UTC)
                text = canonical_instant(instant)
            return instant, instant if self._zone is UTC else instant.astimezone(self._zone), text
        except (ValueError, OverflowError):
            faults.append(_fault("trained_at", text))
            return None

    def _group(self, entry: Mapping[str, Any], faults: list[str]) -> Group | None:
        values = tuple(map(entry.get, self._group_by))
        try:
            return self._groups[values]
        except (KeyError, TypeError):  # new; or a value that is not even hashable
            pairs: tuple[tuple[str, Any], ...] = tuple(zip(self._group_by, values, strict=True))
        odd = [_fault(key, value) for key, value in pairs if not isinstance(value, str)]
        if odd:
            faults += odd
            return None
        return self._groups.setdefault(values, pairs)


def _fault(field: str, value: object) -> str:
    return f"{field} is missing" if value is None else f"{field} is {quoted(value)}"


def _odd_number(field: str, value: object, faults: list[str]) -> int:
    if value is not None:  # an entry made before the field was there has none, and counts as 0
        faults.append(_fault(field, value))
    return 0


def _protection(pinned: object, aliases: object, faults: list[str]) -> tuple[str, ...]:
    reasons = ["pinned"] if pinned is True else []
    if pinned and pinned is not True:
        faults.append(_fault("pinned", pinned))
    if isinstance(aliases, list | tuple) and all(isinstance(alias, str) for alias in aliases):
        reasons += [f"alias {quoted(alias)}" for alias in aliases]
    elif aliases:
        faults.append(_fault("aliases", aliases))
    return tuple(reasons)


def _tags(value: object, faults: list[str]) -> Mapping[str, str]:
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return dict.fromkeys(value, "")  # names alone
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    faults.append(_fault("tags", value))
    return _NOTHING


def _listing(items: Iterable[str], total: int) -> str:
    shown = list(islice(items, _LISTED))
    return ", ".join(shown) + (f" and {total - len(shown)} more" if total > len(shown) else "")


def _matcher(policy: Policy) -> Callable[[Group], bool]:
    patterns = {key: re.compile(translate(pattern)) for key, pattern in policy.match.items()}

    def matches(group: Group) -> bool:
        return all(patterns[key].match(value) for key, value in group if key in patterns)

    return matches


# -- the rules ----------------------------------------------------------------------------------------------


class _Ruling(NamedTuple):
    """What one rule says of a group, by position in its order.

    `held` gives the reason for each model that the rule holds; `fell`, given positions of others, says for
    each how it fell out (in one go, because there may be many). A firm rule is one that the budget does not
    overrule.
    """

    held: Mapping[int, str]
    fell: Callable[[Sequence[int]], list[str]] | None
    firm: bool


def _judge(
    models: Sequence[_Model], policy: Policy, rules: Sequence[str], times: _Times, warnings: list[Problem]
) -> Iterator[Kept | Retired]:
    """Yield the outcome for each of `models`, a group in order, adding to `warnings` what must be said.

    `rules` are the names of the policy's rules.
    """
    rulings = _rulings(models, policy, rules, times, warnings)
    held = {at: list(model.protection) for at, model in enumerate(models) if model.protection}
    for ruling in rulings:
        for at, reason in ruling.held.items():
            held.setdefault(at, []).append(reason)
    overruled: dict[int, str] = {}
    if policy.budget is not None:
        overruled = _over_budget(models, held, rulings, policy.budget, warnings)
    gone = [at for at in range(len(models)) if at not in held]
    reasons = zip(*[ruling.fell(gone) for ruling in rulings if ruling.fell], strict=True) if gone else iter(())
    for at, model in enumerate(models):
        if at not in held:
            yield _retired(model, next(reasons))
        elif at not in overruled:
            yield _kept(model, tuple(held[at]))
        else:
            others = [ruling.fell([at])[0] for ruling in rulings if ruling.fell and at not in ruling.held]
            yield _retired(model, (overruled[at], *others))


def _rulings(
    models: Sequence[_Model], policy: Policy, rules: Sequence[str], times: _Times, warnings: list[Problem]
) -> list[_Ruling]:
    keep = policy.keep
    rulings = []
    reaches: dict[Duration, _Reach] = {}

    def reach_of(duration: Duration) -> _Reach:
        if duration not in reaches:
            reaches[duration] = _Reach(models, duration, times)
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
    rulings.append(_Ruling(floor, None, firm=True))
    return rulings


def _last(models: Sequence[_Model], count: int) -> _Ruling:
    if count < 0:
        return _Ruling({at: f"last {at + 1}/all" for at in range(len(models))}, None, firm=True)
    return _Ruling(
        {at: f"last {at + 1}/{count}" for at in range(min(count, len(models)))},
        lambda gone: _since(f"last {count}", models, [at - count for at in gone]),
        firm=True,
    )


def _since(rule: str, models: Sequence[_Model], pushed_by: Iterable[int]) -> list[str]:
    """Return since when models are out of a rule, each given the position of the one whose coming pushed it out.

    Most of a large plan is made here, so it runs without a step of the interpreter for each.
    """
    return list(map(f"{rule}: since ".__add__, map(_TRAINED_AT, map(models.__getitem__, pushed_by))))


class _Times:
    """Time as a plan sees it: what is in the future, and how far back a duration reaches from an instant."""

    def __init__(self, zone: tzinfo, now: datetime) -> None:
        self.now = now
        self._zone = zone
        self._steps: dict[Duration, dict[int, timedelta | None]] = {}
        self._labels: dict[str, dict[int, str]] = {}

    def labels(self, rule: str) -> dict[int, str]:
        """Return the names that were given to a rule's buckets, by their numbers: the same for all groups."""
        return self._labels.setdefault(rule, {})

    def before(self, duration: Duration) -> Callable[[_Model], datetime]:
        """Return the function that gives `duration` before a model's instant."""
        steps = self._steps.setdefault(duration, {})

        def before(model: _Model) -> datetime:
            # On a day without a change of the clocks, here or there, the step is as long at any time of day.
            day = model.local.toordinal()
            try:
                step = steps[day]
            except KeyError:
                step = steps[day] = self._step_on(model.local, duration)
            return model.instant - step if step else duration.before(model.instant, self._zone)

        return before

    def _step_on(self, local: datetime, duration: Duration) -> timedelta | None:
        first = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        last = local.replace(hour=23, minute=59, second=59, microsecond=999999, fold=1)
        try:
            steps = {moment.astimezone(UTC) - duration.before(moment, self._zone) for moment in (first, last)}
        except OverflowError:  # the first and the last day of the calendar are not whole in every zone
            return None
        return steps.pop() if len(steps) == 1 else None


class _Reach:
    """How far back a duration reaches in a group, counted from its newest model that is not in the future."""

    def __init__(self, models: Sequence[_Model], duration: Duration, times: _Times) -> None:
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


def _within(models: Sequence[_Model], reach: _Reach) -> _Ruling:
    reason = f"within {reach.duration}"

    return _Ruling(
        dict.fromkeys(range(reach.covered), reason),
        lambda gone: _since(reason, models, map(reach.left.__getitem__, gone)),
        firm=False,
    )


# The numbers of the buckets that local times fall into: cheap to compute, and only compared.
_BUCKETS: Final[Mapping[str, Callable[[Sequence[_Model]], list[int]]]] = {
    # When the clocks go back an hour comes twice; `fold` tells the second from the first.
    "hourly": lambda models: [(at.toordinal() * 24 + at.hour) * 2 + at.fold for at in map(_LOCAL, models)],
    "daily": lambda models: [at.toordinal() for at in map(_LOCAL, models)],
    "weekly": lambda models: [(at.toordinal() - 1) // 7 for at in map(_LOCAL, models)],  # day 1 was a Monday
    "monthly": lambda models: [at.year * 12 + at.month for at in map(_LOCAL, models)],
    "yearly": lambda models: [at.year for at in map(_LOCAL, models)],
}


def _bucket_label(rule: str, local: datetime) -> str:
    if rule == "weekly":
        year, week, _ = local.isocalendar()
        return f"weekly {year:04d}-W{week:02d}"
    if rule == "hourly":
        return f"hourly {local.isoformat(timespec='hours').replace('+00:00', 'Z')}"
    return f"{rule} {local.isoformat()[: {'daily': 10, 'monthly': 7, 'yearly': 4}[rule]]}"


def _bucketed(models: Sequence[_Model], rule: str, count: int, reach: _Reach | None, times: _Times) -> _Ruling:
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

    return _Ruling(held, fell, firm=False)


def _best(models: Sequence[_Model], best: Best, warnings: list[Problem]) -> _Ruling:
    path = best.metric.split(".")
    numbers = [_finite_number(model.metrics, path) for model in models]
    unfit = {at: number for at, number in enumerate(numbers) if isinstance(number, str)}
    if unfit:
        listed = (f"{quoted(models[at].model_id)} ({why})" for at, why in unfit.items())
        warnings.append(
            Problem(
                "retention.metric",
                f"{len(unfit)} of {len(models)} models of {_group_text(models[0].group)} have no finite "
                f"number at {best.metric} and cannot be best: {_listing(listed, len(unfit))}",
                "Write the metric into the sidecar's validation_metrics, or name one that they have",
            )
        )
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

    return _Ruling({at: f"{name} {numbers[at]:.10g} #{rank_of[at]}" for at in ranked[:count]}, fell, firm=True)


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


def _tagged(models: Sequence[_Model], alternative: Sequence[str]) -> _Ruling:
    wanted = [tag.partition("=") for tag in alternative]
    reason = f"tags [{', '.join(alternative)}]"
    held = {
        at: reason
        for at, model in enumerate(models)
        if model.tags
        and all(name in model.tags and (not equals or model.tags[name] == value) for name, equals, value in wanted)
    }
    return _Ruling(held, lambda gone: [f"{reason}: not set"] * len(gone), firm=True)


def _over_budget(
    models: Sequence[_Model],
    held: Mapping[int, Sequence[str]],
    rulings: Sequence[_Ruling],
    budget: int,
    warnings: list[Problem],
) -> dict[int, str]:
    """Return whom the budget retires of those held, oldest first, each with the reason."""
    group = _group_text(models[0].group)
    unsized = [quoted(models[at].model_id) for at in held if not models[at].bytes]
    if unsized:
        warnings.append(
            Problem(
                "retention.size_unknown",
                f"{len(unsized)} models of {group} have no size and count as nothing in the budget of "
                f"{format_size(budget)}: {_listing(unsized, len(unsized))}",
                "`model-inbox verify` compares the registry with the files",
            )
        )
    firm = {at for ruling in rulings if ruling.firm for at in ruling.held}
    total = taken = sum(models[at].bytes for at in held)
    overruled: dict[int, str] = {}
    for at in sorted(held, reverse=True):
        if taken <= budget:
            break
        if at not in firm and not models[at].protection:
            taken -= models[at].bytes
            overruled[at] = (
                f"budget {format_size(budget)}: the rules hold {format_size(total)}; held only by {', '.join(held[at])}"
            )
    if taken > budget:
        warnings.append(
            Problem(
                "retention.budget",
                f"{group} keeps {format_size(taken)}, over its budget of {format_size(budget)}, because the "
                "rest is protected or held by last, best, tags or min_keep",
                "Raise the budget, unpin what is no longer needed, or keep fewer by those rules",
            )
        )
    return overruled


def _group_text(group: Group) -> str:
    return f"the group {', '.join(quoted(value) for _, value in group)}" if group else "the registry"

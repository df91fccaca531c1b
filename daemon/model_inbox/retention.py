"""Which models stay and which go: the pure function (entries, policy, now) -> plan.

Owns the meaning of every retention rule, the reasons given for each model, and the limits on one run. It reads
registry entries and returns a value; it never reads a clock, touches a file, changes an entry or retires
anything: applying a plan is the business of others, who look at each entry again before they act.

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

import heapq
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from fnmatch import translate
from fractions import Fraction
from functools import cached_property
from typing import Any, Final, NamedTuple

from .metadata import canonical_instant, parse_instant
from .policy import BEGINNING, BUCKETS, Best, Breaker, Duration, Policy, RetentionSection, Window
from .problems import Problem, quoted
from .units import format_size

__all__ = ["Group", "Kept", "Plan", "Retired", "breaker_problem", "plan"]

Group = tuple[tuple[str, str], ...]  # ("currency_pair", "EUR/USD"), ("model_type", "lightgbm")


# -- the plan -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
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


@dataclass(frozen=True, slots=True)
class Retired:
    """A model that goes. `reasons`, never empty, names every rule that it fell out of and since when.

    "Since" is the training time of the model whose coming pushed this one out.
    """

    model_id: str
    reasons: tuple[str, ...]
    bytes: int = 0
    group: Group = ()
    trained_at: str = ""

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


def plan(
    entries: Iterable[Mapping[str, Any]], section: RetentionSection, *, now: datetime, sequence: int = 0
) -> Plan:
    """Return who stays and who goes under `section`, whatever its mode, with the reasons for each.

    `entries` are registry entries in any order; `now` is an aware datetime and decides only what is dated in
    the future; `sequence` is the journal's, carried along. An entry that cannot be read is kept and said in
    `warnings`. Raises ValueError for a `now` without a time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now has no time zone; pass an aware datetime, such as datetime.now(UTC)")
    now = now.astimezone(UTC)
    reader = _Reader(section.group_by, section.zone, now)
    groups: dict[Group, list[_Model]] = {}
    strangers: list[Kept] = []
    for entry in entries:
        model = reader.read(entry)
        if isinstance(model, Kept):
            strangers.append(model)
        else:
            groups.setdefault(model.group, []).append(model)
    warnings = reader.warnings()
    policies = [(_matcher(policy), policy) for policy in section.policies]
    outcomes: list[_Outcome] = []
    for group in sorted(groups):
        models = sorted(groups[group], key=_order, reverse=True)
        policy = next((policy for matches, policy in policies if matches(group)), None)
        if policy is None:
            outcomes += [(model, True, (*model.protection, "no policy matches its group")) for model in models]
        else:
            outcomes += _judge(models, policy, section.zone, now, warnings)
    outcomes.sort(key=lambda outcome: _order(outcome[0]), reverse=True)
    keep = [Kept(*_shown(model, reasons)) for model, stays, reasons in outcomes if stays]
    retire = [Retired(*_shown(model, reasons)) for model, stays, reasons in reversed(outcomes) if not stays]
    return Plan(
        keep=(*keep, *sorted(strangers, key=lambda kept: kept.model_id)),
        retire=tuple(retire),
        bytes_freed=sum(retired.bytes for retired in retire),
        warnings=tuple(warnings),
        sequence=sequence,
        breaker=breaker_problem(len(retire), len(outcomes) + len(strangers), section.breaker),
    )


def breaker_problem(retired: int, total: int, breaker: Breaker) -> Problem | None:
    """Return why retiring `retired` of `total` models is too much for one run, or None. At a limit is fine."""
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


_Outcome = tuple[_Model, bool, tuple[str, ...]]  # whether it stays, and why
_NOTHING: Final[Mapping[str, Any]] = {}
_CANONICAL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def _order(model: _Model) -> tuple[datetime, int, str]:
    return model[:3]


def _shown(model: _Model, reasons: tuple[str, ...]) -> tuple[str, tuple[str, ...], int, Group, str]:
    return model.model_id, reasons, model.bytes, model.group, model.trained_at


class _Reader:
    """Reads entries into models, and remembers what has to be said about them."""

    def __init__(self, group_by: Sequence[str], zone: tzinfo, now: datetime) -> None:
        self._group_by = group_by
        self._zone = zone
        self._now = now
        self._groups: dict[tuple[Any, ...], Group] = {}
        self._unreadable: list[str] = []
        self._future: list[str] = []

    def read(self, entry: Mapping[str, Any]) -> _Model | Kept:
        """Return the model, or, for an entry that has no place in the order of any group, that it is kept."""
        faults: list[str] = []
        model_id = entry.get("model_id")
        if not isinstance(model_id, str):
            faults.append(_fault("model_id", model_id))
            model_id = str(model_id)
        moment = self._moment(entry.get("trained_at"), faults)
        group = self._group(entry, faults)
        sequence = _whole_number(entry, "sequence", faults)
        size = _whole_number(entry, "size_bytes", faults)
        protection = _protection(entry, faults)
        tags = _tags(entry.get("tags"), faults)
        metrics = entry.get("validation_metrics")
        if metrics is None:
            metrics = _NOTHING
        elif not isinstance(metrics, Mapping):
            faults.append(_fault("validation_metrics", metrics))
            metrics = _NOTHING
        if faults:
            self._unreadable.append(f"{quoted(model_id)} ({', '.join(faults)})")
            protection = (*protection, f"unreadable: {', '.join(faults)}")
        if moment is None or group is None:
            return Kept(model_id, protection, size, group or (), moment[2] if moment else "")
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
                    f"{len(self._unreadable)} entries cannot be read and are kept: {_listing(self._unreadable)}",
                    "Look at them with `model-inbox show ID` and `model-inbox verify`",
                )
            )
        if self._future:
            found.append(
                Problem(
                    "retention.future",
                    f"{len(self._future)} models are dated after {canonical_instant(self._now)} and are kept: "
                    f"{_listing(self._future)}",
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
        values = tuple([entry.get(key) for key in self._group_by])
        try:
            return self._groups[values]
        except (KeyError, TypeError):  # new; or a value that is not even hashable
            pairs = tuple(zip(self._group_by, values, strict=True))
        odd = [_fault(key, value) for key, value in pairs if not isinstance(value, str)]
        if odd:
            faults += odd
            return None
        return self._groups.setdefault(values, pairs)


def _fault(field: str, value: object) -> str:
    return f"{field} is missing" if value is None else f"{field} is {quoted(value)}"


def _whole_number(entry: Mapping[str, Any], field: str, faults: list[str]) -> int:
    value = entry.get(field)
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    faults.append(_fault(field, value))
    return 0


def _protection(entry: Mapping[str, Any], faults: list[str]) -> tuple[str, ...]:
    pinned = entry.get("pinned")
    aliases = entry.get("aliases")
    if not pinned and not aliases and (pinned is None or pinned is False) and (not aliases):
        return ()
    reasons = ["pinned"] if pinned is True else []
    if pinned is not None and not isinstance(pinned, bool):
        faults.append(_fault("pinned", pinned))
    if isinstance(aliases, list | tuple) and all(isinstance(alias, str) for alias in aliases):
        reasons += [f"alias {quoted(alias)}" for alias in aliases]
    elif aliases is not None:
        faults.append(_fault("aliases", aliases))
    return tuple(reasons)


def _tags(value: object, faults: list[str]) -> Mapping[str, str]:
    if not value and (value is None or isinstance(value, Mapping | list | tuple)):
        return _NOTHING
    if isinstance(value, list | tuple):  # names alone
        value = dict.fromkeys(value, "") if all(isinstance(name, str) for name in value) else None
    if isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values()):
        return value
    faults.append(_fault("tags", value))
    return _NOTHING


def _listing(items: Sequence[str], most: int = 10) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _matcher(policy: Policy) -> Callable[[Group], bool]:
    patterns = {key: re.compile(translate(pattern)) for key, pattern in policy.match.items()}

    def matches(group: Group) -> bool:
        return all(patterns[key].match(value) for key, value in group if key in patterns)

    return matches


# -- the rules ----------------------------------------------------------------------------------------------


class _Ruling(NamedTuple):
    """What one rule says of a group, by position in its order.

    `held` gives the reason for each model that the rule holds; `fell` says of any other how it fell out.
    A firm rule is one that the budget does not overrule.
    """

    held: Mapping[int, str]
    fell: Callable[[int], str] | None
    firm: bool


def _judge(
    models: Sequence[_Model], policy: Policy, zone: tzinfo, now: datetime, warnings: list[Problem]
) -> Iterator[_Outcome]:
    """Yield the outcome for each of `models`, a group in order, adding to `warnings` what must be said."""
    rulings = _rulings(models, policy, zone, now, warnings)
    held = {at: list(model.protection) for at, model in enumerate(models) if model.protection}
    for ruling in rulings:
        for at, reason in ruling.held.items():
            held.setdefault(at, []).append(reason)
    if policy.budget is None:
        overruled: dict[int, str] = {}
    else:
        overruled = _over_budget(models, held, rulings, policy.budget, warnings)
    for at, model in enumerate(models):
        if at in overruled:
            fell = [ruling.fell(at) for ruling in rulings if ruling.fell and at not in ruling.held]
            yield model, False, (overruled[at], *fell)
        elif at in held:
            yield model, True, tuple(held[at])
        else:
            yield model, False, tuple([ruling.fell(at) for ruling in rulings if ruling.fell])


def _rulings(
    models: Sequence[_Model], policy: Policy, zone: tzinfo, now: datetime, warnings: list[Problem]
) -> list[_Ruling]:
    keep = policy.keep
    rulings = []
    for rule in keep.rules():
        if rule == "last":
            rulings.append(_last(models, keep.last))
        elif rule == "within" and keep.within:
            rulings.append(_within(models, _Reach(models, keep.within, zone, now)))
        elif rule == "best" and keep.best:
            rulings.append(_best(models, keep.best, warnings))
        elif rule == "tags":
            rulings += [_tagged(models, alternative) for alternative in keep.tags]
        else:
            bucket: int | Window = getattr(keep, rule)
            if isinstance(bucket, Window):
                rulings.append(_bucketed(models, rule, -1, _Reach(models, bucket.within, zone, now)))
            else:
                rulings.append(_bucketed(models, rule, bucket, None))
    floor = {at: f"min_keep {at + 1}/{policy.min_keep}" for at in range(min(policy.min_keep, len(models)))}
    rulings.append(_Ruling(floor, None, firm=True))
    return rulings


def _last(models: Sequence[_Model], count: int) -> _Ruling:
    if count < 0:
        return _Ruling({at: f"last {at + 1}/all" for at in range(len(models))}, None, firm=True)
    return _Ruling(
        {at: f"last {at + 1}/{count}" for at in range(min(count, len(models)))},
        lambda at: f"last {count}: since {models[at - count].trained_at}",
        firm=True,
    )


class _Reach:
    """How far back a duration reaches in a group, counted from its newest model that is not in the future."""

    def __init__(self, models: Sequence[_Model], duration: Duration, zone: tzinfo, now: datetime) -> None:
        self.duration = duration
        self._models = models
        self._zone = zone
        self._reference = next((at for at, model in enumerate(models) if model.instant <= now), None)
        # Where everything is in the future there is no reference, and everything is protected anyway.
        self._start = BEGINNING if self._reference is None else self._before(models[self._reference])

    def _before(self, model: _Model) -> datetime:
        return self.duration.before(model.instant, self._zone)

    def covers(self, model: _Model) -> bool:
        """Return whether the model is strictly younger than the start of the reach."""
        return model.instant > self._start

    @cached_property
    def left(self) -> list[int | None]:
        """For each model, the position of the one at whose coming it was left behind, or None if it is not.

        Both are followed from the oldest to the newest: whoever came first and reached past a model counts.
        """
        left: list[int | None] = [None] * len(self._models)
        behind = len(self._models) - 1
        for at in range(len(self._models) - 1, (self._reference or 0) - 1, -1):
            start = self._before(self._models[at])
            while behind > at and self._models[behind].instant <= start:
                left[behind] = at
                behind -= 1
        return left


def _within(models: Sequence[_Model], reach: _Reach) -> _Ruling:
    reason = f"within {reach.duration}"
    return _Ruling(
        {at: reason for at, model in enumerate(models) if reach.covers(model)},
        lambda at: f"{reason}: since {models[at if reach.left[at] is None else reach.left[at]].trained_at}",
        firm=False,
    )

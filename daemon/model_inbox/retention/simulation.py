"""What other retention rules would have retired in the past, and what would have been missed later.

Owns the simulated registry: models enter it as the journal tells, and leave it by the simulated rules or by a person's
hand, but never by the rules that were really in force. Pure: it gets the past as values, and decides nothing by itself;
`groups` applies the rules.

The groups of a policy do not depend on each other, so each is simulated alone, over the whole time. Where nothing but
registrations happens, a model that no rule keeps is kept by none later either: rules count newer models only, and these
only get more. So the state at the end of such a stretch says what was retired in it, and the rules need not be applied
after each registration. A stretch with retirements is cut down to a day, so that the times are right to the day, and to
single runs of the daemon where the breaker stops it: with fewer models at once, it might not have. A budget is no such
rule. Its groups are looked at after each registration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ..base.collector import collector_paused
from ..base.instants import canonical_instant
from ..base.units import format_duration, spans
from ..config.retention import RetentionSection
from ..problems import Problem, quoted
from ..registry.entry import EntryFields, sequence_of
from ..registry.journal import Line, also_changed, brings_back
from ..registry.past import Past
from .entries import ORDER, OWNER_UID, EntryReader, FormerHolders, Model, former_holders, latest_names
from .groups import SectionRules, breaker_problem, protect_future
from .occasions import Occasions, holds_of, midnights, moments_of, sample_of
from .outcomes import Group, is_reason_of_rules
from .times import Times

__all__ = ["SimulatedRetirement", "Simulation", "simulate"]

Key = tuple[str, int]
"""What names a model for all time: its id, and the number of its registration."""

Progress = Callable[[int, int], None]
"""Called with the number of models that are done, and of all."""


# --- the result --------------------------------------------------------------------------------------------


class SimulatedRetirement(NamedTuple):
    """A model that the rules would have retired.

    `at` is right to the day: the model was not retired on an earlier day, and not after `at`. `regret` says for what it
    was wanted after that, or is None.
    """

    model_id: str
    sequence: int
    at: datetime
    reasons: tuple[str, ...]
    bytes: int
    group: Group
    regret: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the retirement as a JSON object."""
        return {
            "model_id": self.model_id,
            "at": canonical_instant(self.at),
            "reasons": list(self.reasons),
            "regret": self.regret,
            "bytes": self.bytes,
            "group": dict(self.group),
            "sequence": self.sequence,
        }


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the rules would have done between `begin` and `end`.

    `retired` is in the order of time. `bytes` has the size of all registered models, without the trash, at `begin`, at
    each midnight (UTC) and at `end`; `real_bytes` what it really was. `breakers` has each group of which the breaker
    stopped the retirement, with the first time and the number of models that it stopped then. `history_begins` is the
    time before which nothing is known, if that is after the time that was asked for; `missing` are the numbers of lines
    that are in no file.
    """

    begin: datetime
    end: datetime
    retired: tuple[SimulatedRetirement, ...]
    bytes: tuple[tuple[datetime, int], ...]
    real_bytes: tuple[tuple[datetime, int], ...]
    models: int
    breakers: tuple[tuple[Group, datetime, Problem], ...] = ()
    history_begins: datetime | None = None
    missing: tuple[tuple[int, int], ...] = ()

    @property
    def models_retired(self) -> tuple[SimulatedRetirement, ...]:
        """The last retirement of each model that would have been retired: one that was restored may go twice."""
        return tuple({(one.model_id, one.sequence): one for one in self.retired}.values())

    @property
    def regretted(self) -> tuple[SimulatedRetirement, ...]:
        """The retirements that would have been regretted."""
        return tuple(one for one in self.retired if one.regret is not None)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object that `model-inbox retention simulate --json` prints."""
        return {
            "from": canonical_instant(self.begin),
            "to": canonical_instant(self.end),
            "history_begins": canonical_instant(self.history_begins) if self.history_begins else None,
            "missing_lines": spans(list(self.missing)),
            "retired": [one.as_dict() for one in self.retired],
            "regret": len(self.regretted),
            "bytes": [[canonical_instant(at), size] for at, size in self.bytes],
            "real_bytes": [[canonical_instant(at), size] for at, size in self.real_bytes],
            "models": self.models,
            "breakers": [
                {"at": canonical_instant(at), "group": dict(group), **problem.as_dict()}
                for group, at, problem in self.breakers
            ],
        }


def simulate(
    past: Past,
    section: RetentionSection,
    *,
    begin: datetime,
    end: datetime,
    override_breaker: bool = False,
    progress: Progress | None = None,
) -> Simulation:
    """Return what `section` would have retired between `begin` and `end`. Its mode is ignored, as by `plan`.

    It begins with the models that were registered at `begin`, or where the known past begins: at the day of the first
    line, if that is later. With `override_breaker` the breaker stops nothing. Raises ValueError for a time without a
    zone.
    """
    if begin.tzinfo is None or end.tzinfo is None:
        raise ValueError("begin or end has no time zone; pass aware datetimes, such as datetime.now(UTC)")
    asked, end = begin.astimezone(UTC), end.astimezone(UTC)
    begin = min(max(asked, _beginning(past)), end)
    with collector_paused():
        story = _Story(past, section, begin, end)
        world = _World(section, story, override_breaker=override_breaker)
        total = sum(map(len, story.units))
        done = 0
        for changes in story.units:
            unit = _Unit(world)
            for count in unit.run(changes):
                if progress is not None:
                    progress(done + count, total)
            done += len(changes)
            world.models += len(unit.entries)
    return Simulation(
        begin,
        end,
        tuple(sorted(map(_retirement, world.gone), key=lambda one: (one.at, one.sequence, one.model_id))),
        _series(story.samples, world.size_changes),
        _series(story.samples, story.real_size_changes),
        world.models,
        tuple(sorted(((group, *said) for group, said in world.breakers.items()), key=itemgetter(1, 0))),
        begin if begin > asked and past.begins is not None else None,
        tuple(past.missing),
    )


def _beginning(past: Past) -> datetime:
    """Return the time from which on a past is known, or at which there was nothing yet."""
    if past.begins is not None:
        return past.begins
    if not past.lines:
        return datetime.min.replace(tzinfo=UTC)
    return past.lines[0].at.replace(hour=0, minute=0, second=0, microsecond=0)


def _series(samples: Sequence[datetime], changes: Sequence[int]) -> tuple[tuple[datetime, int], ...]:
    size = 0
    found = []
    for at, change in zip(samples, changes, strict=True):
        size += change
        found.append((at, size))
    return tuple(found)


# --- what happened -----------------------------------------------------------------------------------------


class _Change(NamedTuple):
    """Something that happened to a model at `at`, before the rules were applied at `run`.

    `entry` is what the registry had of the model from then on, and `model` what the rules see of that; without an entry
    a person removed it. `line` is None if the model was there at the beginning. With `wakes` nothing happened, but the
    model is no longer dated in the future.
    """

    run: datetime
    at: datetime
    key: Key
    entry: EntryFields | None = None
    model: Model | None = None
    line: Line | None = None
    wakes: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether models only got more, or older, by this."""
        return self.wakes or (self.line is not None and self.line.operation == "register")


_RUN: Final = itemgetter(0)
_AT: Final = itemgetter(1)


class _Story:
    """The past as changes of single models, in order. `units` has those of each unit.

    A unit is a group; or, where a rule asks who had an alias of a slot before, all groups that have models of a slot.
    """

    def __init__(self, past: Past, section: RetentionSection, begin: datetime, end: datetime) -> None:
        self.begin, self.end = begin, end
        self.samples = midnights(begin, end)
        self.real_size_changes = [0] * len(self.samples)
        moments = moments_of(past.lines, end)
        first = next((number for number, moment in enumerate(moments) if moment > begin), len(moments))
        present = dict(past.entries)
        for line in past.lines[:first]:
            for model_id, entry in _set_by(line):
                _put(present, model_id, entry)
        lines, moments_after = past.lines[first:], moments[first:]
        registered = [at for line, at in zip(lines, moments_after, strict=True) if line.operation == "register"]
        interval = max(timedelta(seconds=section.interval.seconds), timedelta(seconds=1))
        self._occasions = Occasions(begin, end, [begin, *registered], interval, holds_of(past.lines, moments))
        seen: Iterable[EntryFields] = (*present.values(), *(line.entry for line in lines if line.entry is not None))
        owners = latest_names(seen) if "owner" in section.group_by else {}
        self._reader = EntryReader(section.group_by, section.zone, owners)
        asks_for_slots = any(policy.keep.holders is not None for policy in section.policies)
        self._left_out = frozenset({"version", "owner", OWNER_UID}) if asks_for_slots else frozenset()
        self._units: dict[Group, list[_Change]] = {}
        self._unit_of: dict[Key, list[_Change]] = {}
        for entry in present.values():
            self._note(begin, None, entry, None)
        for line, at in zip(lines, moments_after, strict=True):
            for model_id, entry in _set_by(line):
                self._note(at, present.get(model_id), entry, line)
                _put(present, model_id, entry)
        for changes in self._units.values():
            # A wake is put behind the change that tells of it.
            changes.sort(key=_AT)
        self.units: Sequence[Sequence[_Change]] = tuple(self._units.values())

    def _note(self, at: datetime, before: EntryFields | None, after: EntryFields | None, line: Line | None) -> None:
        """Note that the entry of an id changed from `before` to `after`."""
        self.real_size_changes[sample_of(self.samples, at)] += _size(after) - _size(before)
        if after is None:
            if before is not None and line is not None and not _is_by_rules(line):
                key = _key(before)
                self._unit_of[key].append(_Change(self._occasions.after(at), at, key, line=line))
            return
        key, model = _key(after), self._reader.read(after)
        changes = self._unit_of.get(key)
        if changes is None:
            group = self._reader.group_of(after, []) or ()
            unit = tuple(pair for pair in group if pair[0] not in self._left_out)
            changes = self._unit_of[key] = self._units.setdefault(unit, [])
        if model is not None and at < model.instant <= self.end:
            wakes_at = model.instant
            changes.append(_Change(self._occasions.after(wakes_at), wakes_at, key, wakes=True))
        changes.append(_Change(self._occasions.after(at), at, key, after, model, line))


def _set_by(line: Line) -> Iterator[tuple[str, EntryFields | None]]:
    """Yield the ids whose entries a line sets, and the entries; None for one that it removes."""
    yield from also_changed(line).items()
    if line.changes_entry:
        yield line.model_id, line.entry


def _put(entries: dict[str, EntryFields], model_id: str, entry: EntryFields | None) -> None:
    if entry is None:
        entries.pop(model_id, None)
    else:
        entries[model_id] = entry


def _is_by_rules(line: Line) -> bool:
    return line.operation == "retire" and is_reason_of_rules(line.reason)


def _key(entry: Mapping[str, Any]) -> Key:
    return str(entry.get("model_id")), sequence_of(entry)


def _size(entry: Mapping[str, Any] | None) -> int:
    size = entry.get("size_bytes") if entry is not None else 0
    return size if type(size) is int and size >= 0 else 0


# --- what would have happened ------------------------------------------------------------------------------


class _Gone(NamedTuple):
    """A model that the simulated rules retired, and for what it was wanted after that."""

    model: Model
    at: datetime
    reasons: tuple[str, ...]
    missed: list[str]


def _retirement(gone: _Gone) -> SimulatedRetirement:
    model = gone.model
    regret = "; ".join(gone.missed) or None
    return SimulatedRetirement(model.model_id, model.sequence, gone.at, gone.reasons, model.bytes, model.group, regret)


class _World:
    """What all units have in common: the rules, and what comes of them."""

    def __init__(self, section: RetentionSection, story: _Story, *, override_breaker: bool) -> None:
        self.rules = SectionRules(section)
        self.breaker = None if override_breaker else section.breaker
        self.grace = timedelta(seconds=section.trash_grace.seconds)
        self.times = Times(section.zone, story.begin)
        self.gone: list[_Gone] = []
        self.breakers: dict[Group, tuple[datetime, Problem]] = {}
        self.models = 0
        self.size_changes = [0] * len(story.samples)
        self._samples = story.samples

    def change_size(self, at: datetime, size: int) -> None:
        """Note that the registry got larger by `size`."""
        self.size_changes[sample_of(self._samples, at)] += size


class _Batch(NamedTuple):
    """The changes of a unit between two runs of the rules, and the time of the second."""

    run: datetime
    changes: Sequence[_Change]
    is_plain: bool


class _Found(NamedTuple):
    """What a run comes to: the models that go, with their reasons, and the groups that the breaker stops.

    It is stuck if there is one group, and if more models must go than the breaker allows: these only get more.
    """

    retired: Sequence[tuple[Model, tuple[str, ...]]]
    stopped: Mapping[Group, Problem]
    is_stuck: bool


class _Unit:
    """One unit of the simulated registry."""

    def __init__(self, world: _World) -> None:
        self._world = world
        self.entries: dict[Key, EntryFields] = {}
        # The models that the rules see, by key, and newest first.
        self._model_of: dict[Key, Model] = {}
        self._models: list[Model] | None = None
        self._former: FormerHolders | None = None
        self._gone: dict[Key, _Gone] = {}

    def run(self, changes: Sequence[_Change]) -> Iterator[int]:
        """Let everything happen, and apply the rules as the daemon would have. Yield how many changes are done."""
        batches = [
            _Batch(run, some, all(change.is_plain for change in some))
            for run, some in ((run, list(some)) for run, some in groupby(changes, key=_RUN))
        ]
        at = done = 0
        # How many batches to try at once, and whether these must be of one day.
        stride, by_day = 1, False
        one_by_one = self._has_budget(changes)
        while at < len(batches):
            stop = at + 1 if one_by_one else _end_of_stretch(batches, at, stride, by_day=by_day)
            self._happen(batches[at].changes)
            found = self._try(batches, at, stop)
            while stop > at + 1 and (found.stopped or (found.retired and not _of_one_day(batches, at, stop))):
                day = _end_of_stretch(batches, at, stop - at, by_day=True)
                stop = day if day < stop else at + (stop - at) // 2
                found = self._try(batches, at, stop)
            run = batches[stop - 1].run
            for batch in batches[at + 1 : stop]:
                self._happen(batch.changes)
            self._retire(found, run)
            stride, by_day = 2 * (stop - at), bool(found.retired)
            if found.is_stuck and not one_by_one:
                # Until something else happens than registrations, each run would be stopped.
                while stop < len(batches) and batches[stop].is_plain:
                    self._happen(batches[stop].changes)
                    stop += 1
            done += sum(len(batch.changes) for batch in batches[at:stop])
            at = stop
            yield done

    def _has_budget(self, changes: Sequence[_Change]) -> bool:
        groups = {change.model.group for change in changes if change.model is not None}
        policies = map(self._world.rules.policy_of, groups)
        return any(policy is not None and policy.budget is not None for policy in policies)

    # --- the rules --------------------------------------------------------------------------------------------

    def _try(self, batches: Sequence[_Batch], at: int, stop: int) -> _Found:
        """Return what a run comes to after batch `at`, which has happened, and the plain ones up to `stop`."""
        more = [
            change.model
            for batch in batches[at + 1 : stop]
            for change in batch.changes
            if change.model is not None and change.key not in self._gone
        ]
        models = self._newest_first(more)
        now = batches[stop - 1].run
        protect_future(models, now)
        groups: dict[Group, list[Model]] = {}
        for model in models:
            groups.setdefault(model.group, []).append(model)
        world, times = self._world, self._world.times.at(now)
        retired: list[tuple[Model, tuple[str, ...]]] = []
        stopped: dict[Group, Problem] = {}
        is_stuck = False
        for group, members in groups.items():
            _, gone, reasons = world.rules.outcome(group, members, times, self._former_holders(), [])
            problem = breaker_problem(len(gone), len(members), group, world.breaker) if world.breaker else None
            if problem is not None:
                stopped[group] = problem
                is_stuck = len(groups) == 1 and world.breaker is not None and len(gone) > world.breaker.max_deletes
            else:
                retired += [(members[position], why) for position, why in zip(gone, reasons, strict=True)]
        return _Found(retired, stopped, is_stuck)

    def _former_holders(self) -> FormerHolders:
        if self._former is None:
            entries = self.entries.values()
            self._former = {alias: former_holders(entries, alias) for alias in self._world.rules.former_aliases}
        return self._former

    def _retire(self, found: _Found, run: datetime) -> None:
        for group, problem in found.stopped.items():
            self._world.breakers.setdefault(group, (run, problem))
        if not found.retired:
            return
        for model, reasons in found.retired:
            key = (model.model_id, model.sequence)
            gone = self._gone[key] = _Gone(model, run, reasons, [])
            self._world.gone.append(gone)
            self._leave(key, run)
        self._models = None

    # --- what happens -----------------------------------------------------------------------------------------

    def _happen(self, changes: Sequence[_Change]) -> None:
        for change in changes:
            if change.wakes:
                continue
            gone = self._gone.get(change.key)
            if change.entry is None:
                self._leave(change.key, change.at)
            elif gone is None:
                self._enter(change)
            elif change.line is not None and change.entry is change.line.entry:
                # Not one of the entries that a line changes beside its own: they lose something.
                if (missed := _missed(change.line, change.at, gone.at)) is not None:
                    gone.missed.append(missed)
                if brings_back(change.line) and change.at - gone.at <= self._world.grace:
                    del self._gone[change.key]
                    self._enter(change)
        if any(not change.is_plain for change in changes):
            self._former = None
        self._models = None

    def _enter(self, change: _Change) -> None:
        self._world.change_size(change.at, _size(change.entry) - _size(self.entries.get(change.key)))
        if change.entry is not None:
            self.entries[change.key] = change.entry
        if change.model is not None:
            self._model_of[change.key] = change.model
        else:
            self._model_of.pop(change.key, None)

    def _leave(self, key: Key, at: datetime) -> None:
        entry = self.entries.pop(key, None)
        self._model_of.pop(key, None)
        self._world.change_size(at, -_size(entry))
        if entry is not None and entry.get("promotions"):
            self._former = None

    def _newest_first(self, more: Sequence[Model]) -> list[Model]:
        """Return the models that are there, and some more, in the order of a plan."""
        if self._models is None:
            self._models = sorted(self._model_of.values(), key=ORDER, reverse=True)
        return sorted([*more, *self._models], key=ORDER, reverse=True) if more else self._models.copy()


def _end_of_stretch(batches: Sequence[_Batch], at: int, stride: int, *, by_day: bool) -> int:
    """Return the end of a stretch that begins with batch `at` and goes on with at most `stride - 1` plain ones."""
    stop = at + 1
    while stop < min(at + stride, len(batches)) and batches[stop].is_plain:
        if by_day and batches[stop].run.date() != batches[at].run.date():
            break
        stop += 1
    return stop


def _of_one_day(batches: Sequence[_Batch], at: int, stop: int) -> bool:
    return batches[at].run.date() == batches[stop - 1].run.date()


# What shows that a model was wanted, and how it is told; {} is the alias.
_WANTED: Final = {
    "promote": "promoted to {}",
    "alias": "given the alias {}",
    "rollback": "{} was rolled back to it",
    "pin": "pinned",
    "restore": "restored",
    "record": "measured in service",
    "replace_scaler": "given another scaler",
}


def _missed(line: Line, at: datetime, gone_at: datetime) -> str | None:
    """Return for what a line shows that a model was wanted that was gone by then, or None."""
    what = _WANTED.get(line.operation)
    if what is None:
        return None
    told = what.format(quoted((line.detail or {}).get("alias")))
    then = canonical_instant(at.replace(microsecond=0))
    return f"{told} {then}, {format_duration((at - gone_at).total_seconds())} later"

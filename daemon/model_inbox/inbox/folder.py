"""The inbox folder as it stands: what is in it, since when, and what `readiness` decides about each thing.

Owns the listing of the folder, the memory of what was seen (nothing that a restart could not see again), and opening a
producer's file to look at it. Only reads; `pipeline` moves files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from ..base.disk import read_regular
from ..base.leases import Lease
from ..base.machine import Machine
from ..config.settings import InboxSection
from ..errors import StorageError
from ..model.sidecar import Sidecar, parse_sidecar
from ..model.sidecar_fields import SIDECAR_BYTES_MAX
from ..pickles import looks_complete
from ..problems import Problem
from .crowd import Crowd, Part, Unit, in_turns
from .drop import IGNORED, SIDECAR_SUFFIX, Drop, Kind, Sighting, pair, scaler_stem
from .own_folders import OwnFolders
from .permissions import unreadable
from .readiness import Decision, Held, Limits, Look, Refuse, Take, Wait, dated_by_the_clock, judge, judge_stray
from .settle_time import settle_seconds_of

__all__ = ["Inbox", "Rescan", "limits_of", "parse_sidecar_file"]

PARSE_SECONDS_PER_RESCAN = 0.25
# So many drops and strays of one owner that wait are looked at each time; the others rest. To look at one takes 20 to
# 30 microseconds.
IN_SIGHT_MAX = 500
# What rests is looked at again after that time at the latest. So long it stays unnoticed that a file that rests was
# written to where no event told so: on a network file system, or after lost events. That a file came or went is
# noticed by each listing, and before a file is rejected or taken it is looked at.
RELOOK_SECONDS = 600.0
# So many that are new or due come into sight at a time, the owners in turn; the next look, at once, goes on.
LOOK_UNITS = 500
# How long new names are looked at in one look only to put them in turn.
STAT_SECONDS = 0.5
FIRST_RETRY_SECONDS = 1.0
RACY_SECONDS = 0.05  # two writes in one tick of the kernel's clock look like one: what is that young is read again
KEPT_BYTES = 4 << 20  # of text; as objects it takes some seven times as much
LOOK_KEPT_SECONDS = 10.0  # of thousands of drops that are ready, few are taken before they are looked at again
CHANGED_SECONDS = 0.25  # a producer that rewrites its files all the time costs a claim that often


_Decision = TypeVar("_Decision", bound=Decision)

_WHOLE_AND_FREE = Look(Lease.FREE, complete=True)


@dataclass(frozen=True, slots=True)
class Rescan:
    """What one look at the folder came to.

    `at` is when it began, on the monotonic clock: what the decisions say about time counts from there. `unread` are
    the owners of sidecars that there was no time to read. `resting` says how many things of each owner wait beside
    these, which were not looked at this time, and `rest_until` when the next of them is due. `found` counts those, too.
    `unlisted`: there were more new names than there was time for.
    """

    at: float
    found: int
    drops: tuple[tuple[Drop, Decision], ...]
    strays: tuple[tuple[Sighting, Wait | Refuse], ...]
    seconds: float
    unread: frozenset[int] = frozenset()
    resting: Mapping[int, int] = field(default_factory=dict)
    rest_until: float | None = None
    unlisted: bool = False

    @property
    def partial(self) -> bool:
        """Whether more is to be looked at, at once."""
        rest_is_over = self.rest_until is not None and self.rest_until <= self.at
        return self.unlisted or bool(self.unread) or rest_is_over

    @property
    def waiting(self) -> int:
        """How many things in the inbox wait: drops, and files that belong to none. Folders are not waited for."""
        drops = sum(isinstance(decision, Wait) for _, decision in self.drops)
        strays = sum(isinstance(d, Wait) and stray.kind != "folder" for stray, d in self.strays)
        return drops + strays + sum(self.resting.values())

    @property
    def next_at(self) -> float | None:
        """When, on the monotonic clock, something is due to be judged again, or None."""
        dates = [
            self.at + decision.until
            for _, decision in (*self.drops, *self.strays)
            if isinstance(decision, Wait) and decision.until is not None
        ]
        if self.rest_until is not None:
            dates.append(self.rest_until)
        return min(dates, default=None)

    def held_by(self, problem: Problem, seconds: float, *, refusals_only: bool = False) -> Rescan:
        """Return this look with what was to be taken or refused waiting for an obstacle, `seconds` at the most.

        With `refusals_only` what is to be taken is not held.
        """
        held = Wait((problem,), seconds)
        kept = (Wait, Take) if refusals_only else (Wait,)
        return replace(
            self,
            drops=tuple((drop, what if isinstance(what, kept) else held) for drop, what in self.drops),
            strays=tuple((stray, what if isinstance(what, Wait) else held) for stray, what in self.strays),
        )

    def ready(self) -> list[tuple[Drop, Take | Refuse]]:
        """Return the drops to be taken or refused: oldest first, but the owners in turn."""
        due = [(drop, decision) for drop, decision in self.drops if isinstance(decision, (Take, Refuse))]
        # A sidecar that was not read yet may name a file of its owner that a refusal would take along.
        due = [item for item in due if isinstance(item[1], Take) or item[0].owner not in self.unread]
        due.sort(key=lambda item: (item[0].sightings[item[0].sidecar_name].ctime_ns, item[0].stem))
        return in_turns(due, lambda item: item[0].owner) if len(due) > 1 else due


@dataclass(slots=True)
class _Hold:
    """Why a drop is not claimed: until a moment, or (`signatures`) as long as its files are these.

    With `attempts` it could not be claimed that many times, the last time with its files as they were `seen`.
    """

    problems: tuple[Problem, ...]
    again_at: float = 0.0
    attempts: int = 0
    seen: Mapping[str, tuple[int, int, int, int]] | None = None
    signatures: Mapping[str, tuple[int, int, int, int]] | None = None


@dataclass(slots=True)
class _Memory:
    """What is remembered of a name as long as its signature stays the same. Times of the monotonic clock."""

    sighting: Sighting
    since: float
    changed: float
    sidecar: Sidecar | Problem | None = None
    is_racy: bool = False
    complete: bool | None = None
    free_at: float | None = None  # when it was seen complete, with nobody writing it


class Inbox(OwnFolders):
    """The folder that producers write into.

    The clock is asked for `trained_at` in the future and the age of what was there at the start; settle times and
    time-outs count in monotonic seconds, so that a clock that jumps changes nothing.
    """

    in_sight_max = IN_SIGHT_MAX
    look_units = LOOK_UNITS

    def __init__(self, path: Path, limits: Limits, machine: Machine) -> None:
        super().__init__(path, machine)
        self._progress = machine.progress
        self.limits = limits
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._memory: dict[str, _Memory] = {}
        self._holds: dict[str, _Hold] = {}
        self.clock_behind_seconds = 0.0
        """For how long the clock is taken to be behind. Set before each look."""
        self._crowd = Crowd()
        self._rested: dict[str, Part] = {}  # what was known of what comes into sight again, within one look
        self._awake: set[str] = set()  # which of that are sidecars and strays
        self._given_back: set[str] = set()  # put back into the folder, to be looked at
        self._is_unlisted = False

    # --- looking ----------------------------------------------------------------------------------------------

    def rescan(self, changed: Collection[str] | None = None) -> Rescan:
        """Look at what is in the folder, and decide about it. Raises StorageError when it cannot be listed.

        `changed` are names that events told of: only these and what is in sight are looked at, and the folder is not
        listed. Without it the folder is listed. In sight is all that waits, but of one owner no more than IN_SIGHT_MAX
        drops and strays; the others rest, until an event or the listing tells of them or RELOOK_SECONDS are over.
        """
        began = self._monotonic()
        self._is_unlisted = False
        self._awake.clear()
        sightings = self._list() if changed is None else self._look_at_changed(changed)
        self._remember(sightings.values(), began)
        if self._suspects.known and changed is None and not self._crowd.units:
            self._suspects.keep(set(map(_mark, sightings.values())))
        sidecars, unread = self._read_sidecars(sightings)
        if changed is not None or self._crowd.units:
            self._add_named(sightings, sidecars, began)
        drops, strays = pair(sightings, sidecars)
        for stem in [stem for stem in self._holds if not self._is_known(f"{stem}{SIDECAR_SUFFIX}")]:
            del self._holds[stem]
        if self._crowd.units:
            unread |= self._crowd.urgent
        if self._is_unlisted:
            unread |= {sighting.owner for sighting in sightings.values()}  # whose the others are is not known
        judged = [self._judged(drop) for drop in drops]
        unreadable = {sightings[name].owner: why for name, why in sidecars.items() if isinstance(why, Problem)}
        judged_strays = [
            (stray, self._judged_stray(stray, sightings, unreadable))
            for stray in strays
            if stray.owner not in unread  # it may belong to a sidecar that was not read yet
        ]
        if len(sightings) > self.in_sight_max:
            judged, judged_strays = self._let_rest(judged, judged_strays, began)
        self._forget_much_text(judged)
        self.work.write(*self._suspects.words)
        found = len(self._memory) + len(self._crowd.units) + len(self._crowd.files)
        seconds = self._monotonic() - began
        rescan = Rescan(began, found, tuple(judged), tuple(judged_strays), seconds, unread, unlisted=self._is_unlisted)
        if self._crowd.units:
            return replace(rescan, resting=self._crowd.waiting, rest_until=self._crowd.next_at)
        return rescan

    def _judged(self, drop: Drop) -> tuple[Drop, Decision]:
        self._progress()
        leading, seen = drop.sightings[drop.sidecar_name], drop.sightings.values()
        return drop, self._decided(leading, seen, lambda: judge(drop, self, self.limits))

    def _decided(
        self, leading: Sighting, seen: Collection[Sighting], decide: Callable[[], _Decision]
    ) -> _Decision | Wait | Refuse:
        """Decide about files, of which one is `leading`. What nobody foresaw costs them, and neither us nor others."""
        if self._suspects.known and (decision := self._suspects.decision(map(_mark, seen))) is not None:
            return decision
        try:
            decided = decide()
        except OSError as error:
            return Wait((self._unreadable(leading.name, error),), FIRST_RETRY_SECONDS)
        except Exception as error:  # noqa: BLE001  # whatever it is
            return self.note_failed(leading, error)
        if self._suspects.known:
            self._suspects.looked_at(map(_mark, seen))
        return decided

    def _judged_stray(
        self, stray: Sighting, names: Mapping[str, Sighting], unreadable: Mapping[int, Problem]
    ) -> Wait | Refuse:
        return self._decided(stray, [stray], lambda: judge_stray(stray, names, self, self.limits, unreadable))

    def note_failed(self, sighting: Sighting, error: Exception) -> Wait | Refuse:
        """Remember that a file could not be looked at or claimed, for a reason that nobody foresaw; return what now."""
        return self._suspects.failed(_mark(sighting), sighting.name, error)

    def _list(self) -> dict[str, Sighting]:
        """List the folder; return what is in sight of it, and what is new."""
        try:
            listed = self._disk.names(self.path)
        except OSError as error:
            raise StorageError("list the inbox", self.path, error) from error
        units, files = self._crowd.units, self._crowd.files
        if units:
            self._crowd.keep(set(listed))
        return self._sight([name for name in listed if name not in units and name not in files])

    def _look_at_changed(self, changed: Collection[str]) -> dict[str, Sighting]:
        """Return what is in sight, and what events told of."""
        told = {*changed, *self._given_back}
        for name in told:
            self._crowd.wake(name)
        units, files = self._crowd.units, self._crowd.files
        new = [name for name in told if name not in self._memory and name not in units and name not in files]
        return self._sight([*self._memory, *new])

    def _sight(self, names: Sequence[str]) -> dict[str, Sighting]:
        """Look at these names, and at what rests and is due. Of many new ones only some come into sight at a time."""
        began = self._monotonic()
        new = [name for name in names if name not in self._memory and IGNORED.fullmatch(name) is None]
        self._given_back.clear()
        many = len(new) > self.look_units
        found = self._sightings([name for name in names if name in self._memory] + ([] if many else new))
        if self._crowd.units:
            for name in new:
                self._crowd.wake(name)
        if many:
            self._queue_new(new, began)
        for unit in self._crowd.take(began, self.look_units) if self._crowd.units else ():
            self._awake.add(unit.name)
            self._rested.update((part.name, part) for part in unit.parts)
            found |= self._sightings([part.name for part in unit.parts])
        return found

    def _queue_new(self, names: list[str], now: float) -> None:
        """Put new names in turn, the sidecars first: a model of any owner comes along with its sidecar."""
        names.sort(key=lambda name: not name.endswith(SIDECAR_SUFFIX))
        wall = self._clock().timestamp()
        for start in range(0, len(names), self.look_units):
            if self._monotonic() - now > STAT_SECONDS:
                self._is_unlisted = True
                return
            self._progress()
            for sighting in self._sightings(names[start : start + self.look_units]).values():
                if self._crowd.has_room(sighting.owner):
                    part = Part(sighting.name, now, now - _age(sighting, wall), hash(sighting))
                    due_at = 0.0 if sighting.name.endswith(SIDECAR_SUFFIX) else 1.0  # both are long over
                    self._crowd.put(Unit(sighting.owner, (part,), due_at, urgent=True))

    def _sightings(self, names: Iterable[str]) -> dict[str, Sighting]:
        found = {}
        for name in names:
            try:
                found[name] = _sighting(name, self._disk.lstat(os.path.join(self.path, name)))
            except OSError:  # it left, or its inode cannot be read: nothing else may wait for that
                continue
        return found

    def _remember(self, sightings: Iterable[Sighting], now: float) -> None:
        """Note since when each of these is as it is, and forget all others."""
        before, self._memory = self._memory, {}
        wall = self._clock().timestamp()
        for sighting in sightings:
            self._memory[sighting.name] = self._memory_of(sighting, before.get(sighting.name), now, wall)
        self._rested.clear()

    def _memory_of(self, sighting: Sighting, known: _Memory | None, now: float, wall: float) -> _Memory:
        if known is not None:
            return known if known.sighting == sighting else _Memory(sighting, now, now)
        rested = self._rested.get(sighting.name)
        if rested is not None:
            is_same = rested.seen == hash(sighting)
            return _Memory(sighting, rested.since, rested.changed) if is_same else _Memory(sighting, now, now)
        # Seen for the first time, perhaps after a restart: its age counts, its rest has to be seen.
        return _Memory(sighting, now, now - _age(sighting, wall))

    def _is_known(self, name: str) -> bool:
        return name in self._memory or name in self._crowd.units

    def _add_named(self, sightings: dict[str, Sighting], sidecars: dict[str, Sidecar | Problem], now: float) -> None:
        """Bring into sight the files that sidecars name, and which rest or were not told of yet.

        If one belongs to another drop that rests, that one's sidecar is not read now, but by the next look.
        """
        missing = {
            name
            for sidecar_name, sidecar in sidecars.items()
            for name in _possible_files(sidecar_name, sidecar)
            if name not in sightings and _may_be_a_file_of_a_drop(name)
        }
        if not missing:
            return
        found = self._sightings(missing)
        for name in found if self._crowd.units else ():
            for unit in self._crowd.pull(name):
                if unit.name == name:
                    self._rested[name] = unit.parts[0]
                else:
                    self._crowd.put(unit._replace(due_at=0.0, urgent=True))
        sightings |= found
        wall = self._clock().timestamp()
        for sighting in found.values():
            self._memory[sighting.name] = self._memory_of(sighting, None, now, wall)
        self._rested.clear()

    def _let_rest(
        self,
        drops: list[tuple[Drop, Decision]],
        strays: list[tuple[Sighting, Wait | Refuse]],
        now: float,
    ) -> tuple[list[tuple[Drop, Decision]], list[tuple[Sighting, Wait | Refuse]]]:
        """Let rest what waits and is too much of one owner's, the youngest first; return what stays in sight.

        The oldest stay: they are those that time-outs end, and that the status shows.
        """
        waiting: list[tuple[float, str, int]] = []
        for drop, decision in drops:
            if isinstance(decision, Wait) and not any(self._memory[name].is_racy for name in drop.present):
                waiting.append((self._memory[drop.sidecar_name].changed, drop.sidecar_name, drop.owner))
        for stray, stray_decision in strays:
            if isinstance(stray_decision, Wait) and not (
                # Whether it came too late for its model is found out behind this look.
                stray.name in self._awake and scaler_stem(stray.name) is not None
            ):
                waiting.append((self._memory[stray.name].changed, stray.name, stray.owner))
        resting = self._crowd.surplus(waiting, self.in_sight_max)
        if not resting:
            return drops, strays
        stay_drops, stay_strays = [], []
        for drop, decision in drops:
            if drop.sidecar_name in resting and isinstance(decision, Wait):
                wanted = tuple(name for name in drop.files.values() if name not in drop.sightings)
                self._rest(drop.owner, drop.present, decision, now, wanted)
            else:
                stay_drops.append((drop, decision))
        for stray, stray_decision in strays:
            if stray.name in resting and isinstance(stray_decision, Wait):
                self._rest(stray.owner, (stray.name,), stray_decision, now, waits=stray.kind != "folder")
            else:
                stay_strays.append((stray, stray_decision))
        return stay_drops, stay_strays

    def _rest(
        self,
        owner: int,
        names: Sequence[str],
        decision: Wait,
        now: float,
        wanted: tuple[str, ...] = (),
        *,
        waits: bool = True,
    ) -> None:
        due_at = now + (RELOOK_SECONDS if decision.until is None else min(decision.until, RELOOK_SECONDS))
        settled_at = self._memory[names[0]].since + self.limits.settle_seconds
        if scaler_stem(names[0]) is not None and settled_at > now:
            due_at = min(due_at, settled_at)  # then it is known whether it came too late for its model
        # Without the files that another drop has, which rests already.
        known = [self._memory.pop(name) for name in names if name in self._memory]
        parts = tuple(Part(one.sighting.name, one.since, one.changed, hash(one.sighting)) for one in known)
        self._crowd.put(Unit(owner, parts, due_at, wanted, waits=waits))

    def _read_sidecars(self, sightings: Mapping[str, Sighting]) -> tuple[dict[str, Sidecar | Problem], frozenset[int]]:
        """Return what the sidecars say, and the owners of those that there was no time to read.

        Each owner's oldest come first, and the owners in turn; of each one is read in any case, so that it goes on.
        """
        sidecars: dict[str, Sidecar | Problem] = {}
        to_read = []
        for name, sighting in sightings.items():
            if not name.endswith(SIDECAR_SUFFIX) or sighting.kind == "folder":
                continue
            known = self._memory[name]
            if self._suspects.known and (decision := self._suspects.decision([_mark(sighting)])) is not None:
                (sidecars[name],) = decision.problems
                continue
            # One that could not be read is read again each time: what kept us from it may leave no trace on it. So is
            # one whose problems are the clock's, which may be corrected.
            if (
                known.sidecar is None
                or known.is_racy
                or isinstance(known.sidecar, Problem)
                or dated_by_the_clock(known.sidecar.problems)
            ):
                to_read.append(sighting)
            else:
                sidecars[name] = known.sidecar
        to_read.sort(key=lambda sighting: (self._memory[sighting.name].sidecar is not None, sighting.ctime_ns))
        if self._suspects.known:
            # Those first with which a daemon died: two of them must not hide each other's count for ever.
            to_read.sort(key=lambda sighting: _mark(sighting) not in self._suspects.known)
        began = self._monotonic()
        owners = len({sighting.owner for sighting in to_read})
        order = iter(to_read if owners == 1 else in_turns(to_read, lambda sighting: sighting.owner))
        for count, sighting in enumerate(order, 1):
            known = self._memory[sighting.name]
            known.is_racy = self._is_racy(sighting)
            known.sidecar = sidecars[sighting.name] = self._read_sidecar(sighting.name, sighting)
            if count >= owners and self._monotonic() - began > PARSE_SECONDS_PER_RESCAN:
                break
        return sidecars, frozenset(sighting.owner for sighting in order)

    def _forget_much_text(self, judged: Iterable[tuple[Drop, Decision]]) -> None:
        """Keep what waiting sidecars say only up to a size in all: thousands of large ones must not fill the memory.

        Of the others that is kept which `readiness` decides by; the rest is read again when they are taken.
        """
        kept = 0
        for drop, decision in judged:
            sidecar = drop.sidecar
            if not isinstance(decision, Wait) or sidecar is None or sidecar.metadata is None:
                continue
            kept += drop.sightings[drop.sidecar_name].size
            if kept > KEPT_BYTES:
                self._memory[drop.sidecar_name].sidecar = replace(sidecar, metadata=None)

    def _is_racy(self, sighting: Sighting) -> bool:
        """Return whether a file is so young that it may be written again without its times showing that."""
        return self._clock().timestamp() - sighting.ctime_ns / 1e9 < RACY_SECONDS

    def _read_sidecar(self, name: str, sighting: Sighting) -> Sidecar | Problem:
        stem = name[: -len(SIDECAR_SUFFIX)]
        if sighting.kind != "file":
            return parse_sidecar(b"", stem=stem, now=self._clock())
        self.work.write(_mark(sighting), *self._suspects.words)
        try:
            return parse_sidecar_file(os.path.join(self.path, name), stem, self._clock())
        except OSError as error:
            return self._unreadable(name, error)
        except Exception as error:  # noqa: BLE001  # as in `_judged`
            return self.note_failed(sighting, error).problems[0]

    def _unreadable(self, name: str, error: OSError) -> Problem:
        found = None
        with suppress(OSError):
            found = self._disk.lstat(self.path / name)
        return unreadable(self.path, name, error, found)

    # --- facts, asked by `judge` ------------------------------------------------------------------------------

    def unchanged_seconds(self, name: str) -> float:
        """How long we have seen the name with its present signature."""
        return self._monotonic() - self._memory[name].since

    def age_seconds(self, name: str) -> float:
        """How long ago it changed last; for what was there when we started, by its own times."""
        return self._monotonic() - self._memory[name].changed

    def looks(self, names: Sequence[str]) -> dict[str, Look]:
        """Open each file and find out whether somebody writes it and whether it ends as a pickle does."""
        return {name: self._look_into(name) for name in names}

    def _look_into(self, name: str) -> Look:
        known = self._memory[name]
        if known.free_at is not None and self._monotonic() - known.free_at < LOOK_KEPT_SECONDS:
            return _WHOLE_AND_FREE  # who writes to it since is found when it is staged
        known.free_at = None
        self.work.write(_mark(known.sighting), *self._suspects.words)
        try:
            fd, _ = self._disk.open_read(os.path.join(self.path, name))
        except OSError as error:
            return Look(Lease.UNKNOWN, complete=False, problem=self._unreadable(name, error))
        try:
            lease = self._read_lease(fd) if self.has_leases else Lease.UNKNOWN
            if _sighting(name, self._disk.fstat(fd)) != known.sighting:
                lease = Lease.OPEN  # it has changed since it was listed, maybe after it was read
            if lease is Lease.OPEN:
                # A writer that has the file mapped changes it without a trace: nothing seen now is remembered.
                known.complete = known.sidecar = None
                return Look(lease, complete=False)
            racy = self._is_racy(known.sighting)
            complete = name.endswith(SIDECAR_SUFFIX) or known.complete or looks_complete(fd)
            known.complete = None if racy else complete
            if lease is Lease.FREE and complete:
                if not racy:
                    known.free_at = self._monotonic()
                return _WHOLE_AND_FREE
            return Look(lease, complete)
        except OSError as error:
            return Look(Lease.UNKNOWN, complete=False, problem=self._unreadable(name, error))
        finally:
            os.close(fd)

    def held(self, drop: Drop) -> Held | None:
        """Why this drop is not to be claimed now, from what an earlier claim of it came to."""
        hold = self._holds.get(drop.stem)
        if hold is None:
            return None
        if hold.signatures is not None:
            if hold.signatures == {name: drop.sightings[name].signature for name in drop.present}:
                return Held(hold.problems, None)
            del self._holds[drop.stem]
            return None
        if hold.attempts and hold.seen != self._signatures(drop.present):
            return None
        left = hold.again_at - self._monotonic()
        return Held(hold.problems, left) if left > 0 else None

    # --- what became of claims --------------------------------------------------------------------------------

    def note_not_whole(
        self, stem: str, contents: Mapping[str, tuple[int, int, int]], problems: tuple[Problem, ...]
    ) -> None:
        """Remember that a drop with these bytes, put back just now, is not complete, until its files change.

        `contents` are the names of its files and what they were like when that was seen: if one has changed
        since, nothing is remembered.
        """
        sightings = {name: sighting for name in contents if (sighting := self._look_at(name)) is not None}
        if {name: sighting.content for name, sighting in sightings.items()} != dict(contents):
            self.note_changed(stem, contents, problems)
            return
        for name, sighting in sightings.items():
            known = self._memory.get(name)
            if known is not None and known.sighting.content == sighting.content:
                known.sighting = sighting  # our rename changed its ctime; nobody touched it
        signatures = {name: sighting.signature for name, sighting in sightings.items()}
        self._holds[stem] = _Hold(problems, signatures=signatures)

    def note_changed(self, stem: str, names: Iterable[str], problems: tuple[Problem, ...]) -> None:
        """Remember that a drop changed while it was claimed: it is left alone for a moment, and seen as new."""
        for name in names:
            self._memory.pop(name, None)
            self._given_back.add(name)
        wait = min(self.limits.settle_seconds, CHANGED_SECONDS)
        self._holds[stem] = _Hold(problems, again_at=self._monotonic() + wait)

    def note_unmovable(self, stem: str, names: Iterable[str], problem: Problem, longest_seconds: float) -> None:
        """Remember that a drop could not be claimed: it is tried again, less and less often, or when it changes.

        `names` are its files. To remove an attribute from one of them, or to give a right, changes it.
        """
        earlier = self._holds.get(stem)
        attempts = earlier.attempts + 1 if earlier is not None and earlier.signatures is None else 1
        wait = min(FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 16), longest_seconds)
        self._holds[stem] = _Hold((problem,), self._monotonic() + wait, attempts, seen=self._signatures(names))

    def as_held(self, rescan: Rescan) -> Rescan:
        """Return a look with the drops waiting that were to be taken, and could not be."""
        passed = self._monotonic() - rescan.at
        drops = []
        for drop, decision in rescan.drops:
            held = self.held(drop) if not isinstance(decision, Wait) else None
            if held is None or held.seconds is None:
                drops.append((drop, decision))
            else:
                drops.append((drop, Wait(held.problems, passed + held.seconds)))
        return replace(rescan, drops=tuple(drops))

    def unmovable(self) -> list[Problem]:
        """Return what is known of the drops that could not be claimed."""
        return [hold.problems[0] for hold in self._holds.values() if hold.attempts]

    def held_until(self, after: float) -> float | None:
        """Return when, on the monotonic clock, the next drop that is held back may be claimed again, or None.

        Only moments later than `after`, the last look: what was due before it has been judged again.
        """
        moments = [hold.again_at for hold in self._holds.values() if hold.signatures is None]
        return min((moment for moment in moments if moment > after), default=None)

    def _signatures(self, names: Iterable[str]) -> dict[str, tuple[int, int, int, int]]:
        return {name: seen.signature for name in names if (seen := self._look_at(name)) is not None}

    def _look_at(self, name: str) -> Sighting | None:
        try:
            return _sighting(name, self._disk.lstat(self.path / name))
        except OSError:
            return None


def parse_sidecar_file(path: Path | str, stem: str, now: datetime) -> Sidecar:
    """Read and parse a sidecar. Raises OSError, also for anything but a regular file."""
    return parse_sidecar(read_regular(path, SIDECAR_BYTES_MAX), stem=stem, now=now)


def _possible_files(sidecar_name: str, sidecar: Sidecar | Problem) -> list[str]:
    """Return the names of all files that may belong to a sidecar."""
    if isinstance(sidecar, Sidecar):
        return [sidecar.model_file, *sidecar.scaler_names]
    stem = sidecar_name[: -len(SIDECAR_SUFFIX)]
    return [f"{stem}.pkl", f"{stem}_scaler.pkl"]


def _may_be_a_file_of_a_drop(name: str) -> bool:
    """Return whether a name, which a producer wrote, is one that a listing can have and that is no sidecar's."""
    return not ("/" in name or "\0" in name or name.endswith(SIDECAR_SUFFIX) or IGNORED.fullmatch(name))


def _age(sighting: Sighting, wall: float) -> float:
    """Return how many seconds ago a file changed last, by its own times."""
    return max(wall - max(sighting.mtime_ns, sighting.ctime_ns) / 1e9, 0.0)


def _mark(sighting: Sighting) -> str:
    """Return what a version of a file is called in `Inbox.work`."""
    return f"{sighting.inode}:{sighting.size}:{sighting.mtime_ns}:{sighting.ctime_ns}"


def _sighting(name: str, found: os.stat_result) -> Sighting:
    mode = found.st_mode
    kind: Kind
    if stat.S_ISREG(mode):
        kind = "file"
    elif stat.S_ISDIR(mode):
        kind = "folder"
    elif stat.S_ISLNK(mode):
        kind = "symlink"
    else:
        kind = "other"
    return Sighting(name, kind, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_uid)


def limits_of(inbox: InboxSection, *, polling: bool) -> Limits:
    """Return what config.yaml says about waiting, where the folder is polled or is not."""
    return Limits(
        settle_seconds_of(inbox.settle_seconds, polling=polling),
        inbox.incomplete_timeout,
        inbox.orphan_timeout,
        inbox.max_artifact_size,
    )

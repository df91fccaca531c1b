"""Which files of the inbox are in sight, and since when each of them is as it is.

Owns the listing, the looks at names that events told of, and the memory of both (nothing that a restart could not see
again): what is looked at each time, and what rests in the crowd. Decides nothing about a drop, and opens no file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.machine import Machine
from ..errors import StorageError
from ..model.file_names import IGNORED, NOTHING, SIDECAR, scaler_stem, stem_of
from ..model.sidecar import Sidecar
from ..problems import Problem
from .crowd import Crowd, Part, Unit
from .drop import Drop, Kind, Sighting, all_of, possible_sidecars
from .own_folders import OwnFolders
from .readiness import Decision, Limits, Refuse, Rejection, Wait

__all__ = ["Memory", "Sight", "sighting_of"]

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
# And where the crowd has no room for them.
FULL_STAT_SECONDS = 0.02


@dataclass(slots=True)
class Memory:
    """What is remembered of a name as long as its signature stays the same. Times of the monotonic clock."""

    sighting: Sighting
    since: float
    changed: float
    sidecar: Sidecar | Problem | None = None
    is_racy: bool = False
    complete: bool | None = None
    rejection: Rejection | None = None  # the rejected drop that it belongs to
    is_rejection_known: bool = False
    free_at: float | None = None  # when it was seen complete, with nobody writing it


class Sight(OwnFolders):
    """An inbox's files, as far as they are looked at."""

    in_sight_max = IN_SIGHT_MAX
    look_units = LOOK_UNITS

    def __init__(self, path: Path, limits: Limits, machine: Machine) -> None:
        super().__init__(path, machine)
        self.limits = limits
        self.clock_in_doubt = False
        """Whether the clock has just jumped, so that nothing is older by it than we know. Set before each look."""
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._progress = machine.progress
        self._memory: dict[str, Memory] = {}
        self._crowd = Crowd()
        self._rested: dict[str, Part] = {}  # what was known of what comes into sight again, within one look
        self._awake: set[str] = set()  # which of that are sidecars and strays
        self._given_back: set[str] = set()  # put back into the folder, to be looked at
        self._is_unlisted = False
        self._has_room = True  # in the crowd, for any of the names that the last listing looked at
        self._first_stray = 0

    def _see(self, changed: Collection[str] | None, now: float) -> dict[str, Sighting]:
        """Look at what `changed`, or list the folder, and note since when each file in sight is as it is."""
        self._is_unlisted = False
        self._awake.clear()
        sightings = self._list() if changed is None else self._look_at_changed(changed)
        self._remember(sightings.values(), now)
        return sightings

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
        """Return what is in sight, and what events told of, with the sidecars that this may belong to.

        The event of a sidecar that comes right after its model is read some milliseconds later than the model's.
        """
        told = {*changed, *self._given_back}
        told.update([sidecar for name in told for sidecar in possible_sidecars(name)])
        units, files = self._crowd.units, self._crowd.files
        if units:
            self._wake(told)
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
            self._wake(new)
        if many:
            self._queue_new(new, began)
        for unit in self._crowd.take(began, self.look_units) if self._crowd.units else ():
            self._awake.add(unit.name)
            self._rested.update((part.name, part) for part in unit.parts)
            found |= self._sightings([part.name for part in unit.parts])
        return found

    def _wake(self, names: Iterable[str]) -> None:
        """Make due what rests and one of these names belongs to, by its name or by its stem."""
        for name in names:
            for one in (name, *all_of(name)):
                self._crowd.wake(one)

    def _queue_new(self, names: list[str], now: float) -> None:
        """Put new names in turn, the sidecars first: a model of any owner comes along with its sidecar.

        Where there is no room for most of them, each listing looks at a few others, so that no owner's is hidden.
        """
        sidecars = [name for name in names if SIDECAR.fullmatch(name)]
        strays = [name for name in names if not SIDECAR.fullmatch(name)]
        first = self._first_stray % (len(strays) or 1)
        queue = [*sidecars, *strays[first:], *strays[:first]]
        seconds = STAT_SECONDS if self._has_room else FULL_STAT_SECONDS
        wall = self._clock().timestamp()
        self._has_room = False
        for start in range(0, len(queue), self.look_units):
            if start and self._monotonic() - now > seconds:
                # Where nothing more can be put, there is no hurry to look at the others.
                self._is_unlisted = self._has_room
                self._first_stray += max(start - len(sidecars), 0)
                return
            self._progress()
            for sighting in self._sightings(queue[start : start + self.look_units]).values():
                if self._crowd.has_room(sighting.owner, sighting.name):
                    part = Part(sighting.name, now, now - self._age(sighting, wall), hash(sighting))
                    due_at = 0.0 if SIDECAR.fullmatch(sighting.name) else 1.0  # both are long over
                    wanted = tuple(all_of(sighting.name))
                    self._crowd.put(Unit(sighting.owner, (part,), due_at, wanted, urgent=True))
                    self._has_room = True

    def _sightings(self, names: Iterable[str]) -> dict[str, Sighting]:
        found = {}
        for name in names:
            try:
                found[name] = sighting_of(name, self._disk.lstat(os.path.join(self.path, name)))
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

    def _memory_of(self, sighting: Sighting, known: Memory | None, now: float, wall: float) -> Memory:
        if known is not None:
            return known if known.sighting == sighting else Memory(sighting, now, now)
        rested = self._rested.get(sighting.name)
        if rested is not None:
            is_same = rested.seen == hash(sighting)
            return Memory(sighting, rested.since, rested.changed) if is_same else Memory(sighting, now, now)
        # Seen for the first time, perhaps after a restart: its age counts, its rest has to be seen.
        return Memory(sighting, now, now - self._age(sighting, wall))

    def _age(self, sighting: Sighting, wall: float) -> float:
        """Return how many seconds ago a file changed last, by its own times; 0 while the clock is in doubt."""
        if self.clock_in_doubt:
            return 0.0
        return max(wall - max(sighting.mtime_ns, sighting.ctime_ns) / 1e9, 0.0)

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
        found = self._sightings(missing) if missing else {}
        if self._crowd.units:
            for name in (*found, *(f"{stem_of(sidecar)}/" for sidecar in sidecars)):
                for unit in self._crowd.pull(name):
                    if unit.name == name or not SIDECAR.fullmatch(unit.name):
                        found |= self._sightings([unit.name])
                        self._rested[unit.name] = unit.parts[0]
                    else:
                        self._crowd.put(unit._replace(due_at=0.0, urgent=True))
        if not found:
            return
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
                missing = [name for name in drop.files.values() if name not in drop.sightings]
                wanted = (*missing, f"{drop.stem}/")
                self._rest(drop.owner, drop.present, decision, now, wanted)
            else:
                stay_drops.append((drop, decision))
        for stray, stray_decision in strays:
            if stray.name in resting and isinstance(stray_decision, Wait):
                wanted = tuple(all_of(stray.name))
                self._rest(stray.owner, (stray.name,), stray_decision, now, wanted, waits=stray.kind != "folder")
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


def _possible_files(sidecar_name: str, sidecar: Sidecar | Problem) -> list[str]:
    """Return the names that the files of a sidecar have, or most likely have if it does not name them."""
    stem = stem_of(sidecar_name)
    said = sidecar.declared if isinstance(sidecar, Sidecar) else NOTHING
    scaler = [] if said.has_scaler is False else [said.scaler_file or f"{stem}_scaler.pkl"]
    return [said.model_file or f"{stem}.pkl", *scaler]


def _may_be_a_file_of_a_drop(name: str) -> bool:
    """Return whether a name, which a producer wrote, is one that a listing can have and that is no sidecar's."""
    return not ("/" in name or "\0" in name or SIDECAR.fullmatch(name) or IGNORED.fullmatch(name))


def sighting_of(name: str, found: os.stat_result) -> Sighting:
    """Return a file of that name and status as a value."""
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

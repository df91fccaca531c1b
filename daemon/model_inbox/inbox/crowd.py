"""What waits in the inbox and is not looked at each time: one owner's thousands of strays, or of drops without a model.

Owns the turns in which they are looked at: of what is due, each owner's come in turn, and a bounded number each time.
Remembers of each name only what is lost otherwise: since when it is as it is. Pure: touches neither disk nor clock, and
decides nothing about a drop.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Set
from typing import NamedTuple, TypeVar

from ..model.file_names import SIDECAR

__all__ = ["Crowd", "Part", "Unit", "in_turns"]

_Item = TypeVar("_Item")

# Of one owner that many drops are remembered, and that many strays: about 30 MB each. What lies there beside them is
# looked at when others have left. Strays never take the place of drops.
UNITS_OF_OWNER = 50_000


class Part(NamedTuple):
    """A file that is there: since when it is known to be so, when it changed last, and a hash of how it was seen.

    Times of the monotonic clock.
    """

    name: str
    since: float
    changed: float
    seen: int


class Unit(NamedTuple):
    """A drop or a stray that rests until `due_at`, on the monotonic clock.

    `parts` are the files that are there, the sidecar first; `wanted` are names of files that it lacks;
    `<stem>/` stands for all files of a stem, so that one of them is found whatever its suffix is. `urgent`: it was
    never judged, or something of it has changed. `waits` is false for a folder.
    """

    owner: int
    parts: tuple[Part, ...]
    due_at: float
    wanted: tuple[str, ...] = ()
    urgent: bool = False
    waits: bool = True

    @property
    def name(self) -> str:
        """The name of the sidecar or the stray."""
        return self.parts[0].name


# When it is due, its number, its name.
_Turn = tuple[float, int, str]


class Crowd:
    """The drops and strays that rest, each under the name of its sidecar or its own."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        self.files: set[str] = set()
        """The names of their files that are there, beside those in `units`."""
        self._of: dict[str, list[str]] = {}  # file, there or wanted -> the units that it belongs to
        self._queues: dict[int, list[_Turn]] = {}
        self._counts: Counter[tuple[int, bool]] = Counter()  # by owner, and whether it is a drop
        self._waiting: Counter[int] = Counter()
        self._urgent: Counter[int] = Counter()
        self._number = 0

    @property
    def waiting(self) -> Mapping[int, int]:
        """How many wait, by owner."""
        return +self._waiting

    @property
    def urgent(self) -> frozenset[int]:
        """The owners of sidecars that were never read, or may have changed since."""
        return frozenset(+self._urgent)

    @property
    def next_at(self) -> float | None:
        """When the next one is due, or None."""
        tops = [queue[0][0] for queue in self._queues.values() if self._clean(queue)]
        return min(tops, default=None)

    def has_room(self, owner: int, name: str) -> bool:
        """Return whether one more of that owner may be put here, a drop or a stray as its name says."""
        return self._counts[owner, _is_sidecar(name)] < UNITS_OF_OWNER

    def surplus(self, waiting: Iterable[tuple[float, str, int]], limit: int) -> set[str]:
        """Return the names that are more than the limit of one owner's and may rest, the youngest.

        `waiting` has when each changed last, its name and its owner.
        """
        counts: Counter[int] = Counter()
        names = set()
        for _, name, owner in sorted(waiting):
            counts[owner] += 1
            if counts[owner] > limit and self.has_room(owner, name):
                names.add(name)
        return names

    def put(self, unit: Unit) -> None:
        """Let a drop or a stray rest."""
        self.remove(unit.name)
        self.units[unit.name] = unit
        self._counts[unit.owner, _is_sidecar(unit.name)] += 1
        self._waiting[unit.owner] += unit.waits
        self._urgent[unit.owner] += unit.urgent and _is_sidecar(unit.name)
        for part in unit.parts[1:]:
            self.files.add(part.name)
            self._of.setdefault(part.name, []).append(unit.name)
        for name in unit.wanted:
            self._of.setdefault(name, []).append(unit.name)
        self._number += 1
        turns = self._queues.setdefault(unit.owner, [])
        heapq.heappush(turns, (unit.due_at, self._number, unit.name))

    def remove(self, name: str) -> Unit | None:
        """Forget a unit and return it; None when there is none of that name."""
        unit = self.units.pop(name, None)
        if unit is None:
            return None
        self._counts[unit.owner, _is_sidecar(unit.name)] -= 1
        self._waiting[unit.owner] -= unit.waits
        self._urgent[unit.owner] -= unit.urgent and _is_sidecar(unit.name)
        for file in (*(part.name for part in unit.parts[1:]), *unit.wanted):
            self.files.discard(file)  # if another unit has it, too, it is seen as new, and belongs to both again
            of = self._of[file]
            of.remove(name)
            if not of:
                del self._of[file]
        return unit

    def wake(self, name: str) -> None:
        """Make due at once whatever a name belongs to: it has changed, come or gone."""
        for lead in (name, *self._of.get(name, ())):
            unit = self.units.get(lead)
            if unit is not None and not unit.urgent:
                self.put(unit._replace(due_at=0.0, urgent=True))

    def pull(self, name: str) -> list[Unit]:
        """Remove the units that a file belongs to, and return them."""
        found = [self.remove(lead) for lead in (name, *self._of.get(name, ()))]
        return [unit for unit in found if unit is not None]

    def keep(self, listed: Set[str]) -> None:
        """Forget the units that are not listed any more; make those due of which a file has gone."""
        for name in self.units.keys() - listed:
            self.remove(name)
        for name in self.files - listed:
            self.wake(name)

    def take(self, now: float, limit: int) -> list[Unit]:
        """Remove and return units that are due: the owners in turn, about as many as the limit says."""
        taken: list[Unit] = []
        due = [queue for queue in self._queues.values() if self._is_due(queue, now)]
        while due and len(taken) < limit:
            for queue in due:
                unit = self.remove(heapq.heappop(queue)[2])
                if unit is not None:
                    taken.append(unit)
            due = [queue for queue in due if self._is_due(queue, now)]
        self._queues = {owner: queue for owner, queue in self._queues.items() if queue}
        return taken

    def _is_due(self, queue: list[_Turn], now: float) -> bool:
        return self._clean(queue) and queue[0][0] <= now

    def _clean(self, queue: list[_Turn]) -> bool:
        """Drop turns that are not those of a unit any more. Return whether one is left."""
        while queue:
            due_at, _, name = queue[0]
            unit = self.units.get(name)
            if unit is not None and unit.due_at == due_at:
                return True
            heapq.heappop(queue)
        return False


def _is_sidecar(name: str) -> bool:
    return SIDECAR.fullmatch(name) is not None


def in_turns(items: Iterable[_Item], owner_of: Callable[[_Item], int]) -> list[_Item]:
    """Return the items in their order, but the owners in turn: one user's thousands hold up nobody else's first."""
    queues: dict[int, deque[_Item]] = {}
    for item in items:
        queues.setdefault(owner_of(item), deque()).append(item)
    order: list[_Item] = []
    while queues:
        for owner in list(queues):
            order.append(queues[owner].popleft())
            if not queues[owner]:
                del queues[owner]
    return order

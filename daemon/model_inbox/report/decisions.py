"""Who held an alias when, and what was decided about the models of a slot, read from the lines of the journal.

Owns the bands and marks of the charts. A chart has the training times of models on its axis, and a decision is put
there as late after the training of the newest model as it came after that model's registration: in a registry that was
filled with older models at once, decisions stand among the models that they were about. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..base.instants import parse_stored
from ..model.slot import Slot, slot_of
from ..registry.entry import EntryFields, sequence_of
from ..registry.journal import Line
from .facts import Mark, Tenure

__all__ = ["CHAMPION", "OPERATIONS", "TimeAxis", "by_slot", "marks_of", "tenures_of"]

CHAMPION = "champion"
"""The alias whose holder a slot serves; without one it is the newest model."""

_MOVES = frozenset({"promote", "alias", "rollback", "unalias"})
OPERATIONS = frozenset({*_MOVES, "hold", "unhold"})
"""The operations whose lines are needed here."""


def by_slot(lines: Iterable[Line]) -> dict[Slot, list[Line]]:
    """Return the lines that set an entry, by its slot, in order."""
    found: dict[Slot, list[Line]] = {}
    for line in lines:
        if line.entry is not None:
            found.setdefault(slot_of(line.entry), []).append(line)
    return found


class TimeAxis:
    """Where the moments of a slot's journal lines stand among the training times of its models."""

    def __init__(self, entries: Sequence[EntryFields]) -> None:
        """`entries` are those of the slot, in any order."""
        lags: list[tuple[int, timedelta]] = []
        newest: tuple[datetime, timedelta] | None = None
        for entry in sorted(entries, key=sequence_of):
            trained, registered = parse_stored(entry.get("trained_at")), parse_stored(entry.get("registered_at"))
            if trained is None or registered is None:
                continue
            if newest is None or trained >= newest[0]:
                newest = trained, max(registered - trained, timedelta())
            lags.append((sequence_of(entry), newest[1]))
        self._sequences = [sequence for sequence, _ in lags]
        self._lags = [lag for _, lag in lags]

    def place(self, at: datetime, sequence: int | None = None) -> datetime:
        """Return where a moment stands: that of a line with its number, or a later one than all lines."""
        before = len(self._lags) if sequence is None else bisect_left(self._sequences, sequence)
        return at - self._lags[before - 1] if before else at


def tenures_of(lines: Sequence[Line], axis: TimeAxis, alias: str = CHAMPION) -> tuple[Tenure, ...]:
    """Return who held the alias, the earliest first. `lines` are those of the slot, in order."""
    found: list[Tenure] = []
    for line in lines:
        if line.operation not in _MOVES or _alias_of(line) != alias:
            continue
        at = axis.place(line.at, line.sequence)
        if found and found[-1].until is None:
            found[-1] = replace(found[-1], until=max(at, found[-1].since))
        if line.operation != "unalias":
            since = max(at, found[-1].since) if found else at
            found.append(Tenure(line.model_id, since, None, line.operation == "rollback"))
    return tuple(found)


def marks_of(lines: Sequence[Line], axis: TimeAxis, alias: str = CHAMPION) -> tuple[Mark, ...]:
    """Return the decisions about the models of a slot, the earliest first: moves of the alias, and models held."""
    found = []
    for line in lines:
        at = axis.place(line.at, line.sequence)
        if line.operation == "hold":
            found.append(Mark(at, "held", line.model_id, line.reason))
        elif line.operation in _MOVES and _alias_of(line) == alias:
            words = line.reason if line.reason != line.operation else ""
            if line.operation == "rollback":
                found.append(Mark(at, "rolled back", line.model_id, words))
            elif line.operation == "unalias":
                found.append(Mark(at, "removed", line.model_id, words))
            else:
                found.append(Mark(at, "promoted", line.model_id, words))
    return tuple(found)


def _alias_of(line: Line) -> Any:
    detail: Mapping[str, Any] = line.detail or {}
    return detail.get("alias")

"""What can be followed: the newest model of a slot, or an alias in it.

Owns the value `Name`, and which lines of the journal are about one. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..model.slot import Slot, slot_of
from ..registry.journal import Line

__all__ = ["Name", "holders_before", "moved_names"]


class Name(NamedTuple):
    """The newest model of a slot, or, with an alias, the one that it names."""

    slot: Slot
    alias: str | None

    def __str__(self) -> str:
        return str(self.slot) if self.alias is None else f"{self.slot}@{self.alias}"


def _alias_set(line: Line) -> Name | None:
    """Return the name that a line gave to its model, or None for a line that did no such thing."""
    alias = (line.detail or {}).get("alias")
    if line.operation == "unalias" or not isinstance(alias, str) or line.entry is None:
        return None
    return Name(slot_of(line.entry), alias)


def moved_names(lines: Iterable[Line]) -> set[Name]:
    """Return the names that these lines gave to a model."""
    return {name for line in lines if (name := _alias_set(line)) is not None}


def holders_before(lines: Iterable[Line], name: Name) -> list[tuple[str, int]]:
    """Return the models that a name was given to, each by its id and the number of its registration, the latest first.

    `lines` are those about aliases, oldest first. A model that had the name several times is in the place of the last.
    """
    found: dict[tuple[str, int], None] = {}
    for line in lines:
        if _alias_set(line) == name and line.entry is not None:
            model = (line.model_id, int(line.entry.get("sequence") or 0))
            found.pop(model, None)
            found[model] = None
    return list(reversed(found))

"""What a rebuild undid: the entries that readers had before it and have no more, or not like that.

Owns the comparison of the entries before and after, field by field. Pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..entry import EntryFields

__all__ = ["Undone", "what_was_undone"]


@dataclass(frozen=True, slots=True)
class Undone:
    """One entry that is not what it was. `fields` maps names to [before, after], None for a field that is not there.

    `came_back` is an entry that was not there before, `vanished` one that is not there any more: their `fields` are
    empty.
    """

    model_id: str
    what: Literal["changed", "vanished", "came_back"]
    fields: Mapping[str, tuple[Any, Any]]


def what_was_undone(before: Mapping[str, EntryFields], after: Mapping[str, EntryFields]) -> list[Undone]:
    """Return how the entries after a rebuild differ from those before, by model id."""
    found = []
    for model_id in sorted(before.keys() | after.keys()):
        old, new = before.get(model_id), after.get(model_id)
        if old is None or new is None:
            found.append(Undone(model_id, "came_back" if old is None else "vanished", {}))
        elif old != new:
            names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
            found.append(Undone(model_id, "changed", {name: (old.get(name), new.get(name)) for name in names}))
    return found

"""A slot: the pair, the type and the variant that a model is for.

Owns which slot metadata or an entry is of, and how a slot is written for people. The slot is the unit of "newest", of
aliases, and of retention's default groups. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["NEWEST", "Slot", "slot_of"]

NEWEST = "newest"
"""The name of the newest model of a slot, where else the name of an alias stands."""


class Slot(NamedTuple):
    """What a model is for: models with the same slot compete with each other.

    `variant` keeps models of one pair and type apart, such as those of one day and of thirty days; it may be empty.
    """

    currency_pair: str
    model_type: str
    variant: str = ""

    def __str__(self) -> str:
        """Return the slot as commands take it: `PAIR:TYPE`, or `PAIR:TYPE:VARIANT`."""
        return ":".join(self if self.variant else self[:2])


def slot_of(fields: Mapping[str, Any]) -> Slot:
    """Return the slot of an entry or of metadata. Entries of earlier versions have no variant: theirs is empty."""
    return Slot(str(fields.get("currency_pair")), str(fields.get("model_type")), str(fields.get("variant") or ""))

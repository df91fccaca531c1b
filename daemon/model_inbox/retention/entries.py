"""Registry entries in the form that the rules use.

Owns the conversion of an entry to a `Model`, its protections, and the warnings about entries that cannot be read.
Never decides whether a model is retired.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import islice
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ..base.instants import canonical_instant, parse_instant
from ..model.metadata import LATER_FIELDS
from ..model.owner import names_of_owner
from ..model.slot import Slot, slot_of
from ..problems import Problem, quoted
from ..problems.retention import retention_future, retention_unreadable
from ..registry.alias_stack import promotion_of, read_stack
from ..registry.entry import EntryFields, sequence_of
from .outcomes import Group, ToKeep

__all__ = [
    "LOCAL",
    "ORDER",
    "OWNER_UID",
    "TRAINED_AT",
    "EntryReader",
    "FormerHolders",
    "Model",
    "former_holders",
    "latest_names",
    "listing",
]

FormerHolders = Mapping[str, Mapping[tuple[str, int], int]]
"""By alias, what `former_holders` returns."""


class Model(NamedTuple):
    """One entry in the form that the rules use.

    `instant` is `trained_at` in UTC, because comparing datetimes of one zone is fast; `local` is the same in the time
    zone of the section. `registered_at` is as the entry has it: one rule alone reads it.
    """

    instant: datetime
    sequence: int
    model_id: str
    local: datetime
    trained_at: str
    bytes: int
    group: Group
    protection: tuple[str, ...]
    tags: Mapping[str, str]
    metrics: Mapping[str, Any]
    registered_at: object


_NOTHING: Final[Mapping[str, Any]] = {}
_TEXTS: Final = {str}
# The most models that a warning lists.
_LISTED: Final = 10
# The key of the sort order: instant, sequence, id.
ORDER: Final = itemgetter(0, 1, 2)
LOCAL, TRAINED_AT = itemgetter(3), itemgetter(4)
# The key that stands beside `owner` in a group: the user's number.
OWNER_UID: Final = "owner_uid"
_CANONICAL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class EntryReader:
    """Converts entries to models, and collects the warnings about them."""

    def __init__(self, group_by: Sequence[str], zone: tzinfo, owners: Mapping[str, str]) -> None:
        self._group_by = group_by
        self._owner_at = group_by.index("owner") if "owner" in group_by else None
        self._owners = owners
        # Entries of earlier versions lack some fields.
        self._defaults = tuple(map(LATER_FIELDS.get, group_by))
        self._zone = zone
        self._groups: dict[tuple[Any, ...], Group] = {}
        self.unordered: list[ToKeep] = []
        self._unreadable: list[str] = []

    def read(self, entry: EntryFields) -> Model | None:
        """Return the model, or None for one that is held, or cannot be sorted or grouped: it is added to `unordered`.

        Any value is checked: an adopted entry, or one that a person edited, can contain anything.
        """
        faults: list[str] = []
        model_id = entry.get("model_id")
        if not isinstance(model_id, str):
            faults.append(_fault("model_id", model_id))
            model_id = str(model_id)
        moment = self._moment(entry.get("trained_at"), faults)
        group = self.group_of(entry, faults)
        sequence, size = entry.get("sequence"), entry.get("size_bytes")
        if type(sequence) is not int or sequence < 0:
            sequence = _odd_number("sequence", sequence, faults)
        if type(size) is not int or size < 0:
            size = _odd_number("size_bytes", size, faults)
        pinned, aliases = entry.get("pinned"), entry.get("aliases")
        protection = _protection(pinned, aliases, faults) if pinned or aliases else ()
        said_tags = entry.get("tags")
        tags = _tags(said_tags, faults) if said_tags else _NOTHING
        metrics: Mapping[str, Any] | None = entry.get("validation_metrics")
        if not isinstance(metrics, dict):
            if metrics is not None:
                faults.append(_fault("validation_metrics", metrics))
            metrics = _NOTHING
        if faults:
            self._unreadable.append(f"{quoted(model_id)} ({', '.join(faults)})")
            protection = (*protection, f"unreadable: {', '.join(faults)}")
        if held := entry.get("held"):
            protection = (*protection, f"held, and not counted: {quoted(held)}")
        if moment is None or group is None or held:
            text = moment[2] if moment else ""
            self.unordered.append(ToKeep(model_id, protection, size, group or (), text))
            return None
        instant, local, text = moment
        registered_at = entry.get("registered_at")
        # The constructor takes twice as long as the tuple itself.
        return tuple.__new__(
            Model, (instant, sequence, model_id, local, text, size, group, protection, tags, metrics, registered_at)
        )

    def warnings(self, future: Sequence[Model], now: datetime) -> list[Problem]:
        """Return the warnings for the operator about the entries that were read, and those dated after `now`."""
        found = []
        if self._unreadable:
            count = len(self._unreadable)
            found.append(retention_unreadable(count, listing(self._unreadable, count)))
        if future:
            listed = (f"{quoted(model.model_id)} ({model.trained_at})" for model in future)
            found.append(retention_future(len(future), canonical_instant(now), listing(listed, len(future))))
        return found

    def _moment(self, text: object, faults: list[str]) -> tuple[datetime, datetime, str] | None:
        try:
            if not isinstance(text, str):
                raise ValueError("no text")
            # The stored form has a fast path, as `parse_instant` takes ten times as long.
            if _CANONICAL.fullmatch(text):
                instant = datetime.fromisoformat(text)
            else:
                instant = parse_instant(text).astimezone(UTC)
                text = canonical_instant(instant)
            return instant, instant if self._zone is UTC else instant.astimezone(self._zone), text
        except (ValueError, OverflowError):
            faults.append(_fault("trained_at", text))
            return None

    def group_of(self, entry: Mapping[str, Any], faults: list[str]) -> Group | None:
        """Return the group of an entry, or None where it cannot be read: the faults are added."""
        values = tuple(map(entry.get, self._group_by, self._defaults))
        if (at := self._owner_at) is not None:
            said, uid = names_of_owner(values[at])
            # The number decides, so that a user who gets another name stays in the group.
            values = (*values[:at], uid or said, *values[at + 1 :], self._owners.get(uid, said), uid)
        try:
            return self._groups[values]
        except (KeyError, TypeError):
            # KeyError: a new group. TypeError: a value that is not hashable.
            pairs: tuple[tuple[str, Any], ...] = tuple(zip(self._group_by, values, strict=False))
            if at is not None:
                pairs = (*pairs[:at], ("owner", values[-2]), *pairs[at + 1 :], (OWNER_UID, values[-1]))
        odd = [_fault(key, value) for key, value in pairs if not isinstance(value, str)]
        if odd:
            faults += odd
            return None
        return self._groups.setdefault(values, pairs)


def latest_names(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the latest known name of each owner by the owner's number."""
    found: dict[str, tuple[int, str]] = {}
    for entry in entries:
        name, uid = names_of_owner(entry.get("owner"))
        if name and uid:
            sequence = sequence_of(entry)
            if uid not in found or sequence >= found[uid][0]:
                found[uid] = sequence, name
    return {uid: name for uid, (_, name) in found.items()}


def former_holders(entries: Iterable[EntryFields], alias: str) -> dict[tuple[str, int], int]:
    """Return the models that held an alias of their slot before the one that holds it: the last of a slot is number 1.

    Each is named by id and sequence. Of a model that held it more than once the last time counts.
    """
    slots: dict[Slot, list[EntryFields]] = {}
    for entry in entries:
        if promotion_of(entry, alias) is not None:
            slots.setdefault(slot_of(entry), []).append(entry)
    found: dict[tuple[str, int], int] = {}
    for of_slot in slots.values():
        stack = read_stack(of_slot, alias)
        latest_first = dict.fromkeys(one for one in reversed(stack.former) if one != stack.holder)
        found |= {(one.model_id, one.sequence): rank for rank, one in enumerate(latest_first, start=1)}
    return found


def _fault(field: str, value: object) -> str:
    return f"{field} is missing" if value is None else f"{field} is {quoted(value)}"


def _odd_number(field: str, value: object, faults: list[str]) -> int:
    # Entries of versions without the field lack it; it counts as 0.
    if value is not None:
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
    if isinstance(value, dict) and _are_texts(value.values()):
        return value
    if isinstance(value, list | tuple) and _are_texts(value):
        # A list of names without values.
        return dict.fromkeys(value, "")
    faults.append(_fault("tags", value))
    return _NOTHING


def _are_texts(values: Collection[object]) -> bool:
    # The set alone is three times as fast, and right for all that was read from a file.
    return {*map(type, values)} <= _TEXTS or all(isinstance(value, str) for value in values)


def listing(items: Iterable[str], total: int) -> str:
    """Return the first items of `total` as text, with the number of the others."""
    shown = list(islice(items, _LISTED))
    return ", ".join(shown) + (f" and {total - len(shown)} more" if total > len(shown) else "")

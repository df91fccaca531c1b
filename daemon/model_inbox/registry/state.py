"""The registry's contents at one moment.

Owns `State`: the entries, their order by age, and the aliases. It changes only by applying journal lines. Pure: it
touches neither a disk nor a clock.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from bisect import bisect_left, insort
from collections.abc import Sequence
from heapq import merge

from ..base.instants import instant_microseconds
from ..errors import EntryNotFound
from ..model.slot import Slot, slot_of
from ..problems import quoted
from .entry import Entry, EntryFields, sequence_of, shown
from .journal import Line
from .position import Identity, Position
from .usage import Usage

__all__ = ["State", "folded"]

_SEPARATORS = re.compile(r"[\W_]+")


_Key = tuple[int, int, str]  # trained_at, registration sequence, id: the order of "newest"


class State:
    """The entries after some journal line, queried in order of age.

    `entries` maps ids to entries as they are stored (paths relative to the registry's folder). The indexes are
    built when first asked for and kept up by `apply`, so that neither opening nor registering pays for them.
    Threads may query while one applies lines: each sees the entries before or after a line, never in between.
    """

    def __init__(
        self,
        folder: str,
        entries: dict[str, EntryFields],
        sequence: int,
        last_time: str = "",
        identity: Identity | None = None,
    ) -> None:
        self.folder = folder
        self.entries = entries
        self.sequence = sequence
        self.committed = sequence
        """The number of the last line that is known to be committed: lines of one append have the same time."""
        self.last_time = last_time
        self.identity = identity
        self.usage: Usage | None = None
        """What each owner has; kept up from the moment when it was asked for first."""
        self._pairs: dict[str, dict[str, int]] | None = None
        self._by_digest: dict[str, list[str]] | None = None
        self._lock = threading.RLock()
        self._views: dict[str, Entry] = {}
        self._order: list[_Key] | None = None
        self._slots: dict[Slot, list[_Key]] = {}
        self._aliases: dict[tuple[Slot, str], str] = {}

    def after_fork(self) -> None:
        """In the child of a fork: no thread that held the lock is here."""
        self._lock = threading.RLock()

    @property
    def position(self) -> Position | None:
        """Where these entries stand in the history; None in a registry that has no identity yet."""
        with self._lock:
            return self.identity.at(self.sequence) if self.identity is not None else None

    def apply(self, line: Line) -> None:
        """Make the change that a committed line tells of."""
        with self._lock:
            if line.changes_entry:
                self._set(line.model_id, line.entry)
            if self.usage is not None and line.operation == "register" and line.entry is not None:
                self.usage.registered(line.entry)
            if line.detail is not None:
                for model_id, entry in line.detail.get("also", {}).items():
                    self._set(model_id, entry)
            if line.time != self.last_time:
                # The line before is of an earlier append, which was synced before this one began.
                self.committed = self.sequence
            self.sequence = line.sequence
            self.last_time = line.time

    def view(self, model_id: str) -> Entry | None:
        """Return the entry as the API shows it, or None."""
        view = self._views.get(model_id)
        if view is not None:  # without the lock: a view is replaced by one assignment, and dropped by one pop
            return view
        with self._lock:
            stored = self.entries.get(model_id)
            if stored is None:
                return None
            view = self._views[model_id] = shown(stored, self.folder)
            return view

    def show(self, model_id: str) -> Entry:
        """Return the entry of a registered model as the API shows it. Raises EntryNotFound."""
        view = self.view(model_id)
        if view is None:
            raise _unknown(model_id)
        return view

    def entry(self, model_id: str) -> EntryFields:
        """Return the entry of a registered model as it is stored. Raises EntryNotFound."""
        stored = self.entries.get(model_id)
        if stored is None:
            raise _unknown(model_id)
        return stored

    def newest(self, slot: Slot, last_microseconds: int, *, calibrated: bool) -> Entry | None:
        """Return the newest entry of the slot that is not held and was not trained after that instant."""
        with self._lock:
            if self._order is None:
                self._index()
            keys = self._slots.get(slot, [])
            for at in range(bisect_left(keys, (last_microseconds + 1, 0, "")) - 1, -1, -1):
                model_id = keys[at][2]
                entry = self.entries[model_id]
                if not entry.get("held") and (not calibrated or entry.get("calibration_ok")):
                    return self.view(model_id)
            return None

    def aliased(self, slot: Slot, alias: str) -> Entry | None:
        """Return the entry that an alias names within its slot, or None."""
        with self._lock:
            if self._order is None:
                self._index()
            model_id = self._aliases.get((slot, alias))
            return self.view(model_id) if model_id is not None else None

    def newest_first(
        self, currency_pair: str | None = None, model_type: str | None = None, variant: str | None = None
    ) -> list[Entry]:
        """Return the entries, newest first: all, or those of one pair, type or variant."""
        with self._lock:
            if self._order is None:
                self._index()
            keys: Sequence[_Key] = self._order or ()
            wanted = tuple(enumerate((currency_pair, model_type, variant)))
            wanted = tuple((at, value) for at, value in wanted if value is not None)
            if wanted:
                of_slots = [
                    found for slot, found in self._slots.items() if all(slot[at] == value for at, value in wanted)
                ]
                keys = of_slots[0] if len(of_slots) == 1 else list(merge(*of_slots))
            views = self._views
            # Every id in the order is registered, so there is an entry to be shown.
            return [views.get(key[2]) or self._new_view(key[2]) for key in reversed(keys)]

    def near_pair(self, currency_pair: str) -> tuple[str, int] | None:
        """Return the pair that is spelled in nearly the same way and has most models, and their number.

        None if no such pair has as many models as this one: the spelling that came later is told of the one that is in
        use, and not the other way round.
        """
        with self._lock:
            if self._pairs is None:
                self._pairs = {}
                for entry in self.entries.values():
                    self._count_pair(entry, 1)
            counts = self._pairs.get(folded(currency_pair), {})
            others = [(count, other) for other, count in counts.items() if other != currency_pair]
            count, near = max(others, default=(0, ""))
            return (near, count) if count and count >= counts.get(currency_pair, 0) else None

    def with_digest(self, sha256: str) -> list[EntryFields]:
        """Return the entries whose model's file has this digest, as they are stored, in the order of registration."""
        with self._lock:
            if self._by_digest is None:
                self._by_digest = {}
                for model_id, entry in self.entries.items():
                    self._note_digest(model_id, entry)
            found = [self.entries[model_id] for model_id in self._by_digest.get(sha256, ())]
        return sorted(found, key=sequence_of)

    def _note_digest(self, model_id: str, entry: EntryFields) -> None:
        if self._by_digest is not None and (digest := entry.get("sha256")) is not None:
            self._by_digest.setdefault(digest, []).append(model_id)

    def _forget_digest(self, model_id: str, entry: EntryFields) -> None:
        if self._by_digest is not None and (digest := entry.get("sha256")) is not None:
            self._by_digest[digest].remove(model_id)

    def _count_pair(self, entry: EntryFields, step: int) -> None:
        if self._pairs is not None:
            pair = str(entry.get("currency_pair"))
            counts = self._pairs.setdefault(folded(pair), {})
            counts[pair] = counts.get(pair, 0) + step

    def stored(self) -> tuple[Identity | None, int, list[EntryFields]]:
        """Return the epoch, the sequence, and the entries after it as they are stored, in no order.

        The entries must not be changed.
        """
        with self._lock:
            return self.identity, self.sequence, list(self.entries.values())

    def stands_at(self, at: Position | int) -> bool:
        """Return whether this is the state at that position, or after the line of that number in whatever epoch."""
        with self._lock:
            return self.position == at if isinstance(at, Position) else self.sequence == at

    def ids(self) -> list[str]:
        """Return the ids of all entries."""
        with self._lock:
            return list(self.entries)

    def slot_entries(self, slot: Slot) -> list[EntryFields]:
        """Return the entries of a slot as they are stored, oldest first."""
        with self._lock:
            if self._order is None:
                self._index()
            return [self.entries[key[2]] for key in self._slots.get(slot, ())]

    def _new_view(self, model_id: str) -> Entry:
        view = self._views[model_id] = shown(self.entries[model_id], self.folder)
        return view

    def _set(self, model_id: str, entry: EntryFields | None) -> None:
        old = self.entries.get(model_id)
        if self.usage is not None:
            self.usage.note(old, entry)
        for changed, step in ((old, -1), (entry, 1)):
            if changed is not None:
                self._count_pair(changed, step)
        if old is not None:
            self._forget_digest(model_id, old)
            if self._order is not None:
                self._unindex(model_id, old)
        if entry is None:
            self.entries.pop(model_id, None)
            self._views.pop(model_id, None)
        else:
            stored = self.entries[model_id] = entry.copy()
            self._views.pop(model_id, None)
            self._note_digest(model_id, stored)
            if self._order is not None:
                key = _key(model_id, stored)
                insort(self._order, key)
                slot = slot_of(stored)
                insort(self._slots.setdefault(slot, []), key)
                for alias in stored.get("aliases") or ():
                    self._aliases[slot, alias] = model_id

    def _unindex(self, model_id: str, entry: EntryFields) -> None:
        key = _key(model_id, entry)
        slot = slot_of(entry)
        for keys in (self._order, self._slots.get(slot)):
            if keys is not None:
                at = bisect_left(keys, key)
                if at < len(keys) and keys[at] == key:
                    del keys[at]
        for alias in entry.get("aliases") or ():
            if self._aliases.get((slot, alias)) == model_id:
                del self._aliases[slot, alias]

    def _index(self) -> None:
        slots: dict[Slot, list[_Key]] = {}
        aliases: dict[tuple[Slot, str], str] = {}
        order = sorted(_key(model_id, entry) for model_id, entry in self.entries.items())
        for key in order:
            entry = self.entries[key[2]]
            slot = slot_of(entry)
            slots.setdefault(slot, []).append(key)
            for alias in entry.get("aliases") or ():
                aliases[slot, alias] = key[2]
        self._slots = slots
        self._aliases = aliases
        self._order = order


def folded(pair: str) -> str:
    """Return a pair without separators and case of letters: the same for USD/EUR, usd/eur, USDEUR and USD-EUR."""
    text = unicodedata.normalize("NFKC", pair).casefold()
    return _SEPARATORS.sub("", text) or text


def _unknown(model_id: str) -> EntryNotFound:
    return EntryNotFound(
        f"cannot find {quoted(model_id)}: no model of that id is registered",
        hint="`model-inbox list` shows the ids; `model-inbox trash list` the retired ones",
    )


def _key(model_id: str, entry: EntryFields) -> _Key:
    return instant_microseconds(entry.get("trained_at")), sequence_of(entry), model_id

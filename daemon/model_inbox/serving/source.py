"""The registry as followers see it: who holds a name, who held it before, and the objects of a model.

Owns the questions that followers ask of a registry, and the files that a loaded model keeps open: a purge finds them in
use and leaves them. Never changes the registry.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import FileIO
from typing import TYPE_CHECKING, Any, Protocol

from ..base.disk import content_of, read_regular
from ..errors import ModelInboxError
from ..feed import Changes, Compare, Feed, Wakeups
from ..model.slot import Slot, slot_of
from ..registry.alias_stack import Target, read_stack
from ..registry.entry import Entry
from ..registry.loading import load_object
from ..registry.paths import RegistryFiles
from ..registry.position import Position
from ..registry.segments import lines_of_operation
from ..replica.record import pulled_at
from .names import Name, holders_before

if TYPE_CHECKING:
    from ..registry.registry import ModelRegistry

__all__ = ["Followed", "Lines", "Loaded", "Source", "after_fork", "one_load"]

_RECORD_BYTES_MAX = 1 << 28
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""When a replica was pulled of which nobody knows that."""
_one_load = threading.Lock()
"""Never two loads at once in a process: each may need as much memory as all that is served."""


def one_load() -> threading.Lock:
    """Return the lock that a load holds."""
    return _one_load


def after_fork() -> None:
    """In the child of a fork: the thread that was loading is not here."""
    global _one_load
    _one_load = threading.Lock()


@dataclass(slots=True)
class Loaded:
    """The objects of a model, with its files held open."""

    entry: Entry
    model: Any
    scaler: Any
    files: list[FileIO] = field(default_factory=list)

    def close(self) -> None:
        """Let go of the files. The objects stay usable."""
        for file in self.files:
            file.close()
        self.files = []


class Lines(Protocol):
    """What a hub reads changes from; see `Feed`."""

    @property
    def position(self) -> Position | None:
        """Where the next `read` goes on."""

    def read(self) -> Changes | Compare:
        """Return what was committed since. Raises ModelInboxError while that cannot be known."""

    def close(self) -> None:
        """Let go of what is open. The next `read` opens it again."""


class Followed(Protocol):
    """What followers need of a registry, wherever it is. `Source` is that of a folder."""

    @property
    def path(self) -> str:
        """Where the registry is, for messages."""

    def now(self) -> datetime:
        """Return the time, in UTC."""

    def lag_seconds(self) -> float:
        """Return how many seconds ago this was known to be the same as its source."""

    def feed(self, position: Position | None) -> Lines:
        """Return what tells of changes from a position on."""

    def wakeups(self) -> Wakeups:
        """Return what wakes a thread that waits for changes."""

    def refresh(self) -> ModelInboxError | None:
        """Take in what was changed. Return why the registry cannot be followed now, or None."""

    def holder(self, name: Name) -> Entry | None:
        """Return the entry that holds a name now."""

    def slots(self) -> frozenset[Slot]:
        """Return the slots of all registered models."""

    def before(self, name: Name) -> list[Entry]:
        """Return the registered models that held the name before its holder, the latest first."""

    def load(self, entry: Entry) -> Loaded:
        """Load the objects of a model. Raises what `load_model_objects` raises."""


class Source:
    """What followers need of one registry: the one in a folder."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._files = RegistryFiles(registry._path)
        self._slots: tuple[int, frozenset[Slot]] | None = None
        # When the replica was pulled, and what its record was like then.
        self._pulled: tuple[tuple[int, int, int], datetime] | None = None

    @property
    def path(self) -> str:
        """The registry's path, for messages."""
        return self._registry.registry_path

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self._registry._clock()

    def lag_seconds(self) -> float:
        """Return how many seconds ago this registry was the same as its source; 0 unless it is a replica."""
        try:
            found = os.stat(self._files.replica)
            if self._pulled is None or self._pulled[0] != content_of(found):
                at = pulled_at(read_regular(self._files.replica, _RECORD_BYTES_MAX))
                self._pulled = content_of(found), at or _NEVER
        except FileNotFoundError:
            return 0.0
        except (OSError, ValueError):
            return (self.now() - _NEVER).total_seconds()
        return (self.now() - self._pulled[1]).total_seconds()

    def feed(self, position: Position | None) -> Feed:
        """Return a feed of the journal."""
        return Feed(self._files, position)

    def wakeups(self) -> Wakeups:
        """Return what wakes a thread that waits for the journal."""
        return Wakeups(self._files.journal)

    def refresh(self) -> ModelInboxError | None:
        """Take in what was committed. Return why the registry cannot be followed now, or None."""
        self._registry.summary()
        return self._registry.damage

    def holder(self, name: Name) -> Entry | None:
        """Return the entry that holds a name now."""
        pair, model_type, variant = name.slot
        return self._registry.get_model(pair, model_type, variant=variant, alias=name.alias)

    def slots(self) -> frozenset[Slot]:
        """Return the slots of all registered models. Looks through them only after a change."""
        sequence = self._registry.sequence
        if self._slots is None or self._slots[0] != sequence:
            self._slots = (sequence, frozenset(map(slot_of, self._registry.stored_entries()[2])))
        return self._slots[1]

    def before(self, name: Name) -> list[Entry]:
        """Return the registered models that held the name before its holder, the latest first. Raises StorageError.

        Of the newest model of a slot, those are the older ones. Models that are out of service are left out.
        """
        return [entry for entry in self._all_before(name) if not entry.get("held")]

    def _all_before(self, name: Name) -> list[Entry]:
        if name.alias is None:
            pair, model_type, variant = name.slot
            models = self._registry.list_models(pair, model_type, variant=variant)
            newest = self.holder(name)
            ids = [entry["model_id"] for entry in models]
            return models[ids.index(newest["model_id"]) + 1 :] if newest is not None else models
        stored = self._registry.stored_entries()[2]
        former = read_stack([entry for entry in stored if slot_of(entry) == name.slot], name.alias).former[::-1]
        if not former:
            # Earlier versions kept no stack.
            lines = lines_of_operation(self._files.journal, self._files.history, "alias")
            former = tuple(Target(*model) for model in holders_before(lines, name))
        entries = self._registry.registry
        found = [(entries.get(model_id), sequence) for model_id, sequence in former]
        return [entry for entry, sequence in found if entry is not None and (entry.get("sequence") or 0) == sequence]

    def load(self, entry: Entry) -> Loaded:
        """Load the objects of a model: digests and imports are verified. Raises what `load_model_objects` raises."""
        loaded = Loaded(entry, None, None)
        with one_load():
            try:
                store, storage = self._registry._store, self._registry._storage
                loaded.model = load_object(store, storage, entry, "model", loaded.files)
                loaded.scaler = load_object(store, storage, entry, "scaler", loaded.files)
            except BaseException:
                loaded.close()
                raise
        return loaded

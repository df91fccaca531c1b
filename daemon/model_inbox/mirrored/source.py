"""A mirror as followers see it: asked every few seconds, and answered from the last look in between.

Owns that look. While MLflow does not answer, followers go on with what it said before.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from ..errors import ModelInboxError
from ..feed import Changes, Wakeups
from ..model.slot import Slot, slot_of
from ..registry.alias_stack import read_stack
from ..registry.entry import Entry, sequence_of
from ..registry.position import Position
from ..registry.queries import model_in
from ..registry.state import State
from ..serving.names import Name
from ..serving.source import Loaded, one_load

__all__ = ["MirrorSource"]


class Asked(Protocol):
    """What is asked of the mirror; see `MirrorRegistry`."""

    tracking_uri: str
    poll_seconds: float

    def now(self) -> datetime:
        """Return the time, in UTC."""

    def state_of_pair(self, currency_pair: str) -> State:
        """Return what MLflow says now of all models of a pair."""

    def whole_state(self) -> State:
        """Return what MLflow says now of all models."""

    def load_model_objects(self, entry: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (model, scaler)."""


class _NoLines:
    """A mirror has no journal. What moved is found by comparing the holders of names."""

    position: Position | None = None

    def read(self) -> Changes:
        """Return no lines."""
        return Changes((), None)

    def close(self) -> None:
        """Nothing is open."""


class MirrorSource:
    """What followers need of a mirror. The hub's thread alone looks."""

    def __init__(self, registry: Asked) -> None:
        self._registry = registry
        self._states: dict[str, State] = {}
        # The slots of all models, once somebody follows all.
        self._slots: frozenset[Slot] | None = None
        self._problem: ModelInboxError | None = None
        self._looked_at: float | None = None
        self._known_at = time.monotonic()

    @property
    def path(self) -> str:
        """Where MLflow is, for messages."""
        return self._registry.tracking_uri

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self._registry.now()

    def lag_seconds(self) -> float:
        """Return how many seconds ago MLflow answered last."""
        return time.monotonic() - self._known_at

    def feed(self, position: Position | None) -> _NoLines:
        """Return what tells of no changes."""
        del position
        return _NoLines()

    def wakeups(self) -> Wakeups:
        """Return what wakes by the clock."""
        return Wakeups(None)

    def refresh(self) -> ModelInboxError | None:
        """Ask MLflow again, if that is due. Return why it cannot be followed now, or None."""
        now = time.monotonic()
        if self._looked_at is not None and now - self._looked_at < self._registry.poll_seconds:
            return self._problem
        self._looked_at = now
        try:
            if self._slots is not None:
                self._look_at_all()
            else:
                self._states = {pair: self._registry.state_of_pair(pair) for pair in list(self._states)}
            self._problem, self._known_at = None, now
        except ModelInboxError as error:
            self._problem = error
        # The next one is due after a pause, however long this one took.
        self._looked_at = time.monotonic()
        return self._problem

    def _look_at_all(self) -> None:
        whole = self._registry.whole_state()
        self._slots = frozenset(map(slot_of, whole.stored()[2]))
        self._states = {slot.currency_pair: whole for slot in self._slots}

    def _state(self, slot: Slot) -> State | None:
        """Return the last state of a pair, which is asked for when it is new; None while MLflow does not answer."""
        if slot.currency_pair not in self._states:
            try:
                self._states[slot.currency_pair] = self._registry.state_of_pair(slot.currency_pair)
            except ModelInboxError as error:
                self._problem = error
        return self._states.get(slot.currency_pair)

    def holder(self, name: Name) -> Entry | None:
        """Return the entry that holds a name now."""
        state = self._state(name.slot)
        return model_in(state, self.now(), name.slot, name.alias, None, calibrated=False) if state is not None else None

    def slots(self) -> frozenset[Slot]:
        """Return the slots of all models. From the first call on, each look is at all of them."""
        if self._slots is None:
            try:
                self._look_at_all()
            except ModelInboxError as error:
                self._problem = error
        return self._slots or frozenset()

    def before(self, name: Name) -> list[Entry]:
        """Return the registered models that held the name before its holder, the latest first, without held ones."""
        state = self._state(name.slot)
        if state is None:
            return []
        models: Sequence[Entry | None] = state.newest_first(*name.slot)
        if name.alias is None:
            newest = self.holder(name)
            ids = [entry["model_id"] for entry in models if entry is not None]
            models = models[ids.index(newest["model_id"]) + 1 :] if newest is not None else models
        else:
            former = read_stack(state.slot_entries(name.slot), name.alias).former[::-1]
            found = [(state.view(target.model_id), target.sequence) for target in former]
            models = [entry for entry, sequence in found if entry is not None and sequence_of(entry) == sequence]
        return [entry for entry in models if entry is not None and not entry.get("held")]

    def load(self, entry: Entry) -> Loaded:
        """Load the objects of a model: digests and imports are verified. Raises what `load_model_objects` raises."""
        with one_load():
            return Loaded(entry, *self._registry.load_model_objects(entry))

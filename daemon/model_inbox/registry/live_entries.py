"""The mapping of ids to entries that a registry shows: read-only, and up to date at each look.

Owns no entry: each look asks the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .entry import Entry
from .state import State
from .store import Store

__all__ = ["LiveEntries"]


class LiveEntries(Mapping[str, Entry]):
    """The entries of one registry by id. `handle` closes the store when nobody refers to it, so this does."""

    def __init__(self, store: Store, handle: object) -> None:
        self._store = store
        self._handle = handle

    def _state(self) -> State:
        self._store.refresh()
        return self._store.state

    def __getitem__(self, model_id: str) -> Entry:
        entry = self._state().view(model_id)
        if entry is None:
            raise KeyError(model_id)
        return entry

    def __iter__(self) -> Iterator[str]:
        return iter(self._state().ids())

    def __len__(self) -> int:
        return len(self._state().entries)

    def __repr__(self) -> str:
        return repr(dict(self))

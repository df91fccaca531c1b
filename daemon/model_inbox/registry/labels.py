"""Pins, holds and tags: what people put on a registered model, each change one line of the journal.

Owns how they change. The line is the commit, and the model's labels file follows it. Never touches its other files.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Unpack

from ..errors import EntryProtected, MetadataError
from ..model.checks import check_fields
from ..problems import quoted
from .entry import Entry, EntryChanges, EntryFields, changed_entry
from .journal import Draft, Operation, format_time
from .label_files import LabelFiles
from .store import Store
from .trash import Trash

__all__ = ["Labels"]


class Labels:
    """Changes pins, holds and tags in one registry. Every change raises EntryNotFound for an unknown model."""

    def __init__(self, store: Store, label_files: LabelFiles, trash: Trash) -> None:
        self._store = store
        self._trash = trash
        self._label_files = label_files

    def pin(self, model_id: str, *, pinned: bool, reason: str, actor: str) -> Entry:
        """Protect a model from retirement, or no longer."""
        return self._change("pin" if pinned else "unpin", model_id, reason, actor, pinned=pinned)

    def hold(self, model_id: str, *, now: datetime, reason: str, actor: str) -> Entry:
        """Take a model out of service: it is never newest, and no alias may name it. A held one gets the new reason.

        Raises ValueError without a reason, EntryProtected for a model that an alias names.
        """
        if not reason.strip():
            raise ValueError(f"cannot hold {quoted(model_id)} without a reason")
        with self._store.writing():
            self._trash.set_aside_once()
            entry = self._store.state.entry(model_id)
            if entry.get("held") == reason:
                return self._unchanged(model_id)
            if aliases := entry.get("aliases"):
                named = " and ".join(map(quoted, aliases))
                raise EntryProtected(
                    f"cannot hold {quoted(model_id)}: {named} {'names' if len(aliases) == 1 else 'name'} it",
                    hint="Let it name another model first, with `model-inbox rollback` or `model-inbox promote`",
                )
            since = entry.get("held_since") or format_time(now)
            return self._change("hold", model_id, reason, actor, held=reason, held_since=since)

    def unhold(self, model_id: str, *, reason: str, actor: str) -> Entry:
        """Let a held model be served again."""
        return self._change("unhold", model_id, reason, actor, held=None, held_since=None)

    def tag(self, model_id: str, tags: Mapping[str, str | None], *, now: datetime, reason: str, actor: str) -> Entry:
        """Set tags; a value of None removes one. Raises MetadataError for tags that a sidecar could not have."""
        with self._store.writing():
            self._trash.set_aside_once()
            merged = {**(self._store.state.entry(model_id).get("tags") or {}), **tags}
            kept = {name: value for name, value in merged.items() if value is not None}
            findings = list(check_fields({"tags": kept}, now=now))
            if findings:
                raise MetadataError(f"cannot tag {quoted(model_id)}", [finding.problem for finding in findings])
            return self._change("tag", model_id, reason, actor, tags=kept)

    def _change(
        self, operation: Operation, model_id: str, reason: str, actor: str, **changes: Unpack[EntryChanges]
    ) -> Entry:
        """Commit changes of one entry; no line is written when nothing changes."""
        with self._store.writing():
            self._trash.set_aside_once()
            entry = self._store.state.entry(model_id)
            changed = changed_entry(entry, **changes)
            if all(entry.get(name) == value for name, value in changes.items()):
                return self._unchanged(model_id)
            return self._commit(operation, model_id, reason, actor, changed)

    def _unchanged(self, model_id: str) -> Entry:
        # That it is so already may rest on a line whose writer died before it was synced, or before the file followed.
        self._store.sync()
        self._label_files.write()
        return self._store.state.show(model_id)

    def _commit(
        self,
        operation: Operation,
        model_id: str,
        reason: str,
        actor: str,
        entry: EntryFields,
    ) -> Entry:
        self._store.commit([Draft(operation, model_id, reason, actor, changes_entry=True, entry=entry)])
        # A crash here leaves labels files behind the line: the next writer writes them.
        self._label_files.write()
        return self._store.state.show(model_id)

"""Replacing the scaler of a registered model: the one thing of a model that may change.

Owns the order of its steps. The new scaler gets a name that no model's own files have, the journal line is the commit,
and the old file goes to the model's folder in the trash, where a program that still holds the old entry finds it. It
stays there until the model itself is purged. Never loads a pickle, and never judges one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..base.copying import copy_open_file
from ..base.disk import remove_quietly, write_new_file
from ..errors import ModelInboxError
from ..problems import quoted
from .entry import Entry, changed_entry
from .files import STORED_MODE, Storage, staged_paths
from .journal import Draft
from .pickling import pickled
from .promotions import Promotions
from .store import Store
from .trash import Trash

__all__ = ["Scalers"]


class Scalers:
    """Replaces scalers in one registry."""

    def __init__(self, store: Store, storage: Storage, trash: Trash, promotions: Promotions) -> None:
        self._store = store
        self._storage = storage
        self._trash = trash
        self._promotions = promotions

    def replace(self, model_id: str, scaler_obj: Any, *, reason: str, actor: str) -> Entry:
        """Pickle an object and put it in the place of a model's scaler, if it has one.

        Raises EntryNotFound, StorageError, and ModelInboxError for an object that cannot be pickled.
        """
        if scaler_obj is None:
            raise ModelInboxError(
                f"cannot replace the scaler of {quoted(model_id)} by None",
                hint="A model registered with a scaler keeps one; register one without as a new model",
            )
        staged = self._staging_of(model_id)
        data = pickled(scaler_obj, "scaler", model_id)
        write_new_file(self._storage.disk, staged, data, STORED_MODE)
        try:
            return self._commit(model_id, staged, hashlib.sha256(data).hexdigest(), len(data), None, reason, actor)
        finally:
            remove_quietly(self._storage.disk, staged)

    def replace_by_file(
        self,
        model_id: str,
        scaler_fd: int,
        judge: Callable[[Path], Mapping[str, str]],
        *,
        reason: str,
        actor: str,
    ) -> Entry:
        """Do the same with an open file that holds a pickle.

        `judge` gets the path of our copy and returns what that may import, or raises, and then nothing is changed.
        """
        staged = self._staging_of(model_id)
        digest, size = copy_open_file(self._storage.disk, scaler_fd, staged, STORED_MODE)
        try:
            # The copy is judged: the file itself may have other bytes by the time of the commit.
            imports = judge(staged)
            return self._commit(model_id, staged, digest, size, imports, reason, actor)
        finally:
            remove_quietly(self._storage.disk, staged)

    def _staging_of(self, model_id: str) -> Path:
        """Return where the new scaler is staged. Raises before anything is done that would be refused later."""
        self._store.may_write()
        self._store.refresh()
        self._store.state.show(model_id)
        return staged_paths(self._storage.staging_dir, f"api-{self._storage.disk.token()}")[1]

    def _commit(
        self,
        model_id: str,
        staged: Path,
        digest: str,
        size: int,
        imports: Mapping[str, str] | None,
        reason: str,
        actor: str,
    ) -> Entry:
        """Give the staged scaler its name, commit the line, and move the old scaler to the trash."""
        with self._store.writing():
            entry = self._store.state.entry(model_id)
            self._promotions.check_user(entry.get("aliases") or ())
            self._trash.prepare()
            self._trash.finish(model_id)
            number = self._store.state.sequence + 1
            final = self._storage.scaler_name(model_id, number)
            old = entry.get("scaler_path")
            # Raises FileOutside before anything is changed.
            self._storage.needed_files_of(entry)
            changed = changed_entry(
                entry,
                scaler_path=self._storage.stored_path(final),
                scaler_sha256=digest,
                scaler_replaced=number,
                scaler_imports=dict(imports) if imports is not None else None,
                size_bytes=_size_of(self._storage.folder / str(entry["model_path"])) + size,
            )
            detail = {"replaced": old, "replaced_sha256": entry.get("scaler_sha256")}
            draft = Draft("replace_scaler", model_id, reason, actor, changes_entry=True, entry=changed, detail=detail)
            try:
                self._storage.place_file(staged, final)
                self._storage.sync_names()
                # A crash before this line leaves a file that no entry names; a start moves it to the trash.
                self._store.commit([draft])
            except BaseException:
                with suppress(ModelInboxError):
                    # As for a registration: the line counts if its bytes came to the journal.
                    self._store.look_again()
                    known = self._store.state.entries.get(model_id)
                    if known is None or known.get("scaler_replaced") != number:
                        self._storage.displace_file(staged, final)
                raise
            # A crash here leaves the old file at its name; `Trash.finish` moves it when a writer meets it.
            if old:
                self._storage.discard_file(changed, self._storage.folder / old)
            return self._store.state.show(model_id)


def _size_of(path: Path) -> int:
    """Return the size of a model's file; 0 when it is not there (`verify` reports that)."""
    try:
        return path.stat().st_size
    except OSError:
        return 0

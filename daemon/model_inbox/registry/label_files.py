"""The labels files beside the stored models: written after the line of each change, or by the next writer.

Owns which models need one and when it is written. A file that cannot be written is logged and tried again with the next
change: the line stands. One that is damaged is set aside; one that names a line beyond the journal's end stays as it
is, since it may be the only one to know of that line. Never changes an entry.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..base.disk import read_bytes, replace_file
from ..base.log import log
from ..errors import ModelInboxError, RegistryCorrupted, RegistryTooNew, StorageError
from .derived import older_copy
from .files import LABELS_SUFFIX, STORED_MODE, Storage
from .label_format import Labelled, has_labels, label_bytes, labelled, parse_labels
from .segments import lines_of_operation
from .store import Store
from .stored_sidecar import has_sidecar
from .unfinished import LabelChange

__all__ = ["LabelFiles", "read_labels"]


class LabelFiles:
    """The labels files of one registry. Every method is called under the writer lock."""

    def __init__(self, store: Store, storage: Storage) -> None:
        self._store = store
        self._storage = storage
        self.has_looked = False
        """Whether this handle has looked for models without the file that they need."""

    def write(self) -> None:
        """Write the files that are behind a line, of this handle or of a writer that died. Failures are logged.

        Called after the line. A crash before it leaves the old file, and the next writer comes here again.
        """
        for error in self._write_all():
            log.error("registry.labels_unwritten", problem=str(error))

    def check(self) -> None:
        """Write every file that is behind, missing or damaged. All are read, so this is for a start.

        Every model is tried; the first StorageError is raised at the end. Raises RegistryCorrupted when a file names a
        line beyond the end of the journal: an older journal was put in its place.
        """
        if self._store.state.identity is None:
            return  # see `_write_all`
        for name in self._names():
            self._store.unfinished.labels.setdefault(name.removesuffix(LABELS_SUFFIX), [])
        self._look(search_history=True)
        failed: list[ModelInboxError] = []
        for error in self._write_all():
            if isinstance(error, RegistryTooNew):  # a later version's file: no reason to stop
                log.error("registry.labels_unwritten", problem=str(error))
            else:
                failed.append(error)
        for error in sorted(failed, key=lambda error: not isinstance(error, RegistryCorrupted)):
            raise error

    def _write_all(self) -> Iterator[ModelInboxError]:
        """Yield what went wrong, model by model."""
        identity = self._store.state.identity
        if identity is None:
            return  # the first change of a registry of version 0.1 gives it one
        if not self.has_looked:
            try:
                # Once there are files, the history was searched: by a writer that wrote all of them, or a start does.
                self._look(search_history=not self._names())
            except ModelInboxError as error:
                yield error
        behind = self._store.unfinished.labels
        for model_id in list(behind):
            try:
                self._write(model_id, behind[model_id])
            except (StorageError, RegistryCorrupted, RegistryTooNew) as error:
                yield error
            else:
                del behind[model_id]

    def _look(self, *, search_history: bool) -> None:
        """Find the models that have labels and no file: an earlier version set them, or somebody removed the file.

        Tags that were set by hand look like those of a sidecar: the history tells of them.
        """
        entries, files = self._store.state.entries, self._store.files
        needing = [model_id for model_id, entry in entries.items() if has_labels(entry)]
        if search_history:
            needing += [line.model_id for line in lines_of_operation(files.journal, files.history, "tag")]
        for model_id in needing:
            entry = entries.get(model_id)
            if entry is not None and has_sidecar(entry) and not os.path.lexists(self._storage.labels_name(model_id)):
                self._store.unfinished.labels.setdefault(model_id, [])
        self.has_looked = True

    def _names(self) -> Sequence[str]:
        try:
            names = os.listdir(self._storage.storage_dir)
        except OSError as error:
            raise StorageError("list", self._storage.storage_dir, error) from error
        return [name for name in names if name.endswith(LABELS_SUFFIX) and not name.startswith(".")]

    def _write(self, model_id: str, changes: Sequence[LabelChange]) -> None:
        """Write the file of one model if it says something else than the entry."""
        state, identity = self._store.state, self._store.state.identity
        entry = state.entries.get(model_id)
        path = self._storage.labels_name(model_id)
        if entry is None or identity is None or not has_sidecar(entry) or path == self._store.files.path:
            return
        try:
            found = read_labels(path)
        except RegistryCorrupted as error:
            kept = self._storage.set_aside(path)
            log.warning("registry.file_rewritten", path=str(path), problem=error.what, changes=[], kept=str(kept))
            found = None
        if found is not None and found.identity == identity and found.sequence > state.sequence:
            raise older_copy(self._store.files.journal, state.sequence, found.sequence)
        if found is not None and not found.is_of(entry, identity.registry_id):
            found = None
        if found is not None and not found.differences(entry):
            return
        labels = labelled(entry, identity, state.sequence, found, changes)
        # A crash before the rename leaves the old file, which the next writer finds behind; after it, the new one.
        replace_file(self._storage.disk, path, label_bytes(labels), STORED_MODE)


def read_labels(path: Path) -> Labelled | None:
    """Return the labels in a file, None when there is none. Raises as `parse_labels` does, and StorageError."""
    try:
        return parse_labels(path, read_bytes(path))
    except FileNotFoundError:
        return None

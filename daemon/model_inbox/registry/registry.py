"""`ModelRegistry`: the registered models, for those who register, look up, load and retire them.

Owns the order of steps that makes each change of a model a commit: files, then the journal's line; for a
retirement the line, then the files. Entries on disk are `ledger`'s affair, files `storage`'s. It logs through
structlog and never configures it.

What is trusted: the registry's folder and whoever may write there. A model that came through the inbox may, when
loaded, import only what was seen in it when it was checked; one registered from Python (`register_model`) is
loaded as the process that registered it pickled it, without that limit.
"""

from __future__ import annotations

import atexit
import errno
import getpass
import hashlib
import os
import pickle
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Unpack

import cloudpickle
import structlog

from ..base.disk import Disk, copy_open_file, is_temporary, open_regular, remove_quietly, unique_token, write_new_file
from ..base.leases import in_use
from ..errors import (
    EntryExists,
    EntryNotFound,
    EntryProtected,
    LoadRefused,
    MetadataError,
    ModelInboxError,
    RegistryError,
    StorageError,
)
from ..model.metadata import MetadataFields, ModelMetadata, check_field, check_metadata, fields_of, is_valid_id
from ..model.sidecar import dump_sidecar
from ..problems import quoted
from .entry import (
    Entry,
    EntryChanges,
    EntryFields,
    Integrity,
    Origin,
    Role,
    as_fields,
    changed_entry,
    files_of_entry,
    imports_when_loaded,
    new_entry,
    sequence_of,
)
from .files import STORED_MODE, StagedFiles, Storage, staged_paths, trash_name
from .history import also_changed
from .journal import Draft, Line, Operation
from .paths import RegistryFiles
from .state import State
from .store import SEGMENT_BYTES_MIN, Ledger

__all__ = ["Candidate", "ModelRegistry", "Registered", "Retired", "id_taken"]

log = structlog.get_logger("model_inbox")

DEFAULT_LOCK_TIMEOUT_SECONDS = 10.0
_SYSTEM_CLOCK: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731  # a default that can be replaced

_open_handles: weakref.WeakSet[ModelRegistry] = weakref.WeakSet()
_TEMPORARY_SECONDS = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model whose files are staged and whose verdict was "accept", ready to be committed.

    `fields` are those of `metadata.fields_of`; `imports` what its pickles may import when loaded (None: trusted);
    `integrity` what told that the files were whole (`digest`, `lease`, `quiet`; `api` when we wrote them);
    `verdict` what the scan of its pickles holds for (`pickles.current`; None: they were not scanned).
    """

    fields: MetadataFields
    files: StagedFiles
    origin: Origin
    drop_id: str | None = None
    imports: Mapping[str, str] | None = None
    integrity: Integrity = "api"
    actor: str = ""
    reason: str = ""
    verdict: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a candidate: `registered`, `duplicate` (same id, same bytes) or `taken` (other bytes)."""

    outcome: Literal["registered", "duplicate", "taken"]
    entry: Entry


@dataclass(frozen=True, slots=True)
class Retired:
    """A retired model whose files are in the trash."""

    model_id: str
    sequence: int
    at: datetime
    actor: str
    reason: str
    entry: EntryFields
    folder: Path


class ModelRegistry:
    """The registry at `registry_path` with its model files in `storage_dir` (default: `prediction/` beside it).

    Opening makes the folders and an empty registry where there is none; with `read_only=True` nothing is made,
    cut or locked, and a missing registry raises RegistryMissing. Every handle, in any process, sees each commit
    at once and without reopening. A handle may be used by several threads. Close it, or use it in a `with`
    block, to bring the JSON file up to date at once; at exit that happens by itself, and other handles never
    depend on it.

    Who may not write there gets a handle that reads (`read_only` is true then) and is refused changes.

    Raises RegistryCorrupted (with file and offset) rather than guess; nothing is overwritten then.
    `lock_timeout` is in seconds. `clock` and `disk` are for tests.
    """

    def __init__(
        self,
        registry_path: str | os.PathLike[str],
        storage_dir: str | os.PathLike[str] | None = None,
        *,
        read_only: bool = False,
        lock_timeout: float = DEFAULT_LOCK_TIMEOUT_SECONDS,
        actor: str | None = None,
        clock: Callable[[], datetime] = _SYSTEM_CLOCK,
        disk: Disk | None = None,
        segment_bytes: int = SEGMENT_BYTES_MIN,
    ) -> None:
        path = _absolute(registry_path)
        self.registry_path = str(path)
        self.storage_dir = str(_absolute(storage_dir) if storage_dir is not None else path.parent / "prediction")
        denied = "" if read_only else _why_not_writable(path)
        read_only = read_only or bool(denied)
        self.read_only = read_only
        self.actor = actor if actor is not None else f"api:{_user_name()}"
        self._path = path
        self._clock = clock
        self._disk = disk if disk is not None else Disk()
        self._storage = Storage(path.parent, Path(self.storage_dir), self._disk)
        if not read_only:
            self._storage.make_folders()
        self._ledger = Ledger(
            path,
            read_only=read_only,
            lock_timeout=lock_timeout,
            clock=clock,
            disk=self._disk,
            segment_bytes=segment_bytes,
            denied=denied,
        )
        self._adopted: list[str] | None = None  # ids of entries that were not registered by us, once asked for
        self._refresh = self._ledger.refresh
        _open_handles.add(self)

    @property
    def damage(self) -> ModelInboxError | None:
        """What was found damaged after this handle was opened; it goes on serving what it holds."""
        return self._ledger.damage

    @property
    def lock_timeout(self) -> float:
        """How many seconds a change waits for other writers."""
        return self._ledger.lock_timeout

    @lock_timeout.setter
    def lock_timeout(self, seconds: float) -> None:
        self._ledger.lock_timeout = seconds

    # --- reading ----------------------------------------------------------------------------------------------

    @property
    def registry(self) -> Mapping[str, Entry]:
        """The mapping {model_id: entry}, read-only and always up to date."""
        return _Entries(self)

    def get_model_info(self, model_id: str, *, as_of: datetime | None = None) -> Entry | None:
        """Return the entry of a model, or None; with `as_of` as it was at that instant."""
        if as_of is not None:
            return self._at(as_of)[0].view(model_id)
        self._refresh()
        return self._ledger.state.view(model_id)

    def get_model(
        self,
        currency_pair: str,
        model_type: str = "lightgbm",
        *,
        alias: str | None = None,
        calibrated: bool = False,
        as_of: datetime | None = None,
    ) -> Entry | None:
        """Return the newest model of a pair and type, or None.

        Newest is by `trained_at` as an instant, ties by the order of registration; an entry dated in the future
        is never newest. With `alias` it is the model that the alias names; with `calibrated=True` only models
        whose `calibration_ok` is true count; with `as_of` the registry is taken as it was at that instant.
        """
        state, now = self._at(as_of)
        if alias is not None:
            entry = state.aliased(currency_pair, model_type, alias)
            return entry if entry is not None and (not calibrated or entry.get("calibration_ok")) else None
        return state.newest(currency_pair, model_type, _microseconds(now), calibrated=calibrated)

    def list_models(
        self,
        currency_pair: str | None = None,
        model_type: str | None = None,
        *,
        as_of: datetime | None = None,
    ) -> list[Entry]:
        """Return the entries of a pair, of a type, of both, or all; newest first."""
        state, _ = self._at(as_of)
        return state.newest_first(currency_pair, model_type)

    @property
    def sequence(self) -> int:
        """The number of the last committed change."""
        self._refresh()
        return self._ledger.state.sequence

    def stored_entries(self) -> tuple[int, list[EntryFields]]:
        """Return `sequence` and the entries as of that change, as they are stored: for who looks at all of them.

        Paths are relative here, and nothing is copied: who changed one would change the registry. In no order.
        """
        self._refresh()
        return self._ledger.state.stored()

    def history(self, model_id: str | None = None) -> list[Line]:
        """Return what was committed, oldest first: of one model, or everything that is kept."""
        lines = self._ledger.lines()
        if model_id is None:
            return lines
        return [line for line in lines if line.model_id == model_id or model_id in also_changed(line)]

    def retired(self) -> list[Retired]:
        """Return the retired models whose files are still in the trash, in the order of their retirement."""
        if not self._trash_names():
            return []
        found = (self._retirement(line) for line in self._ledger.held().values())
        return [item for item in found if item.folder.is_dir()]

    def registrations(self, drop_ids: Collection[str]) -> dict[str, Line]:
        """Return the lines that registered these drops, whatever came after them. Syncs what it relies on."""
        with self._ledger.writing():
            self._ledger.sync()
            return {
                line.drop_id: line
                for line in self._ledger.lines()
                if line.operation == "register" and line.drop_id is not None and line.drop_id in drop_ids
            }

    # --- loading ----------------------------------------------------------------------------------------------

    def load_model_objects(self, entry: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (model, scaler), the scaler None where the entry has none.

        The bytes that are unpickled are those whose SHA-256 the entry names; a model that came through the inbox
        can import only what its entry's `imports` list, everything else raises LoadRefused. A model that was
        retired since `get_model` is found in the trash. Raises FileNotFoundError with the path when a file is
        gone, LoadRefused when its bytes are not the registered ones.
        """
        return self.load_model(entry), self.load_scaler(entry)

    def load_model(self, entry: Mapping[str, Any]) -> Any:
        """Return the model alone; see `load_model_objects`."""
        return self._load_object(as_fields(entry), "model")

    def load_scaler(self, entry: Mapping[str, Any]) -> Any:
        """Return the scaler alone, or None where the entry has none; see `load_model_objects`."""
        return self._load_object(as_fields(entry), "scaler") if entry.get("scaler_path") else None

    def _load_object(self, entry: EntryFields, role: Role) -> Any:
        from ..pickles import load

        file = next(file for file in files_of_entry(entry) if file.role == role)
        path = self._path.parent / file.path
        data = _read_whole(path, self._storage.trash_folder(entry) / path.name, file.sha256)
        return load(data, imports_when_loaded(entry, role))

    # --- changing ---------------------------------------------------------------------------------------------

    def register_model(self, metadata: ModelMetadata, model_obj: Any, scaler_obj: Any = None) -> Entry:
        """Pickle a model (and its scaler), register it, set `model_path` and `scaler_path` on the metadata.

        Objects are pickled with cloudpickle, so instances of classes defined in a notebook or a script
        round-trip. When this returns, the model is registered whatever happens next. Raises MetadataError with
        all problems, EntryExists when the id is taken (a registered model never changes), StorageError.
        """
        problems = check_metadata(metadata, now=self._clock())
        if problems:
            raise MetadataError(f"cannot register {quoted(metadata.model_id)}: its metadata has problems", problems)
        self._ledger.may_write()
        if self.get_model_info(metadata.model_id) is not None:
            raise id_taken(metadata.model_id)
        files = self._stage_objects(metadata, model_obj, scaler_obj)
        try:
            candidate = Candidate(fields_of(metadata), files, "api", actor=self.actor, reason="register_model")
            done = self.register_staged([candidate])[0]
        finally:
            self._storage.unstage(files)
        if done.outcome != "registered":
            raise id_taken(metadata.model_id)
        metadata.model_path = done.entry["model_path"]
        metadata.scaler_path = done.entry["scaler_path"]
        self._tidy()
        return done.entry

    def register_staged(self, candidates: Sequence[Candidate]) -> list[Registered]:
        """Commit staged models together: their names, one folder sync, one append. In the order given.

        The staged files stay until the caller unstages them. Raises StorageError or RegistryError, and then none
        of the candidates is registered.
        """
        outcomes: list[Literal["registered", "duplicate", "taken"]] = []
        drafts: list[Draft] = []
        fresh: dict[str, EntryFields] = {}
        with self._ledger.writing():
            entries = self._ledger.state.entries
            for candidate in candidates:
                model_id = candidate.fields["model_id"]
                known = fresh.get(model_id) or entries.get(model_id)
                if known is not None:
                    outcomes.append("duplicate" if _is_same(known, candidate.files) else "taken")
                    continue
                self._finish(model_id)
                self._storage.place(model_id, candidate.files)
                fresh[model_id] = self._entry_of(candidate)
                drafts.append(self._registration(candidate, fresh[model_id]))
                outcomes.append("registered")
            if drafts:
                self._storage.sync_names()
                self._ledger.commit(drafts)
            else:
                self._ledger.sync()  # "duplicate" rests on a line that somebody else may not have synced
            views = [self._view(candidate.fields["model_id"]) for candidate in candidates]
        return [Registered(outcome, view) for outcome, view in zip(outcomes, views, strict=True)]

    def delete_model(
        self,
        model_id: str,
        *,
        reason: str = "delete_model",
        actor: str | None = None,
        at: int | None = None,
    ) -> bool:
        """Retire a model to the trash; False for an unknown id. The id is free again afterwards.

        Raises EntryProtected for a pinned model or one that an alias names. With `at` (the registry's
        sequence) it is retired only if nothing at all was committed after that: False otherwise.
        """
        with self._ledger.writing():
            entry = self._ledger.state.entries.get(model_id)
            if entry is None or (at is not None and self._ledger.state.sequence != at):
                self._ledger.sync()  # that it is gone may rest on a line that its writer did not live to sync
                return False
            _refuse_protected(model_id, entry)
            self._ledger.commit(
                [Draft("retire", model_id, reason, actor or self.actor, changes_entry=True, removed=entry)]
            )
            # From here the model is retired. A crash before its files have moved leaves them at their names
            # without an entry; `_finish` moves them when a writer meets them.
            self._storage.discard(entry, self._named_by_others(entry))
        return True

    def restore(self, model_id: str, *, sequence: int | None = None, actor: str | None = None) -> Entry:
        """Bring a retired model back from the trash: the one retired last, or the one of that `sequence`.

        Raises EntryNotFound when the trash does not hold it, EntryExists when the id is taken by now.
        """
        with self._ledger.writing():
            if model_id in self._ledger.state.entries:
                raise EntryExists(
                    f"cannot restore {quoted(model_id)}: the id is taken by a registered model",
                    hint="Delete that one first, or leave the retired one in the trash",
                )
            self._finish(model_id)
            held = [item for item in self.retired() if item.model_id == model_id]
            if sequence is not None:
                held = [item for item in held if item.sequence == sequence]
            if not held:
                raise EntryNotFound(
                    f"cannot restore {quoted(model_id)}: the trash does not hold it",
                    hint="`model-inbox trash list` shows what can be restored",
                )
            entry = held[-1].entry
            self._storage.bring_back(entry, self._named_by_others(entry))
            self._adopted = None
            self._ledger.commit(
                [Draft("restore", model_id, "restore", actor or self.actor, changes_entry=True, entry=entry)]
            )
            self._storage.let_go(entry)
            return self._view(model_id)

    def purge(self, retired: Retired, *, reason: str = "purge", actor: str | None = None) -> int | None:
        """Remove a retired model's files for good and return the bytes freed.

        None, and nothing is done, while a process has one of the files open (a loader that got the entry
        before the retirement), and when the model was restored meanwhile. The line comes first: after a crash
        the start finishes the removal.
        """
        with self._ledger.writing():
            line = self._ledger.held().get((retired.model_id, retired.sequence))
            if line is None or self._retirement(line) != retired:
                return None
            self._finish(retired.model_id)  # what a move that failed left at its final name goes with the rest
            if not retired.folder.is_dir() or _in_use(retired.folder):
                return None
            self._ledger.commit(
                [
                    Draft(
                        "purge",
                        retired.model_id,
                        reason,
                        actor or self.actor,
                        detail={"sequence": retired.sequence},
                    )
                ]
            )
            return self._storage.erase(retired.folder)

    def pin(self, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Protect a model from retirement until it is unpinned. Raises EntryNotFound."""
        return self._change(model_id, "pin", reason, actor, pinned=True)

    def unpin(self, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Take the protection away again. Raises EntryNotFound."""
        return self._change(model_id, "unpin", reason, actor, pinned=False)

    def set_alias(self, alias: str, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Let an alias such as `champion` name a model, within its pair and type; moving one is one commit.

        Raises EntryNotFound, and ValueError for a name that is none (see `metadata.MODEL_ID`).
        """
        if not is_valid_id(alias):
            raise ValueError(f"cannot set the alias {quoted(alias)}: an alias is written like a model_id")
        with self._ledger.writing():
            entry = self._ledger.state.entries.get(model_id)
            if entry is None:
                raise _unknown(model_id)
            pair, kind = str(entry.get("currency_pair")), str(entry.get("model_type"))
            held = self._ledger.state.aliased(pair, kind, alias)
            holder = held["model_id"] if held is not None else None
            if holder == model_id:
                self._ledger.sync()
            else:
                changed = changed_entry(entry, aliases=sorted({*(entry.get("aliases") or ()), alias}))
                detail: dict[str, Any] = {"alias": alias}
                if holder is not None:
                    detail["also"] = {holder: self._without_alias(holder, alias)}
                self._ledger.commit(
                    [
                        Draft(
                            "alias",
                            model_id,
                            reason,
                            actor or self.actor,
                            changes_entry=True,
                            entry=changed,
                            detail=detail,
                        )
                    ]
                )
            return self._view(model_id)

    def remove_alias(self, alias: str, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Take an alias away from the model that it names. Raises EntryNotFound when it names another or none."""
        with self._ledger.writing():
            entry = self._ledger.state.entries.get(model_id)
            if entry is None or alias not in (entry.get("aliases") or ()):
                raise EntryNotFound(
                    f"cannot remove the alias {quoted(alias)}: it does not name {quoted(model_id)}",
                    hint="`model-inbox list --json` shows the aliases",
                )
            changed = self._without_alias(model_id, alias)
            self._ledger.commit(
                [
                    Draft(
                        "unalias",
                        model_id,
                        reason,
                        actor or self.actor,
                        changes_entry=True,
                        entry=changed,
                        detail={"alias": alias},
                    )
                ]
            )
            return self._view(model_id)

    def _without_alias(self, model_id: str, alias: str) -> EntryFields:
        entry = self._ledger.state.entries[model_id]
        return changed_entry(entry, aliases=[name for name in entry.get("aliases") or () if name != alias])

    def tag(
        self, model_id: str, tags: Mapping[str, str | None], *, reason: str = "", actor: str | None = None
    ) -> Entry:
        """Set tags of a model; a value of None removes one. Raises EntryNotFound and MetadataError."""
        with self._ledger.writing():
            entry = self._ledger.state.entries.get(model_id)
            if entry is None:
                raise _unknown(model_id)
            merged = {**(entry.get("tags") or {}), **tags}
            kept = {name: value for name, value in merged.items() if value is not None}
            findings = list(check_field("tags", kept, now=self._clock()))
            if findings:
                problems = [finding.problem for finding in findings]
                raise MetadataError(f"cannot tag {quoted(model_id)}", problems)
            return self._change(model_id, "tag", reason, actor, tags=kept)

    def replace_scaler(self, model_id: str, scaler_obj: Any, *, reason: str = "", actor: str | None = None) -> Entry:
        """Give a model another scaler, or its first: the one thing of a registered model that may change.

        The new scaler is a new file under a name that no model's own files have, the line is the commit, and the
        old file goes to the model's folder in the trash, where who still holds the old entry finds it. It stays
        there until the model itself is purged. Raises EntryNotFound, StorageError, and ModelInboxError for an
        object that cannot be pickled.
        """
        self._ledger.may_write()
        if scaler_obj is None:
            raise ModelInboxError(
                f"cannot replace the scaler of {quoted(model_id)} by None",
                hint="A model registered with a scaler keeps one; register one without as a new model",
            )
        if self.get_model_info(model_id) is None:
            raise _unknown(model_id)
        data = _pickled(scaler_obj, "scaler", model_id)
        staged = self._scaler_staging()
        write_new_file(self._disk, staged, data, STORED_MODE)
        try:
            return self._replace_scaler(model_id, staged, hashlib.sha256(data).hexdigest(), len(data), reason, actor)
        finally:
            remove_quietly(self._disk, staged)

    def replace_scaler_file(
        self,
        model_id: str,
        scaler_fd: int,
        judge: Callable[[Path], Mapping[str, str]],
        *,
        reason: str = "",
        actor: str | None = None,
    ) -> Entry:
        """Do what `replace_scaler` does with an open file that holds a pickle, which is never loaded here.

        `judge` gets the path of our copy and returns what that may import when it is loaded (names with their
        uses), or raises, and then nothing is changed. Raises as `replace_scaler` does.
        """
        self._ledger.may_write()
        if self.get_model_info(model_id) is None:
            raise _unknown(model_id)
        staged = self._scaler_staging()
        digest, size = copy_open_file(self._disk, scaler_fd, staged, STORED_MODE)
        try:
            imports = judge(staged)  # of the copy: the file itself may be another by the time it is committed
            return self._replace_scaler(model_id, staged, digest, size, reason, actor, imports)
        finally:
            remove_quietly(self._disk, staged)

    def _scaler_staging(self) -> Path:
        return staged_paths(self._storage.staging_dir, f"api-{unique_token()}")[1]

    def _replace_scaler(
        self,
        model_id: str,
        staged: Path,
        digest: str,
        size: int,
        reason: str,
        actor: str | None,
        imports: Mapping[str, str] | None = None,
    ) -> Entry:
        """Put a staged scaler in the place of a model's: its name, the line, and the old one to the trash."""
        with self._ledger.writing():
            entry = self._ledger.state.entries.get(model_id)
            if entry is None:
                raise _unknown(model_id)
            self._finish(model_id)
            number = self._ledger.state.sequence + 1
            final = self._storage.scaler_name(model_id, number)
            self._storage.place_file(staged, final)
            self._storage.sync_names()
            old = entry.get("scaler_path")
            changed = changed_entry(
                entry,
                scaler_path=self._storage.stored_path(final),
                scaler_sha256=digest,
                scaler_replaced=number,
                scaler_imports=dict(imports) if imports is not None else None,
                size_bytes=_size_of(self._path.parent / str(entry["model_path"])) + size,
            )
            detail = {"replaced": old, "replaced_sha256": entry.get("scaler_sha256")}
            self._ledger.commit(
                [
                    Draft(
                        "replace_scaler",
                        model_id,
                        reason,
                        actor or self.actor,
                        changes_entry=True,
                        entry=changed,
                        detail=detail,
                    )
                ]
            )
            # A crash here leaves the old file at its name; `_finish` moves it when a writer meets it.
            if old:
                self._storage.discard_file(changed, self._path.parent / str(old))
            return self._view(model_id)

    # --- keeping the JSON file and the segments ---------------------------------------------------------------

    def checkpoint(self, *, force: bool = False) -> bool:
        """Bring `prediction_registry.json` up to date, off the commit path; tell whether it was written."""
        return self._ledger.checkpoint(force=force)

    def change_segment(self) -> None:
        """Write a checkpoint and begin a new journal segment; the old one goes to `history/`."""
        with self._ledger.writing():
            for model_id in list(self._ledger.unfinished):
                self._finish(model_id)  # after this the segment no longer tells of them
            self._ledger.change_segment()

    def change_segment_when_outgrown(self) -> bool:
        """Change the segment if the journal has outgrown the checkpoint; tell whether it was done."""
        if not self._ledger.is_outgrown:
            return False
        with self._ledger.writing():
            if not self._ledger.is_outgrown:  # somebody else was quicker
                return False
            self.change_segment()
            return True

    def prune_history(self, keep_seconds: float) -> int:
        """Remove closed journal segments whose last line is older than that; return how many.

        A segment that tells of a model in the trash stays until that is purged, and so do the later ones.
        """
        with self._ledger.writing():
            kept = [line.sequence for line in self._ledger.held().values() if self._retirement(line).folder.is_dir()]
            return self._ledger.prune_history(keep_seconds, needed=min(kept, default=None))

    def finish_retirements(self) -> int:
        """Move files that a crash left where no entry names them any more to the trash; return of how many models.

        One that cannot be moved keeps no other from it; the first such StorageError is raised in the end.
        """
        with self._ledger.writing(), _in_the_end() as attempt:
            count = 0
            for model_id in list(self._ledger.unfinished):
                with attempt():
                    count += self._finish(model_id)
            return count

    def finish_purges(self) -> int:
        """Remove what a crash left in the trash of models that were purged or restored; return of how many.

        Temporary files beside the registry that are a day old go too: no writer is that slow. One that cannot be
        removed keeps no other from going; the first such StorageError is raised in the end.
        """
        self._remove_old_temporaries()
        names = set(self._trash_names())
        if not names:
            return 0
        with self._ledger.writing(), _in_the_end() as attempt:
            last: dict[str, Line] = {}
            for line in self._ledger.lines():
                said = {"retire": line.removed, "restore": line.entry, "purge": line.detail}.get(line.operation)
                if said is not None:
                    last[trash_name(line.model_id, int(said.get("sequence") or 0))] = line
            count = 0
            for name, line in last.items():
                if name in names and line.operation == "purge":
                    with attempt():
                        self._storage.erase(self._storage.trash_dir / name)
                        count += 1
                elif name in names and line.operation == "restore" and line.entry is not None:
                    count += self._storage.let_go(as_fields(line.entry))
            return count

    def close(self) -> None:
        """Bring the JSON file up to date if this handle changed something, and close the files."""
        _open_handles.discard(self)
        self._ledger.close()

    def __enter__(self) -> ModelRegistry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):  # called at any moment, so it waits for no lock
            self._ledger.close(wait=False)

    # --- inside -----------------------------------------------------------------------------------------------

    def _change(
        self, model_id: str, operation: Operation, reason: str, actor: str | None, **changes: Unpack[EntryChanges]
    ) -> Entry:
        """Commit a change of our own fields of one entry; nothing is written when nothing changes."""
        with self._ledger.writing():
            entry = self._ledger.state.entries.get(model_id)
            if entry is None:
                raise _unknown(model_id)
            changed = changed_entry(entry, **changes)
            if changed == entry:
                self._ledger.sync()  # what it rests on may be a line that its writer did not live to sync
            else:
                draft = Draft(operation, model_id, reason, actor or self.actor, changes_entry=True, entry=changed)
                self._ledger.commit([draft])
            return self._view(model_id)

    def _view(self, model_id: str) -> Entry:
        entry = self._ledger.state.view(model_id)
        assert entry is not None  # noqa: S101  # asked only under the lock, for an id that was seen
        return entry

    def _registration(self, candidate: Candidate, entry: EntryFields) -> Draft:
        actor = candidate.actor or self.actor
        model_id = entry["model_id"]
        return Draft("register", model_id, candidate.reason, actor, candidate.drop_id, changes_entry=True, entry=entry)

    def _entry_of(self, candidate: Candidate) -> EntryFields:
        files = candidate.files
        model, scaler = self._storage.stored_names(candidate.fields["model_id"])
        return new_entry(
            candidate.fields,
            model_path=model,
            scaler_path=scaler if files.scaler is not None else None,
            sha256=files.sha256,
            scaler_sha256=files.scaler_sha256,
            size_bytes=files.model_bytes + files.scaler_bytes,
            origin=candidate.origin,
            drop_id=candidate.drop_id,
            imports=candidate.imports,
            verdict=candidate.verdict,
            integrity=candidate.integrity,
        )

    def _retirement(self, line: Line) -> Retired:
        entry = as_fields(line.removed or {})
        folder = self._storage.trash_folder(entry)
        return Retired(line.model_id, sequence_of(entry), line.at, line.actor, line.reason, entry, folder)

    def _finish(self, model_id: str) -> bool:
        """Move files whose writer died between the line that let go of them and the move to the trash."""
        known = self._ledger.state.entries.get(model_id)
        named = self._storage.files_of(known) if known is not None else []
        found = False
        for line in self._ledger.unfinished.get(model_id, ()):
            if line.operation == "retire" and line.removed is not None:
                removed = as_fields(line.removed)
                others = self._named_by_others(removed)
                paths = (path for path in self._storage.files_of(removed) if path not in others)
                if known is None and any(map(os.path.lexists, paths)):
                    self._storage.discard(removed, others)
                    found = True
            elif line.entry is not None and line.detail is not None and line.detail.get("replaced"):
                path = self._path.parent / str(line.detail["replaced"])
                if path not in named and os.path.lexists(path):
                    self._storage.discard_file(as_fields(line.entry), path)
                    found = True
        return found

    def _named_by_others(self, entry: EntryFields) -> set[Path]:
        """Return the files that other entries name, of those that came from a registry that was not ours.

        There models may share a scaler, or one may use the file of another. What is registered here has its own.
        """
        entries = self._ledger.state.entries
        if self._adopted is None:
            self._adopted = [model_id for model_id, one in entries.items() if "origin" not in one]
        ours = {str(path): path for path in self._storage.files_of(entry)} if self._adopted else {}
        others = (entries.get(model_id) for model_id in self._adopted if model_id != entry["model_id"])
        folder = f"{self._path.parent}/"
        named = set()
        for one in others:
            for file in files_of_entry(one) if one is not None else ():
                place = file.path if file.path.startswith("/") else folder + file.path
                if place in ours:
                    named.add(ours[place])
        return named

    def _tidy(self) -> None:
        """Change the segment or write a checkpoint if it is time; what was committed does not fail for it."""
        try:
            if not self.change_segment_when_outgrown() and self._ledger.is_stale:
                self.checkpoint()
        except (StorageError, RegistryError) as error:
            log.error("registry.checkpoint_failed", problem=str(error))

    def _remove_old_temporaries(self) -> None:
        oldest = self._clock().timestamp() - _TEMPORARY_SECONDS
        for folder in (self._path.parent, self._ledger.files.history):
            with suppress(OSError):
                for name in os.listdir(folder):
                    if is_temporary(name) and (folder / name).lstat().st_mtime < oldest:
                        remove_quietly(self._disk, folder / name)

    def _stage_objects(self, metadata: ModelMetadata, model_obj: Any, scaler_obj: Any) -> StagedFiles:
        """Pickle into the staging folder: each file written and synced, nothing under its final name yet."""
        token = f"api-{unique_token()}-{metadata.model_id}"
        model, scaler, sidecar = staged_paths(self._storage.staging_dir, token)
        written: list[Path] = []
        try:
            data = _pickled(model_obj, "model", metadata.model_id)
            digest = hashlib.sha256(data).hexdigest()
            written.append(model)
            write_new_file(self._disk, model, data, STORED_MODE)
            scaler_digest: str | None = None
            scaler_data = b""
            if scaler_obj is not None:
                scaler_data = _pickled(scaler_obj, "scaler", metadata.model_id)
                scaler_digest = hashlib.sha256(scaler_data).hexdigest()
                written.append(scaler)
                write_new_file(self._disk, scaler, scaler_data, STORED_MODE)
            model_name, scaler_name, _ = self._storage.final_names(metadata.model_id)
            digests = {"model": digest} | ({"scaler": scaler_digest} if scaler_digest is not None else {})
            text = dump_sidecar(
                metadata,
                model_file=model_name.name,
                scaler_file=scaler_name.name if scaler_digest is not None else None,
                digests=digests,
            )
            written.append(sidecar)
            write_new_file(self._disk, sidecar, text, STORED_MODE)
        except BaseException:
            for path in written:
                remove_quietly(self._disk, path)
            raise
        return StagedFiles(
            model,
            digest,
            len(data),
            scaler if scaler_digest is not None else None,
            scaler_digest,
            len(scaler_data),
            sidecar,
        )

    def _at(self, as_of: datetime | None) -> tuple[State, datetime]:
        """Return the state and the instant that a query asks about."""
        if as_of is None:
            self._refresh()
            return self._ledger.state, self._clock()
        moment = as_of if as_of.tzinfo is not None else as_of.replace(tzinfo=UTC)
        return self._ledger.state_at(moment), moment

    def _trash_names(self) -> list[str]:
        try:
            return os.listdir(self._storage.trash_dir)
        except FileNotFoundError:
            return []


class _Entries(Mapping[str, Entry]):
    """The live mapping that `ModelRegistry.registry` returns."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    def _state(self) -> State:
        self._registry._refresh()
        return self._registry._ledger.state

    def __getitem__(self, model_id: str) -> Entry:
        entry = self._registry.get_model_info(model_id)
        if entry is None:
            raise KeyError(model_id)
        return entry

    def __iter__(self) -> Iterator[str]:
        return iter(self._state().ids())

    def __len__(self) -> int:
        return len(self._state().entries)

    def __repr__(self) -> str:
        return repr(dict(self))


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path without `..`, which a relative path in an entry could not be taken from.

    Links are followed only where there are dots: the name that the user knows is what errors show.
    """
    whole = Path(path).absolute()
    return Path(os.path.realpath(whole.parent)) / whole.name if ".." in whole.parts else whole


def _why_not_writable(path: Path) -> str:
    """Return why a registry that is there cannot be written by this process; "" when it can, or is not there."""
    journal = RegistryFiles(path).journal
    if not os.path.lexists(journal):
        return ""
    for place in (path.parent, journal):
        if not os.access(place, os.W_OK, effective_ids=True):
            return f"{_user_name()} may not write {str(place)!r}"
    return ""


def _is_same(known: EntryFields, files: StagedFiles) -> bool:
    """Tell whether an entry was made of these very bytes."""
    return (known.get("sha256"), known.get("scaler_sha256")) == (files.sha256, files.scaler_sha256)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def id_taken(model_id: str, registered_at: object = None) -> EntryExists:
    """Return the error for an id that belongs to a model with other bytes, registered at that time if it is known."""
    since = f" (registered {registered_at})" if registered_at else ""
    return EntryExists(
        f"cannot register {quoted(model_id)}: the id is taken by another model{since}, "
        "and a registered model never changes",
        hint="Choose another model_id (a date or a version in it helps), or delete that model first",
    )


def _unknown(model_id: str) -> EntryNotFound:
    return EntryNotFound(
        f"cannot find {quoted(model_id)}: no model of that id is registered",
        hint="`model-inbox list` shows the ids; `model-inbox trash list` the retired ones",
    )


def _refuse_protected(model_id: str, entry: EntryFields) -> None:
    if entry.get("pinned"):
        raise EntryProtected(
            f"cannot delete {quoted(model_id)}: it is pinned",
            hint=f"Unpin it first: `model-inbox unpin {model_id}`",
        )
    if entry.get("aliases"):
        names = ", ".join(quoted(alias) for alias in entry["aliases"])
        raise EntryProtected(
            f"cannot delete {quoted(model_id)}: the alias {names} names it",
            hint="Move the alias to another model, or remove it, first",
        )


def _pickled(value: Any, what: str, model_id: str) -> bytes:
    try:
        return bytes(cloudpickle.dumps(value))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise ModelInboxError(
            f"cannot pickle the {what} of {quoted(model_id)}: {error}",
            hint="Leave out what cannot be pickled (open files, locks, generators, lambdas over them)",
        ) from error


def _size_of(path: Path) -> int:
    """Return the size of a model's file; 0 when it is not there (`verify` reports that)."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read_whole(path: Path, retired: Path, wanted: str | None) -> bytes:
    """Return the bytes of the file with the digest `wanted` (None: any), looking into the trash too.

    The trash has the file when the model was retired meanwhile; its own name may belong to another model by then.
    Read once into memory. Raises FileNotFoundError, LoadRefused when there are other bytes only, StorageError.
    """
    other: Path | None = None
    for place in (path, retired, path):  # the third look: restored between the first and the second
        try:
            fd = open_regular(place)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError("open", place, error) from error
        try:
            with open(fd, "rb", buffering=0) as file:  # noqa: PTH123  # a descriptor, not a path
                data = file.read()  # bytes of the file's size, which the unpickler's reader shares
        except OSError as error:
            raise StorageError("read", place, error) from error
        if wanted is None or hashlib.sha256(data).hexdigest() == wanted:
            return data
        other = place
    if other is not None:
        raise LoadRefused(
            f"cannot load {str(other)!r}: its bytes are not those that were registered",
            hint="The file was changed or damaged on disk; `model-inbox verify` tells which are",
        )
    raise FileNotFoundError(errno.ENOENT, "The model's file is gone", str(path))


def _in_use(folder: Path) -> bool:
    """Tell whether a process has a file of the folder open.

    Where leases are unknown the answer is no: what is open stays readable after its name is gone.
    """
    for path in folder.iterdir():
        try:
            fd = open_regular(path)
        except OSError:
            continue
        try:
            if in_use(fd):
                return True
        finally:
            os.close(fd)
    return False


@contextmanager
def _in_the_end() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Let several things be attempted, and raise the first StorageError of them when all have had their turn."""
    failed: list[StorageError] = []

    @contextmanager
    def attempt() -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            failed.append(error)

    yield attempt
    if failed:
        raise failed[0]


def _close_at_exit() -> None:
    for handle in list(_open_handles):
        with suppress(Exception):
            handle.close()


atexit.register(_close_at_exit)

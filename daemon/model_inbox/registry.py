"""`ModelRegistry`: the registered models, for those who register, look up, load and retire them.

Owns the order of steps that makes each change a commit (files, then the journal's line; for a retirement the
line, then the files), and what a handle sees of the changes of others. Bytes of the journal are `segments`'
affair, entries and their order `entry`'s, files `storage`'s. It logs through structlog and never configures it.

What is trusted: the registry's folder and whoever may write there. A model that came through the inbox may, when
loaded, import only what was seen in it when it was checked; one registered from Python (`register_model`) is
loaded as the process that registered it pickled it, without that limit.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import getpass
import hashlib
import itertools
import os
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import cloudpickle
import orjson
import structlog

from .entry import Entry, State
from .errors import (
    EntryExists,
    EntryNotFound,
    EntryProtected,
    LoadRefused,
    MetadataError,
    ModelInboxError,
    RegistryCorrupted,
    RegistryError,
    RegistryMissing,
    StorageError,
)
from .fsio import Disk, open_regular, replace_file, write_new_file
from .journal import Line, format_time, parse_time
from .locks import FileLock
from .metadata import ModelMetadata, check_metadata, fields_of
from .problems import Problem, quoted
from .segments import JournalFile, all_lines, begin_segment
from .sidecar import dump_sidecar
from .storage import STORED_MODE, StagedFiles, Storage, staged_paths

__all__ = ["Candidate", "ModelRegistry", "Registered", "Retired"]

log = structlog.get_logger("model_inbox")

CHECKPOINT_FORMAT = "model-inbox-checkpoint/1"
CHECKPOINT_MODE = 0o640
SEGMENT_BYTES_MIN = 4 << 20
DEFAULT_LOCK_TIMEOUT_SECONDS = 10.0
_SYSTEM_CLOCK: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731  # a default that can be replaced

_open_handles: weakref.WeakSet[ModelRegistry] = weakref.WeakSet()
_token = itertools.count()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model whose files are staged and whose verdict was "accept", ready to be committed.

    `fields` are those of `metadata.fields_of`; `imports` what its pickles may import when loaded (None: trusted);
    `integrity` what told that the files were whole (`digest`, `lease`, `quiet`; `api` when we wrote them).
    """

    fields: Mapping[str, Any]
    files: StagedFiles
    origin: Literal["inbox", "api"]
    drop_id: str | None = None
    imports: Mapping[str, str] | None = None
    integrity: str = "api"
    actor: str = ""
    reason: str = ""


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
    entry: Mapping[str, Any]
    folder: Path


@dataclass(slots=True)
class _Draft:
    """A line before it has its sequence and time."""

    operation: str
    model_id: str
    reason: str = ""
    actor: str = ""
    drop_id: str | None = None
    changes_entry: bool = False
    entry: dict[str, Any] | None = None
    removed: Mapping[str, Any] | None = None
    detail: dict[str, Any] | None = field(default=None)


class ModelRegistry:
    """The registry at `registry_path` with its model files in `storage_dir` (default: `prediction/` beside it).

    Opening makes the folders and an empty registry where there is none; with `read_only=True` nothing is made,
    cut or locked, and a missing registry raises RegistryMissing. Every handle, in any process, sees each commit
    at once and without reopening. A handle may be used by several threads. Close it, or use it in a `with`
    block, to bring the JSON file up to date at once; at exit that happens by itself, and other handles never
    depend on it.

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
        path = Path(registry_path).absolute()
        self.registry_path = str(path)
        self.storage_dir = str(Path(storage_dir).absolute() if storage_dir is not None else path.parent / "prediction")
        self.read_only = read_only
        self.lock_timeout = lock_timeout
        self.actor = actor if actor is not None else f"api:{_user_name()}"
        self.damage: ModelInboxError | None = None
        """What was found damaged after this handle was opened; it goes on serving what it holds."""
        self._path = path
        self._journal_path = path.with_name(f"{path.stem}.journal.jsonl")
        self._journal_name = str(self._journal_path)
        self._mark_path = path.with_name(f"{path.stem}.checkpoint.json")
        self._history_dir = path.parent / "history"
        self._clock = clock
        self._disk = disk if disk is not None else Disk()
        self._segment_bytes = segment_bytes
        self._storage = Storage(path.parent, Path(self.storage_dir), self._disk)
        self._lock = FileLock(path.with_name(f".{path.stem}.writer.lock"), "registry writer's")
        self._thread_lock = threading.RLock()
        self._pid = os.getpid()
        self._dirty = False  # this process committed something that the JSON file may lack
        self._checkpoint_bytes = 0
        self._depth = 0
        self._retired: dict[str, Line] = {}  # ids retired since the segment began: their files may still lie about
        self._seen: tuple[int, int, int] = (0, 0, 0)
        self._journal: JournalFile | None = None
        if not read_only:
            self._prepare()
        self._load()
        _open_handles.add(self)

    # --- reading ----------------------------------------------------------------------------------------------

    @property
    def registry(self) -> Mapping[str, Entry]:
        """The mapping {model_id: entry}, read-only and always up to date."""
        return _Entries(self)

    def get_model_info(self, model_id: str) -> Entry | None:
        """Return the entry of a model, or None."""
        self._refresh()
        return self._state.view(model_id)

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
            model_id = state.aliased(currency_pair, model_type, alias)
            entry = state.view(model_id) if model_id is not None else None
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
        return list(state.newest_first(currency_pair, model_type))

    @property
    def sequence(self) -> int:
        """The number of the last committed change."""
        self._refresh()
        return self._state.sequence

    def history(self, model_id: str | None = None) -> list[Line]:
        """Return what was committed, oldest first: of one model, or everything that is kept."""
        lines = all_lines(self._journal_path, self._history_dir)
        if model_id is None:
            return lines
        return [line for line in lines if line.model_id == model_id or model_id in _also(line)]

    def retired(self) -> list[Retired]:
        """Return the retired models whose files are still in the trash, in the order of their retirement."""
        if not self._trash_names():
            return []
        held: dict[tuple[str, int], Retired] = {}
        for line in all_lines(self._journal_path, self._history_dir):
            if line.operation == "retire" and line.removed is not None:
                sequence = int(line.removed.get("sequence") or 0)
                held[(line.model_id, sequence)] = Retired(
                    line.model_id,
                    sequence,
                    line.at,
                    line.actor,
                    line.reason,
                    line.removed,
                    self._storage.trash_folder(line.removed),
                )
            elif line.operation == "restore" and line.entry is not None:
                held.pop((line.model_id, int(line.entry.get("sequence") or 0)), None)
            elif line.operation == "purge" and line.detail is not None:
                held.pop((line.model_id, int(line.detail.get("sequence") or 0)), None)
        return [item for item in held.values() if item.folder.is_dir()]

    def was_registered(self, drop_id: str) -> Line | None:
        """Return the line that registered a drop, whatever came after it, or None. Syncs what it relies on."""
        with self._writing():
            self._current.sync()
            for line in all_lines(self._journal_path, self._history_dir):
                if line.drop_id == drop_id and line.operation == "register":
                    return line
        return None

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
        return self._load_object(entry, "model_path", "sha256")

    def load_scaler(self, entry: Mapping[str, Any]) -> Any:
        """Return the scaler alone, or None where the entry has none; see `load_model_objects`."""
        return self._load_object(entry, "scaler_path", "scaler_sha256") if entry.get("scaler_path") else None

    def _load_object(self, entry: Mapping[str, Any], path_field: str, digest_field: str) -> Any:
        from .pickles import load

        path = self._path.parent / str(entry[path_field])
        data = _read_whole(path, self._storage.trash_folder(entry) / path.name)
        wanted = entry.get(digest_field)
        if wanted is not None and hashlib.sha256(data).hexdigest() != wanted:
            raise LoadRefused(
                f"cannot load {str(path)!r}: its bytes are not those that were registered",
                hint="The file was changed or damaged on disk; `model-inbox verify` tells which are",
            )
        imports = entry.get("imports") if entry.get("origin") == "inbox" else None
        if entry.get("origin") == "inbox" and imports is None:
            imports = {}
        return load(data, imports)

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
        self._may_write()
        if self.get_model_info(metadata.model_id) is not None:
            raise _taken(metadata.model_id)
        files = self._stage_objects(metadata, model_obj, scaler_obj)
        try:
            candidate = Candidate(fields_of(metadata), files, "api", actor=self.actor, reason="register_model")
            done = self.register_staged([candidate])[0]
        finally:
            self._storage.unstage(files)
        if done.outcome != "registered":
            raise _taken(metadata.model_id)
        metadata.model_path = done.entry["model_path"]
        metadata.scaler_path = done.entry["scaler_path"]
        self._checkpoint_when_outgrown()
        return done.entry

    def register_staged(self, candidates: Sequence[Candidate]) -> list[Registered]:
        """Commit staged models together: their names, one folder sync, one append. In the order given.

        The staged files stay until the caller unstages them. Raises StorageError or RegistryError, and then none
        of the candidates is registered.
        """
        results: list[Registered | None] = [None] * len(candidates)
        drafts: list[_Draft] = []
        fresh: dict[str, int] = {}
        with self._writing():
            for number, candidate in enumerate(candidates):
                model_id = candidate.fields["model_id"]
                known = self._state.entries.get(model_id)
                if known is None and model_id in fresh:
                    known = drafts[fresh[model_id]].entry
                if known is not None:
                    same = (known.get("sha256"), known.get("scaler_sha256")) == (
                        candidate.files.sha256,
                        candidate.files.scaler_sha256,
                    )
                    outcome: Literal["duplicate", "taken"] = "duplicate" if same else "taken"
                    results[number] = Registered(outcome, self._state.shown(known))
                    continue
                self._finish_retirement(model_id)
                self._storage.place(model_id, candidate.files)
                fresh[model_id] = len(drafts)
                drafts.append(self._registration(candidate))
            if drafts:
                self._storage.sync_names()
                self._commit(drafts)
            else:
                self._current.sync()  # "duplicate" rests on a line that somebody else may not have synced
            for number, candidate in enumerate(candidates):
                if results[number] is None:
                    entry = self._state.view(candidate.fields["model_id"])
                    assert entry is not None  # noqa: S101  # committed just above, under the lock
                    results[number] = Registered("registered", entry)
        return [result for result in results if result is not None]

    def delete_model(
        self, model_id: str, *, reason: str = "delete_model", actor: str | None = None, expect: int | None = None
    ) -> bool:
        """Retire a model to the trash; False for an unknown id. The id is free again afterwards.

        Raises EntryProtected for a pinned model or one that an alias names. With `expect` (the entry's sequence)
        only that very registration is retired: False when another model has the id by now.
        """
        with self._writing():
            entry = self._state.entries.get(model_id)
            if entry is None or (expect is not None and entry.get("sequence") != expect):
                return False
            _refuse_protected(model_id, entry)
            self._commit(
                [_Draft("retire", model_id, reason, actor or self.actor, changes_entry=True, removed=entry)]
            )
            # From here the model is retired. A crash before its files have moved leaves them at their names
            # without an entry; `_finish_retirement` moves them when a writer meets them.
            self._storage.discard(entry)
        return True

    def restore(self, model_id: str, *, sequence: int | None = None, actor: str | None = None) -> Entry:
        """Bring a retired model back from the trash: the one retired last, or the one of that `sequence`.

        Raises EntryNotFound when the trash does not hold it, EntryExists when the id is taken by now.
        """
        with self._writing():
            if model_id in self._state.entries:
                raise EntryExists(
                    f"cannot restore {quoted(model_id)}: the id is taken by a registered model",
                    hint="Delete that one first, or leave the retired one in the trash",
                )
            self._finish_retirement(model_id)
            held = [item for item in self.retired() if item.model_id == model_id]
            if sequence is not None:
                held = [item for item in held if item.sequence == sequence]
            if not held:
                raise EntryNotFound(
                    f"cannot restore {quoted(model_id)}: the trash does not hold it",
                    hint="`model-inbox trash list` shows what can be restored",
                )
            entry = dict(held[-1].entry)
            self._storage.bring_back(entry)
            self._commit(
                [_Draft("restore", model_id, "restore", actor or self.actor, changes_entry=True, entry=entry)]
            )
            view = self._state.view(model_id)
            assert view is not None  # noqa: S101  # committed just above, under the lock
            return view

    def purge(self, retired: Retired, *, reason: str = "purge", actor: str | None = None) -> int | None:
        """Remove a retired model's files for good and return the bytes freed.

        None, and nothing is done, while a process has one of the files open (a loader that got the entry
        before the retirement). The line comes first: after a crash the start finishes the removal.
        """
        with self._writing():
            if not retired.folder.is_dir() or _in_use(retired.folder):
                return None
            self._commit(
                [
                    _Draft(
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
        return self._change(model_id, "pin", {"pinned": True}, reason, actor)

    def unpin(self, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Take the protection away again. Raises EntryNotFound."""
        return self._change(model_id, "unpin", {"pinned": False}, reason, actor)

    # --- keeping the JSON file and the segments ---------------------------------------------------------------

    def checkpoint(self, *, force: bool = False) -> bool:
        """Bring `prediction_registry.json` up to date, off the commit path; tell whether it was written.

        The file is made and synced without the lock; the lock is held for its rename only, and only while the
        segment is still the one that the contents were taken from (else a newer checkpoint exists already).
        """
        self._may_write()
        with self._thread_lock:
            self._refresh()
            if not (self._dirty or force):
                return False
            data = _checkpoint_bytes(self._state.entries)
            sequence = self._state.sequence
            inode = self._current.inode
            temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}-{next(_token)}.tmp")
            write_new_file(self._disk, temporary, data, CHECKPOINT_MODE)
            with self._writing():
                if self._current.inode == inode:
                    self._current.sync()  # the JSON file must not show what the journal could still lose
                    self._put_checkpoint(temporary, sequence)
                else:
                    self._disk.unlink(temporary)
            self._checkpoint_bytes = len(data)
            self._dirty = self._state.sequence != sequence
        return True

    def change_segment(self) -> None:
        """Write a checkpoint and begin a new journal segment; the old one goes to `history/`."""
        with self._writing():
            for model_id in list(self._retired):
                self._finish_retirement(model_id)
            data = _checkpoint_bytes(self._state.entries)
            temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}-{next(_token)}.tmp")
            write_new_file(self._disk, temporary, data, CHECKPOINT_MODE)
            self._current.sync()
            self._put_checkpoint(temporary, self._state.sequence)
            self._current.change_segment(self._history_dir)
            self._checkpoint_bytes = len(data)
            self._dirty = False
            self._reopen()

    def finish_retirements(self) -> int:
        """Move files of retired models that a crash left at their names to the trash; return how many models."""
        with self._writing():
            return sum(self._finish_retirement(model_id) for model_id in list(self._retired))

    def close(self) -> None:
        """Bring the JSON file up to date if this handle changed something, and close the files."""
        with self._thread_lock:
            journal, self._journal = self._journal, None
            if journal is None:
                return
            _open_handles.discard(self)
            try:
                if self._dirty and os.getpid() == self._pid:
                    self._journal = journal
                    self.checkpoint()
                    journal = self._current
            finally:
                self._journal = None
                journal.close()
                self._lock.close()

    def __enter__(self) -> ModelRegistry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _current(self) -> JournalFile:
        if self._journal is None:
            raise RegistryError(f"cannot use the registry {self.registry_path!r}: this handle is closed")
        return self._journal

    def _prepare(self) -> None:
        """Make folders and an empty registry where there is none. Under the lock, so that two makers agree."""
        self._storage.make_folders()
        if self._journal_path.exists() and self._path.exists():
            return
        with self._thread_lock:
            self._lock.acquire(self.lock_timeout)
            try:
                if self._journal_path.exists():
                    return
                if self._mark_path.exists() or self._history_dir.exists():
                    raise RegistryCorrupted(self._journal_path, None, "the journal is missing, its history is not")
                entries: dict[str, dict[str, Any]] = {}
                if self._path.exists():
                    entries = _read_checkpoint(self._path)
                else:
                    replace_file(self._disk, self._path, b"{}\n", CHECKPOINT_MODE)
                base = max((_sequence_of(entry) for entry in entries.values()), default=0)
                begin_segment(self._disk, self._journal_path, base)
            finally:
                self._lock.release()

    def _load(self) -> None:
        """Read journal and checkpoint anew; start over while the segment changes under our hands."""
        while True:
            journal = self._open_journal()
            try:
                entries, self._checkpoint_bytes = self._read_entries(journal)
                state = State(str(self._path.parent), entries, journal.base_sequence)
                segment = journal.read_new()
                if segment is None or not journal.is_current():
                    journal.close()
                    continue
                self._check_mark(journal)
            except BaseException:
                with suppress(OSError):
                    journal.close()
                raise
            for line in segment.lines:
                state.apply(line)
            break
        if self._journal is not None:
            self._journal.close()
        self._journal = journal
        self._state = state
        self._retired = {}
        for line in segment.lines:
            self._note(line)
        self._seen = (0, 0, 0)  # what was appended since the read shows at the next look

    def _open_journal(self) -> JournalFile:
        try:
            return JournalFile(self._journal_path, self._disk, writable=not self.read_only)
        except RegistryMissing:
            if self._path.exists() or self._mark_path.exists():
                raise RegistryCorrupted(self._journal_path, None, "the journal is missing") from None
            raise RegistryMissing(
                f"cannot open the registry {self.registry_path!r}: there is none",
                hint="A writer makes it: `ModelRegistry(path, storage_dir)`, or the daemon when it starts",
            ) from None

    def _read_entries(self, journal: JournalFile) -> tuple[dict[str, dict[str, Any]], int]:
        try:
            return _read_checkpoint(self._path), self._path.stat().st_size
        except FileNotFoundError:
            if journal.base_sequence == 0:
                return {}, 0
            raise RegistryCorrupted(
                self._path, None, f"the file is missing, the journal begins after line {journal.base_sequence}"
            ) from None

    def _check_mark(self, journal: JournalFile) -> None:
        """Notice a journal that ends before a line that a checkpoint already held: somebody cut it."""
        try:
            mark = orjson.loads(self._mark_path.read_bytes())
            reached = int(mark["sequence"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            raise RegistryCorrupted(self._mark_path, 0, "not the mark of a checkpoint") from None
        if journal.sequence < reached:
            raise RegistryCorrupted(
                self._journal_path,
                journal.offset,
                f"it ends at line {journal.sequence}, but lines up to {reached} were committed",
            )

    def _stamp(self) -> tuple[int, int, int]:
        found = os.stat(self._journal_name)
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _refresh(self) -> None:
        """Take in what was committed since; one stat when there is nothing."""
        try:
            found = os.stat(self._journal_name)
        except OSError as error:
            self._went_bad(StorageError("look at the journal", self._journal_name, error))
            return
        seen = self._seen
        if found.st_size == seen[1] and found.st_mtime_ns == seen[2] and found.st_ino == seen[0]:
            if self._journal is None:
                self._current  # noqa: B018  # raises: the handle is closed
            return
        with self._thread_lock:
            journal = self._current
            try:
                stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
                self._take_in(journal)
                self._seen = stamp
                self.damage = None
            except (RegistryError, StorageError) as error:
                self._went_bad(error)

    def _take_in(self, journal: JournalFile) -> None:
        """Read new lines, and follow a change of segment. Starts over when lines were taken back."""
        segment = journal.read_new()
        if segment is None:
            self._load()
            return
        self._apply(segment.lines)
        if not journal.is_current():
            self._reopen()

    def _reopen(self) -> None:
        """Go on with the next segment if it begins where we stand, else read everything anew."""
        journal = self._open_journal()
        if journal.base_sequence != self._state.sequence:
            journal.close()
            self._load()
            return
        self._current.close()
        self._journal = journal
        self._retired = {}
        self._seen = (0, 0, 0)
        segment = journal.read_new()
        if segment is None or not journal.is_current():
            self._load()
            return
        self._apply(segment.lines)

    def _apply(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._state.apply(line)
            self._note(line)

    def _note(self, line: Line) -> None:
        if line.operation == "retire":
            self._retired[line.model_id] = line
        elif line.operation in ("register", "restore"):
            self._retired.pop(line.model_id, None)

    def _went_bad(self, error: ModelInboxError) -> None:
        """Go on serving what we hold, and say once that it no longer follows the files."""
        if self._journal is None:
            raise error
        if self.damage is None or str(self.damage) != str(error):
            log.error("registry.unreadable", path=self.registry_path, problem=str(error))
        self.damage = error

    def _may_write(self) -> None:
        if self.read_only:
            raise RegistryError(
                f"cannot change the registry {self.registry_path!r}: it was opened read-only",
                hint="Open it without read_only=True",
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the writer lock over an up-to-date state and a journal without a torn tail. Reentrant."""
        self._may_write()
        with self._thread_lock:
            journal = self._current
            if self._depth:
                yield
                return
            self._lock.acquire(self.lock_timeout)
            self._depth = 1
            try:
                if journal.broken is not None:
                    raise journal.broken
                self._take_in(journal)
                lost = self._current.cut_torn_tail()
                if lost:
                    log.warning(
                        "journal.tail_truncated",
                        path=self._journal_name,
                        offset=self._current.offset,
                        lost_bytes=lost,
                    )
                yield
            finally:
                self._depth = 0
                self._lock.release()

    def _commit(self, drafts: Sequence[_Draft]) -> list[Line]:
        """Append lines for the drafts and apply them. Under the lock; the append is the commit."""
        now = self._clock()
        if self._state.last_time:
            now = max(now, parse_time(self._state.last_time))  # a clock that was set back must not unsort the history
        time = format_time(now)
        lines = []
        for number, draft in enumerate(drafts, self._state.sequence + 1):
            entry = draft.entry
            if draft.operation == "register" and entry is not None:
                entry["registered_at"] = time
                entry["sequence"] = number
            lines.append(
                Line(
                    number,
                    time,
                    draft.operation,
                    draft.model_id,
                    draft.drop_id,
                    draft.actor,
                    draft.reason,
                    draft.changes_entry,
                    entry,
                    draft.removed,
                    draft.detail,
                )
            )
        self._current.append(lines)
        self._apply(lines)
        self._dirty = True
        self._pid = os.getpid()
        self._seen = self._stamp()
        return lines

    def _change(
        self, model_id: str, operation: str, fields: Mapping[str, Any], reason: str, actor: str | None
    ) -> Entry:
        """Commit a change of our own fields of one entry; nothing is written when nothing changes."""
        with self._writing():
            entry = self._state.entries.get(model_id)
            if entry is None:
                raise _unknown(model_id)
            changed = {**entry, **fields}
            if changed != entry:
                draft = _Draft(
                    operation, model_id, reason, actor or self.actor, changes_entry=True, entry=changed
                )
                self._commit([draft])
            view = self._state.view(model_id)
            assert view is not None  # noqa: S101  # we hold the lock
            return view

    def _registration(self, candidate: Candidate) -> _Draft:
        files = candidate.files
        model, scaler, _ = self._storage.final_names(candidate.fields["model_id"])
        fields = dict(candidate.fields)
        tags, description = fields.pop("tags"), fields.pop("description")
        entry = {
            **fields,
            "model_path": self._storage.stored_path(model),
            "scaler_path": self._storage.stored_path(scaler) if files.scaler is not None else None,
            "sha256": files.sha256,
            "scaler_sha256": files.scaler_sha256,
            "size_bytes": files.model_bytes + files.scaler_bytes,
            "registered_at": "",
            "sequence": 0,
            "origin": candidate.origin,
            "drop_id": candidate.drop_id,
            "imports": dict(candidate.imports) if candidate.imports is not None else None,
            "integrity": candidate.integrity,
            "tags": tags,
            "description": description,
            "aliases": [],
            "pinned": False,
        }
        return _Draft(
            "register",
            entry["model_id"],
            candidate.reason,
            candidate.actor or self.actor,
            candidate.drop_id,
            changes_entry=True,
            entry=entry,
        )

    def _finish_retirement(self, model_id: str) -> bool:
        """Move the files of a model that was retired, and whose writer died before moving them, to the trash."""
        line = self._retired.get(model_id)
        if line is None or line.removed is None or model_id in self._state.entries:
            return False
        if not any(path.exists() for path in self._storage.files_of(line.removed)):
            return False
        self._storage.discard(line.removed)
        return True

    def _stage_objects(self, metadata: ModelMetadata, model_obj: Any, scaler_obj: Any) -> StagedFiles:
        """Pickle into the staging folder: each file written and synced, nothing under its final name yet."""
        token = f"api-{os.getpid()}-{next(_token)}-{metadata.model_id}"
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
                with suppress(OSError):
                    self._disk.unlink(path)
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

    def _put_checkpoint(self, temporary: Path, sequence: int) -> None:
        """Under the lock: put a synced checkpoint and its mark in place, with one sync of the folder.

        The mark tells that the journal had reached `sequence`. Whichever of the two names lasts alone after a
        crash, it is true: the lines up to `sequence` were synced before.
        """
        mark = self._mark_path.with_name(f".{self._mark_path.name}.{os.getpid()}-{next(_token)}.tmp")
        text = orjson.dumps({"format": CHECKPOINT_FORMAT, "sequence": sequence}) + b"\n"
        try:
            write_new_file(self._disk, mark, text, CHECKPOINT_MODE)
            self._disk.rename(temporary, self._path)
            self._disk.rename(mark, self._mark_path)
            self._disk.fsync_dir(self._path.parent)
        except OSError as error:
            raise StorageError("write the checkpoint", self._path, error) from error

    def _checkpoint_when_outgrown(self) -> None:
        """Change the segment when the journal has outgrown the checkpoint: the cost is shared by its lines."""
        if self._current.offset > max(self._segment_bytes, self._checkpoint_bytes):
            self.change_segment()

    def _at(self, as_of: datetime | None) -> tuple[State, datetime]:
        """Return the state and the instant that a query asks about."""
        if as_of is None:
            self._refresh()
            return self._state, self._clock()
        moment = as_of if as_of.tzinfo is not None else as_of.replace(tzinfo=UTC)
        return self._state_at(moment), moment

    def _state_at(self, moment: datetime) -> State:
        lines = all_lines(self._journal_path, self._history_dir)
        if lines and lines[0].sequence > 1:
            raise RegistryError(
                f"cannot tell the registry as of {format_time(moment)}: the history begins at {lines[0].time}"
            )
        state = State(str(self._path.parent), {}, 0)
        for line in lines:
            if line.at > moment:
                break
            state.apply(line)
        return state

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
        return self._registry._state

    def __getitem__(self, model_id: str) -> Entry:
        entry = self._registry.get_model_info(model_id)
        if entry is None:
            raise KeyError(model_id)
        return entry

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._state().entries))

    def __len__(self) -> int:
        return len(self._state().entries)

    def __repr__(self) -> str:
        return repr(dict(self))


def _also(line: Line) -> Mapping[str, Any]:
    also = (line.detail or {}).get("also", {})
    return also if isinstance(also, dict) else {}


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def _sequence_of(entry: Mapping[str, Any]) -> int:
    sequence = entry.get("sequence")
    return sequence if isinstance(sequence, int) else 0


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _taken(model_id: str) -> EntryExists:
    return EntryExists(
        f"cannot register {quoted(model_id)}: the id is taken, and a registered model never changes",
        hint="Choose another model_id (a date or a version in it helps), or delete that model first",
    )


def _unknown(model_id: str) -> EntryNotFound:
    return EntryNotFound(
        f"cannot find {quoted(model_id)}: no model of that id is registered",
        hint="`model-inbox list` shows the ids; `model-inbox trash list` the retired ones",
    )


def _refuse_protected(model_id: str, entry: Mapping[str, Any]) -> None:
    if entry.get("pinned"):
        raise EntryProtected(
            f"cannot delete {quoted(model_id)}: it is pinned", hint=f"Unpin it first: `model-inbox unpin {model_id}`"
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


def _read_whole(path: Path, retired: Path) -> memoryview:
    """Return a file's bytes, looking into the trash when it was retired meanwhile. Read once into memory."""
    for place in (path, retired, path):  # the third look: restored between the first and the second
        try:
            fd = open_regular(place)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError("open", place, error) from error
        with open(fd, "rb", buffering=0) as file:
            data = bytearray(os.fstat(fd).st_size)
            view = memoryview(data)
            filled = 0
            while filled < len(data) and (count := file.readinto(view[filled:])):
                filled += count
            return view[:filled]
    raise FileNotFoundError(errno.ENOENT, "The model's file is gone", str(path))


def _in_use(folder: Path) -> bool:
    """Tell whether a process has a file of the folder open: a write lease is refused then (fcntl(2))."""
    for path in folder.iterdir():
        try:
            fd = open_regular(path)
        except OSError:
            continue
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EBUSY):
                return True
            # No leases here (a network file system, another's file): what is open stays readable after unlink.
        finally:
            os.close(fd)
    return False


def _checkpoint_bytes(entries: Mapping[str, Any]) -> bytes:
    return orjson.dumps(entries, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _read_checkpoint(path: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the JSON file. Raises FileNotFoundError and RegistryCorrupted."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError("read the registry", path, error) from error
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RegistryCorrupted(path, error.pos, f"not JSON: {error.msg}") from None
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise RegistryCorrupted(path, 0, "not a JSON object of entries")
    return value


def _close_at_exit() -> None:
    for handle in list(_open_handles):
        with suppress(Exception):
            handle.close()


atexit.register(_close_at_exit)


def problem_of(error: ModelInboxError) -> Problem:
    """Return an error as a problem, for reports that list several."""
    return Problem(error.code, error.message, error.hint)


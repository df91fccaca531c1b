"""`ModelRegistry`: the class that programs use to register, find, load and retire models.

Owns the queries, and the public methods of all changes. How a change is made stands in `registration`, `trash`,
`scaler`, `labels` and `measurements`: files first and then the journal's line, but for a retirement the line first. It
logs through structlog and never configures it.

What is trusted: the registry's folder and all users who may write there. A model that came through the inbox may, when
loaded, import only what was seen in it when it was checked; one registered from Python (`register_model`) is
loaded as the process that registered it pickled it, without that limit.
"""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.boot import BootClock, boot_clock
from ..base.disk import Disk
from ..base.log import log
from ..errors import MetadataError, ModelInboxError, RegistryCorrupted
from ..model.checks import check_metadata
from ..model.metadata import PAIR_PATTERN, ModelMetadata, fields_of
from ..model.published import max_sidecar_size
from ..model.slot import Slot
from ..problems import escaped, quoted
from .access import absolute, user_name, why_not_writable
from .clock_watch import ClockWatch
from .entry import Entry, EntryFields, Role, as_fields, shown
from .files import Storage
from .following import Followable
from .healing import Rewritten
from .history import HistoryCheck, registrations_in, state_at
from .journal import Line, also_changed
from .label_files import LabelFiles
from .live_entries import LiveEntries
from .loading import load_object, place_of
from .opening import must_be_wanted
from .outcomes import Candidate, Registered, Retired
from .past import Past, past_of
from .paths import RegistryFiles
from .position import Identity, Position
from .queries import model_in, with_zone
from .segments import missing_lines, read_segment
from .state import State
from .store import SEGMENT_BYTES_MIN, Store
from .trash import Trash, files_in_use
from .upkeep import Upkeep

# Imported at the first change: a process that only reads needs none of them.
if TYPE_CHECKING:
    from ..problems import Problem
    from .alias_stack import Target
    from .finding import Table
    from .labels import Labels
    from .measurements import Measurements, Metrics, When
    from .promotions import Holder, Move
    from .scaler import Scalers
    from .usage import Quota

__all__ = ["ModelRegistry"]

DEFAULT_LOCK_TIMEOUT_SECONDS = 10.0
_SYSTEM_CLOCK: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731  # a default that can be replaced

_open_handles: weakref.WeakSet[ModelRegistry] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Summary:
    """A registry at one moment: how many entries it has, its last change, and what is wrong with its files.

    `committed` is the number of the last change that is known to be durable: nobody can take it back any more. The
    other fields are those of `ModelRegistry` with these names.
    """

    entries: int
    sequence: int
    committed: int
    identity: Identity | None
    problem: ModelInboxError | None
    rewritten: tuple[Rewritten, ...]


class ModelRegistry(Followable, Upkeep):
    """The registry at `registry_path` with its model files in `storage_dir` (default: `prediction/` beside it).

    Opening makes an empty registry where there is none, if its name ends in `.json`, and its own folder, if the folder
    above that exists; with any other path it raises RegistryMissing and makes nothing. With `read_only=True` nothing is
    made, cut or locked, and a missing registry raises RegistryMissing. Every handle, in any process, sees each commit
    at once and without reopening. Several threads may use one handle. Close it, or use it in a `with` block, to
    bring the JSON file up to date at once; at exit that happens by itself, and other handles never depend on it.

    A process that may not write there gets a handle that only reads (`read_only` is true then).

    Raises RegistryCorrupted (with file and offset) instead of guessing; nothing is overwritten then.
    `lock_timeout` is in seconds. `pair_pattern` is the form of the pairs that `register_model` accepts, a regular
    expression like `checks.pair_pattern`; None is any. `clock`, `boot` and `disk` are for tests.
    """

    def __init__(
        self,
        registry_path: str | os.PathLike[str],
        storage_dir: str | os.PathLike[str] | None = None,
        *,
        read_only: bool = False,
        lock_timeout: float = DEFAULT_LOCK_TIMEOUT_SECONDS,
        actor: str | None = None,
        pair_pattern: str | None = PAIR_PATTERN,
        clock: Callable[[], datetime] = _SYSTEM_CLOCK,
        disk: Disk | None = None,
        segment_bytes: int = SEGMENT_BYTES_MIN,
        boot: BootClock | None = None,
    ) -> None:
        path = absolute(registry_path)
        self._pair_pattern = pair_pattern
        self.registry_path = str(path)
        self.storage_dir = str(absolute(storage_dir) if storage_dir is not None else path.parent / "prediction")
        denied = "" if read_only else why_not_writable(path)
        read_only = read_only or bool(denied)
        self.read_only = read_only
        self.denied = denied
        """Why this handle only reads, if that was not asked for."""
        self.actor = actor if actor is not None else f"api:{user_name()}"
        self._path = path
        self._clock = clock
        self._disk = disk if disk is not None else Disk()
        self._storage = Storage(path.parent, Path(self.storage_dir), self._disk)
        must_be_wanted(RegistryFiles(path), read_only=read_only)
        if not read_only:
            self._storage.make_folders()
        self._store = Store(
            path,
            read_only=read_only,
            lock_timeout=lock_timeout,
            clock=clock,
            disk=self._disk,
            segment_bytes=segment_bytes,
            denied=denied,
        )
        self.clock_watch = ClockWatch(self._store, clock, boot if boot is not None else boot_clock(), self._disk)
        """Whether the machine's clock has jumped. Ask it before anything is removed by age."""
        self._label_files = LabelFiles(self._store, self._storage)
        self._trash = Trash(self._store, self._storage, self._label_files)
        self._history_check = HistoryCheck(self._store.files)
        self._refresh = self._store.refresh
        # The entries of the last search, for the next one.
        self._table: Table | None = None
        _open_handles.add(self)

    @cached_property
    def _scalers(self) -> Scalers:
        from .scaler import Scalers

        return Scalers(self._store, self._storage, self._trash, self._promotions)

    @cached_property
    def _labels(self) -> Labels:
        from .labels import Labels

        return Labels(self._store, self._label_files, self._trash)

    @cached_property
    def _measurements(self) -> Measurements:
        from .measurements import Measurements

        return Measurements(self._store, self._label_files, self._trash)

    @property
    def damage(self) -> ModelInboxError | None:
        """The damage that was found after this handle was opened, or None. The handle goes on serving what it holds."""
        return self._store.damage

    @property
    def problem(self) -> ModelInboxError | None:
        """Why the registry cannot be changed or followed now, or None. Each change tries first to end it."""
        return self._store.doubt.problem or self.damage

    def summary(self) -> Summary:
        """Return what the daemon tells of the registry, all of one moment."""
        self._refresh()
        state = self._store.state
        return Summary(
            len(state.entries), state.sequence, state.committed, state.identity, self.problem, self.rewritten
        )

    @property
    def derived_files_are_sound(self) -> bool:
        """Whether the JSON file and its mark are what they should be. The next `checkpoint` makes them so."""
        return self._store.json_file.is_sound(self._store.state.identity)

    @property
    def rewritten(self) -> tuple[Rewritten, ...]:
        """The derived files that this handle last found edited or damaged, and made again."""
        return self._store.json_file.rewritten

    def damage_in_history(self) -> str:
        """Return what is damaged in the closed segments, or "". A segment that was read before, unchanged, is not."""
        return self._history_check.damage()

    def check(self) -> None:
        """Look at the files. Raises RegistryCorrupted when they cannot be followed: nothing can be committed then."""
        self._store.look_at_path()
        if isinstance(self.damage, RegistryCorrupted):
            raise self.damage

    def recent_drops(self) -> dict[int, str | None]:
        """Return the drops that the lines of the current segment registered, by the number of the line."""
        lines = read_segment(self._store.files.journal).lines
        return {line.sequence: line.drop_id for line in lines}

    def settle(self) -> None:
        """End a doubt about the last write, if there is one, without changing anything. Raises as a change does."""
        if self._store.doubt.problem is not None:
            with self._store.writing():
                pass

    @property
    def lock_timeout(self) -> float:
        """How many seconds a change waits for other writers."""
        return self._store.lock_timeout

    @lock_timeout.setter
    def lock_timeout(self, seconds: float) -> None:
        self._store.lock_timeout = seconds

    # --- reading ----------------------------------------------------------------------------------------------

    @property
    def registry(self) -> Mapping[str, Entry]:
        """The mapping {model_id: entry}, read-only and always up to date."""
        return LiveEntries(self._store, self)

    def get_model_info(self, model_id: str, *, as_of: datetime | None = None) -> Entry | None:
        """Return the entry of a model, or None; with `as_of` as it was at that instant."""
        if as_of is not None:
            return self._at(as_of)[0].view(model_id)
        self._refresh()
        return self._store.state.view(model_id)

    def get_model(
        self,
        currency_pair: str,
        model_type: str = "lightgbm",
        *,
        variant: str = "",
        alias: str | None = None,
        calibrated: bool = False,
        trained_before: datetime | None = None,
        as_of: datetime | None = None,
    ) -> Entry | None:
        """Return the newest model of a pair, type and variant, or None.

        Newest is by `trained_at` as an instant, ties by the order of registration; an entry that is held or dated in
        the future is never newest. With `alias` it is the model that the alias names. With `calibrated=True` only
        models whose `calibration_ok` is true count, with `trained_before` only those that were trained before that
        instant; None is returned if the model of the alias is not one of them. With `as_of` the registry is taken as it
        was at that instant: after the last change whose time is not after it.
        """
        state, now = self._at(as_of)
        slot = Slot(currency_pair, model_type, variant)
        return model_in(state, now, slot, alias, trained_before, calibrated=calibrated)

    def list_models(
        self,
        currency_pair: str | None = None,
        model_type: str | None = None,
        *,
        variant: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Entry]:
        """Return the entries of a pair, type and variant, newest first. None is any."""
        state, _ = self._at(as_of)
        return state.newest_first(currency_pair, model_type, variant)

    def search(
        self,
        where: str | Iterable[str] = (),
        *,
        currency_pair: str | None = None,
        model_type: str | None = None,
        variant: str | None = None,
        tags: Mapping[str, str | None] | None = None,
        alias: str | None = None,
        held: bool | None = None,
        sort: str | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> list[Entry]:
        """Return the entries for which all conditions of `where` hold, such as "1d.rmse<0.005"; newest first.

        docs/reference/finding.md has the language. `tags` maps names to values, or to None for any value. `sort` is a
        name, with a "-" in front for the largest first; `limit` is the largest number of entries. A name of a metric
        or a tag that no entry has is logged (`registry.name_unknown`). Raises ConditionError.
        """
        from .finding import search

        conditions = {"where": where, "tags": tags, "alias": alias, "held": held}
        entries = self.list_models(currency_pair, model_type, variant=variant, as_of=as_of)
        found, self._table = search(entries, self._table, conditions, sort, limit, now=self._clock())
        for unknown in found.unknown:
            log.warning("registry.name_unknown", name=escaped(unknown.path.text), problem=str(unknown))
        return found.entries

    @property
    def sequence(self) -> int:
        """The number of the last committed change, in the registry's current epoch; see `position`."""
        self._refresh()
        return self._store.state.sequence

    @property
    def identity(self) -> Identity | None:
        """Which registry this is, and in which epoch, as it was when it was last looked at. See `position`."""
        return self._store.state.identity

    @property
    def position(self) -> Position | None:
        """Which registry this is, in which epoch, after which change; `str` of it is `registry_id/epoch/sequence`.

        Another epoch means that changes may have got lost or have other numbers now: the registry was rebuilt, or an
        older copy was put back. A caller that keeps a position then compares its data with the registry, instead of
        going on. None while nobody has changed a registry that version 0.1 made.
        """
        self._refresh()
        return self._store.state.position

    def stored_entries(self) -> tuple[Identity | None, int, list[EntryFields]]:
        """Return `identity`, `sequence` and all entries as of that change, as they are stored, in no order.

        Paths are relative here. Nothing is copied, so the entries must not be changed.
        """
        self._refresh()
        return self._store.state.stored()

    def history(self, model_id: str | None = None, *, over_gaps: bool = False) -> list[Line]:
        """Return what was committed, oldest first: of one model, or everything that is kept.

        Raises RegistryCorrupted when lines are missing in between; with `over_gaps` the others are returned, and
        `missing_lines` gives the numbers.
        """
        lines = self._store.lines(over_gaps=over_gaps)
        if model_id is None:
            return lines
        return [line for line in lines if line.model_id == model_id or model_id in also_changed(line)]

    def past(self) -> Past:
        """Return all lines that are kept, and the entries before the first. Raises RegistryCorrupted, StorageError."""
        self._refresh()
        return past_of(self._store.files, self._store.journal.base_sequence, self._store.state.stored()[2])

    def missing_lines(self) -> list[tuple[int, int]]:
        """Return the numbers of lines of the history that are in no file, as pairs of a first and a last one.

        A segment was removed by hand, or lost. The registered models do not depend on it; the history and queries with
        `as_of` do. Costs one short read for each closed segment. Raises StorageError.
        """
        return missing_lines(self._store.files.history, self._store.journal.base_sequence)

    def is_in_use(self, model_id: str) -> bool:
        """Return whether a process has a file of a registered model open, as a purge asks: one that serves it does.

        False where that cannot be known: on a file system without leases, and for another user than the owner.
        """
        self._refresh()
        entry = self._store.state.entries.get(model_id)
        return entry is not None and files_in_use(self._storage.files_of(entry))

    def retired(self) -> list[Retired]:
        """Return the retired models whose files are still in the trash, in the order of their retirement."""
        return self._trash.retired()

    def registrations(self, drop_ids: Collection[str]) -> dict[str, Line]:
        """Return the lines that registered these drops, whatever came after them. Syncs what it relies on."""
        with self._store.writing():
            self._store.sync()
            found = registrations_in(read_segment(self._store.files.journal).lines, drop_ids)
            if found.keys() >= set(drop_ids):  # nearly always: no need of the history, which may be damaged
                return found
            return registrations_in(self._store.lines(), drop_ids)

    def is_in_history(self, error: RegistryCorrupted) -> bool:
        """Return whether damage is in what drops do not depend on: not in the segment that is being written."""
        return error.path != str(self._store.files.journal)

    # --- loading ----------------------------------------------------------------------------------------------

    def load_model_objects(self, entry: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (model, scaler), the scaler None where the entry has none.

        The bytes that are unpickled are those whose SHA-256 the entry names; a model that came through the inbox
        can import only what its entry's `imports` list, everything else raises LoadRefused. A model that was
        retired since `get_model` is found in the trash. Raises FileNotFoundError with the path when a file is
        gone, LoadRefused when its bytes are not the registered ones, EntryNeeded (also a TypeError) when `entry` is
        none, such as the None of a `get_model` that found nothing.
        """
        return self.load_model(entry), self.load_scaler(entry)

    def load_model(self, entry: Mapping[str, Any]) -> Any:
        """Return the model alone; see `load_model_objects`."""
        return load_object(self._store, self._storage, entry, "model")

    def load_scaler(self, entry: Mapping[str, Any]) -> Any:
        """Return the scaler alone, or None where the entry has none; see `load_model_objects`."""
        return load_object(self._store, self._storage, entry, "scaler")

    def file_of(self, entry: Mapping[str, Any], role: Role = "model") -> Path | None:
        """Return where the model or the scaler of an entry is; in the trash if it was retired. None if it is nowhere.

        Raises FileOutside.
        """
        return place_of(self._store, self._storage, as_fields(entry), role)

    # --- changing ---------------------------------------------------------------------------------------------

    def register_model(self, metadata: ModelMetadata, model_obj: Any, scaler_obj: Any = None) -> Entry:
        """Pickle a model (and its scaler), register it, set `model_path` and `scaler_path` on the metadata.

        Objects are pickled with cloudpickle, so instances of classes defined in a notebook or a script
        round-trip. When this returns, the model is registered whatever happens next. Raises MetadataError with
        all problems, EntryExists when the id is taken (a registered model never changes), StorageError.
        """
        from .pickling import stage_objects
        from .registration import id_taken

        problems = check_metadata(metadata, now=self._clock(), pair_pattern=self._pair_pattern)
        if problems:
            raise MetadataError(f"cannot register {quoted(metadata.model_id)}: its metadata has problems", problems)
        self._store.may_write()
        if self.get_model_info(metadata.model_id) is not None:
            raise id_taken(metadata.model_id)
        limit = max_sidecar_size(self._store.files.status)
        files = stage_objects(self._storage, metadata, model_obj, scaler_obj, sidecar_bytes_max=limit)
        try:
            candidate = Candidate(fields_of(metadata), files, "api", actor=self.actor, reason="register_model")
            done = self.register_staged([candidate])[0]
        finally:
            self._storage.unstage(files)
        if done.outcome != "registered":
            raise id_taken(metadata.model_id)
        entry = shown(done.entry, str(self._storage.folder))
        metadata.model_path = entry["model_path"]
        metadata.scaler_path = entry["scaler_path"]
        self._tidy()
        return entry

    def over_quota(self, model_id: str, quota: Quota, owner: object, size: int) -> Problem | None:
        """Return why a new model of `size` bytes would be over its owner's quota now; None if it may be registered.

        None for an id that is taken: a duplicate counts for nothing. `register_staged` asks again. Raises StorageError.
        """
        self._refresh()
        return None if model_id in self._store.state.entries else self._store.over_quota(quota, owner, size)

    def register_staged(self, candidates: Sequence[Candidate]) -> list[Registered]:
        """Commit staged models together, in the order given: their names, one sync of the folder, one append.

        The staged files stay until the caller unstages them. Raises StorageError or RegistryError, and then none
        of the candidates is registered.
        """
        from .registration import register_staged

        return register_staged(self._store, self._storage, self._trash, candidates, self.actor)

    def delete_model(
        self,
        model_id: str,
        *,
        reason: str = "delete_model",
        actor: str | None = None,
        at: Position | int | None = None,
        by_rule: bool = False,
    ) -> bool:
        """Retire a model to the trash; False for an unknown id. The id is free again afterwards.

        Raises EntryProtected for a pinned model or one that an alias names. With `at` (the registry's position, or
        its sequence alone) it is retired only if nothing at all was committed after that, and False returned
        otherwise. A position also holds off when the same number stands for another line in another epoch. `by_rule`
        says that a rule decided it, so that the line names the rules (`decide_by`).
        """
        return self._trash.retire(model_id, reason=reason, actor=actor or self.actor, at=at, by_rule=by_rule)

    def restore(self, model_id: str, *, sequence: int | None = None, actor: str | None = None) -> Entry:
        """Bring a retired model back from the trash: the one retired last, or the one of that `sequence`.

        Raises EntryNotFound when the trash does not hold it, EntryExists when the id is taken by now, RestoreRefused
        when its files are damaged.
        """
        return self._trash.restore(model_id, sequence=sequence, actor=actor or self.actor)

    def purge(self, retired: Retired, *, reason: str = "purge", actor: str | None = None) -> int | None:
        """Remove a retired model's files permanently and return the bytes freed.

        None, and nothing is done, while a process has one of the files open (a loader that got the entry
        before the retirement), and when the model was restored meanwhile. The line comes first: after a crash
        the next start finishes the removal.
        """
        return self._trash.purge(retired, reason=reason, actor=actor or self.actor)

    def pin(self, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Protect a model from retirement until it is unpinned. Raises EntryNotFound."""
        return self._labels.pin(model_id, pinned=True, reason=reason, actor=actor or self.actor)

    def unpin(self, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Take the protection away again. Raises EntryNotFound."""
        return self._labels.pin(model_id, pinned=False, reason=reason, actor=actor or self.actor)

    def hold(self, model_id: str, *, reason: str, actor: str | None = None) -> Entry:
        """Take a model out of service without retiring it: it is never newest, and no alias may name it.

        Retention does not count it; `registry.held_keep` says when the daemon retires it. Raises EntryNotFound,
        EntryProtected for a model that an alias names, and ValueError without a reason.
        """
        return self._labels.hold(model_id, now=self._clock(), reason=reason, actor=actor or self.actor)

    def unhold(self, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Let a held model be served again. Raises EntryNotFound."""
        return self._labels.unhold(model_id, reason=reason, actor=actor or self.actor)

    def set_alias(self, alias: str, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Let an alias such as `next` name a model, within its slot. Obeys and raises what `promote` does."""
        actor = actor or self.actor
        return self._promotions.promote(alias, model_id, reason=reason, actor=actor, operation="alias").entry

    def remove_alias(self, alias: str, model_id: str, *, reason: str = "", actor: str | None = None) -> Entry:
        """Take an alias away from the model that it names. A rollback gives it back.

        Raises EntryNotFound when it names another or none, AliasProtected.
        """
        return self._promotions.remove(alias, model_id, reason=reason, actor=actor or self.actor)

    def promote(
        self,
        model_id: str,
        alias: str = "champion",
        *,
        reason: str = "",
        override_gates: bool = False,
        actor: str | None = None,
    ) -> Move:
        """Let an alias name a model, and no other of its slot, in one commit. `rollback` goes back to the one before.

        Raises EntryNotFound, AliasProtected where config.yaml lets only others move the alias, EntryProtected for a
        model that is held, unless `override_gates` ends that with a reason, and ValueError for a name that is no alias.
        """
        if override_gates and not reason.strip():
            raise ValueError(f"cannot promote {quoted(model_id)} past its gates without a reason")
        actor = actor or self.actor
        return self._promotions.promote(alias, model_id, reason=reason, actor=actor, override_gates=override_gates)

    def promote_by_rule(
        self, target: Target, alias: str, *, reason: str, actor: str, at: Position | int
    ) -> Move | None:
        """Promote for a rule of config.yaml, if nothing at all was committed since `at`. None otherwise."""
        return self._promotions.promote_by_rule(alias, target, reason=reason, actor=actor, at=at)

    def rollback(
        self,
        currency_pair: str,
        model_type: str = "lightgbm",
        *,
        variant: str = "",
        alias: str = "champion",
        steps: int | None = None,
        to: str | None = None,
        at: datetime | None = None,
        reason: str = "",
        actor: str | None = None,
    ) -> Move:
        """Give an alias of a slot back to the model that held it before, also one that was retired since.

        With `steps` it goes further back, with `to` to that model, with `at` to the one that held it at that time. What
        it leaves is promoted by no rule any more. Raises PromotionRefused, which names the nearest model that is there,
        AliasProtected, RestoreRefused, and ValueError for more than one of the three.
        """
        if sum(one is not None for one in (steps, to, at)) > 1 or (steps is not None and steps < 1):
            raise ValueError("cannot roll back: give one of steps (1 or more), to and at")
        slot, actor = Slot(currency_pair, model_type, variant), actor or self.actor
        moment = with_zone(at) if at is not None else None
        return self._promotions.rollback(slot, alias, steps=steps, to=to, at=moment, reason=reason, actor=actor)

    def aliases(self, *, as_of: datetime | None = None) -> list[Holder]:
        """Return which model each alias of each slot names, since when, by whom and why, and those before it."""
        return self._promotions.holders(self._at(as_of)[0])

    def protect_aliases(self, may_move: Mapping[str, Sequence[str]], *, actor: str | None = None) -> bool:
        """Let only these users (names, numbers, `@group`) move these aliases. Return whether that is new.

        The daemon does so by `aliases` in config.yaml.
        """
        return self._promotions.protect(may_move, actor or self.actor)

    def tag(
        self, model_id: str, tags: Mapping[str, str | None], *, reason: str = "", actor: str | None = None
    ) -> Entry:
        """Set tags of a model; a value of None removes one. Raises EntryNotFound and MetadataError."""
        return self._labels.tag(model_id, tags, now=self._clock(), reason=reason, actor=actor or self.actor)

    def record(
        self, model_id: str, metrics: Metrics, at: When = None, *, reason: str = "", actor: str | None = None
    ) -> Entry:
        """Record later measurements beside the validation metrics. See `measurements.Measurements.record`."""
        return self._measurements.record(model_id, metrics, at, self._clock(), reason, actor or self.actor)

    def replace_scaler(self, model_id: str, scaler_obj: Any, *, reason: str = "", actor: str | None = None) -> Entry:
        """Give a model another scaler, or its first: the one thing of a registered model that may change.

        The new scaler is a new file under a name that no model's own files have, the line is the commit, and the
        old file goes to the model's folder in the trash, where a program that still holds the old entry finds it.
        It stays there until the model itself is purged. Raises EntryNotFound, StorageError, and ModelInboxError for an
        object that cannot be pickled.
        """
        return self._scalers.replace(model_id, scaler_obj, reason=reason, actor=actor or self.actor)

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
        return self._scalers.replace_by_file(model_id, scaler_fd, judge, reason=reason, actor=actor or self.actor)

    # --- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all followers, bring the JSON file up to date if this handle changed something, and close the files."""
        self._end_following()
        _open_handles.discard(self)
        self._store.close()

    def __enter__(self) -> ModelRegistry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Called at any moment, so it waits for no lock.
        with suppress(Exception):
            self._store.close(wait=False)

    # --- inside -----------------------------------------------------------------------------------------------

    def _at(self, as_of: datetime | None) -> tuple[State, datetime]:
        """Return the state and the moment that a query is about."""
        if as_of is None:
            self._refresh()
            return self._store.state, self._clock()
        moment = with_zone(as_of)
        return state_at(self._store.files, moment, reached=self._store.state.sequence), moment


def _close_at_exit() -> None:
    for handle in list(_open_handles):
        with suppress(Exception):
            handle.close()


atexit.register(_close_at_exit)

"""Registering staged models: their files get their names, then their lines are committed together.

Owns the order of these steps, and what makes a drop a duplicate of a registered model: the same id, and the same
SHA-256 of model and scaler. If `drop` made the id by itself, a model of the same slot with these digests will do,
whatever its id is. Never judges a model, and never makes or removes a staged file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..base.instants import instant_microseconds, microseconds_of
from ..errors import EntryExists, ModelInboxError
from ..model.owner import uid_of_owner
from ..model.slot import NEWEST, slot_of
from ..problems import Problem, quoted
from .entry import EntryFields, as_fields, new_entry
from .files import StagedFiles, Storage
from .journal import Draft
from .outcomes import Candidate, Examined, Outcome, Registered
from .store import Store
from .trash import Trash

__all__ = ["id_taken", "register_staged"]

_NO_GATES = Examined((), (), None)


def register_staged(
    store: Store, storage: Storage, trash: Trash, candidates: Sequence[Candidate], actor: str
) -> list[Registered]:
    """Commit staged models together, in the order given: their names, one sync of the folder, one append.

    `actor` is who registers those that name nobody. Raises StorageError or RegistryError, and then none of them is
    registered.
    """
    with store.writing():
        trash.prepare({candidate.fields["model_id"] for candidate in candidates})
        placed: dict[str, StagedFiles] = {}
        try:
            outcomes = _place_and_commit(store, storage, trash, candidates, actor, placed)
        except BaseException:
            with suppress(ModelInboxError):
                _take_back(store, storage, placed)
            raise
        if not trash.label_files.has_looked or store.unfinished.labels:
            # These lines took a registry of version 0.1 over, or hold a model. A crash before leaves that to the next
            # change.
            trash.label_files.write()
        entries = store.state.entries
        return [
            Registered("refused", as_fields({}), said)
            if outcome == "refused"
            else Registered(
                outcome,
                entries[model_id],
                notes=said,
                near_pair=store.state.near_pair(candidate.fields["currency_pair"]) if outcome == "registered" else None,
            )
            for candidate, (outcome, model_id, said) in zip(candidates, outcomes, strict=True)
        ]


def _place_and_commit(
    store: Store,
    storage: Storage,
    trash: Trash,
    candidates: Sequence[Candidate],
    actor: str,
    placed: dict[str, StagedFiles],
) -> list[tuple[Outcome, str, tuple[Problem, ...]]]:
    """Give the files their names and commit the lines. `placed` is told which files may have got names, by id.

    Returns what becomes of each candidate, the id of the entry that it has or is the same as, and what its producer is
    told.
    """
    outcomes: list[tuple[Outcome, str, tuple[Problem, ...]]] = []
    pending: dict[int, tuple[int, int]] = {}
    drafts: list[Draft] = []
    fresh: dict[str, EntryFields] = {}
    entries = store.state.entries
    for candidate in candidates:
        model_id = candidate.fields["model_id"]
        known = fresh.get(model_id) or entries.get(model_id) or _registered_before(store, fresh, candidate)
        if known is not None:
            outcomes.append((_outcome(known, candidate), known["model_id"], ()))
            continue
        entry = _entry_of(candidate)
        examined = _examined(store, candidate, entry, fresh)
        # A model that a gate refuses takes nothing of its owner's quota.
        over = None if examined.problems else _over_quota(store, candidate, pending)
        if problems := examined.problems or (() if over is None else (over,)):
            outcomes.append(("refused", model_id, problems))
            continue
        if model_id in store.unfinished.moves:
            trash.finish(model_id)
        placed[model_id] = candidate.files
        entry["model_path"], entry["scaler_path"] = storage.place(model_id, candidate.files)
        entry["held"], entry["gates"] = examined.held, list(examined.outcomes)
        fresh[model_id] = entry
        drafts.append(_draft(candidate, fresh[model_id], actor))
        outcomes.append(("registered", model_id, examined.notes))
    if drafts:
        # A crash before this sync may forget the names; after it, and before the append, it leaves files without an
        # entry, which the next registration of the id uses (same bytes) or moves to the trash.
        storage.sync_names()
        store.commit(drafts)
    else:
        # "duplicate" may rest on a line whose writer died before it was synced.
        store.sync()
    return outcomes


def _examined(store: Store, candidate: Candidate, entry: EntryFields, fresh: Mapping[str, EntryFields]) -> Examined:
    """Return what the gates say of a candidate, which has this entry, beside the models in service.

    Under the writer lock, over all that was committed by any process and over this batch: of two drops that are ready
    together, the later one is compared with the earlier one.
    """
    if candidate.gates is None:
        return _NO_GATES
    slot = slot_of(candidate.fields)

    def in_service(name: str) -> Mapping[str, Any] | None:
        if name != NEWEST:
            return store.state.aliased(slot, name)
        now = microseconds_of(store.now())
        newest: Mapping[str, Any] | None = store.state.newest(slot, now, calibrated=False)
        for other in fresh.values():
            at = instant_microseconds(other["trained_at"])
            is_served = slot_of(other) == slot and not other.get("held") and at <= now
            if is_served and (newest is None or at >= instant_microseconds(newest["trained_at"])):
                newest = other
        return newest

    return candidate.gates.examine(entry, in_service)


def _over_quota(store: Store, candidate: Candidate, pending: dict[int, tuple[int, int]]) -> Problem | None:
    """Return why a candidate is over the quota of its owner; else None, and count it in `pending`.

    Under the writer lock, over all that was committed by any process: drops that are ready together, or in several
    processes, do not pass a quota together.
    """
    if candidate.quota is None or (uid := uid_of_owner(candidate.owner)) is None:
        return None
    size = candidate.files.model_bytes + candidate.files.scaler_bytes
    models, used = pending.get(uid, (0, 0))
    problem = store.over_quota(candidate.quota, candidate.owner, size, (models, used))
    if problem is None:
        pending[uid] = models + 1, used + size
    return problem


def _take_back(store: Store, storage: Storage, placed: Mapping[str, StagedFiles]) -> None:
    """After a failure, remove the final names of models that were not registered. Under the writer lock.

    The journal is read first: what interrupted an append (a signal, say) may have come after the bytes, and then the
    models are registered. Where nobody knows how the journal ends the names stay. A crash before a removal leaves what
    a crash before the commit does.
    """
    store.look_again()
    for model_id, files in placed.items():
        if model_id not in store.state.entries:
            storage.displace(model_id, files)


def id_taken(model_id: str, registered_at: object = None, *, whose: str = "") -> EntryExists:
    """Return the error for an id that belongs to a model with other bytes, registered at that time if it is known.

    `whose` says to the user who dropped it whose that model is.
    """
    since = f" (registered {registered_at})" if registered_at else ""
    return EntryExists(
        f"cannot register {quoted(model_id)}: the id is taken by another model{whose}{since}, "
        "and a registered model never changes",
        hint="Choose another model_id (a date or a version in it helps), or delete that model first",
    )


def _registered_before(store: Store, fresh: Mapping[str, EntryFields], candidate: Candidate) -> EntryFields | None:
    """Return the first entry of the candidate's slot that was made of the same bytes, if its id is an automatic one.

    A job that is repeated trains no second model, and its drop gets another id only by its time. Under the writer lock,
    over what any process committed and over this batch.
    """
    filled = candidate.fields["provenance"].get("filled")
    if filled is None or "model_id" not in filled.split(","):
        return None
    slot = slot_of(candidate.fields)
    known = (*store.state.with_digest(candidate.files.sha256), *fresh.values())
    return next((entry for entry in known if slot_of(entry) == slot and _is_same(entry, candidate.files)), None)


def _outcome(known: EntryFields, candidate: Candidate) -> Outcome:
    """Return what becomes of a candidate whose id is registered already.

    A line of the same drop is that of an earlier try, which was told that it failed; it was committed nevertheless.
    """
    if not _is_same(known, candidate.files):
        return "taken"
    is_own = candidate.drop_id is not None and known.get("drop_id") == candidate.drop_id
    return "registered" if is_own else "duplicate"


def _is_same(known: EntryFields, files: StagedFiles) -> bool:
    """Return whether an entry was made of these very bytes."""
    return (known.get("sha256"), known.get("scaler_sha256")) == (files.sha256, files.scaler_sha256)


def _entry_of(candidate: Candidate) -> EntryFields:
    """Return the entry of a candidate whose files have no names yet, and which no gate has seen."""
    files = candidate.files
    return new_entry(
        candidate.fields,
        model_path="",
        scaler_path=None,
        sha256=files.sha256,
        scaler_sha256=files.scaler_sha256,
        size_bytes=files.model_bytes + files.scaler_bytes,
        origin=candidate.origin,
        drop_id=candidate.drop_id,
        imports=candidate.imports,
        verdict=candidate.verdict,
        integrity=candidate.integrity,
        frameworks=candidate.frameworks,
        owner=candidate.owner,
        load_bytes=candidate.load_bytes,
    )


def _draft(candidate: Candidate, entry: EntryFields, actor: str) -> Draft:
    return Draft(
        "register",
        entry["model_id"],
        candidate.reason,
        candidate.actor or actor,
        candidate.drop_id,
        changes_entry=True,
        entry=entry,
        rules=candidate.rules,
    )

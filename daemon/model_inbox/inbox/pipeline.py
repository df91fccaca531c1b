"""One drop's journey: claim, judge, commit, answer, release.

Owns everything that happens to a drop from the moment it is known to be whole (or to be refused) until nothing
of it is left in hand, and the same journey taken up again after a crash. Decides nothing about arrival
(`arrival`), its files (`judging`) or entries (`registry`). A drop ends registered, duplicate or rejected; in between
it can be deferred, when the disk or a lock says no, and it is then tried again from its claim.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from ..base.disk import Disk, Sync, is_temporary, remove_quietly, sync_files
from ..errors import RegistryLocked, ScanError, StorageError
from ..model.metadata import is_valid_id
from ..model.receipt import read_receipt
from ..model.sidecar import Sidecar, parse_sidecar
from ..pickles import Scanner
from ..problems import Problem, quoted
from ..registry.journal import Line
from ..registry.registry import Candidate, ModelRegistry, Registered
from ..telemetry.metrics import Tally
from .batch import Batch
from .claims import REASON_NAME, Claim, Claims, Integrity
from .folder import Inbox
from .outcomes import NotWhole, Rejected
from .readiness import SIDECAR_SUFFIX, Drop, Sighting, stem_of
from .receipts import Answers, Receipt, shown
from .staging import Staging
from .validation import Checks, Judge, Judging, named_files

__all__ = ["Intake"]

log = structlog.get_logger("model_inbox")

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
LEFT_AGAIN_SECONDS = 5.0


class Intake:
    """Carries out what was decided about drops. One thread, one daemon.

    `progress` is called after each piece of a digest or a copy. `between_drops` is called before each drop, when no
    lock is held: only it may ask the registry.
    """

    def __init__(
        self,
        inbox: Inbox,
        registry: ModelRegistry,
        scanner: Scanner,
        checks: Checks,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        disk: Disk | None = None,
        progress: Callable[[], None] = lambda: None,
        between_drops: Callable[[], None] = lambda: None,
    ) -> None:
        self.inbox = inbox
        self.registry = registry
        self._clock = clock
        self._monotonic = monotonic
        self._disk = disk if disk is not None else Disk()
        self._claims = Claims(inbox, clock=clock, monotonic=monotonic, disk=self._disk)
        self._answers = Answers(inbox.receipts_dir, clock=clock, disk=self._disk)
        self._staging = Staging(
            Path(registry.storage_dir) / ".staging",
            has_leases=lambda: inbox.has_leases,
            disk=self._disk,
            progress=progress,
        )
        self.judge = Judge(inbox, self._staging, scanner, checks, clock=clock, monotonic=monotonic, progress=progress)
        self._between_drops = between_drops
        self.tally = Tally()
        self.deferred: list[Claim] = []
        self._on_its_way = Batch()
        self.in_hand: tuple[Claim, ...] = ()
        """What is being gone on with now; those of them that were deferred before may be again."""
        self._left_again_at = 0.0
        self.last_registered_at: datetime | None = None
        self.last_rejected_at: datetime | None = None

    # --- the journey ------------------------------------------------------------------------------------------

    def take(self, drop: Drop, integrity: Integrity) -> Claim | None:
        """Claim a whole drop; None when it is gone, or cannot be moved now."""
        claim = self._claims.claim(drop.stem, drop.present, drop.sightings)
        if claim is not None:
            claim.integrity = integrity
            if drop.sidecar is not None and drop.sidecar.metadata is not None:
                claim.sidecar = drop.sidecar  # where there was too much to be kept, it is read again from the claim
            claim.sidecar_sha256 = drop.sidecar.sha256 if drop.sidecar is not None else None
        return claim

    def go_on(self, claims: Sequence[Claim], *, more: bool = False) -> None:
        """Take claimed drops to their ends. Those that are accepted commit together.

        With `more` to come, accepted drops are left on their way: the disk makes their files last while the next drops
        are judged, and they commit then. Without, nothing is left. Raises RegistryError for a registry that cannot be
        used; what is in hand then stays claimed.
        """
        self.in_hand = (*self.in_hand, *claims)
        self._turn(self._judged(claims), [claim for claim in claims if claim.committed is not None])
        while not more and not self._on_its_way.is_empty:
            self._turn([], [])
        self.in_hand = self._on_its_way.claims

    def _judged(self, claims: Sequence[Claim]) -> list[tuple[Claim, Candidate]]:
        """Stage and judge drops; end those that are not accepted, and return those that are."""
        staged: list[tuple[Claim, Judging]] = []
        for claim in claims:
            if claim.committed is not None:  # only the answer was missing
                continue
            self._between_drops()
            with self._deferring(claim):
                if not self._claims.is_in_sight(claim):
                    self._lose_sight(claim)
                    continue
                if claim.reasons:  # it is decided, and so would the next daemon find it: only the end was deferred
                    self._reject(claim, claim.reasons)
                    continue
                begun = self.judge.begin(claim)
                if isinstance(begun, Judging):
                    staged.append((claim, begun))
                else:
                    self._end_otherwise(claim, begun)
        accepted: list[tuple[Claim, Candidate]] = []
        for claim, judging in staged:
            self._between_drops()
            with self._deferring(claim):
                step = self.judge.end(claim, judging)
                if isinstance(step, Candidate):
                    accepted.append((claim, step))
                else:
                    self._end_otherwise(claim, step)
        return accepted

    def _end_otherwise(self, claim: Claim, step: Rejected | NotWhole) -> None:
        """Bring a drop that is not accepted where it belongs."""
        if isinstance(step, NotWhole):
            self._put_back(claim, step)
        else:
            self._reject(claim, step.problems)

    def _turn(self, accepted: Sequence[tuple[Claim, Candidate]], committed: Sequence[Claim]) -> None:
        """Take all that is on its way one step on, and `accepted` and `committed` drops the first.

        What was accepted a turn ago has its files on the medium now, and commits; what was answered has its receipts
        there, and is released. What this turn accepts and answers is given to the disk, all in one. A crash costs
        nothing of it: before its line a drop is begun anew from its claim, behind it the receipt is written again.
        """
        before = self._on_its_way
        synced = before.is_synced(self._monotonic)
        if accepted_before := before.accepted if synced else self._synced(before):
            self._commit(accepted_before, before.seconds)
            committed = [*committed, *(claim for claim, _ in accepted_before if claim.committed is not None)]
        self._release_answered(before, synced=synced)
        answered = self._answer(committed)
        staged = [path for _, candidate in accepted for path in candidate.files.paths]
        written = [receipt.temporary for _, receipt in answered if receipt is not None]
        began = self._monotonic()
        sync = Sync(self._disk, (*staged, *written))
        self._on_its_way = Batch(accepted, answered, sync, self._monotonic() - began)

    def _synced(self, before: Batch) -> list[tuple[Claim, Candidate]]:
        """Make the staged files last of each drop by itself; return those drops whose files do.

        A file whose own sync has failed is not asked for again, but written anew.
        """
        synced = []
        for claim, candidate in before.accepted:
            try:
                failed = before.failed(candidate.files.paths)
                if failed is not None:
                    raise failed
                sync_files(self._disk, candidate.files.paths)
            except StorageError as error:
                claim.is_unsure = True
                self._defer_accepted([(claim, candidate)], error)
            else:
                synced.append((claim, candidate))
        return synced

    def _commit(self, accepted: Sequence[tuple[Claim, Candidate]], sync_seconds: float) -> None:
        """Register together what was accepted. A drop whose id is taken is rejected."""
        began = self._monotonic()
        try:
            results = self.registry.register_staged([candidate for _, candidate in accepted])
        except StorageError as error:
            if len(accepted) > 1:  # one of them may be the cause: it must not hold up the others
                for one in accepted:
                    self._commit([one], sync_seconds)
                return
            self._defer_accepted(accepted, error)
            return
        except RegistryLocked as error:
            self._defer_accepted(accepted, error)
            return
        commit_seconds = self._monotonic() - began
        for (claim, candidate), result in zip(accepted, results, strict=True):
            claim.steps["sync"], claim.steps["commit"] = sync_seconds, commit_seconds
            self._staging.remove(candidate.files.paths)
            if result.outcome == "taken":
                with self._deferring(claim):
                    self._reject(claim, (_id_taken(candidate, result),))
            else:
                claim.committed = (result.outcome, result.entry)
                self._say_committed(claim, result.outcome, result.entry)

    def _defer_accepted(
        self, accepted: Sequence[tuple[Claim, Candidate]], error: StorageError | RegistryLocked
    ) -> None:
        for claim, candidate in accepted:
            self._staging.remove(candidate.files.paths)
            self._defer(claim, error)

    def _answer(self, committed: Sequence[Claim]) -> list[tuple[Claim, Receipt | None]]:
        """Write the receipts of committed drops; return those that are answered so."""
        answered = []
        for claim in committed:
            assert claim.committed is not None  # noqa: S101  # chosen so by the caller
            outcome, entry = claim.committed
            claim.model_id = entry.get("model_id")
            claim.digests = _digests(entry.get("sha256"), entry.get("scaler_sha256"))
            with self._deferring(claim):
                answered.append((claim, self._answers.write_receipt(claim, outcome)))
        return answered

    def _release_answered(self, before: Batch, *, synced: bool) -> None:
        """Publish the receipts of answered drops and let go of their sources.

        A crash before the receipts last leaves the claims, whose drop_ids the journal knows: the restart answers
        again. So does a retry after a full disk.
        """
        answered = []
        for claim, receipt in before.answered:
            failed = before.failed([receipt.temporary]) if receipt is not None else None
            if failed is not None:
                self._defer(claim, failed)
            else:
                answered.append((claim, receipt))
        try:
            self._answers.publish([receipt for _, receipt in answered if receipt is not None], synced=synced)
        except StorageError as error:
            for claim, _ in answered:
                self._defer(claim, error)
            return
        for claim, _ in answered:
            with self._deferring(claim):
                self._claims.release(claim)

    def rest(self) -> None:
        """There is nothing to do now: let go of what was kept for the next drop."""
        self._claims.tidy()

    def refuse(self, drop: Drop, problems: tuple[Problem, ...]) -> Claim | None:
        """Claim a drop that is not acceptable as it stands; only files of the sidecar's owner go with it."""
        claim = self._claims.claim(drop.stem, (drop.sidecar_name, *drop.own_files), drop.sightings)
        if claim is not None:
            claim.refused = problems
            claim.absent = tuple(name for name in drop.files.values() if name not in drop.sightings)
            if drop.sidecar is not None:
                claim.model_id = drop.sidecar.model_id
                claim.sidecar_sha256 = drop.sidecar.sha256
        return claim

    def refuse_stray(self, stray: Sighting, problems: tuple[Problem, ...]) -> Claim | None:
        """Claim a file without a sidecar, to be rejected."""
        claim = self._claims.claim(stem_of(stray.name), (stray.name,), {stray.name: stray})
        if claim is not None:
            claim.refused = problems
        return claim

    def retry_deferred(self) -> list[Claim]:
        """Return the deferred drops whose time has come, no longer deferred."""
        now = self._monotonic()
        due = [claim for claim in self.deferred if claim.retry_at <= now]
        self.deferred = [claim for claim in self.deferred if claim.retry_at > now]
        return due

    @property
    def next_retry_seconds(self) -> float | None:
        """In how many seconds the next deferred drop is due, or None."""
        return min((max(c.retry_at - self._monotonic(), 0.0) for c in self.deferred), default=None)

    # --- after a restart --------------------------------------------------------------------------------------

    def recover(self) -> list[Claim]:
        """Settle what an earlier daemon had in hand; return the claims to go on with, from the start.

        Also removes leftovers in the staging folder. Raises RegistryError.
        """
        self._staging.clean(self._clock().timestamp())
        self._claims.clean()
        return self.take_up_left()

    def take_up_left(self) -> list[Claim]:
        """Settle the claims that are there and that nobody has in hand; return those to go on with.

        They were left by a crash, or were out of sight with the whole inbox for a while. A drop whose drop_id is
        in the journal was registered, whatever came after: only its answer may be missing. Costs the listing of
        a folder that is empty but for them. Raises RegistryError.
        """
        if self._monotonic() < self._left_again_at:
            return []
        self._staging.remove_left()
        in_hand = {claim.folder for claim in self.deferred}
        claims: list[Claim] = []
        try:
            for folder, names in self._claims.folders():
                if folder in in_hand:
                    continue
                try:
                    claims += self._settle_left(folder, names)
                except StorageError as error:
                    self._leave(error)
            registered = self.registry.registrations({claim.drop_id for claim in claims}) if claims else {}
        except (StorageError, RegistryLocked) as error:
            self._leave(error)
            return []
        return [claim for claim in claims if self._sort_left(claim, registered.get(claim.drop_id))]

    def _leave(self, error: StorageError | RegistryLocked) -> None:
        """Leave claims that nobody has in hand for a moment."""
        self._left_again_at = self._monotonic() + LEFT_AGAIN_SECONDS
        log.warning("drop.deferred", cause=str(error), retry_in_seconds=LEFT_AGAIN_SECONDS)

    def _settle_left(self, folder: Path, names: list[str]) -> list[Claim]:
        """Finish with a claim that was left, or return it (in a list) if it is a drop to go on with."""
        for name in filter(is_temporary, names):  # of reasons whose writing was cut short; no drop has such a file
            remove_quietly(self._disk, folder / name)
        names = [name for name in names if not is_temporary(name)]
        if REASON_NAME in names:  # refused: the receipt and the move may be missing
            reason, receipt = self._answers.repeat_receipt(folder)
            self._answers.publish([receipt] if receipt is not None else [])
            _say_rejected_before(folder.name, reason, self._claims.rejected_place(folder))
            self._claims.reject(folder)
            self.last_rejected_at = self._clock()
            self.tally.drop_ended("rejected")
            return []
        sidecar_name = next((name for name in names if name.endswith(SIDECAR_SUFFIX)), None)
        if sidecar_name is not None:
            return [self._claims.take_up(folder, sidecar_name, names)]
        left = self._claims.give_up(folder, names)
        if left:
            self._reject(Claim(folder.name, folder, stem_of(left[0]), left), (_replaced(left[0]),))
        return []

    def _sort_left(self, claim: Claim, line: Line | None) -> bool:
        """Complete a claim that was left, unless `line` registered it; tell whether to go on with it now."""
        if line is not None:
            claim.committed = ("registered", line.entry or {})
            log.info("drop.recovered", drop_id=claim.drop_id, stem=shown(claim.stem), sequence=line.sequence)
        with self._deferring(claim):
            if line is None and self._was_duplicate(claim):
                self._claims.release(claim)
                return False
            text = self.judge.read_sidecar(claim)
            if text is not None:
                claim.sidecar_sha256 = hashlib.sha256(text).hexdigest()
            if line is None and text is not None:
                sidecar = parse_sidecar(text, stem=claim.stem, now=self._clock())
                self._claims.fetch(claim, self._missing_files(claim, sidecar))
            return True
        return False

    def _missing_files(self, claim: Claim, sidecar: Sidecar) -> list[str]:
        """Return what of a claim that was cut short may still be in the inbox: of two possible scalers only one."""
        model, *scalers = named_files(claim.stem, sidecar)
        if not sidecar.scaler_declared:
            there = [name for name in scalers if name in claim.names or os.path.lexists(self.inbox.path / name)]
            scalers = [] if any(name in claim.names for name in scalers) else there[:1]
        return [name for name in (model, *scalers) if name not in claim.names]

    def _was_duplicate(self, claim: Claim) -> bool:
        """Tell whether a claim that was left was answered as a duplicate, and only its release was cut short.

        The journal has no line of a duplicate, so the receipt tells: it lasts before the first source goes.
        """
        if not is_valid_id(claim.stem):
            return False
        try:
            receipt = read_receipt(self.inbox.receipts_dir, claim.stem) or {}
        except OSError as error:
            raise StorageError("read the receipt of", claim.folder, error) from error
        return receipt.get("outcome") == "duplicate" and receipt.get("drop_id") == claim.drop_id

    # --- ends that are no registration --------------------------------------------------------------------------

    def _reject(self, claim: Claim, problems: tuple[Problem, ...]) -> None:
        """Move a drop to `rejected/` with its reasons, and answer.

        The reasons last before the move: a crash after that finds them in the claim and completes the move. The
        answer and the line in the log come before the move, too, or a crash could leave a rejected drop that nobody is
        told of.
        """
        if claim.reasons != problems:
            self._answers.write_reason(claim, problems)
            claim.reasons = problems
        receipt = self._answers.write_receipt(claim, "rejected", problems)
        self._answers.publish([receipt] if receipt is not None else [])
        seconds = self._monotonic() - claim.began
        if not claim.told:
            claim.told = True
            log.warning(
                "drop.rejected",
                drop_id=claim.drop_id,
                stem=shown(claim.stem),
                model_id=claim.model_id,
                problems=_said(problems),
                codes=[problem.code for problem in problems],
                owner=claim.owner,
                rejected_dir=str(self._claims.rejected_place(claim.folder)),
                seconds=seconds,
                steps=claim.steps,
            )
        self._claims.reject(claim.folder)
        self.last_rejected_at = self._clock()
        self.tally.drop_ended("rejected", seconds, claim.steps)

    def _put_back(self, claim: Claim, step: NotWhole) -> None:
        """Return a drop that is not whole after all; it is tried again when its files change."""
        taken = self._claims.put_back(claim)
        if taken is not None:
            claim.names = [name for name in claim.names if os.path.lexists(claim.folder / name)]
            self._reject(claim, (*step.problems, _replaced(taken)))
            return
        self.tally.put_back += 1
        if step.final:
            self.inbox.note_not_whole(claim.stem, claim.expected, step.problems)
        else:
            self.inbox.note_changed(claim.stem, claim.names, step.problems)
        log.info("drop.put_back", drop_id=claim.drop_id, stem=shown(claim.stem), problems=_said(step.problems))

    def _lose_sight(self, claim: Claim) -> None:
        """Let go of a drop whose claim went away with the inbox; `take_up_left` finds it when that is back."""
        log.warning(
            "drop.deferred",
            drop_id=claim.drop_id,
            stem=shown(claim.stem),
            cause=f"{str(claim.folder)!r} is out of sight: the inbox was moved away, mounted over or removed",
            attempt=claim.attempts,
        )

    def _say_committed(self, claim: Claim, outcome: str, entry: Mapping[str, Any]) -> None:
        shared: dict[str, Any] = {
            "drop_id": claim.drop_id,
            "stem": shown(claim.stem),
            "model_id": entry["model_id"],
            "sha256": entry["sha256"],
            "scaler_sha256": entry["scaler_sha256"],
            "owner": claim.owner,
            "sequence": entry["sequence"],
            "seconds": self._monotonic() - claim.began,
            "steps": claim.steps,
        }
        self.tally.drop_ended(outcome, shared["seconds"], claim.steps)
        if outcome == "duplicate":
            log.info("drop.duplicate", **shared)
            return
        self.last_registered_at = self._clock()
        log.info(
            "drop.registered",
            **shared,
            currency_pair=entry["currency_pair"],
            model_type=entry["model_type"],
            bytes=entry["size_bytes"],
            integrity=entry["integrity"],
            notes=_said(claim.notes) or None,
        )

    # --- trouble with the disk --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _deferring(self, claim: Claim) -> Iterator[None]:
        """Keep a drop in hand, to be tried again, when the disk says no."""
        try:
            yield
        except (StorageError, RegistryLocked, ScanError) as error:
            self._defer(claim, error)
        except OSError as error:
            self._defer(claim, StorageError("go on with", claim.folder, error))
        except MemoryError:
            no_memory = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
            self._defer(claim, StorageError("go on with", claim.folder, no_memory))

    def _defer(self, claim: Claim, error: StorageError | RegistryLocked | ScanError) -> None:
        claim.attempts += 1
        claim.deferred_because = str(error)
        self.tally.deferrals += 1
        wait = min(FIRST_RETRY_SECONDS * 2 ** (claim.attempts - 1), LONGEST_RETRY_SECONDS)
        claim.retry_at = self._monotonic() + wait
        self.deferred.append(claim)
        log.warning(
            "drop.deferred",
            drop_id=claim.drop_id,
            stem=shown(claim.stem),
            cause=str(error),
            retry_in_seconds=wait,
            attempt=claim.attempts,
        )


def _replaced(name: str) -> Problem:
    return Problem(
        "drop.replaced",
        f"a newer {quoted(name)} was put into the inbox while this one was being checked",
        "Nothing, if the newer one is meant; it is judged on its own",
        file=name,
    )


def _said(problems: Sequence[Problem]) -> list[str]:
    return [str(problem) for problem in problems]


def _digests(model: str | None, scaler: str | None) -> dict[str, str]:
    return {role: digest for role, digest in (("model", model), ("scaler", scaler)) if digest is not None}


def _say_rejected_before(drop_id: str, reason: Mapping[str, Any], place: Path) -> None:
    """Log a rejection that an earlier daemon decided and did not live to finish."""
    problems = [p for p in reason.get("problems", ()) if isinstance(p, dict) and "code" in p and "message" in p]
    log.warning(
        "drop.rejected",
        drop_id=drop_id,
        stem=reason.get("stem"),
        model_id=reason.get("model_id"),
        problems=_said([Problem.from_dict(problem) for problem in problems]),
        codes=[problem["code"] for problem in problems],
        owner=reason.get("owner"),
        rejected_dir=str(place),
    )


def _id_taken(candidate: Candidate, result: Registered) -> Problem:
    model_id = candidate.fields["model_id"]
    return Problem(
        "registry.model_id_taken",
        f"the model_id {quoted(model_id)} is taken by a model with other bytes, "
        f"registered {result.entry.get('registered_at')}",
        "A registered model never changes: choose another model_id (with a date or a version in it)",
        field="model_id",
    )

"""One drop's journey: claim, judge, commit, answer, release.

Owns everything that happens to a drop from the moment it is known to be complete (or to be refused) until nothing
of it is left in hand, and the same journey taken up again after a crash. Decides nothing about readiness
(`readiness`), about files (`validation`) or about entries (`registry`). A drop ends registered, duplicate or rejected.
In between it can be deferred, because of the disk or a lock. It is then tried again from its claim.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..base.disk import Sync, sync_files
from ..base.log import log
from ..base.machine import Machine
from ..errors import RegistryError, RegistryLocked, StorageError
from ..model.file_names import stem_of
from ..model.owner import uid_of_owner
from ..pickles import Scanner
from ..problems import Problem, escaped
from ..problems.checks import checks_near_pair
from ..registry.entry import EntryFields, as_fields
from ..registry.outcomes import Candidate
from ..registry.registration import id_taken
from ..registry.registry import ModelRegistry
from ..telemetry.metrics import Tally
from .batch import Batch
from .beside import LARGE_BYTES, Beside
from .claims import Claim, Claims, Committed, Integrity, Left, Refused, SetAside, ToJudge, ToRefuse
from .deferral import Retries
from .differences import differences, tags_differ
from .drop import Drop, Sighting
from .endings import Endings
from .failures import FATAL_ERRORS, PASSING_ERRORS
from .folder import Inbox
from .obstacles import Obstacles
from .receipts import Answers, Receipt
from .recovery import Recovery
from .staging import Staging
from .tries import Tries
from .validation import Checks, Judge, Judging

__all__ = ["Foresee", "Intake"]

Foresee = Callable[[Sequence[EntryFields]], Mapping[str, Problem]]


class Intake:
    """Carries out what was decided about drops. One thread, one daemon.

    `between_drops` is called between two drops, when no lock is held: only it may ask the registry. It raises nothing.
    Drops of `large_bytes` and more are judged beside the others, each with a scanner of `make_scanner`; `wake` is
    called when one was.
    """

    large_bytes = LARGE_BYTES

    def __init__(
        self,
        inbox: Inbox,
        registry: ModelRegistry,
        scanner: Scanner,
        checks: Checks,
        machine: Machine,
        *,
        between_drops: Callable[[], None] = lambda: None,
        make_scanner: Callable[[], Scanner],
        wake: Callable[[], None],
    ) -> None:
        self.inbox = inbox
        self.registry = registry
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._disk = machine.disk
        self._claims = Claims(inbox, machine)
        self._answers = Answers(inbox.receipts_dir, inbox.privacy, registry, machine)
        self._staging = Staging(Path(registry.storage_dir) / ".staging", inbox, machine)
        self.judge = Judge(inbox, self._staging, scanner, checks, machine, over_quota=registry.over_quota)
        self._beside = Beside(self._judge_beside, make_scanner, machine, wake)
        self._between_drops = between_drops
        self.tally = Tally()
        self._endings = Endings(inbox, self._claims, self._answers, self.tally, machine)
        self.obstacles = Obstacles(inbox, Path(registry.registry_path), Path(registry.storage_dir), machine)
        tries = Tries(inbox, machine)
        self._retries = Retries(tries, self.obstacles, self.tally, machine)
        self.deferred = self._retries.claims
        """The drops that wait to be tried again. Only `Retries` changes it."""
        self._recovery = Recovery(
            inbox, registry, self._claims, self._answers, self.judge, self._retries, tries, self.tally, machine
        )
        self.foresee: Foresee | None = None
        """Returns a note for each of these new entries that the rules will retire, by its id. None: there are none."""
        self._batch: Batch | None = None
        self.in_hand: tuple[Claim, ...] = ()
        """What is being gone on with now; those of them that were deferred before may be again."""

    # --- the journey ------------------------------------------------------------------------------------------

    def take(self, drop: Drop, integrity: Integrity) -> Claim | None:
        """Claim a complete drop; None when it is gone, or cannot be moved now."""
        sidecar = drop.sidecar
        # Where there was too much to be kept, the sidecar is read again from the claim.
        is_kept = sidecar is not None and sidecar.metadata is not None
        stage = ToJudge(integrity, sidecar if is_kept else None)
        claim = self._claims.claim(drop.stem, drop.sightings, stage)
        if claim is not None:
            claim.sidecar_sha256 = sidecar.sha256 if sidecar is not None else None
            claim.roles = drop.files
            claim.notes = drop.notes if drop.others else ()
        return claim

    def go_on(self, claims: Sequence[Claim], *, more: bool = False) -> bool:
        """Take claimed drops to their ends. Those that are accepted commit together.

        With `more` to come, accepted drops are left on their way: the disk syncs their files while the next drops
        are judged, and they commit then. Without, nothing is left. A drop that failed before is taken alone, after the
        others. Returns whether a model was registered. Raises one of FATAL_ERRORS for a registry that cannot be used;
        what is in hand then stays claimed.
        """
        registered = self.tally.drops["registered"]
        alone = [claim for claim in claims if claim.alone]
        try:
            if not alone:
                self._go_on_together(claims, more=more)
            else:
                self._go_on_together([claim for claim in claims if not claim.alone], more=False)
                # A start of the worker takes long; an end of the daemon in it must not count against a drop.
                self.judge.scanner.make_ready()
                for claim in alone:
                    self._go_on_together([claim], more=False)
        finally:
            self.inbox.work.write()  # an end from here on is no drop's fault
        return self.tally.drops["registered"] != registered

    def _go_on_together(self, claims: Sequence[Claim], *, more: bool) -> None:
        """Do as `go_on` says. An exception that no single drop can be blamed for is a failure of each drop in hand: all
        are tried alone then, and only the one that fails again is set aside.
        """
        self.in_hand = (*self.in_hand, *claims)
        try:
            self._turn(self._judged(claims), claims)
            while self._batch is not None and not more:
                self._turn([], [])
        except FATAL_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  # as in `_deferring`
            self._defer_in_hand(error)
        batch = self._batch
        self.in_hand = tuple(claim for claim, _ in (*batch.accepted, *batch.answered)) if batch is not None else ()

    def _defer_in_hand(self, error: Exception) -> None:
        """Defer every drop in hand that has not come to its end. What it is at is found out again."""
        self._batch = None
        deferred = {claim.drop_id for claim in self._retries.claims}
        for claim in self.in_hand:
            if claim.drop_id not in deferred and claim.folder.is_dir():
                with self._deferring(claim):
                    raise error

    def _judged(self, claims: Sequence[Claim]) -> list[tuple[Claim, Candidate]]:
        """Stage and judge drops; end those that are not accepted, and return those that are."""
        accepted: list[tuple[Claim, Candidate]] = []
        staged: list[tuple[Claim, Judging]] = []
        for claim in claims:
            if isinstance(claim.stage, Committed):  # only the answer is missing
                if claim.alone:  # perhaps since before the staged names were removed
                    self._staging.remove(self._staging.targets(claim).values())
                continue
            self.inbox.work.write()  # what others do between two drops is no work on one
            self._between_drops()
            with self._deferring(claim):
                self.inbox.work.write(claim.drop_id)
                if not claim.folder.is_dir():
                    self._endings.lose_sight(claim)
                    if claim.drop_id in self._beside.jobs:
                        self._beside.forget(claim)
                        self._staging.remove(self._staging.targets(claim).values())
                    continue
                if isinstance(claim.stage, SetAside):
                    self._staging.remove(self._staging.targets(claim).values())
                if isinstance(claim.stage, Refused | SetAside):  # why is known: only its end is missing
                    self._endings.reject(claim, claim.stage.problems)
                    continue
                is_large = claim.size >= self.large_bytes and isinstance(claim.stage, ToJudge)
                begun = self._beside.go_on(claim) if is_large else self.judge.begin(claim)
                if isinstance(begun, Judging):
                    staged.append((claim, begun))
                elif isinstance(begun, Candidate):
                    accepted.append((claim, begun))
                elif begun is not None:
                    self._endings.end(claim, begun)
        for claim, judging in staged:
            self.inbox.work.write()
            self._between_drops()
            with self._deferring(claim):
                self.inbox.work.write(claim.drop_id)
                step = self.judge.end(claim, judging)
                if isinstance(step, Candidate):
                    accepted.append((claim, step))
                else:
                    self._endings.end(claim, step)
        return accepted

    def _judge_beside(self, machine: Machine, scanner: Scanner) -> Judge:
        """Return a judge that shares nothing with the one of the loop but what it reads."""
        staging = Staging(Path(self.registry.storage_dir) / ".staging", self.inbox, machine)
        return Judge(self.inbox, staging, scanner, self.judge.checks, machine, over_quota=self.registry.over_quota)

    def _turn(self, accepted: Sequence[tuple[Claim, Candidate]], claims: Sequence[Claim]) -> None:
        """Take all that is on its way one step on, and the `accepted` drops and those committed of `claims` the first.

        What was accepted a turn ago has its files on the medium now, and commits; what was answered has its receipts
        there, and is released. What this turn accepts and answers is given to the disk, all in one. A crash costs
        nothing of it: before its line a drop is validated again from its claim, behind it the receipt is written again.
        """
        before = self._batch
        self.inbox.work.write()  # to wait for the disk is no work on a drop
        if before is not None:
            synced = before.wait(self._monotonic)
            if accepted_before := before.accepted if synced else self._synced(before):
                self._commit(accepted_before, before.seconds)
                claims = [*claims, *(claim for claim, _ in accepted_before)]
            if before.answered:
                self._release_answered(before, synced=synced)
        answered = self._answer(claims)
        if not accepted and not answered:
            self._batch = None
            return
        staged = [path for _, candidate in accepted for path in candidate.files.paths]
        written = [receipt.temporary for _, receipt in answered if receipt is not None]
        began = self._monotonic()
        sync = Sync(self._disk, (*staged, *written))
        self._batch = Batch(accepted, answered, sync, self._monotonic() - began)

    def _synced(self, before: Batch) -> list[tuple[Claim, Candidate]]:
        """Sync the staged files of each drop separately. Return the drops whose files are durable.

        A file whose own sync has failed is not asked for again: the file is written again.
        """
        synced = []
        for claim, candidate in before.accepted:
            try:
                failed = before.failed(candidate.files.paths)
                if failed is not None:
                    raise failed
                sync_files(self._disk, candidate.files.paths)
            except StorageError as error:
                if isinstance(claim.stage, ToJudge):
                    claim.stage = claim.stage._replace(by_copy=True)
                self._defer_accepted([(claim, candidate)], error)
            else:
                synced.append((claim, candidate))
        return synced

    def _commit(self, accepted: Sequence[tuple[Claim, Candidate]], sync_seconds: float) -> None:
        """Register together what was accepted. A drop whose id is taken is rejected."""
        began = self._monotonic()
        self.inbox.work.write(*[claim.drop_id for claim, _ in accepted])
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
        fresh = [result.entry for result in results if result.outcome == "registered"]
        soon: Mapping[str, Problem] = {}
        if self.foresee is not None and fresh:
            # They are registered, whatever can be said of them.
            with contextlib.suppress(*PASSING_ERRORS):
                soon = self.foresee(fresh)
        for (claim, candidate), result in zip(accepted, results, strict=True):
            with self._deferring(claim):
                claim.steps["sync"], claim.steps["commit"] = sync_seconds, commit_seconds
                self._staging.remove(candidate.files.paths)
                entry = result.entry
                if result.outcome == "taken":
                    taken = id_taken(entry["model_id"], entry.get("registered_at"), whose=_whose(entry, claim))
                    self._endings.reject(claim, (taken.as_problem(field="model_id"),))
                elif result.outcome == "refused":
                    self._endings.reject(claim, result.problems)
                else:
                    differing = self._differences(entry, candidate) if result.outcome == "duplicate" else ()
                    done: Literal["registered", "duplicate"]
                    done = "duplicate" if result.outcome == "duplicate" else "registered"
                    claim.stage = Committed(done, entry, differing)
                    claim.notes += result.notes
                    if result.near_pair is not None:
                        claim.notes += (checks_near_pair(entry["currency_pair"], *result.near_pair),)
                    if done == "registered" and entry["model_id"] in soon:
                        claim.notes += (soon[entry["model_id"]],)
                    self._say_committed(claim, claim.stage)

    def _differences(self, entry: EntryFields, candidate: Candidate) -> tuple[Problem, ...]:
        """Return what the metadata of a duplicate says otherwise than its entry.

        Tags may have been changed since; only where they differ the history is asked for the first ones. Where it does
        not tell (pruned, rebuilt, damaged) they are not compared.
        """
        first_tags = None
        if tags_differ(entry, candidate.fields):
            with contextlib.suppress(StorageError, RegistryError):
                lines = self.registry.history(entry["model_id"])
                made = [line.entry for line in lines if line.operation == "register" and line.entry is not None]
                first_tags = as_fields(made[-1]).get("tags") or {} if made else None
        return differences(entry, candidate.fields, first_tags)

    def _defer_accepted(
        self, accepted: Sequence[tuple[Claim, Candidate]], error: StorageError | RegistryLocked
    ) -> None:
        for claim, candidate in accepted:
            self._staging.remove(candidate.files.paths)
            self._retries.defer(claim, error)

    def _answer(self, claims: Sequence[Claim]) -> list[tuple[Claim, Receipt | None]]:
        """Write the receipts of the drops that are committed; return those that are answered so."""
        answered = []
        for claim in claims:
            if not isinstance(claim.stage, Committed):
                continue
            with self._deferring(claim):
                self.inbox.work.write(claim.drop_id)
                entry = claim.stage.entry
                claim.model_id = entry["model_id"]
                claim.digests = _digests(entry.get("sha256"), entry.get("scaler_sha256"))
                outcome, problems = claim.stage.outcome, claim.stage.problems
                sequence = entry["sequence"] if outcome == "registered" else None
                answered.append((claim, self._answers.write_receipt(claim, outcome, problems, sequence=sequence)))
        return answered

    def _release_answered(self, before: Batch, *, synced: bool) -> None:
        """Publish the receipts of answered drops and remove their sources.

        A crash before the receipts are durable leaves the claims, whose drop_ids are in the journal: the next start
        answers again. So does a retry after a full disk.
        """
        answered = before.answered if synced else self._written(before)
        self.inbox.work.write(*[claim.drop_id for claim, _ in answered])
        receipts = [receipt for _, receipt in answered if receipt is not None]
        try:
            if receipts:
                self._answers.publish(receipts, synced=synced)
        except StorageError as error:
            for claim, _ in answered:
                self._retries.defer(claim, error)
            return
        for claim, _ in answered:
            with self._deferring(claim):
                self._claims.release(claim)

    def _written(self, before: Batch) -> list[tuple[Claim, Receipt | None]]:
        """Return the answered drops, without those whose receipt is known to have failed to sync."""
        answered = []
        for claim, receipt in before.answered:
            failed = before.failed([receipt.temporary]) if receipt is not None else None
            if failed is not None:
                self._retries.defer(claim, failed)
            else:
                answered.append((claim, receipt))
        return answered

    def release_spare_folders(self) -> None:
        """Remove what was kept for the next drop, and what could not be removed before: there is nothing to do now."""
        self._claims.tidy()
        if self._staging.left:
            self._staging.remove_left()

    def refuse(self, drop: Drop, problems: tuple[Problem, ...]) -> Claim | None:
        """Claim a drop that is not acceptable as it stands; only files of the sidecar's owner go with it."""
        stage = ToRefuse(problems, tuple(name for name in drop.files.values() if name not in drop.sightings))
        claim = self._claims.claim(drop.stem, drop.refused_together, stage)
        if claim is not None and drop.sidecar is not None:
            claim.model_id = drop.sidecar.model_id
            claim.sidecar_sha256 = drop.sidecar.sha256
        return claim

    def join_rejected(self, stray: Sighting, drop_id: str) -> None:
        """Put a file to its sidecar, which was rejected before it came. Raises StorageError.

        A crash before the move leaves it in the inbox, where it is found again; after it there is nothing to do.
        """
        self._claims.join_rejected(stray, drop_id)
        log.info("drop.completed_rejected", drop_id=drop_id, file=escaped(stray.name))

    def refuse_stray(self, stray: Sighting, problems: tuple[Problem, ...]) -> Claim | None:
        """Claim a file without a sidecar, to be rejected."""
        return self._claims.claim(stem_of(stray.name), {stray.name: stray}, ToRefuse(problems))

    def resume(self) -> list[Claim]:
        """Return the drops to be gone on with: the deferred ones whose time has come, and what nobody has in hand.

        Raises RegistryError.
        """
        # Before the deferred ones that are due stop being in hand.
        jobs = self._beside.jobs
        left = self._recovery.take_up([job.claim for job in jobs.values()])
        if jobs:
            left += self._beside.ended()
        if not self._retries.claims:
            return left
        due = self._retries.due()
        unclear = [claim for claim in due if isinstance(claim.stage, Left)]
        settled = self._recovery.settle(unclear) if unclear else []
        return [*(claim for claim in due if claim not in unclear), *settled, *left]

    def retry_at(self, claim: Claim) -> float:
        """Return when, on the monotonic clock, a deferred drop is tried again."""
        return self._retries.at(claim)

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds something in hand is to be tried again, or None."""
        if self._beside.ended():
            return 0.0
        moments = (self._retries.next_at, self._recovery.next_at, self.obstacles.next_at)
        return min((max(moment - now, 0.0) for moment in moments if moment is not None), default=None)

    def recover(self) -> list[Claim]:
        """Empty the staging folder and take up what an earlier daemon had in hand; return what to go on with.

        For a start. Raises RegistryError.
        """
        self._staging.clean(self._clock().timestamp())
        self._claims.clean()
        return self._recovery.take_up(())

    def close(self) -> None:
        """Interrupt the work on large drops; they stay claimed."""
        self._beside.close()

    # --- the line in the log --------------------------------------------------------------------------------------

    def _say_committed(self, claim: Claim, committed: Committed) -> None:
        entry = committed.entry
        shared: dict[str, Any] = {
            "drop_id": claim.drop_id,
            "stem": escaped(claim.stem),
            "model_id": entry["model_id"],
            "sha256": entry["sha256"],
            "scaler_sha256": entry["scaler_sha256"],
            "owner": claim.owner_name,
            "sequence": entry["sequence"],
            "seconds": self._monotonic() - claim.began,
            "steps": claim.steps,
        }
        self.tally.drop_ended(committed.outcome, self._clock(), shared["seconds"], claim.steps)
        if committed.outcome == "duplicate":
            log.info("drop.duplicate", **shared, problems=[str(problem) for problem in committed.problems] or None)
            return
        if entry.get("held"):
            self.tally.holds += 1
        log.info(
            "drop.registered",
            **shared,
            currency_pair=entry["currency_pair"],
            model_type=entry["model_type"],
            variant=entry.get("variant") or None,
            held=entry.get("held"),
            bytes=entry["size_bytes"],
            integrity=entry["integrity"],
            notes=[str(note) for note in claim.notes] or None,
        )

    # --- trouble with the disk --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _deferring(self, claim: Claim) -> Iterator[None]:
        """Defer the drop if the disk fails, or on an exception that nobody foresaw."""
        try:
            yield
        except PASSING_ERRORS as error:
            self._retries.defer(claim, error)
        except FATAL_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, one drop must not stop the daemon
            self._retries.fail(claim, error)


def _whose(entry: EntryFields, claim: Claim) -> str:
    """Return whose a registered model is for the user of a drop. The names of others are not told."""
    uid = uid_of_owner(entry.get("owner"))
    return "" if uid is None else " of yours" if uid == claim.uid else " of another user"


def _digests(model: str | None, scaler: str | None) -> dict[str, str]:
    return {role: digest for role, digest in (("model", model), ("scaler", scaler)) if digest is not None}

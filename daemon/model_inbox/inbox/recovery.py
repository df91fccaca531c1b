"""Claims that nobody has in hand: what an earlier daemon left, or what came back with an inbox that had gone away.

Owns looking at what there is of each, and carrying out what the table in `states` says of that: what is finished here,
and what the intake goes on with as if it had just been claimed. Judges nothing and registers nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..base.disk import is_temporary, remove_quietly
from ..base.log import log
from ..base.machine import Machine
from ..errors import RegistryCorrupted, RegistryLocked, StorageError
from ..model.file_names import SIDECAR, choose, stems_of
from ..model.metadata import is_valid_id
from ..model.owner import name_of_owner
from ..model.receipt import REASON_NAME, read_receipt
from ..problems import escaped, problems_in
from ..problems.drop import drop_replaced, drop_unexpected
from ..registry.entry import as_fields
from ..registry.journal import Line
from ..registry.registry import ModelRegistry
from ..telemetry.metrics import Tally
from .claims import Claim, Claims, Committed, SetAside, ToJudge, ToRefuse
from .deferral import Retries
from .failures import FAILURES_MAX, FATAL_ERRORS, PASSING_ERRORS
from .folder import Inbox
from .receipts import Answers
from .states import Action, Traces, actions_for, signs_of
from .tries import Tries
from .validation import Judge

__all__ = ["Recovery"]

LEFT_AGAIN_SECONDS = 5.0


class Recovery:
    """Takes up claims that were left. One thread, one daemon."""

    def __init__(
        self,
        inbox: Inbox,
        registry: ModelRegistry,
        claims: Claims,
        answers: Answers,
        judge: Judge,
        retries: Retries,
        tries: Tries,
        tally: Tally,
        machine: Machine,
    ) -> None:
        self._inbox = inbox
        self._registry = registry
        self._claims = claims
        self._answers = answers
        self._judge = judge
        self._retries = retries
        self._tries = tries
        self._tally = tally
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._disk = machine.disk
        self.next_at: float | None = None
        """When, on the monotonic clock, to list the claims again that could not be listed; None: they could."""
        self.problem = ""
        """Why the claims could not be listed."""

    def take_up(self, beside: Sequence[Claim]) -> list[Claim]:
        """Settle the claims that are there and that nobody has in hand, also not `beside`; return those to go on with.

        They were left by a crash, or were out of sight with the whole inbox for a while. Costs the listing of a folder
        that is empty but for them. Raises RegistryError.
        """
        if self.next_at is not None and self._monotonic() < self.next_at:
            return []
        self.next_at = None
        in_hand = {claim.folder for claim in (*self._retries.claims, *beside)}
        try:
            left = [claim for claim in self._claims.left() if claim.folder not in in_hand]
        except StorageError as error:
            self.next_at = self._monotonic() + LEFT_AGAIN_SECONDS
            if str(error) != self.problem:
                log.warning("drop.recovery_failed", problem=str(error), retry_in_seconds=LEFT_AGAIN_SECONDS)
            self.problem = str(error)
            return []
        self.problem = ""
        for claim in left:
            self._tries.recall(claim)
        if self._inbox.died.words:
            self._inbox.deaths_counted()
        return self.settle(left) if left else []

    def settle(self, claims: Sequence[Claim]) -> list[Claim]:
        """Do with claims that were left what their states say; return those to go on with. Raises FATAL_ERRORS."""
        seen: list[tuple[Claim, Traces]] = []
        for claim in claims:
            if claim.failures > FAILURES_MAX and claim.retry is None:
                # The daemon before died, or failed, when it set the drop aside. All others come first.
                self._retries.wait_after_failure(claim)
                continue
            with self._deferring(claim):
                seen.append((claim, self._look_into(claim)))
        self._inbox.work.write()  # to ask the journal for all of them is no work on one
        unclear = {claim.drop_id for claim, traces in seen if _is_unclear(claim, traces)}
        lines: Mapping[str, Line] = {}
        failed: Exception | None = None
        try:
            lines = self._registry.registrations(unclear) if unclear else {}
        except (StorageError, RegistryLocked) as error:
            failed = error
        except RegistryCorrupted as error:
            if not self._registry.is_in_history(error):
                raise
            failed = error  # whether they were registered cannot be told now; all other drops go on
        go_on: list[Claim] = []
        for claim, traces in seen:
            if failed is not None and claim.drop_id in unclear:
                self._retries.defer(claim, failed)
                continue
            with self._deferring(claim):
                if self._settle(claim, traces, lines.get(claim.drop_id)):
                    go_on.append(claim)
        self._inbox.work.write()
        return go_on

    @contextlib.contextmanager
    def _deferring(self, claim: Claim) -> Iterator[None]:
        self._inbox.work.write(claim.drop_id)
        try:
            yield
        except PASSING_ERRORS as error:
            self._retries.defer(claim, error)
        except FATAL_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, one drop must not stop the daemon
            self._retries.fail(claim, error)

    # --- looking ----------------------------------------------------------------------------------------------

    def _look_into(self, claim: Claim) -> Traces:
        """Return what there is of a claim in its folder, and take up the files in it."""
        names = self._claims.names_in(claim)
        for name in filter(is_temporary, names):  # of reasons whose writing was cut short; no drop has such a file
            remove_quietly(self._disk, claim.folder / name)
        files = [name for name in names if name != REASON_NAME and not is_temporary(name)]
        self._claims.take_up(claim, files)
        return Traces(claim=signs_of(files), reason=REASON_NAME in names, rejected=False)

    def _settle(self, claim: Claim, traces: Traces, line: Line | None) -> bool:
        """Look at as much as it takes to know what to do with a claim, and do it; return whether to go on with it.

        The journal comes first: it is the commit point. A drop that failed too often is set aside, unless the registry
        has it: then only its answer is written.
        """
        is_set_aside = claim.failures >= FAILURES_MAX and claim.files and line is None
        # A duplicate has no line, only its receipt.
        if is_set_aside and self._outcome_in_receipt(claim) != "duplicate":
            claim.stage = SetAside((drop_unexpected(claim.failure, claim.failures),))
            return True
        actions = actions_for(traces)
        if len(actions) > 1:
            traces = replace(traces, line=line is not None)
            actions = actions_for(traces)
        if len(actions) > 1:
            traces = replace(traces, receipt=self._outcome_in_receipt(claim))
            actions = actions_for(traces)
        missing: list[str] = []
        if len(actions) > 1:
            there = self._of_its_stem(claim)
            if any(map(SIDECAR.fullmatch, there)) and claim.sidecar_name in claim.files:
                # Of two sidecars neither is taken: the claim was to refuse both, or the second one came since.
                return self._give_up(claim)
            missing = self._missing_files(claim, there)
            actions = actions_for(replace(traces, inbox=signs_of(missing)))
        (action,) = actions  # what stands in the staging folder, or at final names, never changes what is done
        match action:
            case Action.REMOVE_FOLDER | Action.GIVE_BACK:
                return self._give_up(claim)
            case Action.REJECT:
                self._finish_rejection(claim)
                return False
            case Action.RELEASE:
                # The daemon that died may have given the receipt its name, and not synced that yet.
                self._answers.sync_names()
                self._claims.release(claim)
                return False
            case Action.ANSWER if line is not None:
                log.info("drop.recovered", drop_id=claim.drop_id, stem=escaped(claim.stem), sequence=line.sequence)
                self._note_sidecar(claim)
                claim.stage = Committed("registered", as_fields(line.entry or {}))
                return True
            case Action.FETCH:
                self._claims.fetch(claim, missing)
        self._note_sidecar(claim)
        claim.stage = ToJudge()
        return True

    def _outcome_in_receipt(self, claim: Claim) -> str:
        """Return the outcome in the receipt of this very drop, "" without one.

        The journal has no line of a duplicate, so the receipt tells: it is there before the first file goes.
        """
        if not is_valid_id(claim.stem):
            return ""
        try:
            receipt = read_receipt(self._inbox.receipts_dir, claim.stem, claim.uid) or {}
        except OSError as error:
            raise StorageError("read the receipt of", claim.folder, error) from error
        return str(receipt.get("outcome")) if receipt.get("drop_id") == claim.drop_id else ""

    def _of_its_stem(self, claim: Claim) -> list[str]:
        """Return the names in the inbox that may belong to a claim by their stem. Raises StorageError."""
        try:
            listed = self._disk.names(self._inbox.path)
        except OSError as error:
            raise StorageError("list the inbox", self._inbox.path, error) from error
        return [name for name in listed if claim.stem in stems_of(name)]

    def _missing_files(self, claim: Claim, there: Sequence[str]) -> list[str]:
        """Return what of a claim that was cut short is still in the inbox: for each role one, if it has none yet.

        `there` are the names in the inbox that may belong to it by their stem.
        """
        text = self._judge.read_sidecar(claim)
        if text is None:
            return []
        sidecar = self._judge.parse(claim, text)
        held = choose(claim.stem, claim.files, sidecar.declared).roles
        wanted = choose(claim.stem, there, sidecar.declared).roles
        return [
            name
            for role, name in wanted.items()
            if held.get(role) not in claim.files and self._disk.exists(self._inbox.path / name)
        ]

    # --- doing ------------------------------------------------------------------------------------------------

    def _note_sidecar(self, claim: Claim) -> None:
        text = self._judge.read_sidecar(claim)
        if text is not None:
            claim.sidecar_sha256 = hashlib.sha256(text).hexdigest()

    def _give_up(self, claim: Claim) -> bool:
        """Put a claim that is no drop back. What cannot go back is rejected."""
        if self._claims.give_up(claim):
            return False
        claim.stage = ToRefuse((drop_replaced(next(iter(claim.files))),))
        return True

    def _finish_rejection(self, claim: Claim) -> None:
        """Complete a rejection that an earlier daemon decided: the receipt and the move may be missing."""
        reason, receipt = self._answers.repeat_receipt(claim)
        self._answers.publish([receipt] if receipt is not None else [])
        problems = problems_in(reason.get("problems"))
        log.warning(
            "drop.rejected",
            drop_id=claim.drop_id,
            stem=reason.get("stem"),
            model_id=reason.get("model_id"),
            problems=[str(problem) for problem in problems],
            codes=[problem.code for problem in problems],
            owner=name_of_owner(reason.get("owner")),
            rejected_dir=str(self._claims.rejected_place(claim.folder)),
        )
        self._claims.reject(claim.folder)
        self._tally.drop_ended("rejected", self._clock())


def _is_unclear(claim: Claim, traces: Traces) -> bool:
    """Return whether the journal has to be asked: the folder does not tell all, or the drop may be set aside."""
    return len(actions_for(traces)) > 1 or claim.failures >= FAILURES_MAX

"""The ends of a claimed drop that is not registered: rejected with its reasons, or put back.

Owns the order of the steps to `rejected/`, and the lines in the log. Decides nothing: `validation` and the registry do.
"""

from __future__ import annotations

from dataclasses import replace

from ..base.log import log
from ..base.machine import Machine
from ..problems import Problem, escaped
from ..problems.drop import drop_replaced
from ..telemetry.metrics import Tally
from .claims import Claim, Claims, Refused, ToRefuse
from .folder import Inbox
from .outcomes import NotWhole, Rejected
from .receipts import Answers

__all__ = ["Endings"]


class Endings:
    """Ends drops that are not registered. One thread, one daemon."""

    def __init__(self, inbox: Inbox, claims: Claims, answers: Answers, tally: Tally, machine: Machine) -> None:
        self._inbox = inbox
        self._claims = claims
        self._answers = answers
        self._tally = tally
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._disk = machine.disk

    def end(self, claim: Claim, step: Rejected | NotWhole) -> None:
        """Bring a drop that is not accepted where it belongs."""
        if isinstance(step, NotWhole):
            self.put_back(claim, step)
        else:
            self.reject(claim, step.problems)

    def reject(self, claim: Claim, problems: tuple[Problem, ...]) -> None:
        """Move a drop to `rejected/` with its reasons, and answer.

        The reasons last before the move: a crash after that finds them in the claim and completes the move. The
        answer and the line in the log come before the move, too, or a crash could leave a rejected drop that nobody is
        told of.
        """
        stage = claim.stage
        if not isinstance(stage, Refused) or stage.problems != problems:
            missing = stage.absent if isinstance(stage, ToRefuse) else ()
            self._answers.write_reason(claim, problems, [name for name in missing if name not in claim.files])
            claim.stage = stage = Refused(problems, isinstance(stage, Refused) and stage.is_logged)
        receipt = self._answers.write_receipt(claim, "rejected", problems)
        self._answers.publish([receipt] if receipt is not None else [])
        seconds = self._monotonic() - claim.began
        if not stage.is_logged:
            claim.stage = replace(stage, is_logged=True)
            log.warning(
                "drop.rejected",
                drop_id=claim.drop_id,
                stem=escaped(claim.stem),
                model_id=claim.model_id,
                problems=[str(problem) for problem in problems],
                codes=[problem.code for problem in problems],
                owner=claim.owner_name,
                rejected_dir=str(self._claims.rejected_place(claim.folder)),
                seconds=seconds,
                steps=claim.steps,
            )
        self._claims.reject(claim.folder)
        self._tally.drop_ended("rejected", self._clock(), seconds, claim.steps)

    def put_back(self, claim: Claim, step: NotWhole) -> None:
        """Return a drop that is not complete after all; it is tried again when its files change."""
        taken = self._claims.put_back(claim)
        if taken is not None:
            claim.files = {name: file for name, file in claim.files.items() if self._disk.exists(file.path)}
            self.reject(claim, (*step.problems, drop_replaced(taken)))
            return
        self._tally.put_back += 1
        if step.final:
            contents = {name: file.content for name, file in claim.files.items()}
            self._inbox.note_not_whole(claim.sidecar_name, contents, step.problems)
        else:
            self._inbox.note_changed(claim.sidecar_name, claim.files, step.problems)
        problems = [str(problem) for problem in step.problems]
        log.info("drop.put_back", drop_id=claim.drop_id, stem=escaped(claim.stem), problems=problems)

    def lose_sight(self, claim: Claim) -> None:
        """Let go of a drop whose claim went away with the inbox; `resume` finds it when that is back."""
        log.warning(
            "drop.deferred",
            drop_id=claim.drop_id,
            stem=escaped(claim.stem),
            cause=f"{str(claim.folder)!r} is out of sight: the inbox was moved away, mounted over or removed",
            attempt=claim.retry.attempts if claim.retry is not None else 0,
        )

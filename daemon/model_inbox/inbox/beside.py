"""Large drops: judged in threads beside the loop, so that nobody waits for gigabytes to be copied and digested.

Owns how many are in work at once, whose turn it is, and that a stop interrupts them. A thread stages, digests, scans
and syncs the files of one claim, with a scanner of its own, and returns what it found; the loop carries that out like
any other decision. A thread never moves a claim, never commits and never answers. If the daemon dies meanwhile, the
claim is as it was, and the next start judges it again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..base.disk import PacedDisk, sync_files
from ..base.machine import Machine
from ..errors import StorageError
from ..pickles import Scanner
from ..registry.outcomes import Candidate
from .claims import Claim, ToJudge
from .outcomes import NotWhole, Rejected
from .validation import Judge, Judging

__all__ = ["LARGE_BYTES", "Beside"]

# Files of that size together are digested and written in a few tenths of a second. Smaller drops go on in the loop.
LARGE_BYTES = 64 << 20
# So many are in work at once, and of one owner one: that bounds the bytes that he makes us write.
AT_ONCE = 2
# How often a stop says that it waits for the threads.
STOP_SECONDS = 0.1

_Step = Candidate | Rejected | NotWhole


class _Interrupted(BaseException):
    """The daemon ends. No handler of errors in the work on a drop may see it."""


@dataclass(slots=True)
class Job:
    """One claim in work. `step` and `error` are what it came to; both None while `thread` runs, or if interrupted."""

    claim: Claim
    thread: threading.Thread | None = None
    step: _Step | None = None
    error: Exception | None = None
    has_ended: bool = False


class Beside:
    """The large drops that are in work or wait for that. Used by the loop alone.

    `judge_with` returns a judge that works with this machine and scanner; `make_scanner` returns a new scanner, and
    `wake` wakes the loop.
    """

    def __init__(
        self,
        judge_with: Callable[[Machine, Scanner], Judge],
        make_scanner: Callable[[], Scanner],
        machine: Machine,
        wake: Callable[[], None],
    ) -> None:
        self._judge_with = judge_with
        self._make_scanner = make_scanner
        # The watchdog's sign of life is the loop's: one that hangs must not be hidden by a thread that works.
        disk = PacedDisk(self._go_on_or_end) if type(machine.disk) is PacedDisk else machine.disk
        self._machine = replace(machine, disk=disk, progress=self._go_on_or_end)
        self._progress = machine.progress
        self._wake = wake
        self._stopping = threading.Event()
        self.jobs: dict[str, Job] = {}
        """What is in hand here, by drop_id, the oldest first. Only this class changes it."""
        self._served: list[int] = []  # owners, the one whose turn was last at the end

    def ended(self) -> list[Claim]:
        """Return the claims whose work has ended, for `go_on`."""
        return [job.claim for job in self.jobs.values() if job.has_ended]

    def go_on(self, claim: Claim) -> _Step | None:
        """Begin the work on a claim, or return what it came to. None as long as it is in work or waits.

        Raises what the work raised. The claim is not in hand here any more then, nor when something is returned.
        """
        job = self.jobs.get(claim.drop_id)
        if job is None:
            self.jobs[claim.drop_id] = Job(claim)
        elif job.has_ended:
            del self.jobs[claim.drop_id]
        self._begin_next()
        if job is None or not job.has_ended:
            return None
        if job.error is not None:
            raise job.error
        return job.step

    def forget(self, claim: Claim) -> None:
        """Let go of a claim whose work has ended, and which is out of sight. It is begun again when it comes back."""
        self.jobs.pop(claim.drop_id, None)
        self._begin_next()

    def close(self) -> None:
        """Interrupt the work and wait for its end. What was in work stays claimed, for the next start."""
        self._stopping.set()
        for job in self.jobs.values():
            while job.thread is not None and job.thread.is_alive():
                self._progress()
                job.thread.join(STOP_SECONDS)
        self.jobs.clear()

    def _begin_next(self) -> None:
        """Begin what there is room for: of each owner one, and first of the owner who has waited longest for a turn."""
        while not self._stopping.is_set():
            running = [job for job in self.jobs.values() if job.thread is not None and not job.has_ended]
            owners = {job.claim.uid for job in running}
            waiting = [job for job in self.jobs.values() if job.thread is None and job.claim.uid not in owners]
            if len(running) >= AT_ONCE or not waiting:
                return
            job = min(
                waiting, key=lambda job: self._served.index(job.claim.uid) if job.claim.uid in self._served else -1
            )
            with contextlib.suppress(ValueError):
                self._served.remove(job.claim.uid)
            self._served.append(job.claim.uid)
            job.thread = threading.Thread(target=self._run, args=(job,), name="large-drop", daemon=True)
            job.thread.start()

    def _run(self, job: Job) -> None:
        """Do the work on one claim. In a thread of its own."""
        try:
            with contextlib.closing(self._make_scanner()) as scanner:
                scanner.progress = self._go_on_or_end
                job.step = self._judged(job.claim, self._judge_with(self._machine, scanner))
        except _Interrupted:
            return
        except Exception as error:  # noqa: BLE001  # the loop raises it where it deals with this drop
            job.error = error
        job.has_ended = True
        self._wake()

    def _judged(self, claim: Claim, judge: Judge) -> _Step:
        refused = judge.refuse_early(claim)
        if refused is not None:
            return refused
        step = judge.begin(claim)
        if isinstance(step, Judging):
            decided = judge.end(claim, step)
            if isinstance(decided, Candidate):
                self._sync(claim, decided, judge)
            return decided
        return step

    def _sync(self, claim: Claim, candidate: Candidate, judge: Judge) -> None:
        """Make the files durable here; for the batch that commits them nothing is left to write then."""
        try:
            sync_files(self._machine.disk, candidate.files.paths)
        except BaseException as error:
            judge.unstage(claim)
            if isinstance(error, StorageError) and isinstance(claim.stage, ToJudge):
                # To be written again: a second sync would prove nothing.
                claim.stage = claim.stage._replace(by_copy=True)
            raise

    def _go_on_or_end(self) -> None:
        if self._stopping.is_set():
            raise _Interrupted

"""Files in the inbox that could not be looked at, for a reason that nobody foresaw.

Owns how often that happened to each. After two times it is to be refused unseen, so that it costs itself and neither
the daemon nor any other file. Knows a death of an earlier daemon from the line that it left (`Inbox.work`). A file is
named by a mark that another version of it does not have; `folder` makes it. Touches no file itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from ..base.boot import BootTime
from ..model.file_names import stem_of
from ..problems.drop import drop_unexpected
from .failures import DEATH, FAILURES_MAX, cause_of, log_failure, pause_seconds
from .readiness import Refuse, Wait

__all__ = ["Died", "Suspects", "work_heading"]

_FORMAT = "model-inbox-in-work/1"


def work_heading(boot: BootTime, run: str) -> str:
    """Return how the line of the daemon `run` begins that says what it has in work."""
    return f"{_FORMAT} {boot.boot_id if boot.is_known else '-'} {run}"


@dataclass(frozen=True, slots=True)
class Died:
    """What the daemon `run` had in work when it died: drop_ids, and marks of files that it looked at."""

    run: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, line: str, heading: str) -> Died:
        """Read the line that was found, where ours begins with the heading. An end of the machine does not count."""
        form, boot_id, run, *words = (*line.split(" "), "", "", "")
        ours = heading.split(" ")
        if [form, boot_id] != ours[:2] or run == ours[2]:
            return cls()
        return cls(run, tuple(filter(None, words)))


@dataclass(slots=True)
class _Failed:
    count: int
    cause: str
    again_at: float = 0.0


class Suspects:
    """The files that failed. `known` is empty on nearly every day, so ask for that first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.known: dict[str, _Failed] = {}
        self.words: tuple[str, ...] = ()
        """What the next daemon has to know of them if this one dies while it looks at another file."""

    def recall(self, words: Iterable[str]) -> None:
        """Count the death of a daemon that had files in work, by the words of its line."""
        at_work = [word for word in words if "=" not in word and ":" in word]
        for word in words:
            mark, _, count = word.partition("=")
            if ":" in mark and count.isdecimal():
                self.known[mark] = _Failed(int(count), DEATH)
        for mark in at_work:
            failed = self.known.setdefault(mark, _Failed(0, DEATH))
            failed.count += 1
        self._changed()

    def failed(self, mark: str, name: str, error: Exception) -> Wait | Refuse:
        """Count an exception for the file of that name, and return what is to be done with it."""
        failed = self.known.setdefault(mark, _Failed(0, ""))
        failed.count += 1
        failed.cause = cause_of(error)
        pause = pause_seconds(failed.count)
        failed.again_at = self._monotonic() + pause
        self._changed()
        log_failure(stem_of(name), failed.cause, attempt=failed.count, retry_in_seconds=pause, error=error)
        return self._decision(failed)

    def decision(self, marks: Iterable[str]) -> Wait | Refuse | None:
        """Return what is to be done with a drop of these files without a look at them, or None: look at them."""
        found = [self.known[mark] for mark in marks if mark in self.known]
        decisions = [self._decision(failed) for failed in found if not self._may_be_tried(failed)]
        refusals = (decision for decision in decisions if isinstance(decision, Refuse))
        return next(refusals, decisions[0] if decisions else None)

    def looked_at(self, marks: Iterable[str]) -> None:
        """Forget the failures of files that could be looked at."""
        for mark in marks:
            self.known.pop(mark, None)
        self._changed()

    def keep(self, marks: Collection[str]) -> None:
        """Forget all files but these: the others are not there any more."""
        self.known = {mark: failed for mark, failed in self.known.items() if mark in marks}
        self._changed()

    def _may_be_tried(self, failed: _Failed) -> bool:
        return failed.count < FAILURES_MAX and self._monotonic() >= failed.again_at

    def _decision(self, failed: _Failed) -> Wait | Refuse:
        problem = drop_unexpected(failed.cause, failed.count)
        left = failed.again_at - self._monotonic()
        # More failures than are allowed: it was to be refused, and that failed, too.
        return Wait((problem,), left) if left > 0 else Refuse((problem,))

    def _changed(self) -> None:
        self.words = tuple(f"{mark}={failed.count}" for mark, failed in self.known.items())

"""Whether it is known where the journal ends on the medium, and what is logged about it.

Owns the memory of a failed write that could not be undone, from the failure until the journal is settled again. Never
touches the disk: the store settles the journal, `segments` raises `JournalInDoubt`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base.log import log
from ..errors import ModelInboxError, StorageError
from .segments import JournalInDoubt

__all__ = ["Doubt"]


class Doubt:
    """The doubt of one handle. `problem` is the last failure while it lasts, else None."""

    def __init__(self, journal: Path) -> None:
        self._path = str(journal)
        self.problem: ModelInboxError | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note why the block failed: it makes the journal durable."""
        try:
            yield
        except ModelInboxError as error:
            self.note(error)
            raise

    def begins_with(self, error: ModelInboxError) -> bool:
        """Return whether a failed append leaves the end of the journal in doubt, and note it then."""
        if isinstance(error, JournalInDoubt):
            self.note(error)
        return self.problem is not None

    def note(self, error: ModelInboxError) -> None:
        """Note that the end of the journal is not known, or could not be settled. Each cause is logged once."""
        if self.problem is None or _cause(self.problem) != _cause(error):
            log.error("journal.write_failed", path=self._path, problem=str(error))
        self.problem = error

    def end(self, sequence: int, found_lines: int) -> None:
        """Note that the journal is settled: it ends at line `sequence`, and has `found_lines` that were in doubt."""
        self.problem = None
        log.info("journal.settled", path=self._path, sequence=sequence, found_lines=found_lines)


def _cause(error: ModelInboxError) -> object:
    """Return what makes two failures the same for the log: the steps that fail, and their file names, may differ."""
    return error.errno if isinstance(error, StorageError) else str(error)

"""Drops that wait for the disk together: the files of accepted ones, and the receipts of committed ones.

Owns one wait for the disk and its result. Decides nothing, and writes nothing: `intake` fills a batch and ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..base.disk import Sync
from ..errors import StorageError
from ..registry.outcomes import Candidate
from .claims import Claim
from .receipts import Receipt

__all__ = ["Batch"]


class Batch:
    """What the disk has in work: the files of accepted drops, and the receipts of committed ones."""

    def __init__(
        self,
        accepted: Sequence[tuple[Claim, Candidate]] = (),
        answered: Sequence[tuple[Claim, Receipt | None]] = (),
        sync: Sync | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.accepted = accepted
        self.answered = answered
        self.sync = sync
        self.seconds = seconds
        """How long the disk was waited for."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way."""
        return not self.accepted and not self.answered

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The drops that are on their way."""
        return (*(claim for claim, _ in self.accepted), *(claim for claim, _ in self.answered))

    def is_synced(self, monotonic: Callable[[], float]) -> bool:
        """Wait for the disk; tell whether everything lasts."""
        began = monotonic()
        try:
            if self.sync is not None:
                self.sync.wait()
        except StorageError:
            return False
        finally:
            self.seconds += monotonic() - began
        return True

    def failed(self, paths: Iterable[Path]) -> StorageError | None:
        """Return why one of these files does not last, if that is known of it by itself."""
        found = self.sync.failed if self.sync is not None else {}
        return next((found[path] for path in paths if path in found), None)

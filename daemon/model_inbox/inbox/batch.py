"""Drops that wait for the disk together: the files of accepted ones, and the receipts of committed ones.

Owns one wait for the disk and its result. Decides nothing, and writes nothing: `pipeline` fills a batch and ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.disk import Sync
from ..errors import StorageError
from ..registry.outcomes import Candidate
from .claims import Claim
from .receipts import Receipt

__all__ = ["Batch"]


@dataclass(slots=True)
class Batch:
    """What the disk has in work: the files of accepted drops, and the receipts of committed ones.

    `seconds` is how long it was waited for.
    """

    accepted: Sequence[tuple[Claim, Candidate]]
    answered: Sequence[tuple[Claim, Receipt | None]]
    sync: Sync
    seconds: float

    def wait(self, monotonic: Callable[[], float]) -> bool:
        """Wait for the disk; return whether everything is durable."""
        began = monotonic()
        try:
            self.sync.wait()
        except StorageError:
            return False
        finally:
            self.seconds += monotonic() - began
        return True

    def failed(self, paths: Iterable[Path]) -> StorageError | None:
        """Return why one of these files is not durable, if that is known of it by itself."""
        return next((self.sync.failed[path] for path in paths if path in self.sync.failed), None)

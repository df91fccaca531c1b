"""What a reading of the log covers: from when to when, and what of it could not be read.

Owns when an answer from the log is complete, and how an incomplete one says what it lacks. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Coverage"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was read: `name`, its first and its last line.

    `begins` and `ends` are None if it has no line. `unread` names each part that could not be read, with the reason.
    """

    name: str
    begins: datetime | None = None
    ends: datetime | None = None
    unread: tuple[str, ...] = ()

    def is_complete(self, since: datetime | None) -> bool:
        """Return whether all was read that was logged from `since` on (None: since the first line that is kept)."""
        return self.begins is not None and not self.unread and not self._begins_later(since)

    def sentences(self, since: datetime | None) -> Iterator[str]:
        """Yield what was read, and what is missing."""
        if self.begins is None or self.ends is None:
            yield f"Read: {self.name}, which has no lines of a JSON log."
        else:
            yield f"Read: {self.name}, from {_when(self.begins)} to {_when(self.ends)} UTC."
        for part in self.unread:
            yield f"Not read: {part}."
        if since is not None and self._begins_later(since):
            yield f"It begins later than {_when(since)} UTC: what was logged before its first line is not known."

    def _begins_later(self, since: datetime | None) -> bool:
        return since is not None and self.begins is not None and self.begins > since


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"

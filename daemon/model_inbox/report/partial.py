"""Reads the parts of a page one by one, so that one that cannot be read costs no other.

Owns which parts could not be read. What a part is, and what the page shows without it, is for the caller to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import ModelInboxError
from .facts import Unread

__all__ = ["Parts"]

_Value = TypeVar("_Value")


class Parts:
    """The parts of one page. `unread` are those that could not be read so far."""

    def __init__(self) -> None:
        self.unread: list[Unread] = []

    def read(self, part: str, read: Callable[[], _Value]) -> _Value | None:
        """Return what can be read of a part. None if it cannot, and then the page says so."""
        try:
            return read()
        except (ModelInboxError, OSError) as error:
            self.unread.append(Unread(part, str(error)))
            return None

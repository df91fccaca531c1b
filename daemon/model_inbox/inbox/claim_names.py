"""The names in the folders of claims and of rejected drops: the ids of drops, and what a file is called there.

Owns how they are read. Never looks at a folder. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ..model.receipt import REASON_NAME

__all__ = ["DROP_ID", "REASON_LIKE", "claimed_at", "is_older", "original_name"]

DROP_ID = re.compile(r"(?P<at>\d{8}T\d{12})Z-\d{4,}-(?P<stem>[A-Za-z0-9._-]{1,64})", re.ASCII)
REASON_LIKE = re.compile(rf"(dropped\.)*{re.escape(REASON_NAME)}")


def claimed_at(drop_id: str) -> datetime | None:
    """Return the moment in a drop_id, or None when it is none."""
    match = DROP_ID.fullmatch(drop_id)
    return datetime.strptime(match["at"], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC) if match else None


def is_older(
    drop_id: str,
    now: datetime,
    keep_seconds: float,
    corrected: Callable[[datetime], datetime] = lambda at: at,
) -> bool:
    """Return whether a drop_id is from before the time for which things are kept. `corrected` corrects its time."""
    at = claimed_at(drop_id)
    return at is not None and now - corrected(at) > timedelta(seconds=keep_seconds)


def original_name(kept: str) -> str:
    """Return the name that a file in a claim had in the inbox."""
    return kept.removeprefix("dropped.") if REASON_LIKE.fullmatch(kept) else kept

"""The feed: what a registry commits, read onwards from a position, by any process and as it happens.

Owns where a reader stands (`feed`), which file has the lines after that (`steps`), and what wakes it (`wakeups`).
Followers, mirrors and hooks read the registry's history only through it. Never writes, and never keeps a position: that
is for its callers, who know when they have done what a line asks for.

Public names: `Changes`, `Compare`, `Feed`, `Wakeups`.
"""

from __future__ import annotations

from .feed import Changes, Compare, Feed
from .wakeups import Wakeups

__all__ = ["Changes", "Compare", "Feed", "Wakeups"]

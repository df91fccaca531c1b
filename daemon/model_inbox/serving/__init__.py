"""Serving: the newest model of a slot, or the one that an alias names, always loaded, and changed without a gap.

Owns how a server follows a registry: what it should serve (`course`), what it asks the registry (`source`), the thread
that loads and swaps (`hub`), what servers hold (`follower`), and its numbers (`metrics`). Never changes a registry, and
answers no requests.

Public names: `FallenBack`, `Follower`, `FollowerHub`, `Followers`, `Served`, `TryOut`, `Wanted`, `render`. Servers get
what they need from `ModelRegistry.follow`.
"""

from __future__ import annotations

from .follower import FallenBack, Follower, Followers, Served, TryOut
from .hub import FollowerHub, Wanted
from .metrics import render

__all__ = ["FallenBack", "Follower", "FollowerHub", "Followers", "Served", "TryOut", "Wanted", "render"]

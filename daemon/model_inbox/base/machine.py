"""The machine that a program of ours runs on: its clocks, its disk, its leases, and whoever waits for signs of life.

Owns the one value in which these travel. What is asked of the outside goes through it, so that a test can pass a
machine whose time passes as it says and whose disk fails when it says. Decides nothing, and does nothing by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from .disk import Disk
from .leases import Lease, read_lease

__all__ = ["Machine", "utc_now"]

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""The clock of this machine."""


def _no_op() -> None:
    """Nobody waits for a sign of life."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`clock` returns the time of day, in UTC; `monotonic` seconds that no change of the clock moves.

    `read_lease` returns whether an open file is being written. `progress` is called after each piece of long work: it
    must be cheap, and must ask nothing of those that do the work.
    """

    clock: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    disk: Disk = field(default_factory=Disk)
    read_lease: Callable[[int], Lease] = read_lease
    progress: Callable[[], None] = _no_op

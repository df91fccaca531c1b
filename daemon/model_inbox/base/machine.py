"""The machine as one value to pass in: clocks, disk, leases and the progress callback.

Owns `Machine`. Code reads times, changes the disk and asks for leases and users through it, so that a test can control
the time and let a step on the disk fail. Never decides anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from .accounts import Accounts
from .boot import BootClock, boot_clock
from .disk import Disk, no_op
from .leases import Lease, read_lease

__all__ = ["Machine", "utc_now"]

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""The system clock, in UTC."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`clock` returns the current time in UTC, `monotonic` seconds that a change of the clock does not affect.
    `boot` has such seconds that other processes, and this one after a restart, can compare with theirs.

    `read_lease` returns whether an open file is being written. `progress` is called after each piece of long work. It
    must be cheap and must not call back into the code that does the work. `accounts` are the users of the system.
    """

    clock: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    disk: Disk = field(default_factory=Disk)
    read_lease: Callable[[int], Lease] = read_lease
    progress: Callable[[], None] = no_op
    boot: BootClock = field(default_factory=boot_clock)
    accounts: Accounts = field(default_factory=Accounts)

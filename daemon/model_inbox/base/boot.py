"""How long this machine has been running: the seconds since its boot, and which boot that is.

Owns `BootTime`, `BootClock` and reading them from the kernel. Unlike the time of day, these seconds (CLOCK_BOOTTIME)
are never set: they only go forward, also while the machine is suspended, and begin again at the next boot. Decides
nothing.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

__all__ = ["BootClock", "BootTime", "boot_clock"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# systemd tells the boot id here (%b): under `ProcSubset=pid` the service cannot read the file.
_VARIABLE = "MODEL_INBOX_BOOT_ID"
_UNKNOWN = "unknown-"


@dataclass(frozen=True, slots=True)
class BootTime:
    """`seconds` since the boot that `boot_id` names."""

    boot_id: str
    seconds: float

    @property
    def is_known(self) -> bool:
        """Whether other processes of this boot have the same `boot_id`."""
        return not self.boot_id.startswith(_UNKNOWN)

    def since(self, other: BootTime) -> float | None:
        """Return the seconds from `other` to this, or None if they are of different boots, or that is not known."""
        return self.seconds - other.seconds if self.boot_id == other.boot_id else None


@dataclass(frozen=True, slots=True)
class BootClock:
    """The seconds since this boot of the machine, as a clock."""

    boot_id: str
    seconds: Callable[[], float]

    def read(self) -> BootTime:
        """Return what it shows now."""
        return BootTime(self.boot_id, self.seconds())


def boot_clock() -> BootClock:
    """Return the clock of this machine."""
    return BootClock(_boot_id(), partial(time.clock_gettime, time.CLOCK_BOOTTIME))


@cache
def _boot_id() -> str:
    """Return 32 hexadecimal digits, or a name that only this process has when the boot id cannot be read."""
    found = ""
    with suppress(OSError):
        # Decoded as UTF-8, for which nothing is imported: root may have become another user by now.
        found = _BOOT_ID.read_bytes().decode("utf-8", "replace").strip()
    found = (found or os.environ.get(_VARIABLE, "")).replace("-", "").lower()
    return found or f"{_UNKNOWN}{uuid.uuid4().hex}"

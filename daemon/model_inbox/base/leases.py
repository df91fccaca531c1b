"""Is anybody still writing this file? The kernel knows: a read lease is refused while somebody has it open.

Owns the one use of fcntl(2) leases. A lease is taken and given back at once, so an opener waits microseconds at
most. Never decides what an answer means.

The answer covers writable mappings too, also after their descriptor was closed. It can be had for files of our
own, or with CAP_LEASE; network file systems have none.
"""

from __future__ import annotations

import errno
import fcntl
import signal
from enum import Enum

__all__ = ["Lease", "in_use", "read_lease"]

_F_SETSIG = 10  # fcntl.h; not in the fcntl module


class Lease(Enum):
    """FREE: nobody writes. OPEN: somebody has it open. UNKNOWN: not ours, or no leases here."""

    FREE = "free"
    OPEN = "open"
    UNKNOWN = "unknown"


def read_lease(fd: int) -> Lease:
    """Tell whether some process has the regular file behind `fd` (open for reading) open for writing."""
    return _try(fd, fcntl.F_RDLCK)


def in_use(fd: int) -> bool:
    """Tell whether anybody beside `fd` has the file open at all; False where that cannot be known."""
    return _try(fd, fcntl.F_WRLCK) is Lease.OPEN


def _try(fd: int, kind: int) -> Lease:
    try:
        # Whoever opens the file while we hold the lease makes the kernel signal us: SIGIO would end the
        # process, SIGURG is ignored unless somebody asked for it.
        fcntl.fcntl(fd, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, kind)
    except OSError as error:
        return Lease.OPEN if error.errno in (errno.EAGAIN, errno.EBUSY) else Lease.UNKNOWN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return Lease.FREE

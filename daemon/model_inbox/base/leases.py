"""Whether another process has a file open, asked of the kernel by trying to take a lease on it.

Owns the use of fcntl(2) leases. A lease is released as soon as it is granted, so a process that opens the file
meanwhile waits for microseconds at most. Never decides what an answer means.

Writable mappings count too, also after their descriptor was closed. The kernel answers for files that this user
owns, or with CAP_LEASE. Network file systems have no leases.
"""

from __future__ import annotations

import errno
import fcntl
import signal
from enum import Enum

__all__ = ["Lease", "in_use", "read_lease"]

# From fcntl.h; Python's fcntl module lacks it.
_F_SETSIG = 10


class Lease(Enum):
    """FREE: no other process has it open. OPEN: one has. UNKNOWN: not our file, or a file system without leases."""

    FREE = "free"
    OPEN = "open"
    UNKNOWN = "unknown"


def read_lease(fd: int) -> Lease:
    """Return whether any process has the regular file behind `fd` (open for reading) open for writing."""
    return _try(fd, fcntl.F_RDLCK)


def in_use(fd: int) -> bool:
    """Return whether the file is open anywhere but at `fd`, for reading or writing. False if that is unknown."""
    return _try(fd, fcntl.F_WRLCK) is Lease.OPEN


def _try(fd: int, kind: int) -> Lease:
    try:
        # The kernel signals the lease's holder when another process opens the file. The default, SIGIO, would end
        # this process; SIGURG is ignored by default.
        fcntl.fcntl(fd, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, kind)
    except OSError as error:
        return Lease.OPEN if error.errno in (errno.EAGAIN, errno.EBUSY) else Lease.UNKNOWN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return Lease.FREE

"""The protocol between the scanner and its worker on their socket. Pure.

Owns the layout of requests and answers and the exit status of the worker. Never reads or writes a socket.
"""

from __future__ import annotations

import struct

__all__ = [
    "ANSWER_BYTES_MAX",
    "AUDIT_STATUS",
    "BEGUN",
    "FAILED_STATUS",
    "LENGTH",
    "READY",
    "REQUEST",
    "SHORT_LIMITS",
    "STACK_BYTES",
]

REQUEST = struct.Struct("<QQI")
"""A request: size of the file, and the limits of its scan: bytes of memory and seconds of CPU time. The descriptor of
the open file comes with it as ancillary data."""

BEGUN = struct.Struct("<Bd")
"""Comes before each answer, when the limits are set and before the file is looked at: which limits are lower than the
scan asks for (bits in the order of SHORT_LIMITS), and the CPU seconds that the process has used so far. A worker that
ends without it has not touched the file."""

SHORT_LIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CPU")
"""The limits of the process that can be lower than ours. They are kept, and what they cause is no fault of a file."""

STACK_BYTES = 1 << 20

LENGTH = struct.Struct("<I")
"""Comes before an answer: its length in bytes. An answer is JSON: the recording, or {"failed": reason}
with "errno" where the file could not be read. Then there is no recording, and the file is not the cause."""

ANSWER_BYTES_MAX = 4 << 20

READY = b"ready\n"
"""The first message of a worker: it is armed and waits for requests."""

AUDIT_STATUS = 99
"""The exit status of a worker that ended itself before a forbidden event. It writes the name of the event to stderr."""

FAILED_STATUS = 98
"""The exit status of a worker that failed by itself. It writes the reason to stderr."""

"""What the scanner and its worker say to each other over their socket. Pure."""

from __future__ import annotations

import struct

__all__ = ["ANSWER_BYTES_MAX", "AUDIT_STATUS", "LENGTH", "READY", "REQUEST"]

REQUEST = struct.Struct("<QQI")
"""A request: bytes of the file, bytes of memory and seconds of CPU that its scan may take. The open file itself
travels beside it as a descriptor."""

LENGTH = struct.Struct("<I")
"""Before an answer: its length in bytes. An answer is the recording as JSON."""

ANSWER_BYTES_MAX = 4 << 20

READY = b"ready\n"
"""The first words of a worker: armed and waiting."""

AUDIT_STATUS = 99
"""The exit status of a worker that ended itself before something it must not do; stderr names the event."""

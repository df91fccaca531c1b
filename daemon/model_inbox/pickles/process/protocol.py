"""The protocol between the scanner and its worker on their socket. Pure.

Owns the layout of requests and answers and the exit status of the worker. Never reads or writes a socket.
"""

from __future__ import annotations

import struct

__all__ = ["ANSWER_BYTES_MAX", "AUDIT_STATUS", "LENGTH", "READY", "REQUEST"]

REQUEST = struct.Struct("<QQI")
"""A request: size of the file, and the limits of its scan: bytes of memory and seconds of CPU time. The descriptor of
the open file comes with it as ancillary data."""

LENGTH = struct.Struct("<I")
"""Comes before an answer: its length in bytes. An answer is the recording as JSON."""

ANSWER_BYTES_MAX = 4 << 20

READY = b"ready\n"
"""The first message of a worker: it is armed and waits for requests."""

AUDIT_STATUS = 99
"""The exit status of a worker that ended itself before a forbidden event. It writes the name of the event to stderr."""

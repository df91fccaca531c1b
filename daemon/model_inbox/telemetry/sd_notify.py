"""Send messages to systemd with the protocol of sd_notify(3): one datagram to $NOTIFY_SOCKET.

Owns that datagram. Does nothing if the variable is not set. Never raises: if nobody listens, that is no error.
"""

from __future__ import annotations

import contextlib
import os
import socket

__all__ = ["notify"]


def notify(message: str) -> None:
    """Send newline-separated assignments such as READY=1 to the service manager, if there is one."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    if path.startswith("@"):
        path = "\0" + path[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.sendto(message.encode(), path)

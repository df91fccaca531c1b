"""Ports of the loopback address for servers that a test starts."""

from __future__ import annotations

import socket

__all__ = ["reserve_port"]

_reserved: list[socket.socket] = []


def reserve_port() -> int:
    """Return a port that nobody has, and that the system gives to nobody else before this process ends.

    A socket of ours has it and never listens. A server that sets SO_REUSEADDR, as servers do, can have it as well.
    """
    ours = socket.socket()
    _reserved.append(ours)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ours.bind(("127.0.0.1", 0))
    return int(ours.getsockname()[1])

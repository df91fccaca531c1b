"""Hosts of this machine alone: what a request to a server on a loopback address may name.

Owns how the host of a request is read. Never asks a name server: a name that anybody can let point here is not one.
"""

from __future__ import annotations

import ipaddress

__all__ = ["host_of", "is_loopback"]


def host_of(header: str) -> str:
    """Return the host in a `Host` header, without the port."""
    return header[1 : header.find("]")] if header.startswith("[") else header.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Return whether a host is a usual name of this machine, or a loopback address."""
    if host.lower().removesuffix(".") in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

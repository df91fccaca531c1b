"""What a daemon publishes for programs that write for it: the limits that they can keep before they write.

Owns reading these from the status file, beside the registry or in the inbox. A file that is missing, unreadable or of
another form publishes nothing, and the defaults hold: the daemon checks all the same. Never writes anything.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..base.disk import read_regular
from ..problems import Problem
from ..problems.yaml import yaml_too_large
from .sidecar_fields import SIDECAR_BYTES, SIDECAR_BYTES_MAX

__all__ = ["max_sidecar_size", "sidecar_too_large"]

_STATUS_BYTES_MAX = 1 << 20


def max_sidecar_size(status: Path) -> int:
    """Return `inbox.max_sidecar_size` of the daemon whose status file this is; the default if it does not say."""
    import orjson

    with suppress(OSError, ValueError, KeyError, TypeError):
        size = orjson.loads(read_regular(status, _STATUS_BYTES_MAX))["inbox"]["max_sidecar_size"]
        if isinstance(size, int) and 0 < size <= SIDECAR_BYTES_MAX:
            return size
    return SIDECAR_BYTES


def sidecar_too_large(text: bytes, limit: int) -> list[Problem]:
    """Return the problem of a sidecar that is larger than the limit, or none."""
    return [yaml_too_large("sidecar", limit, len(text))] if len(text) > limit else []

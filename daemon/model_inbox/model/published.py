"""What a daemon publishes for programs that write for it: the limits that they can keep before they write.

Owns reading these from the status file, beside the registry or in the inbox. A file that is missing, unreadable or of
another form publishes nothing, and the defaults hold: the daemon checks all the same. Never writes anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.disk import read_regular
from ..problems import Problem
from ..problems.yaml import yaml_too_large
from .metadata import PAIR_PATTERN
from .sidecar_fields import SIDECAR_BYTES, SIDECAR_BYTES_MAX

__all__ = ["Limits", "max_sidecar_size", "published_limits", "sidecar_too_large"]

_STATUS_BYTES_MAX = 1 << 20
_ARTIFACT_BYTES = 20 << 30
_PATTERNS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a daemon accepts: the settings of `inbox` and `checks` with these names."""

    max_sidecar_size: int = SIDECAR_BYTES
    max_artifact_size: int = _ARTIFACT_BYTES
    model_types: tuple[str, ...] | None = None
    currency_pairs: tuple[str, ...] | None = None
    pair_pattern: str | None = PAIR_PATTERN


def published_limits(status: Path) -> Limits:
    """Return the limits of the daemon whose status file this is; the defaults for those that it does not say."""
    import orjson

    document: Any = None
    with suppress(OSError, ValueError):
        document = orjson.loads(read_regular(status, _STATUS_BYTES_MAX))
    inbox, checks = _mapping(document, "inbox"), _mapping(document, "checks")
    return Limits(
        max_sidecar_size=_size(inbox.get("max_sidecar_size"), SIDECAR_BYTES_MAX, SIDECAR_BYTES),
        max_artifact_size=_size(inbox.get("max_artifact_size"), 1 << 62, _ARTIFACT_BYTES),
        model_types=_patterns(checks.get("model_types")),
        currency_pairs=_patterns(checks.get("currency_pairs")),
        pair_pattern=_expression(checks),
    )


def max_sidecar_size(status: Path) -> int:
    """Return `inbox.max_sidecar_size` of the daemon whose status file this is; the default if it does not say."""
    return published_limits(status).max_sidecar_size


def sidecar_too_large(text: bytes, limit: int) -> list[Problem]:
    """Return the problem of a sidecar that is larger than the limit, or none."""
    return [yaml_too_large("sidecar", limit, len(text))] if len(text) > limit else []


def _mapping(document: Any, name: str) -> Mapping[str, Any]:
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def _size(value: Any, largest: int, default: int) -> int:
    return value if type(value) is int and 0 < value <= largest else default


def _patterns(value: Any) -> tuple[str, ...] | None:
    is_list = isinstance(value, list) and len(value) <= _PATTERNS_MAX and all(isinstance(item, str) for item in value)
    return tuple(value) if is_list else None


def _expression(checks: Mapping[str, Any]) -> str | None:
    """Return the form of a pair. Null is any; what is no expression is the default."""
    value = checks.get("pair_pattern", PAIR_PATTERN)
    if value is None:
        return None
    with suppress(re.error, TypeError):
        re.compile(value)
        return str(value)
    return PAIR_PATTERN

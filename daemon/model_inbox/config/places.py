"""Where the registry and the inbox are: what commands that only read need of config.yaml, without pydantic.

Owns one answer: these settings, or that the whole configuration has to be read. It has no wording for a problem. What
is not certain is left to `load`, which owns every message: a text with a problem, an unknown section, an unknown key
in `registry` or `inbox`, a value that is not allowed. The other settings are not looked at. Never reads a file.

The reason is the time that pydantic takes (docs/decisions/0040-commands-import-what-they-need.md).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from ..base.strict_yaml import Document, Scalar, plain_value, read_yaml
from .search import CONFIG_BYTES_MAX, LOCAL_NAME
from .values import (
    INBOX_DEFAULT,
    LOCK_TIMEOUT_DEFAULT,
    REGISTRY_DEFAULT,
    STORAGE_DEFAULT,
    parse_path,
    parse_positive_duration,
    why_not_apart,
)

__all__ = ["INBOX_KEYS", "REGISTRY_KEYS", "SECTIONS", "Places", "find_places", "read_document"]

CONFIG_NODES_MAX = 100_000
CONFIG_DEPTH_MAX = 16

SECTIONS: Final = frozenset(
    {
        "inbox",
        "registry",
        "pickle",
        "checks",
        "permits",
        "quota",
        "gates",
        "promotion",
        "aliases",
        "retention",
        "logging",
        "metrics",
        "mlflow",
        "web",
    }
)
REGISTRY_KEYS: Final = frozenset(
    {"path", "storage_dir", "lock_timeout", "checkpoint_seconds", "history_keep", "held_keep"}
)
INBOX_KEYS: Final = frozenset(
    {
        *("path", "watcher", "settle_seconds", "rescan_seconds", "incomplete_timeout", "orphan_timeout"),
        *("max_artifact_size", "max_sidecar_size", "private", "rejected_keep", "receipts_keep"),
    }
)


class Places(NamedTuple):
    """The paths of the registry, of its stored models and of the inbox, and how long a writer waits for another one.

    `file` is the file that was read; None if there was none, so that all settings are defaults.
    """

    registry: Path
    storage_dir: Path
    inbox: Path
    lock_timeout: float
    file: Path | None


def read_document(data: bytes) -> Document:
    """Parse the text of a configuration file, within its limits."""
    return read_yaml(
        data, called="config", bytes_max=CONFIG_BYTES_MAX, depth_max=CONFIG_DEPTH_MAX, nodes_max=CONFIG_NODES_MAX
    )


def find_places(found: tuple[Path, bytes] | None, cwd: Path) -> Places | None:
    """Return the places in a configuration file and its bytes, or the defaults if there is none.

    Return None if they are not certain: the whole configuration has to be read then.
    """
    file, data = found if found is not None else (cwd / LOCAL_NAME, b"")
    document = read_document(data)
    root = document.root
    values = {} if root is None or (isinstance(root, Scalar) and root.is_null) else plain_value(root)
    if document.problems or not isinstance(values, dict) or values.keys() - SECTIONS:
        return None
    registry, inbox = values.get("registry"), values.get("inbox")
    # A section whose settings are all commented out is null.
    registry, inbox = {} if registry is None else registry, {} if inbox is None else inbox
    if not isinstance(registry, dict) or not isinstance(inbox, dict):
        return None
    if registry.keys() - REGISTRY_KEYS or inbox.keys() - INBOX_KEYS:
        return None
    with suppress(ValueError):
        places = Places(
            registry=parse_path(registry.get("path", REGISTRY_DEFAULT), file.parent),
            storage_dir=parse_path(registry.get("storage_dir", STORAGE_DEFAULT), file.parent),
            inbox=parse_path(inbox.get("path", INBOX_DEFAULT), file.parent),
            lock_timeout=parse_positive_duration(registry.get("lock_timeout", LOCK_TIMEOUT_DEFAULT)),
            file=found[0] if found is not None else None,
        )
        if not why_not_apart(places.inbox, places.storage_dir, places.registry):
            return places
    return None

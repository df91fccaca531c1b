"""The values of config.yaml that both readers of it parse: paths and durations; and the defaults of these settings.

Owns their meaning and their limits. `settings` uses them for all settings, with pydantic, and `places` without it.
Never reads a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..base.units import parse_duration

__all__ = [
    "INBOX_DEFAULT",
    "LOCK_TIMEOUT_DEFAULT",
    "REGISTRY_DEFAULT",
    "STORAGE_DEFAULT",
    "parse_path",
    "parse_positive_duration",
    "why_not_apart",
]

INBOX_DEFAULT: Final = "inbox"
REGISTRY_DEFAULT: Final = "models/prediction_registry.json"
STORAGE_DEFAULT: Final = "models/prediction"
LOCK_TIMEOUT_DEFAULT: Final = "10s"


def parse_path(value: object, folder: Path | None) -> Path:
    """Return a path; a relative one is resolved from `folder`, if that is given. Raises ValueError."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("not a path; write it as text")
    text = str(value)
    if not text.isprintable():
        raise ValueError("a path must not contain characters that cannot be printed")
    if text.startswith("~"):
        raise ValueError("'~' is not expanded here; write the whole path")
    return Path(folder, text) if folder is not None else Path(text)


def parse_positive_duration(value: object) -> float:
    """Return a duration in seconds, which is longer than 0. Raises ValueError."""
    seconds = parse_duration(value)  # type: ignore[arg-type]  # it refuses what is not text or a number
    if seconds <= 0:
        raise ValueError("it must be longer than 0 seconds")
    return seconds


def why_not_apart(inbox: Path, storage_dir: Path, registry: Path) -> str:
    """Return why these folders cannot be used together, or "" if they can."""
    for name, path in (("registry.storage_dir", storage_dir), ("registry.path", registry)):
        if path.is_relative_to(inbox):
            return f"{name} must not be in inbox.path: stored files would be taken for drops"
    if inbox.is_relative_to(storage_dir) or inbox.is_relative_to(registry):
        return "inbox.path must not be in registry.storage_dir: drops would be among stored models"
    return ""

"""The differences of two configurations, and which of them need a restart.

Owns the list of settings that need a restart. Never reads a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .settings import LISTS, Config

__all__ = ["RESTART_KEYS", "describe_changes", "settings_of"]

RESTART_KEYS = frozenset({"inbox.path", "inbox.watcher", "registry.path", "registry.storage_dir"})
"""The settings that a running daemon cannot change: it locks and watches these folders."""


def describe_changes(old: Config, new: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the dotted names of the settings that differ: those that apply at once, and those that need a restart."""
    before, after = dict(_flat(old.model_dump())), dict(_flat(new.model_dump()))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return (
        tuple(name for name in changed if name not in RESTART_KEYS),
        tuple(name for name in changed if name in RESTART_KEYS),
    )


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings that differ from the defaults by their dotted names, in seconds and bytes."""
    folder = config.path.parent if config.path is not None else Path.cwd()
    defaults = Config.model_validate(
        {name: {} for name in Config.model_fields if name not in LISTS}, context={"folder": folder}
    )
    usual = dict(_flat(defaults.model_dump(mode="json")))
    return {name: value for name, value in _flat(config.model_dump(mode="json")) if usual.get(name) != value}


# Mappings whose keys are names of the user, not settings.
_WHOLE = frozenset({"pickle.allow", "aliases"})


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in _WHOLE:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value

"""config.yaml as typed values.

Owns the settings with their defaults (`settings`, `retention`), reading the one file (`load`), what is wrong with it,
and what changed between two of them. Never acts on a setting.

Public names: `load_config`, `Config`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .load import load_config
    from .settings import Config

__all__ = ["Config", "load_config"]


def __getattr__(name: str) -> Any:
    """Import the loader when it is first asked for: reading the retention rules alone does not need it."""
    if name in __all__:
        from . import load

        return getattr(load, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

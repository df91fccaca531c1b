"""config.yaml as typed values.

Owns the settings with their defaults (`settings`, `retention`), finding and reading the file (`load`), its problems
(`problems`), and the differences of two configurations (`changes`). Never acts on a setting, and never checks whether a
folder named in the file exists.

Public names: `load_config`, `Config`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .load import load_config
    from .settings import Config

__all__ = ["Config", "load_config"]


def __getattr__(name: str) -> Any:
    """Import the loader at its first use: `config.retention` alone does not need it."""
    if name in __all__:
        from . import load

        return getattr(load, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

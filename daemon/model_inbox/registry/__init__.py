"""The registered models: entries, the journal that commits them, their files, and what may go wrong with these.

Owns the registry's folder. From an entry (`entry`) and the bytes of a line (`journal`) over the entries of a moment and
their order (`state`), segments, the store that follows and commits, what jumps of the machine's clock mean for them
(`clock`), and the model files, up to the changes
(`registration`, `trash`, `scaler`, `labels`) and `ModelRegistry`; `repair/` verifies and rebuilds. Never knows the
inbox, the daemon or the rules of retention.

Public name: `ModelRegistry`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .registry import ModelRegistry

__all__ = ["ModelRegistry"]


def __getattr__(name: str) -> Any:
    """Import the registry when it is first asked for: who reads a journal's bytes does not need all of it."""
    if name in __all__:
        from .registry import ModelRegistry

        return ModelRegistry
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

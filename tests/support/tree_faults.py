"""What a check of trees says of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from model_inbox.pickles.trees import NotATree

__all__ = ["fault_of"]

_Model = TypeVar("_Model")


def fault_of(check: Callable[[_Model], None], model: _Model) -> str:
    """Return what is wrong with a model, or ""."""
    try:
        check(model)
    except NotATree as error:
        return str(error)
    return ""

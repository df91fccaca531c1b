"""The error of every check of trees, and the checks of single numbers that raise it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["NotATree", "Unchecked", "check_inside", "require"]


class NotATree(Exception):
    """A model whose trees its library would not survive. The text says what was found, and in which tree and node."""


class Unchecked(NotATree):
    """A model with parts that no check reads. The text says which."""


def require(condition: bool, otherwise: str) -> None:
    """Raise NotATree with the text `otherwise`, unless `condition` holds."""
    if not condition:
        raise NotATree(otherwise)


def check_inside(values: Iterable[int], end: int, where: str, what: str) -> None:
    """Raise NotATree unless each of `values` is in 0..end-1. `what` names the table that they are places in."""
    for place, value in enumerate(values):
        if not 0 <= value < end:
            raise NotATree(f"{where}, place {place}: {value} is no {what} (0 to {end - 1})")

"""Predicates that rules share: what a stub or a plain value in an argument is. Pure.

Owns the bounds on counts, shapes and texts. Knows no framework and no name.
"""

from __future__ import annotations

from math import prod
from typing import Any, TypeGuard

from .stubs import BadArguments, Global, Stub

__all__ = [
    "count_of",
    "is_count",
    "is_global",
    "is_object",
    "is_shape",
    "is_text",
    "must",
    "only_scalars",
    "package_of",
]

DIMENSIONS_MAX = 64
LENGTH_MAX = 1 << 48
TEXT_MAX = 4096


def must(condition: bool, otherwise: str) -> None:
    """Raise BadArguments with the reason `otherwise`, unless `condition` holds."""
    if not condition:
        raise BadArguments(otherwise)


def is_global(value: Any, *names: str) -> TypeGuard[Global]:
    """Return whether this is a class or function that the pickle names, and one of `names` if any are given."""
    return isinstance(value, Global) and (not names or value.name in names)


def is_object(value: Any, *names: str) -> TypeGuard[Stub]:
    """Return whether this is an object that the pickle made from one of `names`."""
    return isinstance(value, Stub) and type(value).name in names


def is_text(value: Any) -> TypeGuard[str]:
    """Return whether this is text, not longer than a name or a setting can be."""
    return type(value) is str and len(value) <= TEXT_MAX


def is_count(value: Any, most: int = LENGTH_MAX) -> TypeGuard[int]:
    """Return whether this is an integer from 0 to `most`, and no bool."""
    return type(value) is int and 0 <= value <= most


def is_shape(value: Any) -> TypeGuard[tuple[int, ...]]:
    """Return whether this can be the shape of an array: a short tuple of counts."""
    return type(value) is tuple and len(value) <= DIMENSIONS_MAX and all(is_count(item) for item in value)


def count_of(shape: tuple[int, ...]) -> int:
    """Return the number of items of an array of this shape."""
    return prod(shape)


def only_scalars(value: Any) -> bool:
    """Return whether this is one plain value, or a flat tuple of plain values."""
    items = value if type(value) is tuple else (value,)
    return all(type(item) in (int, float, str, bytes, bool, complex, type(None)) for item in items)


def package_of(name: Global) -> str:
    """Return the top-level package of a name."""
    return name.name.partition(".")[0]

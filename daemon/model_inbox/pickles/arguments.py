"""Small questions that rules ask about stubs and plain values. Pure."""

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


def must(condition: bool, otherwise: str) -> None:
    """Refuse the arguments in hand, saying what they were, unless `condition` holds."""
    if not condition:
        raise BadArguments(otherwise)


def is_global(value: Any, *names: str) -> TypeGuard[Global]:
    """Tell whether this is a name of the pickle itself, and one of `names` if any are given."""
    return isinstance(value, Global) and (not names or value.name in names)


def is_object(value: Any, *names: str) -> TypeGuard[Stub]:
    """Tell whether this is an object that the pickle made from one of `names`."""
    return isinstance(value, Stub) and type(value).name in names


def is_text(value: Any) -> TypeGuard[str]:
    """Tell whether this is text of a length that a name or a setting may have."""
    return type(value) is str and len(value) <= 4096


def is_count(value: Any, most: int = LENGTH_MAX) -> TypeGuard[int]:
    """Tell whether this is a whole number from 0 to `most`, and no bool."""
    return type(value) is int and 0 <= value <= most


def is_shape(value: Any) -> TypeGuard[tuple[int, ...]]:
    """Tell whether this can be the shape of an array: a short tuple of counts."""
    return type(value) is tuple and len(value) <= DIMENSIONS_MAX and all(is_count(item) for item in value)


def count_of(shape: tuple[int, ...]) -> int:
    """Return the number of items of an array of this shape."""
    return prod(shape)


def only_scalars(value: Any) -> bool:
    """Tell whether this is one plain value, or a flat tuple of them."""
    if type(value) is tuple:
        return all(only_scalars(item) for item in value if type(item) is not tuple) and not any(
            type(item) is tuple for item in value
        )
    return type(value) in (int, float, str, bytes, bool, complex, type(None))


def package_of(name: Global) -> str:
    """Return the top-level package of a stub."""
    return name.name.partition(".")[0]

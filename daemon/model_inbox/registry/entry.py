"""A registry entry as the API hands it out.

Owns `Entry`, a read-only dictionary with absolute paths. Pure: no disk, no clock.
"""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Entry", "freeze"]


def _read_only(*_: object, **__: object) -> NoReturn:
    raise TypeError("registry entries are read-only: a registered model never changes (copy with dict(entry))")


class _FrozenDict(dict[str, Any]):
    """A dictionary that is shared between callers and therefore cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = _read_only
    clear = pop = popitem = setdefault = update = _read_only
    __ior__ = _read_only

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return _thaw(self)  # type: ignore[no-any-return]  # a dict in gives a dict out

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (_thaw(self),)


class _FrozenList(list[Any]):
    """A list that is shared between callers and therefore cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = _read_only
    append = clear = extend = insert = pop = remove = reverse = sort = _read_only
    __iadd__ = __imul__ = _read_only

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return _thaw(self)  # type: ignore[no-any-return]  # a list in gives a list out

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (_thaw(self),)


class Entry(_FrozenDict):
    """The registry's record of one model: a read-only dictionary with the fields of docs/formats.md.

    `model_path` and `scaler_path` are absolute here. Compares and serialises as a plain dict; `dict(entry)` or
    `copy.deepcopy(entry)` gives one that can be changed.
    """

    __slots__ = ()


def _thaw(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_thaw(item) for item in value]
    return value


def freeze(value: Any) -> Any:
    """Return the value as one that cannot be changed."""
    if type(value) is dict:
        return _FrozenDict({key: freeze(item) for key, item in value.items()})
    if type(value) is list:
        return _FrozenList([freeze(item) for item in value])
    return value

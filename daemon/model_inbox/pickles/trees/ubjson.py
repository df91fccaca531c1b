"""Universal Binary JSON, as XGBoost writes it: the reader. Pure.

Objects become dictionaries and arrays lists, but an array of one type becomes a `TypedArray`, whose bytes are unpacked
only when somebody asks for them. Only what XGBoost reads is read (src/common/json.cc in its sources); everything
else raises NotATree, and so does a key that stands in an object twice. https://ubjson.org/
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from .fault import NotATree

__all__ = ["TypedArray", "read_ubjson"]

_SIZES: Final = {"U": 1, "i": 1, "I": 2, "l": 4, "L": 8, "d": 4, "D": 8}
_CODES: Final = {"U": "B", "i": "b", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}
_DEPTH_MAX: Final = 64
_LONG: Final = struct.Struct(">q")
_LONG_LENGTH: Final = ord("L")


class TypedArray:
    """An array of numbers of one type: the type's letter, the bytes that it is part of and where, and its length."""

    __slots__ = ("_data", "_start", "count", "kind")

    def __init__(self, kind: str, data: bytes, start: int, count: int) -> None:
        self.kind = kind
        self._data = data
        self._start = start
        self.count = count

    @property
    def is_of_integers(self) -> bool:
        """Whether its type is one of integers."""
        return self.kind not in "dD"

    def __len__(self) -> int:
        return self.count

    def values(self) -> list[Any]:
        """Return the numbers."""
        return [*struct.unpack_from(f">{self.count}{_CODES[self.kind]}", self._data, self._start)]


def read_ubjson(data: bytes) -> Any:
    """Return the value in `data`. Raise NotATree if it is not one whole value of the kinds that XGBoost writes."""
    reader = _Reader(data)
    try:
        value = reader.value(reader.letter(), 0)
    except (struct.error, IndexError, UnicodeDecodeError, KeyError):
        raise NotATree("the model is not UBJSON, or is cut off") from None
    if reader.place != len(data):
        raise NotATree("there is something behind the model's UBJSON")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def letter(self) -> str:
        self.place += 1
        return chr(self._data[self.place - 1])

    def _unpack(self, layout: str, size: int) -> Any:
        self.place += size
        return struct.unpack_from(layout, self._data, self.place - size)[0]

    def _length(self) -> int:
        kind = self.letter()
        length: int = self._unpack(f">{_CODES[kind]}", _SIZES[kind]) if kind in "UiIlL" else -1
        if not 0 <= length <= len(self._data) - self.place:
            raise NotATree("a length in the model is wrong")
        return length

    def _bytes(self, length: int) -> bytes:
        self.place += length
        return self._data[self.place - length : self.place]

    def value(self, kind: str, depth: int) -> Any:
        if depth > _DEPTH_MAX:
            raise NotATree("the model is nested too deeply")
        if kind in _SIZES:
            return self._unpack(f">{_CODES[kind]}", _SIZES[kind])
        read = _READERS.get(kind)
        if read is None:
            raise NotATree("the model contains a value that XGBoost does not write")
        return read(self, depth)

    def object(self, depth: int) -> dict[str, Any]:
        data, end = self._data, len(self._data)
        found: dict[str, Any] = {}
        while data[self.place] != 0x7D:
            if data[self.place] == _LONG_LENGTH:
                # The usual form, without a call for each of its parts.
                start = self.place + 9
                (length,) = _LONG.unpack_from(data, self.place + 1)
                if not 0 <= length <= end - start:
                    raise NotATree("a length in the model is wrong")
                self.place = start + length
                key = data[start : self.place].decode()
            else:
                key = self._bytes(self._length()).decode()
            if key in found:
                raise NotATree(f"the model has {key!r:.40} twice")
            head = data[self.place : self.place + 13]
            if head[:2] == b"[$" and head[3:5] == b"#L" and depth < _DEPTH_MAX:
                found[key] = self._typed_array(chr(head[2]), head[5:])
            else:
                found[key] = self.value(self.letter(), depth + 1)
        # The closing brace.
        self.place += 1
        return found

    def _typed_array(self, kind: str, length: bytes) -> TypedArray:
        """Return an array of one type with a long length, which begins here: most of a model is that."""
        (count,) = _LONG.unpack(length)
        start = self.place + 13
        self.place = start + count * _SIZES[kind]
        if count < 0 or self.place > len(self._data):
            raise NotATree("an array in the model is cut off")
        return TypedArray(kind, self._data, start, count)

    def array(self, depth: int) -> Any:
        kind = self.letter()
        if kind == "$":
            kind = self.letter()
            if self.letter() != "#":
                raise NotATree("an array in the model has no length")
            length = self._length()
            start = self.place
            self.place += length * _SIZES[kind]
            if self.place > len(self._data):
                raise NotATree("an array in the model is cut off")
            return TypedArray(kind, self._data, start, length)
        if kind == "#":
            return [self.value(self.letter(), depth + 1) for _ in range(self._length())]
        found = []
        while kind != "]":
            found.append(self.value(kind, depth + 1))
            kind = self.letter()
        return found

    def text(self, _depth: int) -> str:
        return self._bytes(self._length()).decode()


_READERS: Final[dict[str, Callable[[_Reader, int], Any]]] = {
    "{": _Reader.object,
    "[": _Reader.array,
    "S": _Reader.text,
    "Z": lambda _reader, _depth: None,
    "T": lambda _reader, _depth: True,
    "F": lambda _reader, _depth: False,
}

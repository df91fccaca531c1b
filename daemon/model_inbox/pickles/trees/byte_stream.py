"""The bytes behind CatBoost's trees, read in their order as its serializer reads them. Pure.

Each read raises NotATree where the bytes end. CatBoost itself allocates what a size in the file says.
"""

from __future__ import annotations

import struct
from typing import Any

from .fault import NotATree, require
from .flatbuffer import Table, root_table

__all__ = ["ByteStream"]

_LONG_SIZE = 0xFFFF_FFFF
"""Stands before a size of eight bytes."""


class ByteStream:
    """Bytes, and the place of the next one that is read."""

    __slots__ = ("_data", "place")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self.place

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        require(size <= self.left, "the tables behind the trees are cut off")
        self.place += size
        return self._data[self.place - size : self.place]

    def number(self, code: str) -> Any:
        """Return the next number, of the type of this letter (`struct`)."""
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def size(self) -> int:
        """Return the next size of a text or of a vector."""
        size: int = self.number("I")
        return int(self.number("Q")) if size == _LONG_SIZE else size

    def vector(self, layout: str) -> list[tuple[Any, ...]]:
        """Return the next vector: its size, and structs of this layout (`struct`)."""
        width, count = struct.calcsize(layout), self.size()
        require(count <= self.left // width, "the tables behind the trees are cut off")
        return list(struct.iter_unpack(layout, self.take(count * width)))

    def table(self) -> Table:
        """Return the root of the next flatbuffer. Its size of eight bytes stands before it."""
        return root_table(self.take(self.number("Q")))

    def flag(self) -> bool:
        """Return the next byte, which is 0 or 1."""
        value = self.number("B")
        require(value <= 1, f"there is {value} in place of yes or no")
        return bool(value)

    def choice(self, choices: int, what: str) -> int:
        """Return the next number of an enumeration with this many values."""
        value: int = self.number("I")
        if value >= choices:
            raise NotATree(f"there is no {what} {value}")
        return value

    def magic(self, text: bytes) -> None:
        """Read the name of a part, which is filled with zeros to 16 bytes."""
        require(self.take(16) == text.ljust(16, b"\0"), f"there is no {text.decode()} where one has to be")

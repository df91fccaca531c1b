"""FlatBuffers, as CatBoost writes them: a reader that follows only offsets that stay inside. Pure.

A table has its fields by number, as its schema counts them. https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from typing import Any, Final

from .fault import NotATree, require

__all__ = ["Table", "root_table"]

_NUMBERS_SIZE: Final = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "f": 4, "d": 8}


class Table:
    """A table in a buffer. Reads raise NotATree where the buffer ends."""

    __slots__ = ("_buffer", "_fields", "_place")

    def __init__(self, buffer: bytes, place: int) -> None:
        self._buffer = buffer
        self._place = place
        table = place - self._number("i", place)
        size = self._number("H", table)
        require(size >= 4 and size % 2 == 0, "the model's flatbuffer has a table without fields")
        self._fields = [self._number("H", table + at) for at in range(4, size, 2)]

    def _number(self, code: str, place: int) -> Any:
        require(0 <= place <= len(self._buffer) - _NUMBERS_SIZE[code], "the model's flatbuffer is cut off")
        return struct.unpack_from(f"<{code}", self._buffer, place)[0]

    def _at(self, field: int) -> int | None:
        offset = self._fields[field] if field < len(self._fields) else 0
        return self._place + offset if offset else None

    def number(self, field: int, code: str, default: float = 0) -> Any:
        """Return a number, of the type of this letter (`struct`)."""
        place = self._at(field)
        return default if place is None else self._number(code, place)

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """Return where the items of a vector begin, and how many there are."""
        place = self._at(field)
        if place is None:
            return 0, 0
        place += self._number("I", place)
        count = self._number("I", place)
        require(count * size <= len(self._buffer) - place - 4, "the model's flatbuffer is cut off")
        return place + 4, count

    def numbers(self, field: int, code: str) -> list[Any]:
        """Return a vector of numbers."""
        begin, count = self._vector(field, _NUMBERS_SIZE[code])
        return list(struct.unpack_from(f"<{count}{code}", self._buffer, begin))

    def count(self, field: int, size: int) -> int:
        """Return how many items of this size a vector has."""
        return self._vector(field, size)[1]

    def structs(self, field: int, layout: str) -> list[tuple[Any, ...]]:
        """Return a vector of structs, each as a tuple of what `struct` makes of it."""
        size = struct.calcsize(layout)
        begin, count = self._vector(field, size)
        return list(struct.iter_unpack(layout, self._buffer[begin : begin + count * size]))

    def bytes_as(self, field: int, layout: str) -> list[tuple[Any, ...]]:
        """Return a vector of bytes as the structs that they are, without what is left over at its end."""
        size = struct.calcsize(layout)
        begin, count = self._vector(field, 1)
        return list(struct.iter_unpack(layout, self._buffer[begin : begin + count - count % size]))

    def struct_bytes(self, field: int, size: int) -> bytes:
        """Return the bytes of a struct in the table."""
        place = self._at(field)
        if place is None:
            raise NotATree("the model's flatbuffer has a table without a struct")
        require(place <= len(self._buffer) - size, "the model's flatbuffer is cut off")
        return self._buffer[place : place + size]

    def require_vector(self, field: int) -> None:
        """Raise NotATree if the field is not there: its reader would follow a null pointer."""
        require(self._at(field) is not None, "the model's flatbuffer has a table without a vector")

    def texts(self, field: int) -> list[str]:
        """Return a vector of texts."""
        begin, count = self._vector(field, 4)
        found = []
        for place in range(begin, begin + 4 * count, 4):
            text = place + self._number("I", place)
            size = self._number("I", text)
            require(size <= len(self._buffer) - text - 4, "the model's flatbuffer is cut off")
            found.append(self._buffer[text + 4 : text + 4 + size].decode("utf-8", "replace"))
        return found

    def tables(self, field: int) -> list[Table]:
        """Return a vector of tables."""
        begin, count = self._vector(field, 4)
        return [Table(self._buffer, place + self._number("I", place)) for place in range(begin, begin + 4 * count, 4)]

    def table(self, field: int) -> Table | None:
        """Return a table, or None."""
        place = self._at(field)
        return None if place is None else Table(self._buffer, place + self._number("I", place))

    def text(self, field: int) -> str:
        """Return a text, or "" without one."""
        begin, count = self._vector(field, 1)
        return self._buffer[begin : begin + count].decode("utf-8", "replace")


def root_table(buffer: bytes) -> Table:
    """Return the root table of a buffer."""
    require(len(buffer) >= 4, "the model's flatbuffer is cut off")
    return Table(buffer, int.from_bytes(buffer[:4], "little"))

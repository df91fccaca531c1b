"""The layout of tables for people: which columns a terminal has room for, and what becomes of the others.

Owns the widths of columns, and what is shortened or left out. Never prints, and never asks how wide a terminal is.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Column", "Table", "columns_of_text", "lay_out"]

_GAP = "  "
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    `rank` says in which order columns are left out: the highest first, and one of rank 0 never. A column is shortened
    down to `least` characters before any is left out; without `least` it is never shortened. `words`: shorten it only
    between words, since it may contain an id.
    """

    title: str
    rank: int = 0
    least: int | None = None
    words: bool = False
    right: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The lines of a table, the first with the titles, and the titles of the columns that have no room."""

    lines: tuple[str, ...]
    left_out: tuple[str, ...]


def lay_out(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None, *, ellipsis: str = "…"
) -> Table:
    """Return a table of one line a row, each at most `width` characters wide (None: without a limit).

    If it is too wide, columns are shortened, then those of the highest rank are left out. A row whose cell in a column
    of rank 0 is wider than the terminal consists of that cell alone, and is the only line that is too wide.
    """
    limit = width if width is not None else _NO_LIMIT
    natural = [_natural(column, [row[at] for row in rows], limit) for at, column in enumerate(columns)]
    shown = list(range(len(columns)))
    alone = [at for at, column in enumerate(columns) if column.rank == 0]
    too_wide = [any(columns_of_text(row[at]) > limit for at in alone) for row in rows]
    if rows and all(too_wide):
        shown = alone
    while _total([_smallest(columns[at], natural[at]) for at in shown]) > limit:
        if not any(columns[at].rank for at in shown):
            break
        shown.remove(max(shown, key=lambda at: columns[at].rank))
    sizes = _sizes(columns, natural, shown, limit)
    lines = [_line([columns[at].title for at in shown], [columns[at] for at in shown], sizes, ellipsis)]
    for row, wide in zip(rows, too_wide, strict=True):
        if wide:
            lines.append(_GAP.join(row[at] for at in alone))
        else:
            lines.append(_line([row[at] for at in shown], [columns[at] for at in shown], sizes, ellipsis))
    return Table(tuple(lines), tuple(column.title for at, column in enumerate(columns) if at not in shown))


def columns_of_text(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def _natural(column: Column, cells: Sequence[str], limit: int) -> int:
    """Return the width that a column would have with room for all its cells that fit into a line."""
    widths = [columns_of_text(cell) for cell in cells]
    if column.rank == 0:
        widths = [size for size in widths if size <= limit]
    return max([columns_of_text(column.title), *widths])


def _smallest(column: Column, natural: int) -> int:
    if column.least is None:
        return natural
    return min(natural, max(column.least, columns_of_text(column.title)))


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) + len(_GAP) * (len(sizes) - 1)


def _sizes(columns: Sequence[Column], natural: Sequence[int], shown: Sequence[int], limit: int) -> list[int]:
    """Return the widths of the columns that are shown: the widest one that can be shortened is, until all fit."""
    sizes = {at: natural[at] for at in shown}
    floors = {at: _smallest(columns[at], natural[at]) for at in shown}
    while (excess := _total(list(sizes.values())) - limit) > 0:
        flexible = [at for at in shown if sizes[at] > floors[at]]
        if not flexible:
            break
        widest = max(flexible, key=lambda at: sizes[at])
        # Down to the second widest, at most by what is too much.
        next_width = max([sizes[at] for at in flexible if at != widest], default=0)
        step = max(min(excess, sizes[widest] - max(next_width, floors[widest])), 1)
        sizes[widest] -= step
    return [sizes[at] for at in shown]


def _line(cells: Sequence[str], columns: Sequence[Column], sizes: Sequence[int], ellipsis: str) -> str:
    parts = []
    for cell, column, size in zip(cells, columns, sizes, strict=True):
        needed = columns_of_text(cell)
        text = cell if needed <= size else _shortened(cell, size, ellipsis, words=column.words)
        margin = " " * (size - (needed if text is cell else columns_of_text(text)))
        parts.append(margin + text if column.right else text + margin)
    return _GAP.join(parts).rstrip()


def _shortened(text: str, size: int, ellipsis: str, *, words: bool) -> str:
    """Return the start of a text that is too wide."""
    room = size - len(ellipsis)
    kept = 0
    for end in range(1, len(text) + 1):
        if columns_of_text(text[:end]) > room:
            break
        kept = end
    start = text[:kept]
    if words and text[kept : kept + 1] != " ":
        start = start.rpartition(" ")[0]
    return start.rstrip(" ,;:") + ellipsis

"""Labels: how wide a text is, and where it can stand without lying on another one.

Owns the estimate of widths and the free places of one chart. The browser chooses the font, so the estimate is that of
a wide one (DejaVu Sans): texts are rather narrower than it says. Pure.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Anchor", "Box", "Label", "Places", "fitted", "width_of"]

_SIZE = 13
"""The size of the text in charts.css, in pixels."""

_ASCENT, _DESCENT = 11, 4
_NARROW, _WIDE = frozenset("iIjlftr.,:;|!'()[]/ -"), frozenset("mwMWQOGD@%&")

Anchor = str
"""Which point of a text is at its place: start, middle or end."""


def width_of(text: str) -> float:
    """Return an estimate of the width of a text, in pixels."""
    return sum(map(_width_of_character, text)) * _SIZE


def _width_of_character(character: str) -> float:
    if character.isascii():
        return 0.42 if character in _NARROW else 1.0 if character in _WIDE else 0.72 if character.isupper() else 0.64
    if unicodedata.combining(character):
        return 0.0
    return 1.05 if unicodedata.east_asian_width(character) in "WF" else 0.85


def fitted(text: str, width: float) -> str:
    """Return a text, cut at its end so that it is at most `width` wide; "" where not even two characters are."""
    if width_of(text) <= width:
        return text
    length = len(text)
    while length > 2 and width_of(f"{text[:length]}…") > width:
        length -= 1
    return f"{text[:length]}…" if width_of(f"{text[:length]}…") <= width else ""


class Box(NamedTuple):
    """A part of the chart, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether two boxes share more than an edge."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        """Return whether another box lies within this one."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


class Label(NamedTuple):
    """A text that has its place: `x` is that of its anchor, `y` its baseline."""

    text: str
    x: float
    y: float
    anchor: Anchor

    @property
    def box(self) -> Box:
        """The space that it takes."""
        width = width_of(self.text)
        left = self.x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        return Box(left, self.y - _ASCENT, left + width, self.y + _DESCENT)


@dataclass(slots=True)
class Places:
    """The places of a chart that are taken. `area` is where texts may stand."""

    area: Box
    taken: list[Box] = field(default_factory=list)

    def put(self, label: Label) -> Label:
        """Take the place of a label that must stand there."""
        self.taken.append(label.box)
        return label

    def find(self, candidates: Iterable[Label]) -> Label | None:
        """Return the first label whose place is free, and take it; None if none is."""
        for candidate in candidates:
            # As it is written, with one digit: a tenth of a pixel can make two texts touch.
            label = candidate._replace(x=round(candidate.x, 1), y=round(candidate.y, 1))
            box = label.box
            if label.text and self.area.holds(box) and not any(box.meets(other) for other in self.taken):
                self.taken.append(box)
                return label
        return None

    def around(self, x: float, y: float, room: float) -> None:
        """Keep texts away from a sign."""
        self.taken.append(Box(x - room, y - room, x + room, y + room))

    def along(self, corners: Sequence[tuple[float, float]], room: float) -> None:
        """Keep texts away from a line: from what it covers in each column of eight pixels."""
        columns: dict[float, tuple[float, float]] = {}
        for (x, y), (to_x, to_y) in pairwise(corners):
            pieces = max(1, math.ceil(max(abs(to_x - x), abs(to_y - y)) / 8))
            for piece in range(pieces + 1):
                column = (x + (to_x - x) * piece / pieces) // 8
                down = y + (to_y - y) * piece / pieces
                least, most = columns.get(column, (down, down))
                columns[column] = min(least, down), max(most, down)
        self.taken += [
            Box(column * 8, least - room, column * 8 + 8, most + room) for column, (least, most) in columns.items()
        ]

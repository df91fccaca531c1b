"""What a chart is: a picture, and its figures as rows of a table for who cannot see it.

Owns these values alone. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .svg import Svg

__all__ = ["Chart", "ColumnHead", "Table"]


class ColumnHead(NamedTuple):
    """The head of a column. `is_number`: its cells are figures, aligned at the right."""

    title: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The figures of a chart. All texts are printable, and not yet escaped for HTML: the template does that."""

    caption: str
    columns: tuple[ColumnHead, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: markup that is safe to insert, its width in pixels, and its figures."""

    svg: Svg
    width: int
    table: Table

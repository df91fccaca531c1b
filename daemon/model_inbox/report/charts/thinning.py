"""Fewer points for the same picture: of many points in one column of pixels, those that can be seen.

Owns the choice: the first, the least, the largest and the last of each column. A line through these covers the same
pixels as a line through all points. It is M4 of Jugel, Jerzak, Hackenbroich and Markl, "M4: A Visualization-Oriented
Time Series Data Aggregation", PVLDB 7(10), 2014. No extreme is lost. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["kept"]


def kept(places: Sequence[float], values: Sequence[float], width: float = 1.0) -> list[int]:
    """Return the indices of the points that stay, in their order. `places` are in pixels, and do not decrease.

    `width` is that of a column, in pixels. Without more than four points in a column all stay.
    """
    stay: list[int] = []
    begin, count = 0, len(places)
    while begin < count:
        column = places[begin] // width
        end = begin + 1
        while end < count and places[end] // width == column:
            end += 1
        if end - begin <= 4:
            stay += range(begin, end)
        else:
            inside = range(begin, end)
            least, largest = min(inside, key=values.__getitem__), max(inside, key=values.__getitem__)
            stay += sorted({begin, least, largest, end - 1})
        begin = end
    return stay

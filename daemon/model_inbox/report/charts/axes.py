"""The frame of a chart over time: lines and texts of both axes, and paths through points.

Owns how axes look. Never decides what they reach. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .labels import Box, Label
from .scale import Tick
from .svg import Svg, element, number, text
from .times import TimeScale, time_ticks

__all__ = ["axes", "path_of", "stairs"]


def axes(ticks: Sequence[Tick], times: TimeScale, plot: Box) -> Iterator[Svg]:
    """Yield a line across the plot for each tick of the values, and marks of the times under it, which are UTC."""
    for tick in ticks:
        yield element("path", class_="grid", d=f"M{number(plot.left)} {number(tick.at)}H{number(plot.right)}")
        yield text(tick.text, plot.left - 8, tick.at + 4, "tick", "end")
    utc = Label("UTC", plot.right, plot.bottom + 20, "end")
    for tick in time_ticks(times, 0, utc.box.left - 16):
        yield element("path", class_="grid", d=f"M{number(tick.at)} {number(plot.bottom)}v4")
        yield text(tick.text, tick.at, plot.bottom + 20, "tick", "middle")
    yield text(*utc[:3], "tick", utc.anchor)


def path_of(corners: Sequence[tuple[float, float]]) -> str:
    """Return the path through points."""
    return f"M{' '.join(f'{number(x)} {number(y)}' for x, y in corners)}"


def stairs(x: Sequence[float], y: Sequence[float], end: float) -> list[tuple[float, float]]:
    """Return the corners of a line that stays at each value until the next one, and at the last until `end`."""
    corners: list[tuple[float, float]] = []
    for index, place in enumerate(x):
        if corners:
            corners.append((place, corners[-1][1]))
        corners.append((place, y[index]))
    return [*corners, (end, y[-1])]

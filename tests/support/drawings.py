"""Reads a chart as a browser does: its elements, its texts with the space they take, and all its coordinates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree as ET

from model_inbox.report.charts import Chart
from model_inbox.report.charts.labels import Box, Label

__all__ = ["boxes_of_texts", "by_class", "check", "corners", "tree"]

_NUMBER = r"-?\d+(?:\.\d+)?"


def tree(chart: Chart) -> ET.Element:
    """Return the SVG as a tree. Raises ParseError if it is not well-formed."""
    return ET.fromstring(chart.svg)


def by_class(chart: Chart, name: str) -> list[ET.Element]:
    """Return the elements that have a class, in their order."""
    return [found for found in tree(chart).iter() if name in found.get("class", "").split()]


def corners(path: str) -> Iterator[tuple[float, float]]:
    """Yield the points that a path goes through. Knows the commands that charts use."""
    x = y = 0.0
    for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        found = [float(one) for one in re.findall(_NUMBER, numbers)]
        if command in "ML":
            for x, y in zip(found[::2], found[1::2], strict=True):
                yield x, y
        elif command == "l":
            for across, down in zip(found[::2], found[1::2], strict=True):
                x, y = x + across, y + down
                yield x, y
        elif command == "m":
            x, y = x + found[0], y + found[1]
            yield x, y
        elif command == "H":
            x = found[0]
            yield x, y
        elif command == "V":
            y = found[0]
            yield x, y
        elif command in "hv":
            x, y = (x + found[0], y) if command == "h" else (x, y + found[0])
            yield x, y
        elif command == "a":
            x, y = x + found[5], y + found[6]
            yield x, y
        elif command not in "zZ":
            raise AssertionError(f"what does {command} do?")


def boxes_of_texts(chart: Chart) -> list[tuple[str, Box]]:
    """Return the texts of a chart and the space that each takes."""
    return [
        (
            label.text,
            label.box,
        )
        for found in tree(chart).iter()
        if found.tag == "text"
        and (
            label := Label(
                "".join(found.itertext()),
                float(found.get("x", "nan")),
                float(found.get("y", "nan")),
                found.get("text-anchor", "start"),
            )
        )
    ]


def check(chart: Chart) -> None:
    """Assert what holds for every chart: well-formed, named, within its frame, and no text on another one."""
    root = tree(chart)
    _, _, width, height = map(float, root.get("viewBox", "").split())
    assert root.get("role") == "img"
    named = [found.get("id") for found in root if found.tag in ("title", "desc") and found.text]
    assert root.get("aria-labelledby", "").split() == named
    assert not [found for found in root.iter() if "style" in found.attrib or found.tag in ("script", "style")]
    frame = Box(-0.1, -0.1, width + 0.1, height + 0.1)
    for found in root.iter():
        if found.tag == "path":
            for x, y in corners(found.get("d", "")):
                assert frame.holds(Box(x, y, x, y)), (found.attrib, x, y)
        if found.tag == "rect":
            x, y, across, down = (float(found.get(name, "nan")) for name in ("x", "y", "width", "height"))
            assert frame.holds(Box(x, y, x + across, y + down)), found.attrib
    texts = boxes_of_texts(chart)
    for shown, box in texts:
        assert frame.holds(box), (shown, box)
    for (one, first), (other, second) in combinations(texts, 2):
        assert not first.meets(second), (one, other)
    assert all(len(row) == len(chart.table.columns) for row in chart.table.rows)

"""Bytes: over time, as one line or as two that are compared, and what each slot takes now as bars.

Owns what these charts show. Never measures anything. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ...base.units import counted, format_size
from .axes import axes, path_of, stairs
from .chart import Chart, ColumnHead, Table
from .labels import Box, Label, Places, fitted, width_of
from .scale import byte_ticks, number_scale
from .svg import Svg, element, number, picture, plain, text
from .thinning import kept
from .times import TimeScale, day_text, moment_text, time_scale

__all__ = ["BytesChart", "DiskChart", "Part", "Regret", "Series", "bytes_chart", "disk_chart"]


@dataclass(frozen=True, slots=True)
class Series:
    """Bytes from each instant on, until the next one. `name` stands at the line."""

    name: str
    amounts: Sequence[tuple[datetime, int]]


@dataclass(frozen=True, slots=True)
class Regret:
    """A model that the rules would have taken, although it was needed later. `why` is like
    "promoted 3 days later".
    """

    at: datetime
    model_id: str
    why: str


@dataclass(frozen=True, slots=True)
class BytesChart:
    """Bytes over time. Of two series the first is what was, and the second what would have been.

    `key` is unique in the page: letters, digits and hyphens. Regrets are marked at the last series.
    """

    key: str
    title: str
    series: Sequence[Series]
    regrets: Sequence[Regret] = ()
    last: datetime | None = None
    width: int = 720
    rows_max: int = 40


@dataclass(frozen=True, slots=True)
class Part:
    """What one slot, or anything else, takes on the disk: in use, and in the trash."""

    name: str
    size: int
    models: int
    trash: int = 0


@dataclass(frozen=True, slots=True)
class DiskChart:
    """What each part takes. `key` is unique in the page: letters, digits and hyphens."""

    key: str
    title: str
    parts: Sequence[Part]
    width: int = 720
    bars_max: int = 12


_TOP, _HEIGHT, _RIGHT = 24, 160, 8
_BOTTOM = _TOP + _HEIGHT
_KINDS = ("line", "line other")
_NOTES_MAX = 6


# --- over time -----------------------------------------------------------------------------------------------


def bytes_chart(spec: BytesChart) -> Chart:
    """Return the chart of bytes over time, from zero on, so that heights can be compared."""
    series = [Series(one.name, sorted(one.amounts)) for one in spec.series]
    scale = number_scale((size for one in series for _, size in one.amounts), _BOTTOM, _TOP, from_zero=True)
    ticks = byte_ticks(scale, 6)
    left = 8 + max((width_of(tick.text) for tick in ticks), default=0.0)
    moments = [*(at for one in series for at, _ in one.amounts), *(one.at for one in spec.regrets)]
    times = time_scale([*moments, *([spec.last] if spec.last else [])], left, spec.width - _RIGHT)
    plot = Box(left, _TOP, spec.width - _RIGHT, _BOTTOM)
    parts = [*axes(ticks, times, plot)] if moments else []
    if not moments:
        parts.append(text("nothing yet", (plot.left + plot.right) / 2, (_TOP + _BOTTOM) / 2, "note", "middle"))
    places = Places(Box(left, 0, spec.width, _BOTTOM))
    ends: list[tuple[str, float]] = []
    corners: list[tuple[float, float]] = []
    for one, kind in zip(series, _KINDS, strict=False):
        if not one.amounts:
            continue
        x, y = [times(at) for at, _ in one.amounts], scale.several(size for _, size in one.amounts)
        stay = kept(x, y)
        corners = stairs([x[index] for index in stay], [y[index] for index in stay], plot.right)
        parts.append(element("path", class_=kind, d=path_of(corners)))
        places.along(corners, 3)
        ends.append((plain(one.name, 60), corners[-1][1]))
    parts += _regrets(spec.regrets, times, corners, places)
    for name, end in ends:
        spots = [
            Label(fitted(name, plot.right - left), plot.right - step * 24, end + down, "end")
            for step in range(int((plot.right - left) // 24))
            for down in (-8, 18)
        ]
        if label := places.find(spots):
            parts.append(text(*label[:3], "note", label.anchor))
    svg = picture(spec.key, plain(spec.title), _over_time(spec, series), (spec.width, _BOTTOM + 28), parts)
    return Chart(svg, spec.width, _table_over_time(spec, series))


def _regrets(
    regrets: Sequence[Regret], times: TimeScale, corners: Sequence[tuple[float, float]], places: Places
) -> Iterator[Svg]:
    """Yield a cross at the line for each model that would have been missed, and its id where there is room."""
    columns = {times(one.at) // 8: one for one in sorted(regrets, key=lambda one: one.at)}
    spots = {one: (times(one.at), _height_at(corners, times(one.at))) for one in columns.values()}
    for x, y in spots.values():
        yield element("path", class_="rej", d=f"M{number(x - 4)} {number(y - 4)}l8 8m0-8l-8 8")
        places.around(x, y, 5)
    for one in [*columns.values()][: -_NOTES_MAX - 1 : -1]:
        x, y = spots[one]
        shown = fitted(plain(one.model_id), times.end - times.start)
        candidates = [
            Label(shown, x + across, y + down, anchor)
            for down in (-12, 22, -30, 40)
            for across, anchor in ((0, "middle"), (4, "end"), (-4, "start"))
        ]
        if label := places.find(candidates):
            yield text(*label[:3], "note", label.anchor)


def _height_at(corners: Sequence[tuple[float, float]], x: float) -> float:
    """Return the height of a line of stairs at a place; of none, that of the axis."""
    before = [y for corner, y in corners if corner <= x]
    return before[-1] if before else corners[0][1] if corners else float(_BOTTOM)


def _over_time(spec: BytesChart, series: Sequence[Series]) -> str:
    said = []
    for one in series:
        if one.amounts:
            largest = max(size for _, size in one.amounts)
            at, size = one.amounts[-1]
            said.append(
                f"{plain(one.name)}: {format_size(size)} on {day_text(at)}, at most {format_size(largest)}, "
                f"since {day_text(one.amounts[0][0])}"
            )
    if spec.regrets:
        said.append(f"{counted(len(spec.regrets), 'model')} would have been missed")
    return f"{'. '.join(said) or 'Nothing yet'}. The figures are in the table after the chart."


def _table_over_time(spec: BytesChart, series: Sequence[Series]) -> Table:
    """Return the last amounts of each day, the newest first, and the regrets among them."""
    by_day: dict[str, tuple[datetime, list[str]]] = {}
    for index, one in enumerate(series):
        for at, size in one.amounts:
            moment, cells = by_day.setdefault(day_text(at), (at, [""] * len(series)))
            cells[index] = format_size(size)
            by_day[day_text(at)] = max(moment, at), cells
    rows: list[tuple[datetime, tuple[str, ...]]] = [(at, (day, *cells, "")) for day, (at, cells) in by_day.items()]
    blank = [""] * len(series)
    rows += [
        (one.at, (moment_text(one.at), *blank, f"{plain(one.model_id)}: {plain(one.why)}")) for one in spec.regrets
    ]
    rows.sort(key=lambda row: row[0], reverse=True)
    of_all = f" (the {spec.rows_max} newest of {len(rows)})" if len(rows) > spec.rows_max else ""
    heads = [ColumnHead(plain(one.name), is_number=True) for one in series]
    return Table(
        f"{plain(spec.title)}{of_all}",
        (ColumnHead("Day (UTC)"), *heads, ColumnHead("Missed")),
        tuple(cells for _, cells in rows[: spec.rows_max]),
    )


# --- now -----------------------------------------------------------------------------------------------------

_ROW, _BAR = 32, 16


def disk_chart(spec: DiskChart) -> Chart:
    """Return the bars of what each part takes, the largest first; those that have no room are one bar together."""
    ordered = sorted(spec.parts, key=lambda part: (-part.size - part.trash, part.name))
    shown, rest = ordered[: spec.bars_max], ordered[spec.bars_max :]
    if rest:
        shown.append(
            Part(
                f"{len(rest)} others",
                sum(part.size for part in rest),
                sum(part.models for part in rest),
                sum(part.trash for part in rest),
            )
        )
    names = [fitted(plain(part.name), spec.width / 3) for part in shown]
    says = [_says(part) for part in shown]
    left = 8 + max(map(width_of, names), default=0.0)
    room = max(8.0, spec.width - left - 16 - max(map(width_of, says), default=0.0))
    largest = max((part.size + part.trash for part in shown), default=0) or 1
    parts: list[Svg] = []
    for index, (part, name, say) in enumerate(zip(shown, names, says, strict=True)):
        top = index * _ROW + 8
        used, trashed = room * part.size / largest, room * part.trash / largest
        parts.append(text(name, left - 8, top + 13, "note", "end"))
        parts.append(element("rect", class_="bar", x=left, y=top, width=used, height=_BAR))
        if part.trash:
            parts.append(element("rect", class_="bar b1", x=left + used, y=top, width=trashed, height=_BAR))
        parts.append(text(say, left + used + trashed + 8, top + 13, "tick"))
    if not shown:
        parts.append(text("nothing yet", 0, 20, "note"))
    total, trash = sum(part.size for part in ordered), sum(part.trash for part in ordered)
    described = (
        f"{format_size(total)} in use and {format_size(trash)} in the trash. The figures are in the table after it."
    )
    height = max(1, len(shown)) * _ROW
    svg = picture(spec.key, plain(spec.title), described, (spec.width, height), parts)
    heads = (
        ColumnHead("Slot"),
        *(ColumnHead(name, is_number=True) for name in ("Models", "In use", "In the trash")),
    )
    rows = tuple((plain(p.name), str(p.models), format_size(p.size), format_size(p.trash)) for p in shown)
    return Chart(svg, spec.width, Table(plain(spec.title), heads, rows))


def _says(part: Part) -> str:
    trash = f" and {format_size(part.trash)} in the trash" if part.trash else ""
    return f"{format_size(part.size)}{trash}"

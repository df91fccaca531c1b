"""A metric of a slot over time, with the decisions: gates, holds, rejections, promotions and rollbacks.

Owns what such a chart shows and where. Dots are models, diamonds are values that were recorded later, a ring is held, a
cross rejected. The dashed line is a gate, the band below says which model was in use. Texts stand at the thing. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from ...base.margins import Order
from ...base.units import counted
from .axes import axes, path_of, stairs
from .chart import Chart, ColumnHead, Table
from .labels import Box, Label, Places, fitted, width_of
from .scale import Scale, Tick, as_finite, exact, number_scale, number_ticks, short
from .svg import Svg, element, number, picture, plain, text
from .thinning import kept
from .times import TimeScale, day_text, moment_text, seconds_of, time_scale

__all__ = ["GateLine", "GateStep", "How", "MetricChart", "Point", "Sign", "Tenure", "metric_chart"]


class Sign(Enum):
    """How a value is drawn. The text says it in words."""

    MODEL = "validation"
    RECORDED = "recorded"
    HELD = "held"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a model. `note` stands at it, where there is room. `chosen`: the page is about this model."""

    at: datetime
    value: float
    model_id: str
    sign: Sign = Sign.MODEL
    note: str = ""
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class GateStep:
    """From when a gate asked for which value, and the value that it started from: that of the model in service."""

    at: datetime
    bound: float
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class GateLine:
    """A gate over time. `label` says what it asks for: "gate: at most 0.0066"."""

    label: str
    steps: tuple[GateStep, ...]


class How(Enum):
    """How a model came into use."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Tenure:
    """The time in which a model was in use. `until` is None for the one that is in use now."""

    model_id: str
    since: datetime
    until: datetime | None
    how: How = How.PROMOTED


@dataclass(frozen=True, slots=True)
class MetricChart:
    """One metric of one slot.

    `key` is unique in the page: letters, digits and hyphens. `order` says which values are better; None: nobody
    knows. `holder` names who the band is about: an alias, or "newest". `first` and `last` extend the time shown.
    """

    key: str
    subject: str
    metric: str
    order: Order | None
    points: Sequence[Point]
    gates: Sequence[GateLine] = ()
    tenures: Sequence[Tenure] = ()
    holder: str = "champion"
    first: datetime | None = None
    last: datetime | None = None
    width: int = 720
    rows_max: int = 40


_TOP, _HEIGHT = 32, 160
_BOTTOM = _TOP + _HEIGHT
_BAND_TOP, _BAND_HEIGHT = _BOTTOM + 32, 20
_NOTES_MAX = 8
# Of more models only the line is drawn: dots would cover each other.
_DOTS_MAX = 240
# Values farther away than this many times the range of nearly all others stand at the edge.
_FAR = 2.0
_RIGHT = 8
_ORDERS = {"min": "lower is better", "max": "higher is better"}


def metric_chart(spec: MetricChart) -> Chart:
    """Return the chart of a metric. Values that are no finite numbers are not drawn, and are in the table."""
    drawn = sorted((point for point in spec.points if as_finite(point.value) is not None), key=lambda one: one.at)
    low_high = [*_usual(drawn), *_near_bounds(spec.gates, drawn)]
    values = number_scale(low_high, _BOTTOM, _TOP)
    ticks = number_ticks(values)
    holder = fitted(plain(spec.holder), 96) if spec.tenures else ""
    left = 8 + max(width_of(shown) for shown in (holder, *(tick.text for tick in ticks)))
    times = time_scale([*_moments(spec, drawn)], left, spec.width - _RIGHT)
    drawing = _Drawing(spec, drawn, values, times)
    height = _BAND_TOP + _BAND_HEIGHT + 32 if spec.tenures else _BOTTOM + 28
    parts = [*drawing.frame(ticks), *drawing.gates(), *drawing.band(holder), *drawing.curves(), *drawing.texts()]
    title = f"{plain(spec.subject)}: {plain(spec.metric)}{_span_text(drawn)}"
    svg = picture(spec.key, title, _described(spec, drawn), (spec.width, height), parts)
    return Chart(svg, spec.width, _table(spec))


def _moments(spec: MetricChart, drawn: Sequence[Point]) -> Iterator[datetime]:
    """Yield the instants that the axis reaches: those of the values, and who came into use after the first of them."""
    yield from (point.at for point in drawn)
    yield from (one for one in (spec.first, spec.last) if one is not None)
    first = spec.first or (drawn[0].at if drawn else None)
    for tenure in spec.tenures:
        yield from (one for one in (tenure.since, tenure.until) if one is not None and (first is None or one >= first))


def _usual(points: Sequence[Point]) -> list[float]:
    """Return the least and the largest value that the axis must show: all, but for few that are far away."""
    ordered = sorted(point.value for point in points)
    if len(ordered) < 3:
        return ordered
    # The middle 90 percent, and of few values the middle ones.
    cut = max(1, len(ordered) // 20)
    low, high = ordered[cut], ordered[-1 - cut]
    room = _FAR * (high - low)
    if not 0 < room < float("inf"):
        return [ordered[0], ordered[-1]]
    inside = [value for value in ordered if low - room <= value <= high + room]
    return [inside[0], inside[-1]]


def _near_bounds(gates: Sequence[GateLine], points: Sequence[Point]) -> Iterator[float]:
    """Yield the bounds of gates that are not far from the values. Without values, yield all."""
    usual = _usual(points)
    for gate in gates:
        for step in gate.steps:
            bound = as_finite(step.bound)
            if bound is not None and (not usual or _is_near(bound, usual)):
                yield bound


def _is_near(bound: float, usual: Sequence[float]) -> bool:
    low, high = usual[0], usual[-1]
    room = max(high - low, abs(high) / 4)
    return low - room <= bound <= high + room


class _Drawing:
    """The parts of one chart. Texts take their places in the order in which they are made."""

    def __init__(self, spec: MetricChart, drawn: Sequence[Point], values: Scale, times: TimeScale) -> None:
        self._spec = spec
        self._values, self._times = values, times
        self._places = Places(Box(times.start, 0, spec.width, _BOTTOM))
        self._right = spec.width - _RIGHT
        self._x = [times(point.at) for point in drawn]
        self._y = values.several(point.value for point in drawn)
        self._drawn = drawn
        self._gate_ends: list[tuple[str, float]] = []
        self._head_end = 0.0

    def frame(self, ticks: Sequence[Tick]) -> Iterator[Svg]:
        """Yield the lines and texts of the axes, and what the chart is about."""
        spec, left = self._spec, self._times.start
        if self._drawn or spec.tenures:
            yield from axes(ticks, self._times, Box(left, _TOP, self._right, _BOTTOM))
        if not self._drawn:
            none = self._places.put(Label("no values", (left + self._right) / 2, (_TOP + _BOTTOM) / 2, "middle"))
            yield text(*none[:3], "note", none.anchor)
        order = f", {_ORDERS[spec.order]}" if spec.order else ""
        name = fitted(plain(spec.metric), spec.width / 2 - width_of(order))
        head = self._places.put(Label(f"{name}{order}", 0, 13, "start"))
        self._head_end = head.box.right
        yield text(*head[:3], "note")

    def gates(self) -> Iterator[Svg]:
        """Yield the gates: the bound as a dashed line, and the room between it and the model in service."""
        for gate in self._spec.gates:
            steps = sorted((one for one in gate.steps if as_finite(one.bound) is not None), key=lambda one: one.at)
            if not steps:
                continue
            x = [self._times(step.at) for step in steps]
            stay = kept(x, [step.bound for step in steps])
            steps, x = [steps[index] for index in stay], [x[index] for index in stay]
            corners = stairs(x, self._values.several(step.bound for step in steps), self._right)
            if all(as_finite(step.reference) is not None for step in steps):
                references = self._values.several(step.reference or 0.0 for step in steps)
                back = stairs(x, references, self._right)[::-1]
                yield element("path", class_="margin", d=f"{path_of((*corners, *back))}Z")
            yield element("path", class_="gate", d=path_of(corners))
            self._places.along(corners, 1)
            if gate.label:
                self._gate_ends.append((gate.label, corners[-1][1]))

    def band(self, holder: str) -> Iterator[Svg]:
        """Yield the band of the models in use, with a mark for each promotion and rollback."""
        tenures = sorted(self._spec.tenures, key=lambda one: one.since)
        if not tenures:
            return
        middle, bottom = _BAND_TOP + 14, _BAND_TOP + _BAND_HEIGHT
        yield text(holder, self._times.start - 8, middle, "tick", "end")
        ids = [plain(tenure.model_id) for tenure in tenures]
        begin = _common_beginning(ids)
        number_of, end = 0, -1.0
        for tenure, shown in zip(tenures, ids, strict=True):
            left = self._times(tenure.since)
            right = self._times(tenure.until) if tenure.until is not None else self._right
            # Of several in one column of pixels the first is drawn: each is in the table.
            if right - max(left, end) < 1:
                continue
            left, end = max(left, end), right
            kind = f"band b{number_of % 2}"
            number_of += 1
            width = max(1.0, right - left - 1)
            yield element("rect", class_=kind, x=left, y=_BAND_TOP, width=width, height=_BAND_HEIGHT)
            for name in (shown, f"…{shown[begin:]}" if begin else ""):
                if name and width_of(name) + 8 <= width:
                    yield text(name, left + 4, middle, "bandlabel")
                    break
        yield from self._band_marks(tenures, bottom)

    def _band_marks(self, tenures: Sequence[Tenure], bottom: int) -> Iterator[Svg]:
        places = Places(Box(0, bottom, self._spec.width, bottom + 32))
        by_column = {}
        for tenure in tenures:
            if tenure.how is not How.NEWEST and self._times.first <= seconds_of(tenure.since):
                column = self._times(tenure.since) // 8
                if tenure.how is How.ROLLED_BACK or column not in by_column:
                    by_column[column] = tenure
        said: set[How] = set()
        # A rollback is said before a promotion, and the latest first: a text that has no room is left out.
        for tenure in sorted(by_column.values(), key=lambda one: (one.how is How.ROLLED_BACK, one.since), reverse=True):
            x, is_rollback = self._times(tenure.since), tenure.how is How.ROLLED_BACK
            if is_rollback:
                yield element("path", class_="event", d=f"M{number(x)} {_TOP}V{_BOTTOM}")
            yield element("path", class_="roll" if is_rollback else "promo", d=f"M{number(x)} {bottom + 2}l-4 7h8z")
            if tenure.how in said and not is_rollback:
                continue
            spots = [
                Label(tenure.how.value, place, bottom + 23, anchor)
                for place, anchor in ((x, "middle"), (x - 4, "start"), (x + 4, "end"))
            ]
            if label := places.find(spots):
                said.add(tenure.how)
                yield text(*label[:3], "note", label.anchor)

    def curves(self) -> Iterator[Svg]:
        """Yield the line through the models, their dots, and the other signs; each sign of one kind in one path."""
        for sign, draw in _SIGNS.items():
            chosen = [index for index, point in enumerate(self._drawn) if point.sign is sign]
            x, y = [self._x[index] for index in chosen], [self._y[index] for index in chosen]
            stay = kept(x, y)
            spots = [(x[index], y[index]) for index in stay]
            if not spots:
                continue
            if sign is Sign.MODEL:
                yield element("path", class_="line", d=path_of(spots))
                self._places.along(spots, 3)
                if len(spots) > _DOTS_MAX:
                    continue
            yield element("path", class_=_CLASSES[sign], d="".join(draw(*spot) for spot in spots))
            for spot in spots:
                self._places.around(*spot, 5)

    def texts(self) -> Iterator[Svg]:
        """Yield the texts: gates, the model that the page is about, holds, rejections, and what the signs are."""
        for name, y in self._gate_ends:
            yield from self._gate_label(name, y)
        order = sorted(range(len(self._drawn)), key=lambda index: self._importance(self._drawn[index]), reverse=True)
        for index in order[: _NOTES_MAX * 2]:
            point = self._drawn[index]
            if point.chosen:
                yield element("circle", class_="chosen", cx=self._x[index], cy=self._y[index], r=6)
            note = point.note or (point.sign.value if point.sign in (Sign.HELD, Sign.REJECTED) else "")
            if point.chosen and not point.note:
                yield from self._note((plain(point.model_id), "this one"), self._x[index], self._y[index])
            elif note:
                yield from self._note((plain(note, 60),), self._x[index], self._y[index])
        yield from self._series_names()

    def _gate_label(self, name: str, y: float) -> Iterator[Svg]:
        """Yield the name of a gate: at its line, or where that has no room, at the right above all."""
        start = self._times.start + 4
        shown = fitted(plain(name), self._right - start)
        width = width_of(shown)
        steps = range(max(1, int((self._right - width - start) // 24)))
        spots = [
            Label(shown, self._right - width - step * 24, place, "start") for step in steps for place in (y - 6, y + 15)
        ]
        above = fitted(plain(name), self._right - self._head_end - 16)
        if label := self._places.find([*spots, Label(above, self._right - width_of(above), 13, "start")]):
            yield text(*label[:3], "gatelabel", label.anchor)

    @staticmethod
    def _importance(point: Point) -> tuple[bool, bool, datetime]:
        return point.chosen, bool(point.note) or point.sign in (Sign.HELD, Sign.REJECTED), point.at

    def _series_names(self) -> Iterator[Svg]:
        signs = {point.sign: index for index, point in enumerate(self._drawn)}
        if Sign.RECORDED in signs:
            for sign in (Sign.RECORDED, Sign.MODEL):
                if sign in signs:
                    yield from self._note((sign.value,), self._x[signs[sign]], self._y[signs[sign]])

    def _note(self, texts: Sequence[str], x: float, y: float) -> Iterator[Svg]:
        """Yield the first of some texts that has a place at a point."""
        spots = [
            spot
            for shown in texts
            for spot in (
                Label(shown, x + 8, y + 4, "start"),
                Label(shown, x - 8, y + 4, "end"),
                *(
                    Label(shown, x + across, y + down, anchor)
                    for down in (-10, 18, -26, 34)
                    for across, anchor in ((0, "middle"), (4, "end"), (-4, "start"))
                ),
            )
        ]
        if label := self._places.find(spots):
            yield text(*label[:3], "note", label.anchor)


def _dot(x: float, y: float) -> str:
    return f"M{number(x)} {number(y)}h0"


def _diamond(x: float, y: float) -> str:
    return f"M{number(x)} {number(y - 4)}l4 4-4 4-4-4z"


def _ring(x: float, y: float) -> str:
    return f"M{number(x - 4)} {number(y)}a4 4 0 1 0 8 0a4 4 0 1 0-8 0"


def _cross(x: float, y: float) -> str:
    return f"M{number(x - 4)} {number(y - 4)}l8 8m0-8l-8 8"


_SIGNS = {Sign.MODEL: _dot, Sign.RECORDED: _diamond, Sign.HELD: _ring, Sign.REJECTED: _cross}
_CLASSES = {Sign.MODEL: "dots", Sign.RECORDED: "recorded", Sign.HELD: "held", Sign.REJECTED: "rej"}


def _common_beginning(names: Sequence[str]) -> int:
    """Return how many characters of all names are the same at their beginning, up to a separator."""
    if len({*names}) < 2:
        return 0
    first, last = min(names), max(names)
    same = next((index for index, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return 1 + max(first.rfind(separator, 0, same) for separator in "-_.")


def _span_text(points: Sequence[Point]) -> str:
    return f", {day_text(points[0].at)} to {day_text(points[-1].at)}" if points else ""


def _described(spec: MetricChart, drawn: Sequence[Point]) -> str:
    """Return the chart in words."""
    counts = Counter(point.sign for point in spec.points)
    parts = [counted(counts[Sign.MODEL], "model") if counts[Sign.MODEL] else "no values of models"]
    parts += [f"{counts[sign]} {sign.value}" for sign in (Sign.RECORDED, Sign.HELD, Sign.REJECTED) if counts[sign]]
    missing = len(spec.points) - len(drawn)
    said = [", ".join(parts)]
    if drawn:
        least, largest = min(point.value for point in drawn), max(point.value for point in drawn)
        better = f"; {_ORDERS[spec.order]}" if spec.order else ""
        said.append(f"The values reach from {short(least)} to {short(largest)}{better}")
        newest = drawn[-1]
        said.append(f"The newest is {short(newest.value)}, of {plain(newest.model_id)} on {day_text(newest.at)}")
    if missing:
        said.append(f"{counted(missing, 'value')} not drawn: no finite number")
    said += [f"{plain(gate.label)[:1].upper()}{plain(gate.label)[1:]}" for gate in spec.gates]
    if spec.tenures:
        now = max(spec.tenures, key=lambda one: one.since)
        said.append(f"{plain(spec.holder)} is {plain(now.model_id)} since {day_text(now.since)}")
        rollbacks = sum(tenure.how is How.ROLLED_BACK for tenure in spec.tenures)
        said += [counted(rollbacks, "rollback")] if rollbacks else []
    return f"{'. '.join(said)}. The figures are in the table after the chart."


def _table(spec: MetricChart) -> Table:
    """Return the newest figures, with what happened between them."""
    rows = [
        (point.at, (plain(point.model_id), exact(point.value), _what(point)))
        for point in sorted(spec.points, key=lambda one: one.at)[-spec.rows_max :]
    ]
    since = rows[0][0] if len(spec.points) > spec.rows_max else None
    holder = plain(spec.holder)
    rows += [
        (tenure.since, (plain(tenure.model_id), "", f"{tenure.how.value}: {holder}"))
        for tenure in sorted(spec.tenures, key=lambda one: one.since)[-spec.rows_max :]
        if since is None or tenure.since >= since
    ]
    rows.sort(key=lambda row: row[0], reverse=True)
    of_all = f" (the {spec.rows_max} newest of {len(spec.points)})" if since is not None else ""
    return Table(
        f"{plain(spec.subject)}: {plain(spec.metric)}{of_all}",
        (
            ColumnHead("Time (UTC)"),
            ColumnHead("Model"),
            ColumnHead(plain(spec.metric), is_number=True),
            ColumnHead("What"),
        ),
        tuple((moment_text(at), *cells) for at, cells in rows),
    )


def _what(point: Point) -> str:
    return f"{point.sign.value}: {plain(point.note)}" if point.note else point.sign.value

"""The charts of a page from its facts.

Owns which chart shows what; how it is drawn is that of `charts`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .charts import (
    Calendar,
    Chart,
    DiskChart,
    GateLine,
    GateStep,
    Going,
    How,
    MetricChart,
    Part,
    Sign,
    calendar_chart,
    disk_chart,
    metric_chart,
)
from .charts import Point as Drawn
from .charts import Tenure as Band
from .charts.svg import Svg, element, number
from .facts import GateBound, Metric, Overview, Point, SlotFacts
from .figures import figure
from .pages import anchor_of

__all__ = ["calendar_of", "chart_of", "charts_with", "disk_of", "gate_words", "sparkline"]

_SIGNS = {"model": Sign.MODEL, "held": Sign.HELD, "rejected": Sign.REJECTED}
_ROWS_MAX = 12
# Two charts stand beside each other on a wide screen.
_WIDTH = 552
_SPARK_POINTS = 16
_SPARK_WIDTH, _SPARK_HEIGHT = 96, 24


def charts_with(slot: SlotFacts, model_id: str) -> list[Chart]:
    """Return the charts of a slot's metrics, in which one model is marked."""
    return [chart_of(slot, metric, model_id) for metric in slot.metrics]


def chart_of(slot: SlotFacts, metric: Metric, chosen: str | None = None) -> Chart:
    """Return the chart of a metric of a slot. `chosen` is a model that is marked in it."""
    names = [one.name for one in slot.metrics]
    return metric_chart(
        MetricChart(
            key=f"{anchor_of(slot.slot)}-{names.index(metric.name)}",
            subject=" ".join(filter(None, slot.slot)),
            metric=metric.name,
            order=metric.order,
            points=[*_points(metric.points, chosen)],
            gates=[
                GateLine(gate_words(bound), (GateStep(slot.begins, bound.value, bound.reference),))
                for bound in metric.gates
            ],
            tenures=[
                Band(one.model_id, one.since, one.until, How.ROLLED_BACK if one.is_rollback else How.PROMOTED)
                for one in slot.tenures
            ],
            first=slot.begins,
            last=slot.ends,
            width=_WIDTH,
            rows_max=_ROWS_MAX,
        )
    )


def _points(points: Sequence[Point], chosen: str | None) -> Iterator[Drawn]:
    for point in points:
        yield Drawn(point.at, point.value, point.model_id, _SIGNS[point.kind], chosen=point.model_id == chosen)
        if point.recorded is not None:
            yield Drawn(point.at, point.recorded, point.model_id, Sign.RECORDED)


def gate_words(bound: GateBound) -> str:
    """Return what a gate asks for: "gate no-worse: ≤ 0.0048"."""
    return f"gate {bound.name}: {'≤' if bound.side == 'max' else '≥'} {figure(bound.value)}"


def calendar_of(facts: Overview) -> Chart:
    """Return the calendar of what retention takes."""
    going = [Going(one.at, one.model_id, one.bytes, one.reason.partition(":")[0]) for one in facts.retention.taken]
    return calendar_chart(Calendar("calendar", facts.at.date(), going, width=_WIDTH, weeks_max=3, rows_max=_ROWS_MAX))


def disk_of(facts: Overview) -> Chart:
    """Return what each slot takes on the disk."""
    parts = [Part(" ".join(filter(None, one.slot)), one.bytes, one.models, one.trash) for one in facts.slot_bytes]
    return disk_chart(DiskChart("slots-on-disk", "What each slot takes on the disk", parts, width=_WIDTH))


def sparkline(metric: Metric) -> Svg:
    """Return a small line of the newest values, for the list of slots. The chart of the slot has title and table."""
    values = [point.value for point in metric.points if point.kind == "model"][-_SPARK_POINTS:]
    if len(values) < 2:
        return Svg()
    low, high = min(values), max(values)
    # Halves, so that a range from the least to the largest number does not overflow.
    span = (high / 2 - low / 2) or 1.0
    step = (_SPARK_WIDTH - 8) / (len(values) - 1)
    spots = [
        (4 + index * step, 4 + (1 - (value / 2 - low / 2) / span) * (_SPARK_HEIGHT - 8))
        for index, value in enumerate(values)
    ]
    path = "M" + " ".join(f"{number(x)} {number(y)}" for x, y in spots)
    x, y = spots[-1]
    return element(
        "svg",
        element("path", class_="line", d=path),
        element("path", class_="dots", d=f"M{number(x)} {number(y)}h0"),
        class_="plot spark",
        width=_SPARK_WIDTH,
        height=_SPARK_HEIGHT,
        viewBox=f"0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}",
        aria_hidden="true",
    )

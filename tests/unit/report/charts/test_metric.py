"""The chart of a metric: where each thing stands, for every input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.report.charts import (
    GateLine,
    GateStep,
    How,
    MetricChart,
    Point,
    Sign,
    Tenure,
    metric_chart,
)
from support.drawings import by_class, check, corners, tree

START = datetime(2026, 8, 1, tzinfo=UTC)

MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.integers(0, 400).map(lambda days: START + timedelta(days=days))
VALUES = st.floats() | st.integers() | st.sampled_from([0.0, 1e308, -1e308, 5e-324, 10**400, 0.0047])
NAMES = st.text(max_size=200) | st.sampled_from(["a", "eur-usd-lightgbm-0801", "</svg>", "\u202e", "\ud800\x00&"])
POINTS = st.builds(Point, MOMENTS, VALUES, NAMES, st.sampled_from(Sign), NAMES, st.booleans())
STEPS = st.builds(GateStep, MOMENTS, VALUES, st.none() | VALUES)
GATES = st.builds(GateLine, NAMES, st.lists(STEPS, max_size=4).map(tuple))
TENURES = st.builds(Tenure, NAMES, MOMENTS, st.none() | MOMENTS, st.sampled_from(How))


def day(number: float) -> datetime:
    """Return midnight of a day, counted from the first one."""
    return START + timedelta(days=number)


def chart_of(*points: Point, **more: object) -> MetricChart:
    """Return a chart of a slot's rmse."""
    return MetricChart("c", "EUR/USD lightgbm", "1d.rmse", "min", points, **more)  # type: ignore[arg-type]  # by name


@given(
    st.lists(POINTS, max_size=30),
    st.lists(GATES, max_size=3),
    st.lists(TENURES, max_size=8),
    NAMES,
    NAMES,
    st.sampled_from(["min", "max", None]),
)
def test_every_input_gives_a_sound_chart(points, gates, tenures, metric, holder, order) -> None:
    """Whatever the values, times and names: well-formed, within the frame, no text on another one, no markup in it."""
    check(metric_chart(MetricChart("c", metric, metric, order, points, gates, tenures, holder)))


def test_a_small_chart_by_hand() -> None:
    """Two models, of 0.004 and 0.006: the axis has room of 6 percent at both ends, and the line goes through both."""
    made = metric_chart(chart_of(Point(day(0), 0.004, "a"), Point(day(10), 0.006, "b")))
    # The texts at the left are 8 + 13 * (4 * 0.64 + 0.42) = 46.7 wide.
    # The axis reaches from 0.00388 to 0.00612. Between 32 and 192 that is 160 pixels: 0.00012 of 0.00224 is 8.6.
    assert [found.get("d") for found in by_class(made, "line")] == ["M46.7 183.4 712 40.6"]
    assert [found.get("d") for found in by_class(made, "dots")] == ["M46.7 183.4h0M712 40.6h0"]
    ticks = [found.text for found in by_class(made, "tick")]
    assert ticks[:3] == ["0.004", "0.005", "0.006"]
    assert "UTC" in ticks


def test_signs() -> None:
    """A held model has a ring, a rejected one a cross, a recorded value a diamond; none of them is on the line."""
    points = [Point(day(index), 5.0 + index, f"m{index}", sign) for index, sign in enumerate(Sign)]
    made = metric_chart(chart_of(*points))
    for name in ("dots", "recorded", "held", "rej"):
        (found,) = by_class(made, name)
        assert found.get("d", "").count("M") == 1
    assert len([*corners(by_class(made, "line")[0].get("d", ""))]) == 1
    assert {"held", "rejected", "recorded", "validation"} <= {found.text for found in by_class(made, "note")}


@pytest.mark.parametrize(("order", "says"), [("min", "lower is better"), ("max", "higher is better")])
def test_which_values_are_better_is_said(order, says) -> None:
    """The chart says in words which values are better, where that is known."""
    made = metric_chart(MetricChart("c", "s", "rmse", order, [Point(day(0), 1.0, "a")]))
    assert f"rmse, {says}" in [found.text for found in by_class(made, "note")]
    assert says in (tree(made)[1].text or "")


def test_a_gate_with_its_margin() -> None:
    """A gate that asks for 10 % over the champion is a dashed line in steps, and its margin lies below it."""
    gate = GateLine("gate: 10 % worse", (GateStep(day(0), 5.5, 5.0), GateStep(day(5), 4.4, 4.0)))
    made = metric_chart(chart_of(Point(day(0), 4.0, "a"), Point(day(10), 6.0, "b"), gates=[gate]))
    (line,), (margin,) = by_class(made, "gate"), by_class(made, "margin")
    heights = [y for _, y in corners(line.get("d", ""))]
    # 5.5, 5.5 up to the step, 4.4 from it on to the end. Of 3.88 to 6.12, 5.5 is 116 of 160 pixels up, 4.4 is 37.
    assert heights == [76.3, 76.3, 154.9, 154.9]
    assert [y for _, y in corners(margin.get("d", ""))] == [76.3, 76.3, 154.9, 154.9, 183.4, 183.4, 112.0, 112.0]
    assert "gate: 10 % worse" in [found.text for found in by_class(made, "gatelabel")]


def test_the_band_says_who_was_in_use() -> None:
    """Each holder has its part of the band, with its whole id where there is room; a rollback is marked and said."""
    tenures = [
        Tenure("eur-usd-0801", day(0), day(50)),
        Tenure("eur-usd-0817", day(50), day(54)),
        Tenure("eur-usd-0801", day(54), None, How.ROLLED_BACK),
    ]
    made = metric_chart(chart_of(Point(day(0), 4.0, "a"), Point(day(100), 6.0, "b"), tenures=tenures))
    bands = [(float(found.get("x", "")), float(found.get("width", ""))) for found in by_class(made, "band")]
    assert len(bands) == 3
    # Half of the time, less the pixel between two parts.
    assert bands[0][1] == pytest.approx((712 - bands[0][0]) / 2 - 1, abs=0.1)
    assert [found.text for found in by_class(made, "bandlabel")] == ["eur-usd-0801", "eur-usd-0801"]
    (mark,) = by_class(made, "roll")
    assert next(corners(mark.get("d", "")))[0] == pytest.approx(bands[2][0], abs=0.1)
    assert "rolled back" in [found.text for found in by_class(made, "note")]


def test_thinning_keeps_the_extremes() -> None:
    """Of 20,000 models the chart has few points, and the least and the largest value are among them."""
    values = [float(index % 7) for index in range(20_000)]
    values[7_777], values[12_345] = -5.0, 12.0
    made = metric_chart(chart_of(*(Point(day(index / 100), value, "m") for index, value in enumerate(values))))
    heights = [y for _, y in corners(by_class(made, "line")[0].get("d", ""))]
    assert len(heights) < 4 * 720
    # The range of 17 has room of 6 percent at both ends.
    assert (min(heights), max(heights)) == (40.6, 183.4)
    assert len(made.svg) < 60_000


def test_what_is_no_number_is_said_and_in_the_table() -> None:
    """NaN and infinity are not drawn; the description counts them, and the table has them."""
    made = metric_chart(chart_of(*(Point(day(i), v, "m") for i, v in enumerate([1.0, float("nan"), float("inf")]))))
    assert "2 values not drawn" in (tree(made)[1].text or "")
    assert [row[2] for row in made.table.rows] == ["inf", "nan", "1"]


def test_a_value_far_away_does_not_flatten_the_others() -> None:
    """One value of a thousand times the others stands at the edge, and the others keep the height of the chart."""
    values = [1.0 + index / 100 for index in range(40)]
    values[20] = 1000.0
    made = metric_chart(chart_of(*(Point(day(index), value, "m") for index, value in enumerate(values))))
    heights = sorted(y for _, y in corners(by_class(made, "line")[0].get("d", "")))
    assert heights[0] == 32.0
    assert heights[-1] - heights[1] > 140


def test_the_table_has_the_newest_first_and_says_how_many_there_are() -> None:
    """The table holds the newest values, with what came into use meanwhile, and its caption the number of all."""
    points = [Point(day(index), 1.5, f"m{index}") for index in range(50)]
    tenures = [Tenure("m1", day(1), day(48.5)), Tenure("m48", day(48.5), None)]
    made = metric_chart(MetricChart("c", "s", "rmse", None, points, tenures=tenures, rows_max=3))
    assert made.table.caption == "s: rmse (the 3 newest of 50)"
    assert [(row[1], row[3]) for row in made.table.rows] == [
        ("m49", "validation"),
        ("m48", "promoted: champion"),
        ("m48", "validation"),
        ("m47", "validation"),
    ]
    assert made.table.rows[0][0] == "19 Sep 2026 00:00"

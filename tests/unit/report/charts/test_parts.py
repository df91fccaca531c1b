"""The parts of charts: scales, ticks, times, labels, thinning, escaping."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.report.charts.labels import Box, Label, Places, fitted, width_of
from model_inbox.report.charts.scale import byte_ticks, exact, number_scale, number_ticks
from model_inbox.report.charts.svg import element, text
from model_inbox.report.charts.thinning import kept
from model_inbox.report.charts.times import time_scale, time_ticks

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE, max_size=20))
def test_a_scale_holds_all_values_in_their_order(values) -> None:
    """Every finite value stands within the pixels, a larger one never below a smaller one."""
    scale = number_scale(values, 200, 40)
    places = scale.several(sorted(values))
    assert places == sorted(places, reverse=True)
    assert all(40 <= place <= 200 for place in places)
    assert places == [scale(value) for value in sorted(values)]


@given(st.lists(FINITE, max_size=20))
def test_ticks_are_few_and_different(values) -> None:
    """An axis has at most six ticks, within it, each with another text."""
    ticks = number_ticks(number_scale(values, 200, 40))
    assert 1 <= len(ticks) <= 6
    assert len({tick.text for tick in ticks}) == len(ticks)
    assert all(40 <= tick.at <= 200 and len(tick.text) <= 12 for tick in ticks)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.0041, 0.0069], ["0.004", "0.005", "0.006", "0.007"]),
        ([0, 100], ["0", "50", "100"]),
        ([-1, 1], ["-1", "0", "1"]),
        ([2e9, 3e9], ["2e9", "2.5e9", "3e9"]),
        ([1e-9, 2e-9], ["1e-9", "1.5e-9", "2e-9"]),
        ([0.5], ["0.450", "0.475", "0.500", "0.525", "0.550"]),
        ([], ["0.00", "0.25", "0.50", "0.75", "1.00"]),
    ],
)
def test_ticks_by_hand(values, texts) -> None:
    """Ticks are round numbers, with the same digits after the point, and with an exponent only where they must."""
    assert [tick.text for tick in number_ticks(number_scale(values, 200, 40))] == texts


def test_ticks_of_bytes() -> None:
    """Ticks of bytes are round numbers of the largest unit that fits."""
    scale = number_scale([0, 150 * 2**20], 200, 40, from_zero=True)
    assert [tick.text for tick in byte_ticks(scale)] == ["0", "50 MiB", "100 MiB", "150 MiB"]


@pytest.mark.parametrize(
    ("begin", "length", "texts"),
    [
        ("2026-07-30", timedelta(days=119), ["Aug 2026", "Sep", "Oct", "Nov"]),
        ("2025-11-20", timedelta(days=100), ["Dec 2025", "Jan 2026", "Feb"]),
        (
            "2020-03-01",
            timedelta(days=365 * 9),
            ["2021", "2022", "2023", "2024", "2025", "2026", "2027", "2028"],
        ),
        ("2026-11-27T20:00", timedelta(hours=9), ["27 Nov 2026 21:00", "28 Nov", "03:00"]),
        ("2026-11-27T20:00", timedelta(seconds=20), ["27 Nov 2026 20:00:05", "20:00:10", "20:00:15"]),
        ("2026-11-27T20:00", timedelta(days=25), ["30 Nov 2026", "7 Dec", "14 Dec", "21 Dec"]),
    ],
)
def test_ticks_of_times(begin, length, texts) -> None:
    """Ticks of times are days, weeks, months or years of the calendar; each says what the one before it does not."""
    first = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    assert [tick.text for tick in time_ticks(time_scale([first, first + length], 60, 560), 0, 560)] == texts


@given(st.lists(st.datetimes(timezones=st.just(UTC)), max_size=5))
def test_times_stand_in_their_order(moments) -> None:
    """Every range of the calendar has its ticks: in order, and their texts side by side."""
    scale = time_scale(moments, 60, 700)
    boxes = [Label(tick.text, tick.at, 0, "middle").box for tick in time_ticks(scale, 0, 700)]
    assert all(one.right < other.left for one, other in pairwise(boxes))
    assert boxes == [] or (boxes[0].left >= 0 and boxes[-1].right <= 700)


@given(st.lists(st.tuples(st.integers(0, 5), FINITE), max_size=200))
def test_thinning_keeps_what_can_be_seen(spots) -> None:
    """Each column keeps its first, last, least and largest point, and no more than four."""
    spots.sort(key=lambda spot: spot[0])
    x, y = [float(place) for place, _ in spots], [value for _, value in spots]
    stay = kept(x, y)
    assert stay == sorted({*stay})
    for column in {*x}:
        inside = [index for index, place in enumerate(x) if place == column]
        left = [index for index in stay if x[index] == column]
        assert len(left) <= 4
        assert (left[0], left[-1]) == (inside[0], inside[-1])
        assert min(y[index] for index in left) == min(y[index] for index in inside)
        assert max(y[index] for index in left) == max(y[index] for index in inside)


def test_a_label_goes_where_there_is_room() -> None:
    """The first free place is taken; a text that has no place is left out."""
    places = Places(Box(0, 0, 100, 100))
    assert places.find([Label("abc", 0, 20, "start")]) is not None
    assert places.find([Label("abc", 0, 25, "start"), Label("abc", 0, 60, "start")]) == ("abc", 0, 60, "start")
    assert places.find([Label("abc", 90, 20, "start")]) is None
    assert places.find([Label("", 90, 90, "start")]) is None
    places.along([(0, 80), (100, 80)], 2)
    assert places.find([Label("abc", 50, 82, "middle")]) is None


def test_texts_are_cut_where_they_have_no_room() -> None:
    """A text that is too wide ends with an ellipsis, or is left out."""
    assert fitted("short", 100) == "short"
    cut = fitted("x" * 300, 100)
    assert cut.endswith("…")
    assert 80 < width_of(cut) <= 100
    assert fitted("wide", 5) == ""


def test_everything_is_escaped() -> None:
    """Texts and attributes from elsewhere are no markup, and what XML cannot hold is written as text."""
    assert text("a<b>&\u202e\x00\ud800", 0, 0, "note") == (
        '<text class="note" x="0" y="0">a&lt;b&gt;&amp;\\u202e\\x00\\ud800</text>'
    )
    assert element("a", title='"<') == '<a title="&quot;&lt;"/>'


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.00431466123, "0.00431466"), (float("nan"), "nan"), (float("-inf"), "-inf"), (10**400, "too large"), (7, "7")],
)
def test_figures_of_the_table(value, shown) -> None:
    """A figure has six digits; what is no finite number is said."""
    assert exact(value) == shown

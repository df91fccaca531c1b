"""Numbers of a page stand in line, and ages have one unit."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.report import figures
from support.pages import NOW


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.0046, 0.00312, None], ["0.004600", "0.003120", ""]),
        ([12.0, 3.0, -4.0], ["12", "3", "−4"]),
        ([0.0, 0.0], ["0", "0"]),
        ([1e-300, 2.5], ["1.000e−300", "2.500e+00"]),
        ([0.5, math.nan, math.inf], ["0.5000", "nan", "inf"]),
    ],
)
def test_a_column_has_the_same_digits_behind_the_point(values: list[float | None], shown: list[str]) -> None:
    """Four significant digits of the middle value, the same places for all, and no number where there is none."""
    assert figures.column(values) == shown


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_every_column_stands_in_line(values: list[float]) -> None:
    """Whatever the numbers are, the texts have the point at the same distance from their end."""
    texts = figures.column(values)
    ends = {len(text.partition("e")[0]) - text.find(".") if "." in text else 0 for text in texts}
    assert len(ends) == 1


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (timedelta(days=47, hours=5), "47 d"),
        (timedelta(hours=47), "47 h"),
        (timedelta(seconds=130), "2 min"),
        (timedelta(seconds=9), "9 s"),
        (timedelta(days=-5), "in 5 d"),
    ],
)
def test_an_age_has_one_unit(length: timedelta, shown: str) -> None:
    """The largest unit of which there are two."""
    assert figures.age(NOW - length, NOW) == shown


@given(st.floats(), st.sampled_from([figures.figure, figures.percent]))
def test_every_number_has_a_text(value: float, show: object) -> None:
    """Also what is not finite, or far away from what a metric is."""
    assert callable(show)
    assert 0 < len(show(value)) < 40

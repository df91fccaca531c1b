"""How much better a number must be: what is a margin, and what reaches it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from model_inbox.base.margins import Margin, gain_of, parse_margin


@pytest.mark.parametrize(
    ("written", "margin", "shown"),
    [
        ("5%", Margin(Fraction(5), is_percent=True), "5%"),
        (" 0.5 % ", Margin(Fraction(1, 2), is_percent=True), "0.5%"),
        ("0.0005", Margin(Fraction(1, 2000)), "0.0005"),
        (0.0005, Margin(Fraction(1, 2000)), "0.0005"),
        (2, Margin(Fraction(2)), "2"),
        (1e-9, Margin(Fraction(1, 10**9)), "1e-09"),
        ("0", Margin(Fraction(0)), "0"),
    ],
)
def test_what_a_margin_is(written: object, margin: Margin, shown: str) -> None:
    """A number, or a part of the other value; it is shown as a person would write it."""
    assert parse_margin(written) == margin
    assert str(margin) == shown


@pytest.mark.parametrize(
    "written", ["", "%", "-1", -1, "5 percent", "1e3", True, None, [1], float("nan"), float("inf")]
)
def test_what_is_no_margin(written: object) -> None:
    """The error has the form."""
    with pytest.raises(ValueError, match="'5%'"):
        parse_margin(written)


def test_numbers_are_compared_as_they_are_written() -> None:
    """0.3 - 0.2 is 0.1, although it is a little less in binary."""
    assert 0.3 - 0.2 < 0.1
    assert gain_of(0.2, 0.3, "min") == Fraction(1, 10) == parse_margin("0.1").needed(0.3)
    assert gain_of(0.2, 0.3, "max") == Fraction(-1, 10)


def test_a_part_of_the_absolute_value() -> None:
    """Of a negative value, too; of zero there is none, but for nothing at all."""
    assert parse_margin("5%").needed(-2.0) == Fraction(1, 10)
    assert parse_margin("5%").needed(0.0) is None
    assert parse_margin("0%").needed(0.0) == 0
    assert parse_margin(1).needed(0.0) == 1

"""Durations and sizes mean what people mean by them, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_inbox.base.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("90s", 90),
        ("15m", 900),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1d 12h", 129_600),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("1.5h", 5400),
        ("90", 90),
        ("2.5", 2.5),
        (" 10s ", 10),
        ("0", 0),
        (30, 30),
        (2.5, 2.5),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str | float, seconds: float) -> None:
    """Numbers with units add up, and a number alone is seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "m", "15 minutes", "3y", "-5s", "1h-30m", "1e3s", "٣s", "five", "15M", "h15", "1..5s"),
        *(True, None, [1], -1, float("nan"), float("inf"), 10**400, "9" * 400 + "s", "101w" * 60),
    ],
)
def test_what_is_no_duration_is_refused_with_a_way_to_write_it(text: object) -> None:
    """Whatever is not a duration raises a ValueError that shows how one is written."""
    with pytest.raises(ValueError, match="write it like '90s', '15m'"):
        parse_duration(text)  # type: ignore[arg-type]  # hostile on purpose


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.35, "350ms"),
        (0.9999, "999ms"),
        (1, "1s"),
        (2.55, "2.5s"),
        (59.99, "59.9s"),
        (60, "1m"),
        (90, "1m30s"),
        (3600, "1h"),
        (3659, "1h"),
        (5400, "1h30m"),
        (90_061, "1d1h"),
        (730 * 86_400, "730d"),
        (-90, "-1m30s"),
    ],
)
def test_a_duration_is_shown_in_at_most_two_units(seconds: float, text: str) -> None:
    """The two largest units are shown, and nothing is rounded up."""
    assert format_duration(seconds) == text


@settings(deadline=None)
@given(st.floats(0, 3e9))
def test_a_shown_duration_reads_back_shorter_by_less_than_its_last_unit(seconds: float) -> None:
    """What is shown can be read, is never more than what was meant, and misses less than one of the smallest unit."""
    again = parse_duration(format_duration(seconds))
    units = ((1, 0.001), (60, 0.1), (3600, 1.0), (86_400, 60.0))
    unit = next((unit for below, unit in units if seconds < below), 3600.0)
    assert again <= seconds + 1e-6
    assert seconds - again < unit + 1e-6


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1024", 1024),
        ("0", 0),
        ("12 B", 12),
        ("500MB", 500_000_000),
        ("500 mb", 500_000_000),
        ("1kB", 1000),
        ("20GiB", 21_474_836_480),
        ("1.5KiB", 1536),
        ("1TB", 10**12),
        ("1TiB", 2**40),
        ("2PiB", 2**51),
        ("9007199254740993", 2**53 + 1),
        (4096, 4096),
        (1e3, 1000),
    ],
)
def test_a_size_is_in_powers_of_1000_or_with_an_i_of_1024(text: str | float, size: int) -> None:
    """MB is a million bytes, MiB 2^20, and whole numbers are exact."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "GiB", "20G", "20 gigs", "-1", "1e9", "0x10", "1,5GB", True, None, -1, 10**400, float("nan")),
        *("9" * 30, "9" * 400 + ".0", "2e60", "2EiB"),
    ],
)
def test_what_is_no_size_is_refused_with_a_way_to_write_it(text: object) -> None:
    """Whatever is not a size raises a ValueError that shows how one is written; so does a bare G."""
    with pytest.raises(ValueError, match="write it like '500MB', '20GiB'"):
        parse_size(text)  # type: ignore[arg-type]  # hostile on purpose


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (10 * 1024, "10.0 KiB"),
        (100 * 1024, "100 KiB"),
        (2**20 - 1, "1.00 MiB"),
        (20 * 2**30, "20.0 GiB"),
        (2**60, "1.00 EiB"),
        (2**71, "2048 EiB"),
        (-2048, "-2.00 KiB"),
    ],
)
def test_a_size_is_shown_with_three_digits(size: int, text: str) -> None:
    """Bytes below a KiB are shown as they are, the rest with three significant digits."""
    assert format_size(size) == text


@settings(deadline=None)
@given(st.integers(0, 2**60 - 2**52))
def test_a_shown_size_reads_back_within_half_a_percent(size: int) -> None:
    """What is shown can be read, and is the size to three digits."""
    assert abs(parse_size(format_size(size)) - size) <= size * 0.005 + 1

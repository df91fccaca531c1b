"""Points in time as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from model_inbox.base.instants import millisecond_stamp


def test_the_time_of_an_event_is_utc_with_milliseconds() -> None:
    """Microseconds are cut, not rounded, and zeros are written, so that all stamps have one length and sort as text."""
    east = timezone(timedelta(hours=2))
    assert millisecond_stamp(datetime(2025, 10, 25, 12, 0, 0, 1999, tzinfo=UTC)) == "2025-10-25T12:00:00.001Z"
    assert millisecond_stamp(datetime(2025, 10, 25, 1, 0, tzinfo=east)) == "2025-10-24T23:00:00.000Z"

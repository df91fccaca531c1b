"""The calendar of what retention takes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from model_inbox.report.charts import Calendar, Going, calendar_chart
from support.drawings import by_class, check, tree

FIRST = date(2026, 11, 28)
NAMES = st.text(max_size=200) | st.sampled_from(["last 12", "<b>", "\u202e"])
MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.integers(0, 50).map(
    lambda days: datetime(2026, 11, 28, 12, tzinfo=UTC) + timedelta(days=days)
)


def going(day: int, name: str = "a", size: int = 1024, why: str = "last 12") -> Going:
    """Return a model that goes on a day after the first one."""
    return Going(datetime(2026, 11, 28, 12, tzinfo=UTC) + timedelta(days=day), name, size, why)


@given(
    st.lists(st.builds(Going, MOMENTS, NAMES, st.integers(0, 2**62), NAMES), max_size=30),
    st.dates(date(2, 1, 1), date(9990, 1, 1)) | st.just(FIRST),
)
def test_every_input_gives_a_sound_calendar(found, first) -> None:
    """Whatever goes, and whenever: well-formed, within the frame, no text on another one."""
    check(calendar_chart(Calendar("c", first, found)))


def test_the_days_by_hand() -> None:
    """28 November 2026 is a Saturday: what goes on Monday after it stands in the first cell of the second week."""
    made = calendar_chart(Calendar("c", FIRST, [going(2), going(2, "b", 2048)]))
    (cell,) = by_class(made, "cal")
    assert (cell.get("x"), cell.get("y")) == ("1", "89")
    assert [found.text for found in by_class(made, "note")][:3] == ["30", "2 models", "3.00 KiB"]
    assert "1 Dec" in [found.text for found in by_class(made, "tick")]
    assert made.table.rows[0] == ("30 Nov 2026 12:00", "a", "1.00 KiB", "last 12")


def test_why_is_said_with_the_most_frequent_first() -> None:
    """Each reason stands under the days with its number of models, and what is later than the weeks is counted."""
    found = [going(1, why="held for 30 days"), *(going(day) for day in (3, 4)), going(100)]
    made = calendar_chart(Calendar("c", FIRST, found))
    lines = [one.text for one in by_class(made, "note")][-3:]
    assert lines == ["3 models: last 12", "1 model: held for 30 days", "1 model, 1.00 KiB, go after these weeks."]
    assert "3 models: last 12" in (tree(made)[1].text or "")


def test_nothing_goes() -> None:
    """An empty calendar has its days, and says that nothing goes."""
    made = calendar_chart(Calendar("c", FIRST, []))
    assert by_class(made, "cal") == []
    assert "Nothing goes" in (tree(made)[1].text or "")
    assert made.table.rows == ()

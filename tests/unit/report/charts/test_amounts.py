"""The charts of bytes: over time, under other rules, and by slot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from model_inbox.report.charts import BytesChart, DiskChart, Part, Regret, Series, bytes_chart, disk_chart
from support.drawings import by_class, check, corners, tree

START = datetime(2026, 8, 1, tzinfo=UTC)
NAMES = st.text(max_size=200) | st.sampled_from(["in use", "<b>", "\u202e"])
MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.integers(0, 50).map(lambda days: START + timedelta(days=days))
SIZES = st.integers(0, 2**70)


def day(number: float) -> datetime:
    """Return an instant, counted in days from the first one."""
    return START + timedelta(days=number)


@given(
    st.lists(st.builds(Series, NAMES, st.lists(st.tuples(MOMENTS, SIZES), max_size=20)), max_size=2),
    st.lists(st.builds(Regret, MOMENTS, NAMES, NAMES), max_size=8),
)
def test_every_input_gives_a_sound_chart_over_time(series, regrets) -> None:
    """Whatever the sizes, times and names: well-formed, within the frame, no text on another one."""
    check(bytes_chart(BytesChart("c", "bytes", series, regrets)))


@given(st.lists(st.builds(Part, NAMES, SIZES, st.integers(0, 10**9), SIZES), max_size=20))
def test_every_input_gives_sound_bars(parts) -> None:
    """Whatever the sizes and names: well-formed, within the frame, no text on another one."""
    check(disk_chart(DiskChart("c", "disk", parts)))


def test_the_line_by_hand() -> None:
    """The axis begins at zero; the line stays at each amount until the next one."""
    made = bytes_chart(BytesChart("c", "bytes", [Series("in use", [(day(0), 0), (day(5), 1000), (day(10), 500)])]))
    # From 0 to 1000 with room of 6 percent above: 1060 are 160 pixels, from 184 up to 24.
    spots = [*corners(by_class(made, "line")[0].get("d", ""))]
    assert [y for _, y in spots] == [184.0, 184.0, 33.1, 33.1, 108.5, 108.5]
    assert spots[-1][0] == 712
    assert "in use" in [found.text for found in by_class(made, "note")]
    assert made.table.rows == (
        ("11 Aug 2026", "500 B", ""),
        ("6 Aug 2026", "1000 B", ""),
        ("1 Aug 2026", "0 B", ""),
    )


def test_what_other_rules_would_have_done() -> None:
    """Two lines with their names, and a cross on the second one for each model that would have been missed."""
    was = Series("as it was", [(day(0), 100), (day(10), 900)])
    would = Series("policy.yaml", [(day(0), 100), (day(10), 300)])
    made = bytes_chart(
        BytesChart("c", "bytes", [was, would], [Regret(day(5), "eur-usd-0801", "promoted 3 days later")])
    )
    assert [found.get("class") for found in by_class(made, "line")] == ["line", "line other"]
    (cross,) = by_class(made, "rej")
    across, down = zip(*corners(cross.get("d", "")), strict=True)
    second = {y for x, y in corners(by_class(made, "other")[0].get("d", "")) if x < sum(across) / len(across)}
    assert second == {sum(down) / len(down)}
    assert {"as it was", "policy.yaml", "eur-usd-0801"} <= {one.text for one in by_class(made, "note")}
    assert ("6 Aug 2026 00:00", "", "", "eur-usd-0801: promoted 3 days later") in made.table.rows
    assert "1 model would have been missed" in (tree(made)[1].text or "")


def test_of_many_amounts_the_extremes_stay() -> None:
    """Of 50,000 amounts the line has few corners, and reaches the least and the largest one."""
    amounts = [(day(index / 100), 500) for index in range(50_000)]
    amounts[30_001], amounts[40_001] = (amounts[30_001][0], 1000), (amounts[40_001][0], 0)
    made = bytes_chart(BytesChart("c", "bytes", [Series("in use", amounts)]))
    heights = [y for _, y in corners(by_class(made, "line")[0].get("d", ""))]
    assert (min(heights), max(heights)) == (33.1, 184.0)
    assert len(heights) < 8 * 720


def test_bars_by_hand() -> None:
    """The largest part is first and has the longest bar; what lies in the trash follows at its end."""
    made = disk_chart(DiskChart("c", "disk", [Part("b", 100, 1), Part("a", 300, 2, 100)]))
    bars = [(float(one.get("width", "")), float(one.get("y", ""))) for one in by_class(made, "bar")]
    whole = bars[0][0] / 3 * 4
    assert [round(width / whole, 2) for width, _ in bars] == [0.75, 0.25, 0.25]
    assert [y for _, y in bars] == [8, 8, 40]
    assert made.table.rows == (("a", "2", "300 B", "100 B"), ("b", "1", "100 B", "0 B"))


def test_many_parts() -> None:
    """Of more parts than there is room for, the rest is one bar, and nothing is left out of the sum."""
    made = disk_chart(DiskChart("c", "disk", [Part(str(index), 1024, 1) for index in range(40)], bars_max=3))
    assert made.table.rows[-1] == ("37 others", "37", "37.0 KiB", "0 B")
    assert (tree(made)[1].text or "").startswith("40.0 KiB in use")

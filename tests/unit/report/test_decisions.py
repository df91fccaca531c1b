"""Who held an alias when, and where decisions stand on the axis of a chart."""

from __future__ import annotations

from datetime import datetime, timedelta

from model_inbox.registry.entry import as_fields
from model_inbox.registry.journal import Line
from model_inbox.report.decisions import TimeAxis, by_slot, marks_of, tenures_of
from model_inbox.report.facts import Mark, Tenure
from support.pages import NOW, SLOT, entry


def line(sequence: int, at: datetime, operation: str, number: int, *, reason: str = "", **detail: str) -> Line:
    return Line(
        sequence,
        at.isoformat(),
        operation,
        f"m-{number:06d}",
        None,
        "risk-desk",
        reason,
        changes_entry=True,
        entry=entry(number),
        detail=detail or None,
    )


def test_bands_follow_promotions_and_rollbacks() -> None:
    """Each holder stays until the next move; a rollback is one, and a move of another alias is none."""
    days = [NOW - timedelta(days=back) for back in (9, 6, 3, 2)]
    lines = [
        line(1, days[0], "promote", 9, alias="champion"),
        line(2, days[1], "promote", 6, alias="champion"),
        line(3, days[2], "promote", 6, alias="next"),
        line(4, days[3], "rollback", 9, alias="champion", reason="3 % worse live"),
    ]
    axis = TimeAxis([])
    assert tenures_of(lines, axis) == (
        Tenure("m-000009", days[0], days[1]),
        Tenure("m-000006", days[1], days[3]),
        Tenure("m-000009", days[3], None, is_rollback=True),
    )
    assert marks_of(lines, axis)[-1] == Mark(days[3], "rolled back", "m-000009", "3 % worse live")


def test_an_alias_that_was_removed_ends_its_band() -> None:
    """After `alias remove` nobody holds it."""
    lines = [
        line(1, NOW - timedelta(days=5), "alias", 9, alias="champion"),
        line(2, NOW - timedelta(days=1), "unalias", 9, alias="champion"),
    ]
    assert [one.until for one in tenures_of(lines, TimeAxis([]))] == [NOW - timedelta(days=1)]


def test_decisions_stand_among_the_models_that_they_were_about() -> None:
    """Models of the last months are registered today in one go, and one is promoted right after the second."""
    entries = [
        as_fields({**entry(number), "sequence": sequence, "registered_at": NOW.isoformat()})
        for sequence, number in ((1, 90), (2, 60), (4, 30))
    ]
    axis = TimeAxis(entries)
    assert axis.place(NOW + timedelta(hours=1), 3) == NOW - timedelta(days=60) + timedelta(hours=1)
    assert axis.place(NOW + timedelta(hours=1)) == NOW - timedelta(days=30) + timedelta(hours=1)


def test_lines_belong_to_the_slot_of_their_entry() -> None:
    """A line without an entry belongs to none."""
    other = Line(2, NOW.isoformat(), "clock", "")
    first = line(1, NOW, "hold", 1)
    assert by_slot([first, other]) == {SLOT: [first]}

"""The page of a model: what it was measured against, where it stands, and texts that are hostile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from model_inbox.base.instants import canonical_instant
from model_inbox.model.slot import Slot
from model_inbox.registry.entry import EntryFields, as_fields
from model_inbox.registry.journal import Line
from model_inbox.report.beside import ComparisonFacts, compared
from model_inbox.report.drawing import charts_with
from model_inbox.report.facts import SlotFacts, Unread
from model_inbox.report.model_facts import ModelFacts, Reason, Said, model_facts
from model_inbox.report.render import render_comparison, render_model
from model_inbox.report.slots import Asked, Room, slot_facts
from support.pages import Read

START = datetime(2026, 8, 1, tzinfo=UTC)
NOW = START + timedelta(days=30)
ABOUT = {"host": "train1", "version": "0", "position": "9", "registry_path": "/srv/models/prediction_registry.json"}
ROOM = Room(slots=1, charted=1, metrics=8, points=100, models=0)


def stamp(day: float) -> str:
    """Return an instant as entries have it, counted in days from the first one."""
    return canonical_instant(START + timedelta(days=day))


def entry(number: int, **fields: Any) -> EntryFields:
    """Return the entry of the model `m<number>`, which was trained on that day."""
    return as_fields(
        {
            "model_id": f"m{number}",
            "currency_pair": "USD/EUR",
            "model_type": "lightgbm",
            "trained_at": stamp(number),
            "registered_at": stamp(number),
            "sequence": number,
            "validation_metrics": {"1d": {"rmse": 0.5 - number / 100}},
            "aliases": [],
            "imports": {"numpy.ndarray": "r"},
            "features_used": ["x"],
            **fields,
        }
    )


def line(number: int, operation: str, model_id: str, **fields: Any) -> Line:
    """Return a line of the journal."""
    return Line(number, stamp(number), operation, model_id, actor="risk-desk", **fields)


def facts_of(one: EntryFields, siblings: list[EntryFields], *lines: Line, **more: Any) -> ModelFacts:
    """Return the facts of a model among those of its slot, the newest first."""
    slot: SlotFacts = slot_facts(Slot("USD/EUR", "lightgbm"), siblings, (), (), Asked(), ROOM, NOW)
    return model_facts(one, siblings, lines, (), slot, lambda _: "min", charts_with, about=ABOUT, now=NOW, **more)


def test_gates_say_whom_it_lost_to() -> None:
    """A failed gate that compared it with a model in service is a loss to that; one that passed is none."""
    gate = {
        "gate": "no-worse",
        "name": "1d.rmse",
        "rule": "max_regression",
        "value": 0.6,
        "bound": 0.5,
        "against": {"model_id": "m1", "sequence": 1},
        "says": "1d.rmse is 0.6, and must be at most 0.5",
    }
    lost = facts_of(entry(2, gates=[{**gate, "passed": False}]), [entry(2), entry(1)])
    (duel,) = lost.duels
    assert (duel.other, duel.outcome, duel.is_won) == ("m1", "lost to it at a gate", False)
    assert "must be at most 0.5" in duel.says
    (passed,) = facts_of(entry(2, gates=[{**gate, "passed": True}]), [entry(2), entry(1)]).duels
    assert passed.is_won is True


def test_promotions_say_whom_it_beat_and_lost_to() -> None:
    """Whoever had the alias before it and after it stands there, with the reasons; a rollback is one."""
    lines = [
        line(2, "promote", "m2", reason="better", detail={"alias": "champion", "from": "m1"}),
        line(3, "promote", "m3", reason="better still", detail={"alias": "champion", "from": "m2"}),
        line(4, "rollback", "m2", reason="3 % worse live", detail={"alias": "champion", "from": "m3"}),
    ]
    found = facts_of(entry(2), [entry(3), entry(2), entry(1)], *lines)
    assert [(one.other, one.outcome, one.is_won, one.says) for one in found.duels] == [
        ("m1", "took champion from it", True, "risk-desk: better"),
        ("m3", "lost champion to it", False, "risk-desk: better still"),
        ("m3", "got champion back from it", True, "risk-desk: 3 % worse live"),
    ]


def test_lines_of_an_earlier_model_with_the_id_are_no_duels() -> None:
    """An id can be used again: what the model before had won is not this one's, but it is in the history."""
    before = line(1, "promote", "m2", detail={"alias": "champion", "from": "m0"})
    found = facts_of(entry(2), [entry(2)], before)
    assert found.duels == ()
    assert [one.sequence for one in found.history] == [1]


def test_its_neighbours() -> None:
    """Three models before and after it stand there, and how many there are in all."""
    siblings = [entry(number) for number in range(10, 0, -1)]
    found = facts_of(siblings[4], siblings)
    assert [(one.head.model_id, one.when) for one in found.neighbours] == [
        *((f"m{number}", "after") for number in (9, 8, 7)),
        ("m6", "this"),
        *((f"m{number}", "before") for number in (5, 4, 3)),
    ]
    assert (found.newer, found.older) == (4, 5)


def test_metrics_beside_the_model_in_service() -> None:
    """Its metric stands beside that of the model in service, and the verdict is about this one."""
    siblings = [entry(3), entry(2), entry(1, aliases=["champion"])]
    found = facts_of(siblings[0], siblings)
    assert [(head.model_id, why) for head, why in found.beside] == [("m1", "in service"), ("m2", "trained before it")]
    (row,) = found.metrics
    # 0.47 beside 0.49 is 4.1 % less, which is better.
    assert [one.value for one in row.figures.figures] == [0.47, 0.49, 0.48]
    assert row.figures.figures[1].change == pytest.approx(-0.0408, abs=1e-4)
    assert row.figures.figures[1].verdict == "better"


@pytest.mark.parametrize(
    ("fields", "state", "level"),
    [
        ({"held": "gate sane: no"}, "held, not served", "warn"),
        ({"aliases": ["champion"]}, "in service as champion", "good"),
        ({"aliases": ["next"]}, "named by next", "good"),
        ({}, "not in service", "muted"),
    ],
)
def test_where_it_is(fields, state, level) -> None:
    """The head says in a few words where the model is."""
    one = entry(2, **fields)
    service = [] if fields.get("aliases") == ["champion"] else ["champion"]
    found = facts_of(one, [entry(3, aliases=service), one])
    assert (found.state, found.state_level) == (state, level)


def test_recorded_values_have_a_chart() -> None:
    """Each metric that was recorded later has its chart, which begins with the value of the validation."""
    lines = [
        line(number, "record", "m2", detail={"metrics": {"1d.rmse": 0.6}, "at": stamp(number)}) for number in (3, 4)
    ]
    (chart,) = facts_of(entry(2), [entry(2)], *lines).recorded_charts
    assert [(row[2], row[3]) for row in chart.table.rows] == [
        ("0.6", "recorded"),
        ("0.6", "recorded"),
        ("0.48", "validation"),
    ]


class Reader(HTMLParser):
    """Reads a page as a browser does: its elements and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


HOSTILE = '"><script>alert(1)</script><img src=http://x onerror=y>\u202e\x00\ud800'


def hostile(number: int) -> EntryFields:
    """Return an entry whose texts are markup, whose metrics are thousands, and none of them what it should be."""
    return entry(
        number,
        description=HOSTILE * 2000,
        tags={HOSTILE: HOSTILE},
        provenance={"a": "b" * 100_000},
        version={"not": "text"},
        horizons="all",
        aliases=[HOSTILE],
        held=HOSTILE,
        validation_metrics={
            HOSTILE: float("nan"),
            "huge": 10**400,
            "inf": float("inf"),
            **{f"m{index}": index for index in range(5000)},
        },
        recorded={HOSTILE: {"value": float("nan"), "at": HOSTILE}, "other": "no measurement"},
        gates=[{"gate": HOSTILE, "passed": False, "says": HOSTILE, "against": {"model_id": HOSTILE}}, "no gate"],
        imports={f"{HOSTILE}{index}": "r" for index in range(3000)},
    )


@pytest.mark.parametrize("kind", ["model", "comparison"])
def test_hostile_texts_stay_text(kind) -> None:
    """Markup, marks of direction, long texts, thousands of metrics, and values of other kinds than they should be."""
    record = line(9, "record", "m2", detail={"metrics": {HOSTILE: float("nan"), "x": "text"}, "at": None})
    if kind == "model":
        odd = (f"`{HOSTILE}`", f"`{HOSTILE}", HOSTILE * 2000)
        said = Said(tuple(Reason("held", text, None, text) for text in odd), HOSTILE * 2000)
        page = render_model(facts_of(hostile(2), [entry(3), hostile(2), entry(1)], record, said=said))
    else:
        found = compared([hostile(2), entry(1), entry(3)], lambda _: None)
        page = render_comparison(ComparisonFacts(**ABOUT, at=NOW, compared=found))
    read = Reader(page)
    assert read.elements.count("script") == 1
    assert "img" not in read.elements
    assert not [pair for pair in read.attributes if pair[0].startswith("on") or pair[0] == "style"]
    assert not [pair for pair in read.attributes if pair[0] in ("src", "href") and str(pair[1]).startswith("http")]
    assert "alert(1)" in "".join(read.texts)
    assert "\u202e" not in page
    assert "\x00" not in page
    assert len(page.encode()) < 400_000


def test_a_page_of_a_retired_model() -> None:
    """A retired model says since when, until when its files stay, and how it is brought back."""
    found = facts_of(entry(2), [entry(3)], retired_at=START, kept_until=NOW)
    page = render_model(found)
    assert found.state == "retired, in the trash"
    assert "model-inbox restore m2" in page
    assert "31 Aug 2026" in page


def test_why_it_is_where_it_is_stands_on_its_page() -> None:
    """Each answer with its change, commands as code, the rules for who asks for them, and where was looked."""
    said = Said(
        (
            Reason("held", "It is held. `model-inbox unhold m2` releases it.", 7, "The rules: gates: []."),
            Reason("kept", "It is kept, because it is pinned."),
        ),
        "the history up to change 9",
    )
    page = render_model(facts_of(entry(2), [entry(2)], said=said))
    text = Read(page).text
    assert "Held It is held. model-inbox unhold m2 releases it. change 7 The rules The rules: gates: []." in text
    assert "Kept It is kept, because it is pinned. Metrics" in text
    assert "Found in the history up to change 9." in text
    assert "<code>model-inbox unhold m2</code>" in page


def test_what_cannot_be_read_costs_nothing_else() -> None:
    """A page names what it lacks and why, and has all its other parts."""
    unread = [Unread("why it is where it is", f"cannot read '{HOSTILE}'")]
    text = Read(render_model(facts_of(entry(2), [entry(2)], unread=unread))).text
    assert "Not shown why it is where it is could not be read: cannot read '\"><script>alert(1)</script>" in text
    assert "No answer was found." in text
    assert "What the registry says of it" in text

"""The facts of a slot from its entries."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from model_inbox.config.gates import GateSection
from model_inbox.model.slot import Slot
from model_inbox.report.facts import Choice, GateBound, SlotFacts
from model_inbox.report.slots import Asked, Room, groups_of, room_for, slot_facts
from support.pages import NOW, SLOT, entry

ROOM = Room(slots=10, charted=10, metrics=4, points=100, models=100)
GATES = (
    GateSection.model_validate({"name": "sane", "bounds": {"1d.rmse": {"max": 0.01}}}),
    GateSection.model_validate(
        {"name": "no-worse", "against": "champion", "max_regression": {"1d.rmse": "10%"}, "order": "min"}
    ),
)


def rmse(value: object) -> dict[str, Any]:
    return {"validation_metrics": {"1d": {"rmse": value}}}


def facts(*entries: Any, gates: tuple[GateSection, ...] = (), room: Room = ROOM) -> SlotFacts:
    asked = Asked(gates, order_of=lambda _: "min")
    return slot_facts(SLOT, entries, (), (), asked, room, NOW)


def promoted(*former: int) -> dict[str, Any]:
    names = [{"model_id": f"m-{number:06d}", "sequence": 1_000_000 - number} for number in former]
    at = (NOW - timedelta(days=4)).isoformat()
    move = {"at": at, "actor": "risk-desk", "reason": "better", "line": 7, "former": names}
    return {"aliases": ["champion"], "promotions": {"champion": move}}


def test_the_champion_serves_and_is_compared_with_the_one_before() -> None:
    """0.0046 after 0.0050, where small is better, is a gain of 8 percent; two models are newer."""
    found = facts(
        entry(1, **rmse(0.007)),
        entry(2, **rmse(0.006)),
        entry(5, **rmse(0.0046), **promoted(9)),
        entry(9, **rmse(0.005)),
    )
    assert found.service is not None
    assert (found.service.model_id, found.service.actor, found.service.former) == ("m-000005", "risk-desk", "m-000009")
    assert found.newer == 2
    assert found.metrics[0].champion == 0.0046
    assert found.metrics[0].gain == pytest.approx(0.08)


def test_without_a_champion_the_newest_serves() -> None:
    """One that is held, or dated in the future, does not."""
    found = facts(entry(1, days=-1), entry(2, held="worse"), entry(3), entry(4))
    assert found.service is not None
    assert (found.service.model_id, found.service.alias, found.service.former) == ("m-000003", "", "m-000004")


def test_gates_say_what_they_ask_of_the_next_model() -> None:
    """A bound stands as it is; 10 % worse than the champion's 0.005 is 0.0055."""
    found = facts(entry(1, **rmse(0.006)), entry(5, **rmse(0.005), **promoted()), gates=GATES)
    assert found.metrics[0].gates == (
        GateBound("sane", 0.01, "max"),
        GateBound("no-worse", 0.0055, "max", 0.005),
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "0.5", True, 10**400, [1.0]])
def test_what_is_no_finite_number_has_no_point(value: object) -> None:
    """It costs no other model its point, and is counted."""
    found = facts(entry(1, **rmse(value)), entry(2, **rmse(0.005)))
    assert [point.model_id for point in found.metrics[0].points] == ["m-000002"]
    assert found.metrics[0].unplotted == 1


def test_metrics_that_gates_name_come_first_and_the_rest_is_counted() -> None:
    """Of 5,000 metrics four are shown: the one of the gate, and then by name, with numbers as numbers."""
    many = {f"{days}d": days / 7 for days in range(1, 5000)} | {"z": {"last": 1.0}}
    gate = GateSection.model_validate({"name": "g", "bounds": {"z.last": {"max": 2}}})
    found = facts(entry(1, validation_metrics=many), gates=(gate,))
    assert [metric.name for metric in found.metrics] == ["z.last", "1d", "2d", "3d"]
    assert found.metrics_total == 5000


def test_a_slot_that_got_no_model_for_long_is_quiet() -> None:
    """One a day is usual, and the last was nine days ago. Of two models nothing is usual."""
    assert facts(*(entry(number) for number in range(9, 20))).quiet == (
        "No new model for 9 d; one every 24 h is usual."
    )
    assert facts(*(entry(number) for number in range(2, 20))).quiet == ""
    assert facts(entry(100), entry(101)).quiet == ""


def test_a_choice_keeps_what_is_in_service() -> None:
    """Since a week, of one pair: models of others and older ones are left out, but for one that an alias names."""
    other = Slot("GBP/USD", "lightgbm")
    entries = [entry(1), entry(2, slot=other), entry(30), entry(40, **promoted())]
    groups = groups_of(entries, Choice(pair="EUR/USD", since=NOW - timedelta(days=7)))
    assert {slot: [one["model_id"] for one in found] for slot, found in groups.items()} == {
        SLOT: ["m-000001", "m-000040"]
    }


def test_more_slots_have_less_room_each() -> None:
    """A page of one slot shows more of it than a page of a hundred, and there is always some room."""
    one, hundred, huge = room_for(1, 900), room_for(100, 900), room_for(100_000, 100_000)
    assert one.metrics * one.models > hundred.metrics * hundred.models
    assert min(huge.slots, huge.charted, huge.metrics, huge.points, huge.models) > 0

"""What a rule decides about the models of a slot, with figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from model_inbox.choosing.promotion import Decision, decide
from model_inbox.config.settings import PromotionSection
from model_inbox.registry.alias_stack import Target
from model_inbox.registry.entry import EntryFields, as_fields


def rule(by: Any = "5%", order: str = "min", metric: str = "1d.rmse") -> PromotionSection:
    return PromotionSection.model_validate({"when": {"metric": metric, "order": order, "by": by}})


def model(name: str, sequence: int, rmse: Any = None, **fields: Any) -> EntryFields:
    metrics = {"1d": {"rmse": rmse}} if rmse is not None else {}
    return as_fields(
        {"model_id": name, "sequence": sequence, "origin": "inbox", "validation_metrics": metrics, **fields}
    )


def champion(name: str, sequence: int, rmse: Any, line: int = 10) -> EntryFields:
    promotion = {"at": None, "actor": "", "reason": "", "line": line, "former": []}
    return model(name, sequence, rmse, aliases=["champion"], promotions={"champion": promotion})


def decided(*entries: EntryFields, **options: Any) -> Decision | None:
    return decide(rule(**options), entries)


def test_a_model_that_beats_the_holder_gets_the_alias() -> None:
    """4.75 is 5 % below 5; the reason has the figures of both."""
    made = decided(champion("a", 1, 5.0), model("b", 11, 4.75))
    assert made == Decision(
        Target("b", 11), Target("a", 1), "1d.rmse 4.75 is better than 5 of 'a' by 0.25 (5%); the rule asks for 5%"
    )


@pytest.mark.parametrize(
    ("options", "old", "new", "is_better"),
    [
        ({}, 5.0, 4.76, False),
        ({"by": 0.25}, 5.0, 4.75, True),
        ({"by": 0.25}, 5.0, 4.76, False),
        ({"by": 0}, 5.0, 4.999, True),
        ({"by": 0}, 5.0, 5.0, False),
        ({"order": "max"}, 5.0, 5.25, True),
        ({"order": "max"}, 5.0, 4.0, False),
        ({"order": "max"}, -2.0, -1.9, True),
        ({"order": "max"}, -2.0, -1.91, False),
        ({"by": 0.1}, 0.3, 0.2, True),
    ],
)
def test_by_how_much(options: dict[str, Any], old: float, new: float, is_better: bool) -> None:
    """A part is one of the absolute value; what is not better by anything gets nothing."""
    made = decided(champion("a", 1, old), model("b", 11, new), **options)
    assert (made is not None and made.target == Target("b", 11)) is is_better


def test_the_best_of_several_gets_it() -> None:
    """Whichever came first, and of equal ones the one that was registered last."""
    made = decided(
        champion("a", 1, 5.0), model("b", 11, 4.0), model("c", 12, 3.0), model("d", 13, 3.0), model("e", 14, 4.5)
    )
    assert made is not None
    assert made.target == Target("d", 13)


@pytest.mark.parametrize(
    "fields",
    [
        {"origin": "api"},
        {"held": "gate rmse"},
        {"barred": ["champion"]},
        {"gates": [{"gate": "g", "passed": True}, {"gate": "h", "passed": False}]},
        {"sequence": 9},
        {"validation_metrics": {}},
        {"validation_metrics": {"1d": {"rmse": "4"}}},
    ],
)
def test_who_is_no_candidate(fields: dict[str, Any]) -> None:
    """From Python, held, left by a rollback, with a gate that it failed, older than the last move, no metric."""
    assert decided(champion("a", 1, 5.0), as_fields({**model("b", 11, 1.0), **fields})) is None


def test_what_is_allowed_to_a_candidate() -> None:
    """Gates that it passed, and a rollback of another alias."""
    made = decided(champion("a", 1, 5.0), model("b", 11, 1.0, gates=[{"gate": "g", "passed": True}], barred=["next"]))
    assert made is not None


def test_the_first_holder() -> None:
    """Without one the best model gets the alias; after somebody removed it, nobody does."""
    made = decided(model("a", 1, 5.0), model("b", 2, 4.0))
    assert made == Decision(Target("b", 2), None, "1d.rmse 4; no model had the alias")
    removed = as_fields({**champion("a", 1, 5.0), "aliases": []})
    assert decided(removed, model("b", 11, 1.0)) is None
    assert decided() is None


def test_a_holder_that_cannot_be_compared() -> None:
    """It says why, and names no model: no metric, or a part of zero."""
    made = decided(champion("a", 1, None), model("b", 11, 1.0))
    assert made == Decision(None, Target("a", 1), "the holder 'a' has no 1d.rmse, so it cannot be compared")
    made = decided(champion("a", 1, 0.0), model("b", 11, -1.0))
    assert made == Decision(None, Target("a", 1), "1d.rmse of the holder 'a' is 0, which has no 5%")
    made = decided(champion("a", 1, 0.0), model("b", 11, -1.0), by=0.5)
    assert made is not None and made.reason == "1d.rmse -1 is better than 0 of 'a' by 1; the rule asks for 0.5"


def test_a_holder_of_an_earlier_version() -> None:
    """It has no record of its promotion: what was registered after it is new."""
    holder = as_fields({**champion("a", 5, 5.0), "promotions": {}})
    assert decided(holder, model("b", 4, 1.0)) is None
    assert decided(holder, model("b", 6, 1.0)) is not None

"""What a rule decides about the models of a slot, with figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from model_inbox.choosing.promotion import Decision, decide, why_not
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


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (model("b", 11, 4.9, origin="api"), "it was registered from Python, and a rule takes only what came through"),
        (model("b", 11, 4.0, held="odd"), "it is held"),
        (model("b", 11, 4.0, barred=["champion"]), "a rollback left it"),
        (
            model("b", 11, 4.0, held="odd", gates=[{"gate": "g", "passed": False}]),
            "it is held and it did not pass g of its gates",
        ),
        (model("b", 11), "it has no 1d.rmse, by which the rule chooses"),
        (model("b", 9, 4.0), "the rule compares only models that came after the alias last moved. Change 10, by "),
        (model("b", 11, 5.0), "its 1d.rmse 5 is not better than 5 of 'a', which has it"),
        (
            model("b", 11, 4.9),
            "its 1d.rmse 4.9 is better than 5 of 'a', which has it, by only 0.1 (2%); the rule asks for 5%",
        ),
        (
            model("b", 11, 4.0),
            "'c' is a better one: 1d.rmse 3 is better than 5 of 'a' by 2 (40%); the rule",
        ),
        (model("b", 11, 2.0), "the daemon has not applied the rule yet: 1d.rmse 2 is better than 5 of 'a' by 3 (60%)"),
    ],
)
def test_why_a_rule_has_not_promoted_a_model(entry: EntryFields, said: str) -> None:
    """What bars it, what came before it, or its figures beside those of the holder and of the best candidate."""
    entries = [champion("a", 1, 5.0), entry, model("c", 12, 3.0)]
    assert why_not(rule(), entry, entries).text.startswith(said)


def test_why_not_where_no_model_has_the_alias() -> None:
    """After it was removed only a person gives it again; else the best candidate is the one that gets it."""
    promotion = {"at": None, "actor": "", "reason": "", "line": 10, "former": []}
    keeper, entry = model("a", 1, 5.0, promotions={"champion": promotion}), model("b", 11, 4.0)
    assert why_not(rule(), entry, [keeper, entry]).text.startswith("somebody removed the alias")
    assert why_not(rule(), entry, [entry]).text == (
        "the daemon has not applied the rule yet: 1d.rmse 4; no model had the alias"
    )
    assert why_not(rule(), model("b", 9, 4.0), [champion("a", 1, 5.0), model("b", 9, 4.0)]).line == 10

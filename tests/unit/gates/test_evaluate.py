"""Gates: when a model passes, by hand-made numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from model_inbox.config.gates import GateSection
from model_inbox.gates import Gates, gates_for
from model_inbox.model.slot import Slot
from model_inbox.registry.outcomes import Examined


def entry(model_id: str = "new", **metrics: Any) -> dict[str, Any]:
    return {
        "model_id": model_id,
        "sequence": 3,
        "validation_metrics": metrics,
        "min_samples": 500,
        "calibration_ok": True,
        "features_used": ["sma_5"],
        "size_bytes": 1_000_000,
        "tags": {"stage": "trial"},
    }


def gate(**fields: Any) -> GateSection:
    return GateSection.model_validate({"name": "g", **fields})


def examine(section: GateSection, new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Examined:
    asked = []

    def in_service(name: str) -> Mapping[str, Any] | None:
        asked.append(name)
        return old

    examined = Gates((section,)).examine(new, in_service)
    assert asked == ([section.against] if section.against else [])
    return examined


def passes(section: GateSection, new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> bool:
    return not examine(section, new, old).problems


@pytest.mark.parametrize(
    ("fields", "passed"),
    [
        ({"require": ["rmse"]}, True),
        ({"require": ["mae"]}, False),
        ({"require": ["calibration_ok"]}, True),
        ({"require": ["features.sma_5", "tags.stage"]}, True),
        ({"require": ["features.rsi"]}, False),
        ({"require": ["*.rmse"]}, True),
        ({"require": ["1d.*"]}, True),
        ({"require": ["*.mae"]}, False),
        ({"bounds": {"rmse": {"max": 0.5}}}, True),
        ({"bounds": {"rmse": {"max": 0.49}}}, False),
        ({"bounds": {"rmse": {"min": 0.5, "max": 0.5}}}, True),
        ({"bounds": {"rmse": {"min": 0.51}}}, False),
        ({"bounds": {"mae": {"max": 1}}}, False),
        ({"bounds": {"*.rmse": {"max": 0.2}}}, True),
        ({"bounds": {"*.rmse": {"max": 0.15}}}, False),
        ({"bounds": {"min_samples": {"min": 500}, "size_bytes": {"max": "1MB"}}}, True),
        ({"bounds": {"size_bytes": {"max": "999kB"}}}, False),
    ],
)
def test_what_a_gate_asks_of_a_model_alone(fields: dict[str, Any], passed: bool) -> None:
    """Required values are there and true; bounds belong to what passes; `*` is one part of a name."""
    new = entry(rmse=0.5, **{"1d": {"rmse": 0.1}, "7d": {"rmse": 0.2}})
    assert passes(gate(**fields), new) is passed


def test_a_calibration_that_failed_is_said() -> None:
    """`require: [calibration_ok]` wants it to be true."""
    examined = examine(gate(require=["calibration_ok"]), {**entry(), "calibration_ok": False})
    (problem,) = examined.problems
    assert problem.message == "gate 'g': calibration_ok is false, and must be true"
    assert problem.field == "calibration_ok"


@pytest.mark.parametrize(
    ("rule", "amount", "order", "old", "new", "passed"),
    [
        # 5 % of 2 is 0.1: up to 2.1 where small is better, down to 1.9 where large is.
        ("max_regression", "5%", "min", 2.0, 2.1, True),
        ("max_regression", "5%", "min", 2.0, 2.11, False),
        ("max_regression", "5%", "max", 2.0, 1.9, True),
        ("max_regression", "5%", "max", 2.0, 1.89, False),
        # Of the absolute value: 5 % of -2 is 0.1, too.
        ("max_regression", "5%", "min", -2.0, -1.9, True),
        ("max_regression", "5%", "min", -2.0, -1.89, False),
        ("max_regression", 0, "min", 2.0, 2.0, True),
        ("max_regression", 0, "min", 2.0, 2.0001, False),
        ("max_regression", 0.5, "min", 2.0, 2.5, True),
        ("min_gain", "5%", "min", 2.0, 1.9, True),
        ("min_gain", "5%", "min", 2.0, 1.91, False),
        ("min_gain", 0.5, "max", 2.0, 2.5, True),
        ("min_gain", 0.5, "max", 2.0, 2.4, False),
        ("min_gain", 0, "max", 2.0, 2.0, True),
        # A part of 0 says nothing: only what is not worse passes.
        ("max_regression", "5%", "min", 0.0, 0.0, True),
        ("max_regression", "5%", "min", 0.0, -1.0, True),
        ("max_regression", "5%", "min", 0.0, 0.1, False),
        ("min_gain", "5%", "min", 0.0, -1.0, False),
        ("max_regression", 0.1, "min", 0.0, 0.1, True),
    ],
)
def test_a_comparison(rule: str, amount: Any, order: str, old: float, new: float, passed: bool) -> None:
    """Worse and better are by the order; the amount is a number, or a part of the other's absolute value."""
    section = gate(against="champion", order=order, **{rule: {"rmse": amount}})
    assert passes(section, entry(rmse=new), entry("old", rmse=old)) is passed


def test_a_refusal_names_gate_value_bound_and_the_other_model() -> None:
    """All that its reader needs to know stands in the message, and in the outcome that the entry would keep."""
    section = gate(name="no-worse", against="champion", max_regression={"1d.rmse": "5%"}, order={"1d.rmse": "min"})
    examined = examine(
        section, entry(**{"1d": {"rmse": 9.9}}), {**entry("old", **{"1d": {"rmse": 2.0}}), "sequence": 7}
    )
    (problem,) = examined.problems
    assert (problem.code, problem.field, problem.message) == (
        "gates.failed",
        "validation_metrics.1d.rmse",
        "gate 'no-worse': 1d.rmse is 9.9, and must be at most 2.1, 5% worse than 2 ('old', alias 'champion')",
    )
    (outcome,) = examined.outcomes
    assert outcome == {
        "gate": "no-worse",
        "name": "1d.rmse",
        "rule": "max_regression",
        "passed": False,
        "value": 9.9,
        "bound": 2.1,
        "against": {"model_id": "old", "sequence": 7},
        "says": "1d.rmse is 9.9, and must be at most 2.1, 5% worse than 2 ('old', alias 'champion')",
    }


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"bounds": {"rmse": {"max": 0.1}}}, "rmse is 0.1000000001, and must be at most 0.1"),
        ({"bounds": {"size_bytes": {"max": 999_999}}}, "size_bytes is 1000000, and must be at most 999999"),
    ],
)
def test_a_value_that_just_fails_does_not_look_like_its_bound(fields: dict[str, Any], says: str) -> None:
    """Numbers are shown with all their digits."""
    (outcome,) = examine(gate(**fields), entry(rmse=0.1000000001)).outcomes
    assert (outcome["passed"], outcome["says"]) == (False, says)


def test_without_a_model_in_service_a_comparison_passes_and_says_so() -> None:
    """The first model of a slot cannot lose."""
    section = gate(against="newest", min_gain={"rmse": 1}, order="min")
    (outcome,) = examine(section, entry(rmse=1.0)).outcomes
    assert (outcome["passed"], outcome["against"]) == (True, None)
    assert outcome["says"] == "rmse is compared with nothing: there is no model of this slot in service (newest)"


def test_a_metric_that_only_one_of_the_two_has() -> None:
    """The new model must have what the one in service has, and not the other way round; `*` looks at both."""
    section = gate(against="newest", max_regression={"*.rmse": 0}, order="min")
    assert not passes(section, entry(), entry("old", **{"1d": {"rmse": 1.0}}))
    assert passes(section, entry(**{"1d": {"rmse": 1.0}}), entry("old"))


def test_hold_and_reject() -> None:
    """A gate that rejects goes before one that holds; a model that is held says why."""
    holding = gate(name="h", bounds={"rmse": {"max": 1}}, on_fail="hold")
    refusing = gate(name="r", bounds={"rmse": {"max": 2}})
    both = Gates((holding, refusing))
    worst, bad, good = (both.examine(entry(rmse=rmse), lambda _: None) for rmse in (3.0, 1.5, 1.0))
    assert ([problem.message[:8] for problem in worst.problems], worst.held) == (["gate 'r'"], None)
    assert (bad.problems, bad.held) == ((), "gate h: rmse is 1.5, and must be at most 1")
    assert [(note.code, note.field) for note in bad.notes] == [("gates.held", "validation_metrics.rmse")]
    assert (good.problems, good.held, good.notes) == ((), None, ())
    assert [outcome["passed"] for outcome in worst.outcomes] == [False, False]


def test_gates_of_a_slot() -> None:
    """Only the gates that match count; none is no gatekeeper."""
    of_type = gate(name="a", match={"model_type": "light*"}, require=["rmse"])
    of_none = gate(name="b", match={"variant": ""}, require=["rmse"])
    assert gates_for((of_type, of_none), Slot("USD/EUR", "lightgbm", "30d")) == Gates((of_type,))
    assert gates_for((of_type, of_none), Slot("USD/EUR", "lstm", "")) == Gates((of_none,))
    assert gates_for((of_type, of_none), Slot("USD/EUR", "lstm", "30d")) is None


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "it asks for nothing"),
        ({"require": ["a"], "against": "champion"}, "against is used by max_regression and min_gain alone"),
        ({"max_regression": {"a": 1}, "order": "min"}, "need against"),
        ({"max_regression": {"a": 1}, "against": "newest"}, "order does not say"),
        ({"max_regression": {"a": 1}, "against": "newest", "order": {"b": "min"}}, "order does not say"),
        ({"max_regression": {"a": "5 pips"}, "against": "newest", "order": "min"}, "not a margin"),
        ({"max_regression": {"a": -1}, "against": "newest", "order": "min"}, "not a margin"),
        ({"max_regression": {"a": True}, "against": "newest", "order": "min"}, "not a margin"),
        ({"bounds": {"a": {}}}, "it bounds nothing"),
        ({"bounds": {"a": {"min": 2, "max": 1}}}, "no value is from 2 to 1"),
        ({"bounds": {"tags.stage": {"min": 2}}}, "'tags.stage' is text; write the name of a number"),
        ({"bounds": {"a": {"max": "inf"}}}, "not a size"),
        ({"require": ["tags."]}, "the name of a part of tags is missing"),
        ({"require": ["a"], "name": "no name"}, "is not a name"),
        ({"require": ["a"], "on_fail": "warn"}, "'reject' or 'hold'"),
    ],
)
def test_a_gate_that_cannot_be_meant_is_refused(fields: dict[str, Any], complaint: str) -> None:
    """At the start, with what to write instead."""
    with pytest.raises(ValidationError) as caught:
        gate(**fields)
    assert complaint in str(caught.value)


FINITE = st.floats(-1e9, 1e9).filter(lambda value: abs(value) > 1e-6)


@given(FINITE, FINITE, st.floats(0, 100), st.sampled_from(["min", "max"]))
def test_a_gain_that_suffices_is_no_regression(old: float, new: float, percent: float, order: str) -> None:
    """What passes `min_gain` passes `max_regression` of any amount; and a model never regresses from itself."""
    assume(percent == 0 or percent > 1e-9)
    amounts = {"rmse": f"{percent:.9f}%"}
    gains = gate(against="newest", order=order, min_gain=amounts)
    keeps = gate(against="newest", order=order, max_regression=amounts)
    assert passes(keeps, entry(rmse=old), entry("old", rmse=old))
    if passes(gains, entry(rmse=new), entry("old", rmse=old)):
        assert passes(keeps, entry(rmse=new), entry("old", rmse=old))

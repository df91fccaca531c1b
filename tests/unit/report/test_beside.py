"""Models beside each other: what differs, by how much, and which is better."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.registry.entry import EntryFields, as_fields
from model_inbox.report.beside import Compared, Difference, compared, figures_of
from model_inbox.report.figures import aligned


def entry(model_id: str, **fields: Any) -> EntryFields:
    """Return an entry with the fields that matter here."""
    return as_fields(
        {"model_id": model_id, "currency_pair": "USD/EUR", "model_type": "lightgbm", "validation_metrics": {}, **fields}
    )


def least(_name: str) -> str:
    """Say of every metric that small values are better."""
    return "min"


def part_of(found: Compared, title: str) -> list[Difference]:
    """Return the differences of one part."""
    return [one for part in found.parts if part.title == title for one in part.differences]


@pytest.mark.parametrize(
    ("values", "order", "changes", "verdicts"),
    [
        ((0.5, 0.4), "min", [None, -0.2], ["", "better"]),
        ((0.5, 0.4), "max", [None, -0.2], ["", "worse"]),
        ((0.5, 0.75, 0.5), None, [None, 0.5, None], ["", "", ""]),
        ((-2.0, -1.0), "max", [None, 0.5], ["", "better"]),
        ((0.0, 1.0), "min", [None, None], ["", "worse"]),
        ((None, 1.0), "min", [None, None], ["", ""]),
        ((1.0, None), "min", [None, None], ["", ""]),
        ((1.0, math.nan), "min", [None, None], ["", ""]),
        ((1e308, -1e308), "min", [None, -2.0], ["", "better"]),
    ],
)
def test_a_metric_beside_the_first(values, order, changes, verdicts) -> None:
    """A change is a part of the first value; which one is better depends on the order, and is open without one."""
    figures = figures_of("rmse", values, order).figures
    assert [one.change for one in figures] == [None if one is None else pytest.approx(one) for one in changes]
    assert [one.verdict for one in figures] == verdicts


@given(st.lists(st.none() | st.floats(), min_size=1, max_size=5), st.sampled_from(["min", "max", None]))
def test_every_value_has_its_figure(values, order) -> None:
    """Whatever the values: one figure each, and a change only between two finite numbers."""
    figures = figures_of("m", values, order).figures
    assert len(figures) == len(values)
    assert all(one.change is None or math.isfinite(one.change) for one in figures)


def test_only_differences() -> None:
    """What all models have alike is left out, also what names a model itself; the rest stands by kind."""
    first = entry(
        "a",
        validation_metrics={"1d": {"rmse": 0.5, "mae": 0.3}},
        features_used=["x", "y"],
        tags={"stage": "live", "desk": "fx"},
        size_bytes=1024,
        sequence=1,
    )
    second = entry(
        "b",
        validation_metrics={"1d": {"rmse": 0.4, "mae": 0.3}},
        features_used=["x", "z"],
        tags={"stage": "test", "desk": "fx"},
        size_bytes=2048,
        sequence=2,
    )
    found = compared([first, second], least)
    assert [(row.name, [one.value for one in row.figures]) for row in found.metrics] == [("1d.rmse", [0.5, 0.4])]
    assert part_of(found, "Features") == [Difference("y", ("yes", "no")), Difference("z", ("no", "yes"))]
    assert part_of(found, "Tags") == [Difference("stage", ("live", "test"))]
    assert part_of(found, "Sizes") == [Difference("size_bytes", ("1.00 KiB", "2.00 KiB"))]
    assert part_of(found, "Fields") == []


def test_more_than_two() -> None:
    """Each model has its column, also where only the last one differs."""
    entries = [entry("a", version="1"), entry("b", version="1"), entry("c", version="2", tags={"x": ""})]
    found = compared(entries, least)
    assert part_of(found, "Fields") == [Difference("version", ("1", "1", "2"))]
    assert [one.name for one in part_of(found, "Tags")] == ["x"]
    assert [head.model_id for head in found.heads] == ["a", "b", "c"]


def test_gates_with_another_outcome() -> None:
    """A gate that one model failed stands with what it said, for each model."""
    gates = [{"gate": "sane", "passed": False, "says": "rmse is 9"}], [{"gate": "sane", "passed": True, "says": "ok"}]
    found = compared([entry("a", gates=gates[0]), entry("b", gates=gates[1])], least)
    assert part_of(found, "Gates") == [Difference("sane", ("failed: rmse is 9", "passed"))]


def test_the_same_bytes() -> None:
    """Models whose files have the same digest are said to be the same file; unknown digests say nothing."""
    assert compared([entry("a", sha256="0" * 64), entry("b", sha256="0" * 64)], least).same_bytes
    assert not compared([entry("a"), entry("b")], least).same_bytes


def test_the_points_of_a_column_stand_under_each_other() -> None:
    """The numbers of a row have the same digits, and shorter ones get what is missing after their points."""
    assert aligned([[0.0046, 0.0052], [0.55, 0.5], [12.0, None]]) == [
        [("0.004600", ""), ("0.005200", "")],
        [("0.5500", "00"), ("0.5000", "00")],
        [("12", ".000000"), ("", "")],
    ]

"""What counts as other metadata of a duplicate, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from model_inbox.inbox.differences import differences, tags_differ
from model_inbox.model.metadata import METADATA_FIELDS, ModelMetadata, fields_of


def said(**changes: Any) -> Any:
    """The fields of a drop."""
    values: dict[str, Any] = {
        "model_id": "m",
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "trained_at": datetime(2026, 11, 24, 12, tzinfo=UTC),
        "version": "1.10",
        "validation_metrics": {"1d": {"rmse": 0.5, "n": 4}},
        "min_samples": 50,
        "calibration_ok": True,
        "features_used": ["a", "b"],
        "horizons": [1, 7],
        "tags": {"desk": "fx"},
        "description": "the first",
    }
    return fields_of(ModelMetadata(**{**values, **changes}))


ENTRY = dict(said())


def told(drop: Any, first_tags: Any = None, **changes: Any) -> dict[str | None, str]:
    """The messages on the differences between the entry, changed, and a drop, by field."""
    found = differences({**ENTRY, **changes}, drop, first_tags)
    assert all(problem.code == "drop.metadata_differs" for problem in found)
    return {problem.field: problem.message for problem in found}


def test_the_same_metadata_has_no_differences() -> None:
    """However instants and numbers are written."""
    assert told(said(), ENTRY["tags"]) == {}
    as_written_elsewhere = {
        "trained_at": "2026-11-24T13:00:00+01:00",
        "validation_metrics": {"1d": {"n": 4.0, "rmse": 0.5}},
    }
    assert told(said(), **as_written_elsewhere) == {}


CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({"model_type": "xgboost"}, ["model_type"]),
    ({"currency_pair": "USD/CHF"}, ["currency_pair"]),
    ({"trained_at": datetime(2026, 11, 25, tzinfo=UTC)}, ["trained_at"]),
    ({"version": "1.1"}, ["version"]),
    ({"validation_metrics": {"1d": {"rmse": 0.25, "n": 4}}}, ["validation_metrics.1d.rmse"]),
    ({"validation_metrics": {}}, ["validation_metrics.1d.rmse", "validation_metrics.1d.n"]),
    ({"min_samples": 51}, ["min_samples"]),
    ({"calibration_ok": False}, ["calibration_ok"]),
    ({"features_used": ["b", "a"]}, ["features_used[0]", "features_used[1]"]),
    ({"horizons": [1, 7, 30]}, ["horizons[2]"]),
    ({"tags": {"desk": "rates"}}, ["tags.desk"]),
    ({"variant": "30d"}, ["variant"]),
    ({"description": "the second"}, ["description"]),
]


@pytest.mark.parametrize(("changes", "fields"), CASES)
def test_each_field_is_compared(changes: dict[str, Any], fields: list[str]) -> None:
    """A difference is told by the way to the value."""
    assert list(told(said(**changes), ENTRY["tags"])) == fields


def test_no_field_is_forgotten() -> None:
    """Each field is changed by a case above, or is none that is compared: a new one needs a decision."""
    assert {name for changes, _ in CASES for name in changes} == set(METADATA_FIELDS) - {"model_id", "provenance"}


def test_a_job_that_is_repeated_elsewhere_is_no_difference() -> None:
    """The provenance of the same bytes may differ, and the id under which they are dropped again."""
    assert told(said(model_id="m2", provenance={"host": "trainer-4"}), provenance={"host": "trainer-3"}) == {}


def test_what_drop_filled_in_is_no_difference() -> None:
    """Only what the producer said is compared; what the provenance names as filled in is not."""
    later = {"trained_at": datetime(2026, 11, 25, tzinfo=UTC), "horizons": [1, 7, 30], "version": "2"}
    assert list(told(said(**later, provenance={"filled": "model_id,trained_at,horizons"}))) == ["version"]
    by_hand = told(said(**later, provenance={"filled": "nothing,of,this"}))
    assert list(by_hand) == ["trained_at", "version", "horizons[2]"]


def test_what_the_drop_leaves_out_is_no_difference() -> None:
    """Tags and a description that are filled in as empty; tags also where the first ones are not known."""
    assert told(said(tags={}, description=""), ENTRY["tags"]) == {}
    assert told(said(tags={"desk": "rates"}), None) == {}


def test_tags_are_looked_into_only_where_the_drop_has_others() -> None:
    """So that a plain retry costs no look into the history."""
    assert not tags_differ(ENTRY, said())
    assert not tags_differ(ENTRY, said(tags={}))
    assert tags_differ(ENTRY, said(tags={"desk": "rates"}))
    assert tags_differ({"model_id": "m"}, said())


def test_values_are_shown() -> None:
    """Both of them, or that there is none, safe to print."""
    assert told(said(horizons=[1, 7, 30])) == {
        "horizons[2]": "horizons[2] is registered as nothing, and this drop says '30'"
    }
    shown = told(said(calibration_ok=False, description="a\nb"))
    assert shown["calibration_ok"] == "calibration_ok is registered as 'true', and this drop says 'false'"
    assert shown["description"] == "description is registered as 'the first', and this drop says 'a\\nb'"


def test_no_more_is_told_than_people_read() -> None:
    """Twenty values; the last tells how many more there are."""
    found = differences(ENTRY, said(horizons=list(range(2, 100))), None)
    assert len(found) == 20
    assert found[-1].field == "horizons[19]"
    assert found[-1].message.endswith("; 78 more values differ")

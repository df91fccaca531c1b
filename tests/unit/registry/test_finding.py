"""Searching in a registry: conditions, order, limit, and names that no model has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from model_inbox import ConditionError, ModelMetadata, ModelRegistry
from model_inbox.model.conditions.paths import parse_path
from model_inbox.registry.finding import Table, find, parse_sort, unknown_names

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def metadata(model_id: str, days: int, **changes: Any) -> ModelMetadata:
    values: dict[str, Any] = {
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "trained_at": T0 + timedelta(days=days),
        "version": f"1.{days}",
        "validation_metrics": {"1d": {"rmse": days / 100}},
        "min_samples": 100,
        "calibration_ok": True,
        "features_used": ["sma_5"],
        "horizons": [1],
        **changes,
    }
    return ModelMetadata(model_id, **values)


@pytest.fixture(name="registry")
def _registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    """A registry of four models: a, b, c of one slot with days 1, 9, 10, and d of another pair."""
    path = tmp_path / "prediction_registry.json"
    with ModelRegistry(path, clock=lambda: T0 + timedelta(days=20)) as registry:
        registry.register_model(metadata("a", 1), 1)
        registry.register_model(metadata("b", 9, tags={"stage": "live"}, calibration_ok=False), 2)
        registry.register_model(metadata("c", 10, tags={"stage": "test"}, validation_metrics={}), 3)
        registry.register_model(metadata("d", 2, currency_pair="USD/CHF", variant="30d"), 4)
        registry.set_alias("champion", "b")
        yield registry


def ids(entries: list[Any]) -> list[str]:
    return [entry["model_id"] for entry in entries]


def test_search_finds_by_conditions_newest_first(registry: ModelRegistry) -> None:
    """Conditions, pair, type, variant, tags, alias and the past; all must hold."""
    assert ids(registry.search()) == ["c", "b", "d", "a"]
    assert ids(registry.search("1d.rmse<0.05")) == ["d", "a"]
    assert ids(registry.search(["1d.rmse<0.05", "pair=USD/EUR"])) == ["a"]
    assert ids(registry.search("1d.rmse<0.05 or aliases=champion", currency_pair="USD/EUR")) == ["b", "a"]
    assert ids(registry.search(variant="30d")) == ids(registry.search("variant=30d")) == ["d"]
    assert ids(registry.search(tags={"stage": None})) == ["c", "b"]
    assert ids(registry.search(tags={"stage": "live"})) == ids(registry.search(alias="champion")) == ["b"]
    assert ids(registry.search(held=False)) == ["c", "b", "d", "a"]
    assert registry.search(held=True) == []
    assert registry.search("trained_at<now", as_of=T0) == []
    assert ids(registry.search("trained_at>11d ago")) == ["c"]
    assert registry.search("model_id=b")[0] is registry.get_model_info("b")


def test_search_sorts_and_limits(registry: ModelRegistry) -> None:
    """The least first, or with a - the largest; without the value last; 1.10 after 1.9."""
    assert ids(registry.search(sort="1d.rmse")) == ["a", "d", "b", "c"]
    assert ids(registry.search(sort="-1d.rmse")) == ["b", "d", "a", "c"]
    assert ids(registry.search(sort="version")) == ["a", "d", "b", "c"]
    assert ids(registry.search(sort="-trained_at", limit=2)) == ["c", "b"]
    assert ids(registry.search(sort="calibration_ok")) == ["b", "c", "d", "a"]
    assert ids(registry.search(limit=0)) == []
    with pytest.raises(ValueError, match="must not be negative"):
        registry.search(limit=-1)
    with pytest.raises(ConditionError, match="cannot sort by 'features': it is a list of names"):
        registry.search(sort="features")


def test_a_name_that_no_model_has_is_logged(registry: ModelRegistry) -> None:
    """With what was meant. To ask whether it is missing is no mistake."""
    with capture_logs() as lines:
        assert registry.search("1d.rsme<1 and tags.stge=live", sort="recorded.1d.rmse") == registry.search("1d.x<1")
        assert len(registry.search("1d.rsme missing")) == 4
        registry.search("1d.rmse<1 and tags.stage=live")
    assert [line["problem"] for line in lines] == [
        "None of 4 models has the metric '1d.rsme'. Did you mean 1d.rmse?",
        "None of 4 models has the tag 'stge'. Did you mean tags.stage?",
        "None of 4 models has the recorded metric '1d.rmse'.",
        "None of 4 models has the metric '1d.x'.",
    ]
    assert {line["event"] for line in lines} == {"registry.name_unknown"}


def test_a_metric_that_no_model_has_and_is_nearly_a_field_is_refused(registry: ModelRegistry) -> None:
    """What was meant is said, wherever the name stands. A model that has such a metric is found by it."""
    for search in ({"where": "min_sample>5"}, {"sort": "train_at"}):
        with pytest.raises(ConditionError, match=r"no model has a metric of that name\. Did you mean (min|train)"):
            registry.search(**search)  # type: ignore[arg-type]  # each is one argument
    registry.register_model(metadata("e", 3, validation_metrics={"min_sample": 7}), 5)
    assert ids(registry.search("min_sample>5")) == ["e"]


def test_nothing_is_unknown_in_an_empty_registry() -> None:
    """A program may search before the first model comes."""
    assert find(Table([]), [], parse_sort("1d.rmse")).unknown == []
    assert unknown_names(Table([]), [parse_path("min_sample")]) == []


def test_of_models_that_were_trained_before(registry: ModelRegistry) -> None:
    """Walk-forward: the newest that was trained before an instant, strictly; also with the other arguments."""

    def model(days: float, **arguments: Any) -> str | None:
        before = T0 + timedelta(days=days)
        found = registry.get_model("USD/EUR", trained_before=before, **arguments)
        assert found == registry.get_model("USD/EUR", trained_before=before.replace(tzinfo=None), **arguments)
        return found["model_id"] if found is not None else None

    assert [model(days) for days in (1, 1.5, 9, 9.001, 10, 30)] == [None, "a", "a", "b", "b", "c"]
    assert model(10, calibrated=True) == "a"
    assert (model(10, alias="champion"), model(9, alias="champion")) == ("b", None)
    assert model(10, alias="champion", calibrated=True) is None
    assert model(30, as_of=T0) is None
    registry.register_model(metadata("future", 20, trained_at=T0 + timedelta(days=20, minutes=4)), 5)
    assert model(30) == "c"


ENTRIES = st.lists(
    st.fixed_dictionaries(
        {"model_id": st.text("ab", min_size=1)},
        optional={
            "version": st.from_regex(r"[0-9]{0,3}[a.][0-9]{0,3}", fullmatch=True),
            "validation_metrics": st.fixed_dictionaries({"m": st.integers(-2, 2) | st.floats(-1, 1)}),
            "trained_at": st.sampled_from(["2026-01-01", "2026-01-01T00:00:00+01:00", "never", ""]),
            "pinned": st.booleans(),
        },
    ),
    max_size=8,
)


@given(ENTRIES, st.sampled_from(["m", "version", "trained_at", "pinned"]), st.booleans())
def test_sorting_keeps_all_and_their_order_where_equal(entries: list[Any], name: str, descending: bool) -> None:
    """Every entry once; those without the value last in their order; sorting again changes nothing."""
    sort = parse_sort(f"{'-' if descending else ''}{name}")
    ordered = find(Table(entries), [], sort).entries
    assert sorted(map(id, ordered)) == sorted(map(id, entries))
    if name == "m":
        without = [entry for entry in entries if "validation_metrics" not in entry]
        assert [id(entry) for entry in ordered[len(ordered) - len(without) :]] == [id(entry) for entry in without]
        values = [entry["validation_metrics"]["m"] for entry in ordered[: len(ordered) - len(without)]]
        assert values == sorted(values, reverse=descending)
    assert [id(entry) for entry in find(Table(ordered), [], sort).entries] == [id(entry) for entry in ordered]

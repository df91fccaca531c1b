"""Names of values in an entry: which there are, and how they are read."""

from __future__ import annotations

import pytest

from model_inbox.model.conditions.paths import (
    FIELDS,
    OTHER_NAMES,
    PARTS,
    field_of,
    metrics_in,
    nearest_name,
    parse_path,
)
from model_inbox.registry.entry import EntryFields


def test_every_field_of_an_entry_has_a_name() -> None:
    """The table has each field that an entry has; fields that come with other features may be named before."""
    assert set(EntryFields.__annotations__) | {"model_path", "model_id"} <= FIELDS.keys()
    assert set(OTHER_NAMES.values()) <= FIELDS.keys()
    assert PARTS.keys() <= FIELDS.keys()


def test_a_value_is_returned_as_the_entry_has_it() -> None:
    """A rule that names fields gets numbers, text and lists; None for what is not there."""
    entry = {
        "validation_metrics": {"1d": {"rmse": 1}, "7d.mae": 0.5},
        "trained_at": "2026-11-20",
        "features_used": ["a"],
        "held": None,
        "recorded": {"1d.rmse": {"value": 2.5, "at": "x"}},
    }
    assert field_of(entry, "1d.rmse") == 1
    assert field_of(entry, parse_path("7d.mae")) == 0.5
    assert field_of(entry, "recorded.1d.rmse") == 2.5
    assert field_of(entry, "trained_at") == "2026-11-20"
    assert field_of(entry, "features") == ["a"]
    assert field_of(entry, "features.a") is True
    assert [field_of(entry, name) for name in ("features.b", "held", "7d.rmse", "1d", "variant")] == [None] * 5


def test_all_metrics_have_dotted_names() -> None:
    """What is no number is left out."""
    metrics = {"1d": {"rmse": 1, "deep": {"n": 2}}, "mae": 0.5, "text": "x", "yes": True, "none": None}
    assert dict(metrics_in(metrics)) == {"1d.rmse": 1, "1d.deep.n": 2, "mae": 0.5}
    assert dict(metrics_in(None)) == {}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("trained", "trained_at"),
        ("train_at", "trained_at"),
        ("size", "size_bytes"),
        ("provenence.git_commit", "provenance.git_commit"),
        ("recordd.1d.rmse", "recorded.1d.rmse"),
        ("feature.sma", "features.sma"),
        ("1d.rsme", "1d.rmse"),
        ("zzz", None),
    ],
)
def test_the_name_that_was_meant(text: str, meant: str | None) -> None:
    """Fields, parts of fields, and the metrics that are known."""
    assert nearest_name(text, ["1d.rmse", "7d.mae"]) == meant

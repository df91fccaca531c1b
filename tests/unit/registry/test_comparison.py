"""What differs between two entries."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from model_inbox.registry.comparison import Pair, compare

A: dict[str, Any] = {
    "model_id": "a",
    "version": "1",
    "validation_metrics": {"1d": {"rmse": 0.5, "mae": 0.2, "acc": 0.5}, "old": 1},
    "recorded": {"1d.rmse": {"value": 0.6, "at": "2026-01-01T00:00:00Z"}},
    "features_used": ["x", "y"],
    "imports": {"numpy.ndarray": "b", "builtins.dict": "c"},
    "provenance": {"git_commit": "1", "host": "h"},
    "frameworks": {"numpy": "2.0"},
    "tags": {"stage": "live"},
    "size_bytes": 10,
    "pinned": False,
}
B: dict[str, Any] = {
    "model_id": "b",
    "version": "2",
    "validation_metrics": {"1d": {"rmse": 0.4, "mae": 0.2, "acc": 0.4}, "new": 1},
    "features_used": ["y", "z"],
    "imports": {"numpy.ndarray": "bnr", "sklearn.x": "n"},
    "provenance": {"git_commit": "2", "host": "h"},
    "frameworks": {"numpy": "2.1"},
    "tags": {},
    "size_bytes": 20,
    "pinned": False,
}


def order_of(name: str) -> Any:
    return {"1d.rmse": "min", "1d.mae": "min", "1d.acc": "max", "old": "min"}.get(name)


def test_only_what_differs_is_told() -> None:
    """Each part by its names, the first model's value before the second's, null where there is none."""
    assert compare(A, B, order_of).as_dict() == {
        "metrics": {"1d.rmse": [0.5, 0.4], "1d.acc": [0.5, 0.4], "old": [1, None], "new": [None, 1]},
        "better": {"1d.rmse": "b", "1d.acc": "a"},
        "recorded": {"1d.rmse": [0.6, None]},
        "features": {"added": ["z"], "removed": ["x"]},
        "imports": {"added": ["sklearn.x"], "removed": ["builtins.dict"]},
        "provenance": {"git_commit": ["1", "2"]},
        "frameworks": {"numpy": ["2.0", "2.1"]},
        "tags": {"stage": ["live", None]},
        "sizes": {"size_bytes": [10, 20]},
        "fields": {"version": ["1", "2"]},
    }


def test_everything_is_told_when_asked_for() -> None:
    """Also what is the same."""
    found = compare(A, B, order_of).as_dict(everything=True)
    assert found["metrics"]["1d.mae"] == [0.2, 0.2]
    assert found["features"]["common"] == ["y"]
    assert found["provenance"]["host"] == ["h", "h"]
    assert found["fields"]["pinned"] == [False, False]
    assert set(found["better"]) == {"1d.rmse", "1d.acc"}


def test_nothing_is_better_without_an_order() -> None:
    """Which of two metrics is better is never guessed by its name."""
    assert compare(A, B, lambda _name: None).better == {}


def test_features_in_another_order_are_told() -> None:
    """They are the same set, and a model that gets them in the wrong order predicts something else."""
    moved = compare(A, {**A, "features_used": ["y", "x"]}, order_of)
    assert (moved.features.added, moved.features.removed, moved.features_moved) == ([], [], True)
    assert not compare(A, A, order_of).features_moved


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=5,
)
ENTRIES = st.dictionaries(st.sampled_from([*A, "owner", "horizons"]), JSON, max_size=6)


@given(ENTRIES, ENTRIES)
def test_a_comparison_with_the_order_turned_is_the_same_turned(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Of whatever stands in two entries: all is JSON, nothing is raised, and an entry does not differ from itself."""
    there, back = compare(first, second, order_of), compare(second, first, order_of)
    assert there.metrics == {name: Pair(*reversed(pair)) for name, pair in back.metrics.items()}
    assert sorted(there.features.added) == sorted(back.features.removed)
    assert there.better == {name: {"a": "b", "b": "a"}[one] for name, one in back.better.items()}
    json.dumps(there.as_dict(everything=True))
    assert not any(part for part in compare(first, first, order_of).as_dict().values() if not isinstance(part, dict))
    assert compare(first, first, order_of).as_dict()["metrics"] == {}

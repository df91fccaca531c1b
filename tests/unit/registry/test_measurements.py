"""Measurements after the registration: what may be recorded, what the entry keeps, and what the history tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_inbox import EntryNotFound, MetadataError, ModelRegistry
from model_inbox.registry.journal import Line, decode_line, encode_line
from model_inbox.registry.state import State
from support.crash_kit import Clock, open_registry, register

NOW = "2026-11-24T12:00:00Z"


@pytest.fixture(name="registry")
def _registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    with open_registry(tmp_path, clock=Clock()) as registry:
        register(registry, "m")
        yield registry


def recorded(registry: ModelRegistry) -> dict[str, Any]:
    return dict(registry.registry["m"]["recorded"])


def problems(registry: ModelRegistry, metrics: Any, at: Any = None) -> list[str]:
    """What is said of measurements that are refused; nothing is committed."""
    before = registry.sequence
    with pytest.raises(MetadataError) as caught:
        registry.record("m", metrics, at)
    assert registry.sequence == before
    return [problem.message for problem in caught.value.problems]


def test_each_record_is_one_line(registry: ModelRegistry) -> None:
    """The validation metrics stay; the entry has dotted names; the line says all that was recorded."""
    validated = registry.registry["m"]["validation_metrics"]
    entry = registry.record("m", {"realised": {"1d": {"rmse": 0.5}, "days": 30}}, reason="month end", actor="api:ann")
    assert entry["recorded"] == {
        "realised.1d.rmse": {"value": 0.5, "at": NOW},
        "realised.days": {"value": 30, "at": NOW},
    }
    assert entry["validation_metrics"] == validated
    line = registry.history("m")[-1]
    assert (line.operation, line.actor, line.reason) == ("record", "api:ann", "month end")
    assert line.detail == {"metrics": {"realised.1d.rmse": 0.5, "realised.days": 30}, "at": NOW}
    assert line.entry == {**entry, "model_path": line.entry["model_path"]} if line.entry else False


def test_the_entry_keeps_the_latest_of_each_name(registry: ModelRegistry) -> None:
    """By the time of the measurement, whenever it was recorded; of one time, the one that was recorded last."""
    registry.record("m", {"rmse": 2, "mae": 1.5}, "2026-11-02")
    registry.record("m", {"rmse": 1}, "2026-11-01")
    assert recorded(registry)["rmse"] == {"value": 2, "at": "2026-11-02T00:00:00Z"}
    registry.record("m", {"rmse": 3}, "2026-11-02T01:00:00+01:00")
    assert recorded(registry) == {
        "rmse": {"value": 3, "at": "2026-11-02T00:00:00Z"},
        "mae": {"value": 1.5, "at": "2026-11-02T00:00:00Z"},
    }
    values = [line.detail["metrics"] for line in registry.history("m") if line.operation == "record" and line.detail]
    assert values == [{"rmse": 2, "mae": 1.5}, {"rmse": 1}, {"rmse": 3}]


def test_a_retry_writes_nothing(registry: ModelRegistry) -> None:
    """The same values of the same time again are there already."""
    registry.record("m", {"rmse": 2}, "2026-11-02")
    before = registry.sequence
    registry.record("m", {"rmse": 2}, "2026-11-02")
    assert registry.sequence == before


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({}, "there is no number in metrics"),
        ({"a": {}}, "there is no number in metrics"),
        ([1], "metrics is a list, and must be a mapping of names to numbers"),
        ({"rmse": float("nan")}, "metrics.rmse is nan, and must be a finite number"),
        ({"rmse": float("inf")}, "metrics.rmse is inf, and must be a finite number"),
        ({"rmse": True}, "metrics.rmse is True, and must be a number"),
        ({"rmse": "1"}, "metrics.rmse is '1', and must be a number"),
        ({"n": 2**53 + 1}, "metrics.n is "),
        ({"n": -(2**53) - 1}, "metrics.n is "),
        ({"a.b": 1, "a": {"b": 2}}, "the path 'a.b' is there twice"),
        ({"a" * 200: {"b" * 100: 1}}, "has 301 characters, more than 256"),
        ({str(n): n for n in range(257)}, "metrics has 257 numbers, more than 256"),
    ],
)
def test_what_cannot_be_recorded_is_refused(registry: ModelRegistry, metrics: Any, said: str) -> None:
    """With what is wrong, and nothing is committed."""
    (message,) = problems(registry, metrics)
    assert said in message


def test_limits_themselves_are_recorded(registry: ModelRegistry) -> None:
    """2^53 either way, 256 numbers at once, 256 characters."""
    registry.record("m", {"n": 2**53, "m": -(2**53), "a" * 256: 1})
    registry.record("m", {f"x{number}": number for number in range(256)})
    assert recorded(registry)["n"]["value"] == 2**53


def test_an_entry_keeps_a_bounded_number(registry: ModelRegistry) -> None:
    """512 names; the next is refused, and those that are there can be recorded again."""
    for part in (range(256), range(256, 512)):
        registry.record("m", {str(number): 1 for number in part}, "2026-11-01")
    assert "the model would have 513 recorded metrics, more than 512" in problems(registry, {"more": 1})[0]
    registry.record("m", {"0": 2})
    assert recorded(registry)["0"]["value"] == 2


def test_the_time_is_checked(registry: ModelRegistry) -> None:
    """It is an instant, and not in the future."""
    assert "at '2026-13-01'" in problems(registry, {"a": 1}, "2026-13-01")[0]
    assert "future" in problems(registry, {"a": 1}, "2027-01-01")[0]


def test_only_a_registered_model_has_measurements(registry: ModelRegistry) -> None:
    """An unknown or retired id is EntryNotFound."""
    with pytest.raises(EntryNotFound):
        registry.record("other", {"a": 1})
    registry.delete_model("m")
    with pytest.raises(EntryNotFound):
        registry.record("m", {"a": 1})


def test_measurements_go_along(tmp_path: Path, registry: ModelRegistry) -> None:
    """To the trash and back, and through the JSON file and a change of segment."""
    registry.record("m", {"a": 1})
    registry.delete_model("m")
    registry.restore("m")
    registry.change_segment()
    with open_registry(tmp_path, read_only=True) as again:
        assert recorded(again) == {"a": {"value": 1, "at": NOW}}


def test_a_reader_that_does_not_know_the_operation_follows() -> None:
    """A line changes the entries by `entry` alone, so that older and other readers of the format stay right."""
    line = Line(1, "2026-11-24T12:00:00.000000Z", "not-invented-yet", "m", changes_entry=True, entry={"model_id": "m"})
    state = State("/models", {}, 0)
    state.apply(decode_line(encode_line(line).rstrip(b"\n")))
    assert (state.sequence, state.entries) == (1, {"m": {"model_id": "m"}})

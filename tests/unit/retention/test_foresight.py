"""What the receipt of a model says that the rules will retire."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from model_inbox.config.retention import RetentionSection
from model_inbox.registry.entry import EntryFields, as_fields
from model_inbox.retention.foresight import foreseen
from support.world import World

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULES = {"last": 2, "within": "30d"}


def entry(model_id: str, trained_at: str, *, pair: str = "EUR/USD") -> EntryFields:
    return as_fields(
        {
            "model_id": model_id,
            "model_type": "lightgbm",
            "currency_pair": pair,
            "trained_at": trained_at,
            "size_bytes": 100,
            "registered_at": "2026-11-22T12:00:00Z",
        }
    )


OTHERS = [entry(f"m{day}", f"2026-11-{day}T00:00:00Z") for day in (18, 19, 20)]


def told(*fresh: EntryFields, breaker: int = 50, **keep: Any) -> dict[str, str]:
    """Return the message of each note on the fresh entries."""
    section = RetentionSection.model_validate(
        {"breaker": {"max_deletes": breaker, "max_fraction": 1}, "policies": [{"keep": keep}]}
    )
    notes = foreseen(fresh, [*OTHERS, *fresh], section, NOW)
    assert {note.code for note in notes.values()} <= {"retention.soon"}
    return {model_id: note.message for model_id, note in notes.items()}


def test_a_backfill_that_no_rule_keeps_is_told_of_with_rule_and_time() -> None:
    """Of the others nothing is said, be they retired or kept."""
    notes = told(entry("old", "2020-01-01T00:00:00Z"), entry("new", "2026-11-21T00:00:00Z"), **RULES)
    assert notes == {
        "old": "no retention rule keeps 'old': it is retired at the next run, from 2026-11-22T12:00:00Z on "
        "(last 2: since 2026-11-19T00:00:00Z; within 30d: since 2026-11-18T00:00:00Z)"
    }


def test_what_only_registered_within_keeps_is_told_until_when() -> None:
    """The time is that of its registration and the duration."""
    assert told(entry("old", "2020-01-01T00:00:00Z"), **RULES, registered_within="7d") == {
        "old": "only registered_within 7d keeps 'old': it may be retired from 2026-11-29T12:00:00Z on"
    }


@pytest.mark.parametrize("trained_at", ["2026-11-21T00:00:00Z", "2026-11-01T00:00:00Z", "2027-01-01T00:00:00Z"])
def test_nothing_is_said_of_a_model_that_stays(trained_at: str) -> None:
    """The newest, one that another rule keeps, and one dated in the future, which is protected."""
    assert told(entry("m", trained_at), **RULES, registered_within="7d") == {}


def test_nothing_is_said_where_the_breaker_stops_the_group() -> None:
    """Nothing of it is retired before an operator has looked."""
    fresh = [entry(f"old{year}", f"{year}-01-01T00:00:00Z") for year in (2020, 2021)]
    assert set(told(*fresh, breaker=2, **RULES)) == {"old2020", "old2021"}
    assert told(*fresh, breaker=1, **RULES) == {}


@pytest.mark.parametrize(("mode", "group_by"), [("enforce", None), ("enforce", ["model_type"]), ("dry-run", None)])
def test_the_receipt_says_it_and_only_where_rules_are_enforced(
    memory_folder: Path, mode: str, group_by: list[str] | None
) -> None:
    """The daemon's receipt and log line have the note; the model goes at the next run."""
    retention: dict[str, Any] = {"mode": mode, "policies": [{"keep": {"last": 2}}]}
    retention |= {"group_by": group_by} if group_by else {}
    world = World(memory_folder, {"retention": {**retention, "breaker": {"max_fraction": 1}}})
    with world.running() as service:
        for day in (1, 2):
            world.put(f"m{day}", trained_at=f"2026-01-0{day}T00:00:00Z")
        world.live_on(service, 5)
        world.put("old", trained_at="2020-01-01T00:00:00Z")
        with structlog.testing.capture_logs() as said:
            world.live_on(service, 5)
    receipt = world.receipt("old")
    assert receipt is not None and receipt["outcome"] == "registered"
    assert [note["code"] for note in receipt["notes"]] == (["retention.soon"] if mode == "enforce" else [])
    (line,) = [one for one in said if one["event"] == "drop.registered"]
    assert ("no retention rule keeps 'old'" in str(line["notes"])) == (mode == "enforce")
    for day in (1, 2):
        first = world.receipt(f"m{day}")
        assert first is not None and first["notes"] == []
    with world.registry() as registry:
        assert (registry.get_model_info("old") is None) == (mode == "enforce")

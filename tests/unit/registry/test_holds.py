"""Holds: a model that is held is registered, and nobody serves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from model_inbox import EntryNotFound, EntryProtected, ModelRegistry
from model_inbox.base.disk import Disk
from model_inbox.config.retention import RetentionSection
from model_inbox.registry.journal import format_of_entry
from model_inbox.registry.repair.rebuild import rebuild
from model_inbox.registry.repair.verify import verify
from model_inbox.retention.apply import retire_held
from model_inbox.retention.plan import plan
from support.crash_kit import START, Clock, metadata, open_registry


def put(registry: ModelRegistry, model_id: str, day: int) -> None:
    registry.register_model(metadata(model_id, trained_at=datetime(2025, 10, day, tzinfo=UTC)), {"m": model_id})


def newest(registry: ModelRegistry) -> str | None:
    entry = registry.get_model("USD/EUR")
    return entry and entry["model_id"]


def test_a_held_model_is_never_newest_and_has_no_alias(tmp_path: Path) -> None:
    """The model before it is served, and an alias stays where it is; after `unhold` it is newest again."""
    with open_registry(tmp_path) as registry:
        put(registry, "good", 1)
        put(registry, "bad", 2)
        registry.set_alias("champion", "good")
        entry = registry.hold("bad", reason="wrong rates")
        assert (entry["held"], entry["held_since"]) == ("wrong rates", "2026-11-24T12:00:00.000000Z")
        assert newest(registry) == "good"
        assert [one["model_id"] for one in registry.list_models()] == ["bad", "good"]
        with pytest.raises(EntryProtected, match="cannot let 'champion' name 'bad': it is held"):
            registry.set_alias("champion", "bad")
        entry = registry.unhold("bad", reason="rates were right")
        assert (entry["held"], entry["held_since"], newest(registry)) == (None, None, "bad")
        told = [(line.operation, line.reason) for line in registry.history("bad")]
        assert told[1:] == [("hold", "wrong rates"), ("unhold", "rates were right")]


def test_as_of_knows_what_was_held(tmp_path: Path) -> None:
    """The registry of a past moment serves what was served then."""
    clock = Clock()
    with open_registry(tmp_path, clock=clock) as registry:
        put(registry, "good", 1)
        put(registry, "bad", 2)
        clock.ahead(60)
        registry.hold("bad", reason="wrong rates")
        then = registry.get_model("USD/EUR", as_of=START + timedelta(seconds=30))
        assert then is not None and then["model_id"] == "bad"


def test_a_model_in_service_is_not_held(tmp_path: Path) -> None:
    """Who holds a champion would stop its service: the alias goes first. No reason and no such model are refused."""
    with open_registry(tmp_path) as registry:
        put(registry, "a", 1)
        registry.set_alias("champion", "a")
        with pytest.raises(EntryProtected, match="cannot hold 'a': 'champion' names it"):
            registry.hold("a", reason="bad")
        with pytest.raises(ValueError, match="without a reason"):
            registry.hold("a", reason=" ")
        with pytest.raises(EntryNotFound):
            registry.hold("b", reason="bad")


def test_holding_again_changes_the_reason_alone(tmp_path: Path) -> None:
    """Since when it is held stays; the same reason writes no line."""
    clock = Clock()
    with open_registry(tmp_path, clock=clock) as registry:
        put(registry, "a", 1)
        since = registry.hold("a", reason="odd")["held_since"]
        clock.ahead(60)
        assert registry.hold("a", reason="very odd")["held_since"] == since
        sequence = registry.sequence
        registry.hold("a", reason="very odd")
        assert registry.sequence == sequence


def test_earlier_versions_refuse_a_registry_with_a_held_model(tmp_path: Path) -> None:
    """They would serve it."""
    with open_registry(tmp_path) as registry:
        put(registry, "a", 1)
        with capture_logs() as logs:
            registry.hold("a", reason="odd")
    assert [log["format"] for log in logs if log["event"] == "registry.taken_over"] == ["model-inbox-journal/3"]
    assert format_of_entry({"held": None}) == "model-inbox-journal/2"


def test_a_hold_outlives_the_journal(tmp_path: Path) -> None:
    """A registry that is made again from what lies beside the models holds what was held, with reason and time."""
    with open_registry(tmp_path) as registry:
        put(registry, "good", 1)
        put(registry, "bad", 2)
        before = dict(registry.hold("bad", reason="wrong rates"))
    assert verify(tmp_path / "registry.json", tmp_path / "prediction") == []
    for name in ("registry.json", "registry.journal.jsonl", "registry.checkpoint.json"):
        (tmp_path / name).unlink()
    rebuild(tmp_path / "registry.json", tmp_path / "prediction", disk=Disk(), clock=Clock())
    with open_registry(tmp_path) as registry:
        after = registry.registry["bad"]
        assert (after["held"], after["held_since"]) == (before["held"], before["held_since"])
        assert newest(registry) == "good"
    assert verify(tmp_path / "registry.json", tmp_path / "prediction") == []


def test_a_retired_and_restored_model_is_still_held(tmp_path: Path) -> None:
    """The trash is no way around a hold."""
    with open_registry(tmp_path) as registry:
        put(registry, "a", 1)
        registry.hold("a", reason="odd")
        assert registry.delete_model("a")
        assert registry.restore("a")["held"] == "odd"
        assert newest(registry) is None


def test_retention_does_not_count_held_models(tmp_path: Path) -> None:
    """Ten bad nights do not push out the good one, and the plan says why the held ones are kept."""
    with open_registry(tmp_path) as registry:
        put(registry, "good", 1)
        for night in range(2, 12):
            put(registry, f"bad{night}", night)
            registry.hold(f"bad{night}", reason="odd")
        section = RetentionSection.model_validate({"policies": [{"keep": {"last": 1}}]})
        made = plan(registry.stored_entries()[2], section, now=START)
    assert made.retire == ()
    reasons = {item.model_id: item.reasons for item in made.keep}
    assert reasons["good"][0] == "last 1/1"
    assert reasons["bad2"] == ("held, and not counted: 'odd'",)


def test_what_is_held_for_long_is_retired(tmp_path: Path) -> None:
    """After the time, by a line with its reason; a pinned one, a younger one and one that is not held stay."""
    clock = Clock()
    with open_registry(tmp_path, clock=clock) as registry:
        for number, model_id in enumerate(("free", "long", "pinned", "short"), 1):
            put(registry, model_id, number)
        registry.pin("pinned")
        registry.hold("long", reason="odd")
        registry.hold("pinned", reason="odd")
        clock.ahead(60)
        registry.hold("short", reason="odd")
        at = START + timedelta(seconds=3_601)
        assert retire_held(registry, 3_600, START + timedelta(seconds=3_600)) == []
        assert retire_held(registry, 3_600, at) == ["long"]
        line = registry.history("long")[-1]
        assert (line.operation, line.actor, line.reason) == (
            "retire",
            "retention",
            "held for 1h (registry.held_keep)",
        )
        assert sorted(registry.registry) == ["free", "pinned", "short"]

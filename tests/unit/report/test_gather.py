"""Tests for reading what the overview says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from model_inbox import ModelRegistry
from model_inbox.config.settings import Config
from model_inbox.report.facts import Choice
from model_inbox.report.gather import gather
from support.crash_kit import metadata
from support.pages import NOW


class _BusyRegistry(ModelRegistry):
    """A registry in which another process registers a model after each look at its entries."""

    registered = 0

    def stored_entries(self) -> Any:
        """Return the entries as they were before the next model."""
        seen = super().stored_entries()
        with ModelRegistry(self.registry_path) as other:
            self.registered += 1
            _register(other, self.registered)
        return seen


def _register(registry: ModelRegistry, number: int, pair: str = "EUR/USD") -> None:
    at = NOW - timedelta(days=100 - number)
    chosen = metadata(f"m-{pair[:3].lower()}-{number}", currency_pair=pair, trained_at=at)
    registry.register_model(chosen, {"number": number})


def _config(folder: Path) -> Config:
    return Config.model_validate(
        {
            "inbox": {"path": str(folder / "inbox")},
            "registry": {"path": str(folder / "r.json"), "storage_dir": str(folder / "prediction")},
            "retention": {"mode": "enforce", "policies": [{"keep": {"last": 2}, "min_keep": 1}]},
        }
    )


def test_a_page_is_of_one_moment_of_a_registry_that_changes(tmp_path: Path) -> None:
    """A model that is registered while the page is made is not on it, and costs nothing that is."""
    (tmp_path / "inbox").mkdir()
    with _BusyRegistry(tmp_path / "r.json") as registry:
        _register(registry, 50)
        facts = gather(registry, _config(tmp_path), NOW)
    assert (facts.models_total, facts.retention.kept) == (1, (("last 2", 1),))


def test_what_is_kept_is_counted_by_rule_for_the_slots_that_are_shown(tmp_path: Path) -> None:
    """A page that is limited to a pair has what the rules keep and take of this pair alone."""
    (tmp_path / "inbox").mkdir()
    with ModelRegistry(tmp_path / "r.json") as registry:
        for number in range(3):
            _register(registry, number)
        _register(registry, 3, "GBP/USD")
        everything = gather(registry, _config(tmp_path), NOW)
        limited = gather(registry, _config(tmp_path), NOW, Choice("GBP/USD"))
    assert (everything.retention.kept, limited.retention.kept) == ((("last 2", 3),), (("last 2", 1),))
    assert [one.model_id for one in everything.retention.taken] == ["m-eur-0"]
    assert limited.retention.taken == ()

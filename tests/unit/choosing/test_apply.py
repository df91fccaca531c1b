"""Rules of promotion against a registry: what moves, what is only logged, and what somebody does in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_inbox import ModelRegistry
from model_inbox.choosing.apply import Promoter
from model_inbox.config.settings import PromotionSection
from support.crash_kit import open_registry, staged

PAIR = "USD/EUR"


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return open_registry(tmp_path / "models")


def rule(**fields: Any) -> PromotionSection:
    return PromotionSection.model_validate({"when": {"metric": "rmse", "order": "min", "by": "5%"}, **fields})


def drop(registry: ModelRegistry, model_id: str, rmse: float, **fields: Any) -> None:
    candidate = staged(registry, model_id, model_id.encode())
    candidate.fields.update({"validation_metrics": {"rmse": rmse}, **fields})  # type: ignore[typeddict-item]  # a part
    assert registry.register_staged([candidate])[0].outcome == "registered"


def champion(registry: ModelRegistry, pair: str = PAIR, **options: Any) -> str | None:
    entry = registry.get_model(pair, alias="champion", **options)
    return entry["model_id"] if entry is not None else None


def test_the_alias_follows_the_better_model(registry: ModelRegistry) -> None:
    """The line, the log and the rollback afterwards; a second run has nothing to do."""
    promoter = Promoter(registry)
    drop(registry, "a", 1.0)
    assert promoter.apply([rule()]) == 1
    drop(registry, "b", 0.96)
    assert promoter.apply([rule()]) == 0
    drop(registry, "c", 0.9)
    with capture_logs() as logs:
        assert promoter.apply([rule()]) == 1
    assert champion(registry) == "c"
    line = registry.history()[-1]
    assert (line.operation, line.actor) == ("promote", "promotion")
    assert line.reason == "rmse 0.9 is better than 1 of 'a' by 0.1 (10%); the rule asks for 5%"
    (said,) = logs
    assert (said["event"], said["model_id"], said["before"], said["reason"]) == (
        "entry.promoted",
        "c",
        "a",
        line.reason,
    )
    assert promoter.apply([rule()]) == 0
    registry.rollback(PAIR)
    assert promoter.apply([rule()]) == 0
    assert champion(registry) == "a"


def test_a_rule_in_dry_run_mode_only_says_so(registry: ModelRegistry) -> None:
    """Once for each model; no line is written."""
    promoter = Promoter(registry)
    drop(registry, "a", 1.0)
    before = registry.sequence
    with capture_logs() as logs:
        assert [promoter.apply([rule(mode="dry-run")]) for _ in range(3)] == [0, 0, 0]
    assert [(said["event"], said["model_id"], said["before"]) for said in logs] == [("promotion.proposed", "a", None)]
    assert registry.sequence == before


def test_each_slot_and_each_alias_has_its_rule(registry: ModelRegistry) -> None:
    """The first that matches counts, and no slot is compared with another."""
    drop(registry, "a", 1.0)
    drop(registry, "b", 0.5, currency_pair="GBP/EUR")
    drop(registry, "c", 0.5, variant="30d")
    rules = [
        rule(match={"currency_pair": "GBP/*"}, mode="dry-run"),
        rule(match={"variant": ""}),
        rule(alias="next", match={"currency_pair": "GBP/*"}),
    ]
    assert Promoter(registry).apply(rules) == 2
    assert {(one.alias, one.model_id) for one in registry.aliases()} == {("champion", "a"), ("next", "b")}


def test_a_change_in_between_is_a_reason_to_decide_again(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A better model that is registered after the decision and before its commit gets the alias at once."""
    drop(registry, "a", 1.0)
    other = open_registry(Path(registry.registry_path).parent)
    promote = registry.promote_by_rule

    def late(*args: Any, **options: Any) -> Any:
        if other.get_model_info("b") is None:
            drop(other, "b", 0.5)
        return promote(*args, **options)

    monkeypatch.setattr(registry, "promote_by_rule", late)
    assert Promoter(registry).apply([rule()]) == 1
    assert champion(registry) == "b"
    assert [line.model_id for line in registry.history() if line.operation == "promote"] == ["b"]


def test_a_protected_alias_is_moved_by_a_rule(registry: ModelRegistry) -> None:
    """The rule stands in the configuration that protects it."""
    registry.protect_aliases({"champion": ["nobody-of-us"]})
    drop(registry, "a", 1.0)
    assert Promoter(registry).apply([rule()]) == 1

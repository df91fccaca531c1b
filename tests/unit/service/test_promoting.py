"""The daemon moves aliases by rule, and writes down who may move them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_inbox import AliasProtected, ModelRegistry
from model_inbox.service.service import Service
from support.waiting import wait_until
from support.world import World

RULE = {"when": {"metric": "rmse", "order": "min", "by": "5%"}}


def take(world: World, service: Service, stem: str, rmse: float) -> None:
    """Let the service register a model."""
    world.put(stem, validation_metrics={"rmse": rmse})

    def answered() -> bool:
        world.live_on(service, 2.0)
        return world.receipt(stem) is not None

    wait_until(answered)


def champion(world: World) -> Any:
    with world.registry() as registry:
        found = [one.model_id for one in registry.aliases()]
    return found[0] if found else None


def test_a_registration_moves_the_alias(tmp_path: Path) -> None:
    """Soon after its commit, and counted; a worse model does not."""
    world = World(tmp_path, {"promotion": [RULE]})
    with world.running() as service:
        take(world, service, "a", 1.0)
        assert champion(world) == "a"
        take(world, service, "b", 2.0)
        assert champion(world) == "a"
        take(world, service, "c", 0.5)
        assert champion(world) == "c"
        assert service.intake.tally.promotions == 2


def test_a_daemon_that_died_after_the_commit(tmp_path: Path) -> None:
    """The next one moves the alias: it looks at its start."""
    world = World(tmp_path)
    with world.running() as service:
        take(world, service, "a", 1.0)
    world.configure(promotion=[RULE])
    with world.running() as service:
        world.live_on(service)
        assert champion(world) == "a"


def test_what_config_protects_is_protected_for_every_process(tmp_path: Path) -> None:
    """From the start on, and after a reload no more; lines of the journal say so."""
    world = World(tmp_path, {"aliases": {"champion": {"may_move": ["nobody-of-us"]}, "next": {}}})
    with world.running() as service:
        take(world, service, "a", 1.0)
        with ModelRegistry(world.models / "prediction_registry.json") as other, pytest.raises(AliasProtected):
            other.promote("a")
        world.configure()
        service.reload()
        world.live_on(service, 2.0)
        with ModelRegistry(world.models / "prediction_registry.json") as other:
            other.promote("a")
            told = [line.detail for line in other.history() if line.operation == "protect"]
    assert told == [{"aliases": {"champion": {"may_move": ["nobody-of-us"]}}}, {"aliases": {}}]


def test_a_model_that_is_promoted_is_not_retired(tmp_path: Path) -> None:
    """The rules of promotion come before those of retention, and former champions are kept."""
    keep = {"last": 1, "holders": {"alias": "champion", "last": 1}}
    retention = {
        "mode": "enforce",
        "breaker": {"max_fraction": 1},
        "policies": [{"match": {}, "keep": keep, "min_keep": 0}],
    }
    world = World(tmp_path, {"promotion": [RULE], "retention": retention})
    with world.running() as service:
        for stem, rmse in (("a", 3.0), ("b", 2.0), ("c", 1.0), ("d", 9.0), ("e", 9.0)):
            world.clock.advance(60)
            take(world, service, stem, rmse)
        world.live_on(service, 10.0)
        assert champion(world) == "c"
        with world.registry() as registry:
            assert sorted(registry.registry) == ["b", "c", "e"]

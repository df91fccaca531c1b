"""The daemon keeps the rules of its configuration, and what it decides names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_inbox.registry.journal import rules_of
from model_inbox.registry.kept_rules import read_rules
from model_inbox.registry.paths import RegistryFiles
from support.world import World

RETENTION = {"mode": "enforce", "policies": [{"keep": {"last": 1}}], "breaker": {"max_fraction": 1, "max_deletes": 9}}
PROMOTION = [{"when": {"metric": "1d.rmse", "order": "min", "by": "10%"}}]


@pytest.fixture(name="world")
def _world(memory_folder: Path) -> World:
    return World(memory_folder, settings={"promotion": PROMOTION})


def test_lines_name_the_rules_in_force(world: World) -> None:
    """A drop and a promotion those of the start; after a reload a drop and a retirement those of the new file."""
    with world.running() as service:
        world.put("a", trained_at="2025-10-01T00:00:00Z")
        world.live_on(service, 3)
        world.configure(promotion=[], retention=RETENTION)
        service.reload()
        world.put("b", trained_at="2025-10-02T00:00:00Z")
        service.step("hint")
        service.registry.remove_alias("champion", "a")
        world.live_on(service, 3)
        lines = service.registry.history()
    found = [(line.operation, line.model_id, rules_of(line)) for line in lines]
    before, after = found[0][2], found[2][2]
    assert found == [
        ("register", "a", before),
        ("promote", "a", before),
        ("register", "b", after),
        ("unalias", "a", None),
        ("retire", "a", after),
    ]
    files = RegistryFiles(world.models / "prediction_registry.json")
    assert before is not None and after is not None and before != after
    first, second = read_rules(files, before), read_rules(files, after)
    assert first is not None and b'"by": "10%"' in first and b'"last": 1' not in first
    assert second is not None and b'"last": 1' in second and b'"by": "10%"' not in second


def test_the_same_rules_are_kept_once(world: World) -> None:
    """Another start, and a reload that changes nothing that decides, make no second file."""
    for level in ("debug", "info"):
        world.configure(logging={"level": level}, promotion=PROMOTION)
        with world.running() as service:
            service.reload()
    assert len(list((world.models / "history").glob("*.rules.json"))) == 1

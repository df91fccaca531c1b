"""Models with tens of thousands of features: through every door, within one limit that producers can read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from model_inbox import DropRefused, ModelMetadata, ModelRegistry, drop
from model_inbox.base.disk import Disk
from model_inbox.cli import root
from model_inbox.errors import MetadataError
from model_inbox.registry.paths import status_paths
from model_inbox.registry.repair.rebuild import rebuild
from model_inbox.telemetry.status_file import Publisher
from support.rebuilding import Scans
from support.world import World, pickled, sidecar


@pytest.fixture(name="world")
def _world(memory_folder: Path) -> World:
    world = World(memory_folder)
    world.inbox.mkdir(parents=True)
    return world


def features(count: int) -> list[str]:
    return [f"feature_{number:05d}" for number in range(count)]


def metadata(model_id: str, count: int) -> ModelMetadata:
    return ModelMetadata(
        model_id=model_id,
        model_type="lightgbm",
        currency_pair="USD/EUR",
        trained_at="2026-01-20T12:00:00Z",
        version="1",
        validation_metrics={"rmse": 0.1},
        min_samples=1,
        calibration_ok=True,
        features_used=features(count),
        horizons=[1],
    )


def command(world: World, *args: str) -> Result:
    return CliRunner().invoke(root, ["--config", str(world.config_path), *args], prog_name="model-inbox")


def registry_of(world: World) -> ModelRegistry:
    return ModelRegistry(world.models / "prediction_registry.json", world.models / "prediction")


@pytest.mark.parametrize("count", [10_000, pytest.param(40_000, marks=pytest.mark.exhaustive)])
def test_thousands_of_features_are_registered_listed_and_rebuilt(world: World, count: int) -> None:
    """By hand, by `drop` and by `register_model`; every reader sees all of them, and a rebuild from files alone too."""
    world.put("hand", features_used=features(count))
    drop({"v": 1}, metadata("dropped", count), inbox=world.inbox)
    assert command(world, "check", str(world.inbox / "hand.yaml")).exit_code == 0
    with world.running() as service:
        world.live_on(service, 5)
    with registry_of(world) as registry:
        registry.register_model(metadata("api", count), {"v": 2})
    listed = json.loads(command(world, "list", "--json").stdout)
    assert {entry["model_id"]: len(entry["features_used"]) for entry in listed} == dict.fromkeys(
        ["hand", "dropped", "api"], count
    )
    assert json.loads(command(world, "verify", "--json").stdout) == {"ok": True, "problems": []}
    for path in world.models.glob("prediction_registry.*"):
        path.unlink()
    shutil.rmtree(world.models / "history", ignore_errors=True)
    rebuild(
        world.models / "prediction_registry.json",
        world.models / "prediction",
        disk=Disk(),
        clock=world.clock.now,
        scanner=Scans(),
    )
    with registry_of(world) as registry:
        assert {name: len(entry["features_used"]) for name, entry in registry.registry.items()} == dict.fromkeys(
            ["hand", "dropped", "api"], count
        )


def test_one_limit_holds_at_every_door_and_is_told_before_anything_is_written(world: World) -> None:
    """The daemon publishes it; `drop`, the command, `check`, `register_model` and the daemon refuse the same."""
    world.configure(inbox={"max_sidecar_size": "100KiB"})
    paths = status_paths(world.config.registry.path, world.config.inbox.path)
    with world.running(publisher=Publisher(paths)) as service:
        large, said = metadata("large", 10_000), "more than inbox.max_sidecar_size, 102400 bytes"
        with pytest.raises(DropRefused, match=said):
            drop({"v": 1}, large, inbox=world.inbox)
        text = sidecar(features_used=features(10_000))
        for name, data in (("file.yaml", text), ("file.pkl", pickled({"v": 1}))):
            (world.root / name).write_bytes(data)
        files = (str(world.root / "file.pkl"), "--meta", str(world.root / "file.yaml"))
        refused = command(world, "drop", *files, "--json")
        assert (refused.exit_code, said in refused.output) == (1, True)
        assert world.left() == []
        assert said in command(world, "check", str(world.root / "file.yaml"), "--json").output
        with registry_of(world) as registry, pytest.raises(MetadataError, match=said):
            registry.register_model(large, {"v": 1})
        world.put("file", text=text)
        world.live_on(service, 5)
        receipt = world.receipt("file")
        assert receipt is not None
        assert [problem["code"] for problem in receipt["problems"]] == ["sidecar.too_large"]
        assert said in receipt["problems"][0]["message"]
        drop({"v": 1}, metadata("small", 1000), inbox=world.inbox)
        world.live_on(service, 5)
    assert list(world.answered().registered) == ["small"]

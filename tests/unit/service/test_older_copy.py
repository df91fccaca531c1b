"""An older copy of the registry that is put back: noticed by the lines that receipts, status and the daemon know."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from model_inbox.errors import RegistryCorrupted
from model_inbox.registry.paths import status_paths
from model_inbox.telemetry.status_file import Publisher
from support.home import Home
from support.world import World


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    """Three models, of which a copy of `models/` beside it has the first."""
    world = World(tmp_path)
    with world.running(publisher=publisher(world)) as service:
        world.put("a")
        world.live_on(service, 8)
        shutil.copytree(world.models, tmp_path / "older")
        for stem in ("b", "c"):
            world.put(stem)
            world.live_on(service)
        service.begin_stopping()
    return world


def publisher(world: World) -> Publisher:
    return Publisher(status_paths(world.models / "prediction_registry.json", world.inbox))


def put_back(world: World) -> None:
    world.models.rename(world.root / "newer")
    (world.root / "older").rename(world.models)


@pytest.mark.parametrize("lines_after", [0, 1, 4])
def test_the_start_is_refused_and_names_what_is_gone(world: World, lines_after: int) -> None:
    """By receipts: also when a command has given the numbers of the missing lines to other changes by then."""
    put_back(world)
    home = Home(world.root)
    with home.open() as registry:
        for number in range(lines_after):
            registry.tag("a", {"n": str(number)})
    for _ in range(2):
        with pytest.raises(RegistryCorrupted) as caught, world.running(publisher=publisher(world)):
            pass
        assert caught.value.exit_status == 78
        assert "model 'b', line 2" in str(caught.value) and "model 'c', line 3" in str(caught.value)
        assert "model 'a'" not in str(caught.value)
        assert "model-inbox rebuild --accept-loss" in caught.value.hint


def test_the_status_in_the_inbox_is_enough(world: World) -> None:
    """Without receipts, and though each start that fails publishes a status of its own."""
    for path in (world.inbox / "receipts").glob("*.json"):
        if not path.name.startswith("."):
            path.unlink()
    put_back(world)
    for _ in range(2):
        with (
            pytest.raises(RegistryCorrupted, match="ends at line 1, but line 3 was committed"),
            world.running(publisher=publisher(world)),
        ):
            pass


def test_accept_loss_goes_on_in_a_new_epoch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rebuild` refuses without the option; with it the daemon starts, and later receipts are of the new epoch."""
    put_back(world)
    monkeypatch.chdir(world.root)
    home = Home(world.root)
    error = home.error("rebuild", status=1)
    assert "model 'b', line 2" in error["message"] and "--accept-loss" in error["hint"]
    assert home.json("rebuild", "--accept-loss")["epoch"].startswith("2-")
    with world.running(publisher=publisher(world)) as service:
        world.put("b")
        world.live_on(service)
        assert sorted(service.registry.registry) == ["a", "b"]
    with world.running(publisher=publisher(world)):
        pass


def test_a_running_daemon_notices_within_a_rescan(world: World) -> None:
    """Renamed over its files, or copied into them: the daemon ends instead of going on with either."""
    for how in ("renamed", "copied"):
        older = world.root / f"older-{how}"
        shutil.copytree(world.root / "older", older)
        names = [path.name for path in older.iterdir() if path.is_file() and not path.name.startswith(".")]
        whole = {name: (world.models / name).read_bytes() for name in names}
        with (
            pytest.raises(RegistryCorrupted, match="ends at line 1, but lines up to 3 were committed"),
            world.running(publisher=publisher(world)) as service,
        ):
            for name in names:
                if how == "renamed":
                    (older / name).rename(world.models / name)
                else:
                    (world.models / name).write_bytes((older / name).read_bytes())
            world.live_on(service, 31)
        for name, data in whole.items():
            (world.models / name).write_bytes(data)


def test_a_registry_that_was_made_new_is_only_said(world: World) -> None:
    """Another registry_id beside old receipts: somebody began again, and drops are taken."""
    shutil.rmtree(world.models)
    with capture_logs() as logs, world.running(publisher=publisher(world)) as service:
        world.put("d")
        world.live_on(service)
        assert list(service.registry.registry) == ["d"]
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["registry.replaced"]

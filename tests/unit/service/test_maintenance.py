"""What the daemon does by the clock: each kind of failure has its own line in the log, keeps nothing else from being
done, and is made good when the disk lets it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_inbox.errors import RegistryCorrupted, StorageError
from model_inbox.service.service import Service
from support.waiting import wait_until
from support.world import FailingDisk, World

DAY = 86_400.0


class Stuck(FailingDisk):
    """A disk that refuses one kind of step while `armed`."""

    def __init__(self, fails: Callable[..., bool]) -> None:
        self.armed = False
        super().__init__(lambda name, *args: errno.EIO if self.armed and fails(name, *args) else None)


def removing(place: str) -> Callable[..., bool]:
    return lambda name, *args: name == "unlink" and place in str(args[0])


def take(world: World, service: Service, *stems: str) -> None:
    """Let the service live until it has answered these drops: on a busy machine a drop may take more than one look."""

    def answered() -> bool:
        world.live_on(service)
        return all(world.receipt(stem) for stem in stems)

    wait_until(answered)


def a_rejected_drop(world: World, service: Service) -> None:
    world.put("bad", leave_out=["version"])
    take(world, service, "bad")
    world.clock.advance(31 * DAY)


def an_old_receipt(world: World, service: Service) -> None:
    world.put("m")
    take(world, service, "m")
    world.clock.advance(31 * DAY)


def an_old_segment(world: World, service: Service) -> None:
    world.put("m")
    take(world, service, "m")
    service.registry.change_segment()
    world.clock.advance(800 * DAY)


def a_model_in_the_trash(world: World, service: Service) -> None:
    world.put("m")
    take(world, service, "m")
    service.registry.delete_model("m")
    world.clock.advance(8 * DAY)


def two_models(world: World, service: Service) -> None:
    world.put("a")
    world.put("b")
    take(world, service, "a", "b")
    world.clock.advance(2)


def a_long_journal(world: World, service: Service) -> None:
    service.registry._store._segment_bytes = 1
    world.put("m")
    take(world, service, "m")
    for _ in range(3):
        service.registry.pin("m")
        service.registry.unpin("m")
    world.clock.advance(6)


def a_new_model(world: World, service: Service) -> None:
    world.put("m")
    take(world, service, "m")
    world.clock.advance(6)


RETIRE_ALL_BUT_ONE = {
    "mode": "enforce",
    "policies": [{"match": {}, "keep": {"last": 1}, "min_keep": 0}],
    "breaker": {"max_fraction": 1},
}
PURGE_ALONE = {**RETIRE_ALL_BUT_ONE, "policies": [{"match": {}, "keep": {"last": 100}}]}

FAILURES: dict[str, tuple[Callable[[World, Service], None], Callable[..., bool], dict[str, Any], list[str]]] = {
    "rejected": (a_rejected_drop, removing("/rejected/"), {}, ["inbox.purge_failed"]),
    "receipts": (an_old_receipt, removing("/receipts/m.json"), {}, ["inbox.purge_failed"]),
    "history": (an_old_segment, removing("/history/"), {}, ["registry.prune_failed"]),
    "trash": (a_model_in_the_trash, removing("/.trash/"), PURGE_ALONE, ["retention.purge_failed"]),
    "retire": (
        two_models,
        lambda name, *args: name == "rename_new" and ".trash" in str(args[1]),
        RETIRE_ALL_BUT_ONE,
        ["retention.failed", "registry.leftover_unmoved"],
    ),
    "checkpoint": (
        a_new_model,
        lambda name, *args: name == "rename" and str(args[1]).endswith("registry.json"),
        {},
        ["registry.checkpoint_failed"],
    ),
    "rotation": (
        a_long_journal,
        lambda name, *args: name == "link" and "/history/" in str(args[1]),
        {},
        ["journal.rotation_failed"],
    ),
}


def test_missing_history_is_said_at_the_start_and_stops_nothing(tmp_path: Path) -> None:
    """A removed segment: an error in the log with the numbers of its lines, a status that is not well, drops go on."""
    world = World(tmp_path, {})
    with world.running() as service:
        for stem in ("one", "two"):
            world.put(stem)
            world.live_on(service)
            service.registry.change_segment()
    (segment,) = list(tmp_path.rglob(f"history/{0:020d}.jsonl"))
    segment.unlink()
    with capture_logs() as logs, world.running() as service:
        world.put("after")
        world.live_on(service)
        assert service.health.missing_lines == "1"
    assert [line["lines"] for line in logs if line["event"] == "journal.lines_missing"] == ["1"]
    assert "after" in world.registrations()


@pytest.mark.parametrize("kind", FAILURES)
def test_each_failure_has_a_line_of_its_own(tmp_path: Path, kind: str) -> None:
    """What fails is said by its own event, drops go on being registered, and the next try that can succeed does."""
    prepare, fails, retention, expected = FAILURES[kind]
    world = World(tmp_path, {"retention": retention} if retention else {})
    disk = Stuck(fails)
    with world.running(disk) as service:
        world.live_on(service)
        disk.armed = kind in ("checkpoint", "rotation", "retire")
        prepare(world, service)
        disk.armed = True
        with capture_logs() as logs:
            world.live_on(service)
            assert disk.failed > 0
            world.put("after")
            take(world, service, "after")
        said = [line["event"] for line in logs if line["log_level"] in ("warning", "error", "critical")]
        assert sorted(set(said)) == sorted(expected)
        assert all(os.strerror(errno.EIO) in line["problem"] for line in logs if line["event"] in expected)
        assert "after" in world.registrations()
        disk.armed = False
        world.clock.advance(3700)
        with capture_logs() as logs:
            world.live_on(service, 10)
        assert [line["event"] for line in logs if line["log_level"] == "error"] == []


def test_leftovers_are_moved_whatever_the_mode(tmp_path: Path) -> None:
    """What a crash left and the start could not move is tried again within the hour, also with retention off."""
    world = World(tmp_path)
    disk = Stuck(lambda name, *args: name == "rename_new" and ".trash" in str(args[1]))
    with world.running(disk) as service:
        world.put("m")
        world.live_on(service)
        disk.armed = True
        with pytest.raises(StorageError):
            service.registry.delete_model("m")  # committed; its files did not move
    with capture_logs() as logs, world.running(disk) as service:
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["registry.leftover_unmoved"]
        disk.armed = False
        world.clock.advance(3601)
        world.live_on(service)
        assert [line["count"] for line in logs if line["event"] == "registry.leftover_found"] == [1]
        assert [item.model_id for item in service.registry.retired()] == ["m"]
        assert sorted(os.listdir(service.registry.retired()[0].folder)) == ["m.pkl", "m.yaml"]


def test_damage_in_a_closed_segment_stops_no_drop(tmp_path: Path) -> None:
    """Pruning reads what is old and finds it damaged: that is logged with the file, and drops go on."""
    world = World(tmp_path)
    with world.running() as service:
        an_old_segment(world, service)
        (segment,) = (world.models / "history").glob("*.jsonl")
        data = segment.read_bytes()
        segment.write_bytes(data.replace(b'"register"', b'"rigester"'))
        with capture_logs() as logs:
            world.live_on(service)
            world.put("after")
            world.live_on(service)
        lines = [line for line in logs if line["log_level"] == "error"]
        assert [line["event"] for line in lines] == ["registry.prune_failed", "registry.history_damaged"]
        assert all(str(segment) in line["problem"] for line in lines)
        assert "after" in service.registry.registry


def test_damage_in_the_journal_stops_the_daemon(tmp_path: Path) -> None:
    """What is committed next would follow a line that cannot be read: nothing is committed, the error goes up."""
    world = World(tmp_path)
    # The checkpoint that `close` would write fails for the same reason.
    with pytest.raises(RegistryCorrupted, match="journal"), world.running() as service:
        world.put("m")
        world.live_on(service)
        journal = world.models / "prediction_registry.journal.jsonl"
        journal.write_bytes(journal.read_bytes().replace(b'"register"', b'"rigester"'))
        world.clock.advance(3700)
        world.put("after")
        with pytest.raises(RegistryCorrupted, match="journal"):
            world.live_on(service)

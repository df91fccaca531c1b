"""When the daemon's parts want the next pass: each says so by itself, and the loop takes the least.

The clock stands still but for what a test lets pass, so that every number here is exact.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from model_inbox.inbox.watch import Watch
from model_inbox.service import service as module
from model_inbox.service.service import Service
from model_inbox.telemetry.status_file import Publisher
from support.world import FailingDisk, StandingClock, World, pickled, sidecar

START = StandingClock.START


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path, clock=StandingClock())


@contextmanager
def running(world: World, disk: Any = None, **sections: Any) -> Iterator[Service]:
    world.configure(**sections)
    with world.running(disk) as service:
        yield service


def turn(world: World, service: Service, seconds: float = 0.0) -> None:
    """Let time pass, and make one pass."""
    world.clock.advance(seconds)
    service.step("timer")
    service.run_maintenance()


# --- the look at the folder ------------------------------------------------------------------------------------------


def test_an_idle_inbox_is_looked_at_every_rescan_seconds(world: World) -> None:
    """30 s after the last pass ended, 12.5 s of them over: 17.5 are left; when polling, 2 s."""
    with running(world) as service:
        assert service.schedule.due_in(START) == 30.0
        assert service.schedule.due_in(START + 12.5) == 17.5
        turn(world, service, 20)
        assert service.schedule.due_in(START + 20) == 30.0
    world.clock = StandingClock()
    with running(world, inbox={"watcher": "polling"}) as service:
        assert service.schedule.due_in(START) == 2.0


def test_what_settles_is_looked_at_when_it_has(world: World) -> None:
    """A drop without a seal that changed at 1000 has settled 2 s later."""
    with running(world, inbox={"settle_seconds": 2}) as service:
        world.put("m", seal="")
        turn(world, service)
        assert service.schedule.due_in(START) == pytest.approx(2.0, abs=0.1)  # counted from the file's own time
        turn(world, service, 2.5)
        assert world.registrations() == ["m"]
        assert service.schedule.due_in(START + 2.5) == 30.0


def test_what_may_change_unseen_is_looked_at_less_and_less_often(world: World) -> None:
    """A file that is held open, unchanged for 100 s, is looked at again after 10 s."""
    with running(world, inbox={"settle_seconds": 2, "incomplete_timeout": "1h"}) as service:
        world.put("m")
        with (world.inbox / "m.pkl").open("ab"):
            turn(world, service)
            assert service.schedule.due_in(START) == pytest.approx(2.0, abs=0.01)
            turn(world, service, 100)
            assert service.schedule.due_in(START + 100) == pytest.approx(10.0, abs=0.1)


def test_unfinished_work_is_gone_on_with_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that ended before all that was ready was taken wants the next one now."""
    with running(world) as service:
        world.put("m")
        monkeypatch.setattr(service, "_time_is_up", lambda *_: lambda: True)
        turn(world, service)
        assert service.schedule.is_behind
        assert (service.schedule.due_in(START), service.due_in(START)) == (0.0, 0.0)


def test_an_inbox_that_is_away_is_looked_for_every_second_however_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a canary, a drop in hand and a line in the log all overdue: 1 s, and no spinning until it is back."""
    disk = FailingDisk(lambda name, *args: errno.EIO if name == "link" and ".staging" in str(args[1]) else None)
    with running(world, disk, inbox={"incomplete_timeout": "1h"}) as service:
        world.put("deferred")
        (world.inbox / "waits.yaml").write_bytes(sidecar(scaler_file="s.pkl"))
        monkeypatch.setattr(Watch, "canary_came", lambda *_: True)
        turn(world, service, 1)
        world.inbox.rename(world.root / "away")
        for passed in (0, 29, 31, 3000):
            turn(world, service, passed)
            now = world.clock.monotonic()
            assert service.due_in(now) == 1.0
            assert service.due_in(now + 0.25) == 0.75
        overdue = (service.intake.due_in(now), service.waiting_log.due_in(now), service.watching.due_in(now))
        assert all(wait is not None and wait <= 0.0 for wait in overdue)


# --- the watch -------------------------------------------------------------------------------------------------------


def test_the_watch_wants_a_canary_every_rescan_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first at once; none while one is on its way; the next 30 s after that was sent."""
    monkeypatch.setattr(Watch, "canary_came", lambda *_: True)
    with world.running() as service:
        watching = service.watching
        assert watching.due_in(START) is None  # sent with the first pass, and on its way
        turn(world, service, 1)
        assert watching.due_in(START + 1) == 29.0
        turn(world, service, 29)
        assert watching.due_in(START + 30) is None
        turn(world, service, 1)
        assert watching.due_in(START + 31) == 29.0


def test_a_watch_that_cannot_be_made_is_tried_every_five_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a folder that is polled has none."""

    def none_left(watch: Watch) -> bool:
        watch._discard()
        watch.deaf_because = "none left"
        return False

    monkeypatch.setattr(Watch, "start", none_left)
    with running(world) as service:
        assert service.watching.due_in(START) == 5.0
        turn(world, service, 5)
        assert service.watching.due_in(START + 5) == 5.0
        assert service.watching.due_in(START + 9) == 1.0
    monkeypatch.undo()
    with running(world, inbox={"watcher": "polling"}) as service:
        assert service.watching.due_in(world.clock.monotonic()) is None


# --- the lines about what waits --------------------------------------------------------------------------------------


def test_what_waits_is_logged_after_five_seconds(world: World) -> None:
    """Nothing waits: no deadline. A sidecar without its scaler: in 5 s, 3 s later in 2 s, and then never again."""
    with running(world) as service:
        assert service.waiting_log.due_in(START) is None
        (world.inbox / "m.yaml").write_bytes(sidecar(scaler_file="s.pkl"))
        turn(world, service)
        assert service.waiting_log.due_in(START) == 5.0
        turn(world, service, 3)
        assert service.waiting_log.due_in(START + 3) == 2.0
        turn(world, service, 2)
        assert service.waiting_log.due_in(START + 5) is None


# --- drops in hand ---------------------------------------------------------------------------------------------------


def test_a_deferred_drop_is_tried_after_1_2_and_4_seconds(world: World) -> None:
    """Twice as long each time; none in hand: no deadline."""
    disk = FailingDisk(lambda name, *args: errno.EIO if name == "link" and ".staging" in str(args[1]) else None)
    with running(world, disk) as service:
        assert service.intake.due_in(START) is None
        world.put("m")
        turn(world, service)
        for wait in (1.0, 2.0, 4.0):
            now = world.clock.monotonic()
            assert service.intake.due_in(now) == wait
            assert service.intake.due_in(now + 0.5) == wait - 0.5
            assert service.due_in(now) <= wait
            turn(world, service, wait)


def test_claims_that_could_not_be_listed_are_tried_after_five_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the line in the log says."""
    with running(world) as service:
        monkeypatch.setattr(service.intake._claims, "left", _io_error)
        turn(world, service)
        assert service.intake.due_in(START) == 5.0
        turn(world, service, 4)
        assert service.intake.due_in(START + 4) == 1.0
        monkeypatch.undo()
        turn(world, service, 1)
        assert service.intake.due_in(START + 5) is None


def _io_error() -> Any:
    raise module.StorageError("list", "/x", OSError(errno.EIO, "broken"))


# --- maintenance -----------------------------------------------------------------------------------------------------


def test_housekeeping_is_done_at_the_start_and_every_hour(world: World) -> None:
    """With retention off there is nothing else."""
    with running(world) as service:
        assert service.maintenance.due_in(START) == 0.0
        turn(world, service)
        assert service.maintenance.due_in(START) == 3600.0
        assert service.maintenance.due_in(START + 600) == 3000.0


def test_a_registration_wants_a_checkpoint_and_the_rules(world: World) -> None:
    """The checkpoint 5 s after the last one at the earliest, else half a second later; the rules a second later."""
    retention = {"mode": "dry-run", "policies": [{"match": {}, "keep": {"last": 1}}]}
    with running(world, registry={"checkpoint_seconds": 5}) as service:
        turn(world, service)
        world.put("a")
        turn(world, service)
        assert service.maintenance.due_in(START) == 5.0
        turn(world, service, 5)
        assert service.maintenance.due_in(START + 5) == 3595.0
        world.put("b")
        turn(world, service, 10)
        assert service.maintenance.due_in(START + 15) == 0.5
        world.configure(retention=retention)
        service.reload()
        assert service.maintenance.due_in(START + 15) == 0.0
        turn(world, service, 1)
        assert service.maintenance.due_in(START + 16) == 3600.0
        world.put("c")
        turn(world, service, 10)
        assert service.maintenance.due_in(START + 26) == 0.5
        turn(world, service, 0.5)
        assert service.maintenance.due_in(START + 26.5) == 0.5
        assert service.maintenance.retention_at == START + 27


def test_a_checkpoint_that_failed_is_tried_after_checkpoint_seconds(world: World) -> None:
    """And then it is done: the next deadline is the hour's."""
    full = [False]
    disk = FailingDisk(
        lambda name, *args: errno.ENOSPC if full[0] and name == "rename" and "registry.json" in str(args[1]) else None
    )
    with running(world, disk) as service:
        turn(world, service)
        world.put("m")
        turn(world, service, 20)
        full[0] = True
        turn(world, service, 0.5)
        assert service.maintenance.due_in(START + 20.5) == 5.0
        full[0] = False
        turn(world, service, 5)
        assert service.maintenance.due_in(START + 25.5) == 3600 - 25.5


# --- the status ------------------------------------------------------------------------------------------------------


class Nowhere(Publisher):
    """Publishes to nobody."""

    def __init__(self) -> None:
        super().__init__([])
        self.paths = (Path("/nowhere/status.json"),)

    def publish(self, document: Any) -> str:
        return ""


def test_the_status_is_due_a_second_after_a_change_and_else_every_30_seconds(world: World) -> None:
    """Something may have changed 0.25 s after it was published: it is looked at 0.75 s later."""
    service = world.service(publisher=Nowhere())
    try:
        assert service.reporter.due_in(START) is None
        service.start()
        service.step("start")
        service.begin_serving()
        world.clock.advance(0.25)
        assert service.reporter.due_in(START + 0.25) == 0.75  # `begin_serving` looked at it once more
        world.clock.advance(0.75)
        service.report()
        assert service.reporter.due_in(START + 1) == 29.0
        world.put("m", pickled(1))
        service.step("hint")
        published_at = START + 1  # before the work that may take long
        assert service.reporter.due_in(published_at) == 1.0
    finally:
        service.close()


# --- all of them -----------------------------------------------------------------------------------------------------


def test_the_service_takes_the_least(world: World) -> None:
    """A drop that waits is logged in 5 s, the canary is on its way, the folder looked at in 30 s: 5 s."""
    with running(world, inbox={"incomplete_timeout": "1h"}) as service:
        turn(world, service)
        assert service.due_in(START) == 30.0
        (world.inbox / "m.yaml").write_bytes(sidecar(scaler_file="s.pkl"))
        turn(world, service)
        parts = (service.schedule, service.maintenance, service.watching, service.waiting_log, service.intake)
        assert [part.due_in(START) for part in parts] == [30.0, 3600.0, None, 5.0, None]
        assert service.due_in(START) == 5.0

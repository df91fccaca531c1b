"""A place that cannot be written: drops stay where they are, the status says why, the log says it once, and it ends."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_inbox.inbox.explain import explain
from model_inbox.inbox.folder import limits_of
from model_inbox.inbox.obstacles import LONGEST_PAUSE_SECONDS
from model_inbox.inbox.watch import Watch
from model_inbox.registry.paths import status_paths
from model_inbox.service.service import Service
from model_inbox.telemetry.status_file import Publisher
from support.world import FailingDisk, World

ERRORS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EDQUOT)
PLACES: dict[str, Callable[[World], Path]] = {
    "claims": lambda world: world.inbox / ".processing",
    "receipts": lambda world: world.inbox / "receipts",
    "staging": lambda world: world.models / "prediction" / ".staging",
    "models": lambda world: world.models / "prediction",
    "journal": lambda world: world.models / "prediction_registry.journal.jsonl",
}


@pytest.fixture(name="world")
def _world(memory_folder: Path) -> World:
    return World(memory_folder)


@pytest.fixture(autouse=True)
def _canaries_take_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the world's clock says, a canary is given the time that threads take."""
    real = Watch.canary_came
    monkeypatch.setattr(Watch, "canary_came", lambda self, _: real(self, 2.0))


class SickDisk(FailingDisk):
    """Refuses every change in a folder, or of a file, with an errno, as long as it is `sick`."""

    def __init__(self, place: Path, number: int) -> None:
        super().__init__(self._refuses)
        self.place = place
        self.number = number
        self.sick = False
        self.claims = 0

    def _refuses(self, name: str, *args: Any) -> int | None:
        if name == "mkdir" and args[0].parent.name == ".processing" and args[0].name[0] != ".":
            self.claims += 1
        return self.number if self.sick and any(map(self._is_there, args)) else None

    def _is_there(self, argument: Any) -> bool:
        if isinstance(argument, int):
            try:
                argument = Path(os.readlink(f"/proc/self/fd/{argument}"))
            except OSError:
                return False
        return isinstance(argument, Path) and self.place in (argument, argument.parent)


def publisher_of(world: World) -> Publisher:
    return Publisher(status_paths(world.models / "prediction_registry.json", world.inbox))


def told(world: World, service: Service) -> dict[str, Any]:
    """Return what the status file says after a pass."""
    service.report()
    found: dict[str, Any] = json.loads((world.models / "prediction_registry.status.json").read_bytes())
    return found


def lines(logs: list[Any], event: str) -> list[Any]:
    return [line for line in logs if line["event"] == event]


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("place", PLACES)
def test_drops_wait_until_the_place_can_be_written(world: World, place: str, number: int) -> None:
    """One line at the begin and one at the end; in between nothing is claimed, and all is told; then all is taken."""
    disk = SickDisk(PLACES[place](world), number)
    with world.running(disk, publisher=publisher_of(world)) as service, capture_logs() as logs:
        service.begin_serving()
        disk.sick = True
        world.put("a")
        world.live_on(service, 1)
        world.put("b")
        world.live_on(service, 10)
        (obstacle,) = told(world, service)["storage"]
        assert obstacle["errno"] == errno.errorcode[number]
        assert os.strerror(number) in obstacle["problem"]
        assert obstacle["hint"] and "take" in obstacle["stops"]
        assert len(lines(logs, "daemon.storage_failed")) == 1
        assert "b.yaml" in world.left()
        said, claims = len(logs), disk.claims
        world.live_on(service, 60)
        assert [line["event"] for line in logs[said:] if line["log_level"] != "debug"] == []
        assert disk.claims == claims
        assert world.receipt("a") is world.receipt("b") is None
        disk.sick = False
        world.live_on(service, LONGEST_PAUSE_SECONDS + 0.1)
        assert world.left() == []
        assert told(world, service)["storage"] == []
    (restored,) = lines(logs, "daemon.storage_restored")
    assert 70 < restored["seconds"] < 80
    assert sorted(world.registrations()) == ["a", "b"]
    assert [world.receipt(stem)["outcome"] for stem in "ab"] == ["registered"] * 2  # type: ignore[index]
    assert world.in_hand() == []


def test_the_pauses_grow_and_stay_short_enough(world: World) -> None:
    """A disk that stays full is asked more and more seldom, and at least every few seconds."""
    disk = SickDisk(world.inbox / "receipts", errno.ENOSPC)
    with world.running(disk) as service:
        disk.sick = True
        obstacles = service.intake.obstacles
        pauses = []
        for _ in range(6):
            obstacles.look()
            pauses.append(round(obstacles.pause_left(), 1))
            world.clock.advance(obstacles.pause_left())
    assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_what_the_kernel_refuses_is_not_tried_by_a_drop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Access(2) knows of a read-only mount before anything is written: no drop is claimed to find it out."""
    place = world.models / "prediction"
    disk = SickDisk(place, errno.EROFS)
    with world.running(disk) as service:
        monkeypatch.setattr(disk, "may_write", lambda path: path != place)
        disk.sick = True
        world.put("a")
        world.live_on(service, 30)
        assert (disk.claims, world.left(), world.in_hand()) == (0, ["a.pkl", "a.yaml"], [])


def test_a_file_system_that_denies_what_it_allows_is_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where access(2) says no and writing works, drops are taken."""
    disk = SickDisk(world.inbox, errno.EACCES)
    with world.running(disk) as service:
        monkeypatch.setattr(disk, "may_write", lambda _: False)
        world.put("a")
        world.live_on(service, 1)
    assert world.registrations() == ["a"]


def test_rejected_that_cannot_be_written_stops_no_good_drop(world: World) -> None:
    """What is to be rejected waits, with its reason in the status; the rest goes on."""
    disk = SickDisk(world.inbox / "rejected", errno.EACCES)
    with world.running(disk, publisher=publisher_of(world)) as service, capture_logs() as logs:
        disk.sick = True
        world.put("bad", leave_out=["version"])
        world.put("good")
        world.live_on(service, 5)
        world.put("worse", leave_out=["version"])
        world.live_on(service, 60)
        assert world.registrations() == ["good"]
        assert "worse.yaml" in world.left()
        (obstacle,) = told(world, service)["storage"]
        assert obstacle["stops"] == ["refuse"]
        disk.sick = False
        world.live_on(service, LONGEST_PAUSE_SECONDS + 0.1)
        assert sorted(world.answered().rejected) == ["bad", "worse"]
    assert len(lines(logs, "daemon.storage_failed")) == len(lines(logs, "daemon.storage_restored")) == 1
    assert len(lines(logs, "drop.rejected")) == 2


def test_an_error_of_one_drop_stops_no_other(world: World) -> None:
    """A file with an attribute stays, its drop is told of, and the status says so; the others are registered."""
    disk = SickDisk(world.inbox / "stuck.pkl", errno.EPERM)
    with world.running(disk, publisher=publisher_of(world)) as service, capture_logs() as logs:
        disk.sick = True
        world.put("stuck")
        world.put("good")
        world.live_on(service, 40)
        assert world.registrations() == ["good"]
        document = told(world, service)
        assert (document["storage"], document["unmovable"]["count"]) == ([], 1)
        assert "chattr" in document["unmovable"]["first"]["hint"]
        limits = limits_of(world.config.inbox, polling=False)
        (said,) = explain(["stuck.yaml"], world.inbox, limits, world.clock.now, status=document)
        assert (said.state, [problem.code for problem in said.problems]) == ("waiting", ["drop.not_movable"])
        assert said.then == "is tried again"
        disk.sick = False
        (world.inbox / "stuck.pkl").chmod(0o640)
        service.step("hint")
        assert sorted(world.registrations()) == ["good", "stuck"]
    assert len(lines(logs, "drop.move_failed")) == 1
    assert lines(logs, "daemon.storage_failed") == []


@pytest.mark.parametrize("which", [0, 1], ids=["beside the registry", "in the inbox"])
def test_the_status_file_that_can_be_written_says_at_once_that_the_other_cannot(world: World, which: int) -> None:
    """At the first write that failed, not at the next time; when it works again that is told as well."""
    with world.running() as service:
        paths = status_paths(world.models / "prediction_registry.json", world.inbox)
        disk = SickDisk(paths[which], errno.EPERM)
        service.reporter._publisher = Publisher(paths, disk)
        service.begin_serving()
        disk.sick = True
        with capture_logs() as logs:
            service.reporter.publish()
            document = json.loads(paths[1 - which].read_bytes())
            assert [file["path"] for file in document["status_files"]] == [str(paths[which])]
            service.reporter.publish()
            disk.sick = False
            service.reporter.publish()
    assert json.loads(paths[which].read_bytes())["status_files"] == []
    assert [line["event"] for line in logs] == ["daemon.status_unwritten", "daemon.status_restored"]


def test_without_any_status_file_systemd_and_the_log_are_told(world: World) -> None:
    """Both places fail: the line for systemd says so, and the log has one line."""
    with world.running() as service:
        nowhere = [world.root / "gone" / name for name in ("a", "b")]
        service.reporter._publisher = Publisher(nowhere)
        with capture_logs() as logs:
            service.begin_serving()
            service.reporter.publish()
        assert service.reporter.line().startswith("Cannot write its status files: cannot write ")
    (line,) = logs
    assert (line["event"], [line["problem"].count(str(path)) for path in nowhere]) == (
        "daemon.status_unwritten",
        [1, 1],
    )

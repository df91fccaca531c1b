"""A daemon whose machine's clock jumps: nothing is removed by it, the history stays right, and somebody is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from model_inbox import ModelRegistry
from model_inbox.base.flocks import Holding
from model_inbox.inbox.explain import explain
from model_inbox.inbox.folder import limits_of
from model_inbox.service.service import Service
from model_inbox.telemetry.health import assess
from model_inbox.telemetry.status_file import Publisher, read_status
from support.world import StandingClock, World

DAY = 86_400.0
PURGES = {"retention": {"mode": "enforce", "policies": [{"match": {}, "keep": {"last": 2}}], "trash_grace": "7d"}}


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    structlog.reset_defaults()  # an earlier test may have set a level
    return World(tmp_path, PURGES, clock=StandingClock())


def started(world: World, service: Service) -> None:
    """Register three models, of which one is retired."""
    for number, stem in enumerate("abc"):
        world.put(stem, trained_at=f"2025-10-2{number}T12:00:00Z")
        world.live_on(service, 2)
    world.live_on(service, 10)
    assert [item.model_id for item in service.registry.retired()] == ["a"]


def problems_of(service: Service, world: World) -> list[str]:
    document = service.reporter.document() | {"state": "running", "ready": True}
    return [problem.code for problem in assess(document, Holding(held=True), world.clock.now(), disks=[])]


def ids_as_of(service: Service, moment: datetime) -> set[str]:
    return {entry["model_id"] for entry in service.registry.list_models(as_of=moment)}


def operations(world: World) -> list[str]:
    with world.registry() as registry:
        return [line.operation for line in registry.history()]


def test_400_days_for_three_seconds_remove_nothing_and_leave_no_trace_in_later_times(world: World) -> None:
    """The scenario: trash, rejected drops and receipts stay, `as_of` and later times are right, status says it."""
    world.put("bad", leave_out=["version"])
    with world.running() as service:
        started(world, service)
        there = {path.name for path in (world.inbox / "receipts").iterdir()}
        before = service.registry.history()[-1]
        with capture_logs() as logs:
            world.clock.jump(400 * DAY)
            world.put("ahead", trained_at="2025-10-23T12:00:00Z")
            world.live_on(service, 3)
            service.maintenance.reconfigure(world.config)  # all of it is due
            world.live_on(service)
            world.clock.jump(-400 * DAY)
            world.put("later", trained_at="2025-10-24T12:00:00Z")
            world.live_on(service, 3)
        lines = service.registry.history()[before.sequence :]
        assert [line.operation for line in lines] == ["clock", "register", "clock", "register"]
        jumps = [line.detail["seconds"] / DAY for line in lines if line.operation == "clock" and line.detail]
        assert [round(days) for days in jumps] == [400, -400]
        assert lines[1].at > before.at + timedelta(days=399)
        assert before.at < lines[3].at < before.at + timedelta(minutes=1)
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["registry.clock_jumped"] * 2
        assert [item.model_id for item in service.registry.retired()] == ["a"]
        assert {path.name for path in (world.inbox / "receipts").iterdir()} == {*there, "ahead.json", "later.json"}
        assert list(world.answered().rejected) == ["bad"]
        assert set(service.registry.registry) == {"b", "c", "ahead", "later"}  # no rule was applied
        assert ids_as_of(service, before.at) == {"b", "c"}
        assert ids_as_of(service, world.clock.now()) == {"b", "c", "ahead", "later"}
        assert problems_of(service, world) == ["status.clock_jumped"]


@pytest.mark.parametrize("ends", ["hour", "confirmed"])
def test_a_clock_that_stays_ahead_is_believed_after_an_hour_or_when_somebody_says_so(world: World, ends: str) -> None:
    """Then the rules are applied and the trash is emptied at once; a restart in between does not shorten the hour."""
    with world.running() as service:
        started(world, service)
        world.clock.jump(400 * DAY)
        world.put("d", trained_at="2025-10-23T12:00:00Z")
        world.live_on(service, 1800)
    with world.running() as service:
        world.live_on(service, 1000)
        assert problems_of(service, world) == ["status.clock_jumped"]
        assert operations(world)[-2:] == ["clock", "register"]
        if ends == "confirmed":
            boot = world.machine().boot
            with ModelRegistry(service.registry.registry_path, clock=world.clock.now, boot=boot) as other:
                assert other.clock_watch.confirm("ann") is not None
        with capture_logs() as logs:
            world.live_on(service, 60 if ends == "confirmed" else 900)
        assert "registry.clock_believed" in [line["event"] for line in logs]
        done = [(line.operation, line.model_id) for line in service.registry.history()]
        assert done[-2:] == [("retire", "b"), ("purge", "a")]
        assert problems_of(service, world) == []


def test_at_a_start_behind_the_last_line_drops_that_look_future_dated_wait(world: World) -> None:
    """A machine that comes up without the time: what is trained later is not refused, and `inbox explain` says why."""
    with world.running() as service:
        started(world, service)
    trained = (world.clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.clock.boot_id = "b1" * 16
    world.clock.advance(7200)
    world.clock.jump(-30 * DAY)
    publisher = Publisher([world.root / "status.json"])
    with world.running(publisher=publisher) as service:
        assert operations(world)[-1] == "clock"
        world.put("new", trained_at=trained)
        world.put("other", version="2")
        world.live_on(service, 10)
        assert world.left() == ["new.pkl", "new.yaml"]
        assert "other" in service.registry.registry
        service.begin_serving()
        status = read_status(world.root / "status.json")
        (said,) = explain(
            ["new.yaml"], world.inbox, limits_of(world.config.inbox, polling=False), world.clock.now, status=status
        )
        assert (said.state, [problem.code for problem in said.problems]) == ("waiting", ["clock.behind"])
        assert said.then == "is rejected, if the clock still says so"
        assert said.until is not None and timedelta(hours=23) < said.until - world.clock.now() < timedelta(days=1)
        world.clock.jump(30 * DAY)
        world.live_on(service, 60)
        assert "new" in service.registry.registry
    assert world.answered().rejected == {}


@pytest.mark.parametrize("ends", ["day", "confirmed"])
def test_a_day_later_or_when_the_clock_is_confirmed_they_are_refused(world: World, ends: str) -> None:
    """A drop that is really dated in the future does not wait for ever."""
    with world.running() as service:
        world.live_on(service)
        trained = (world.clock.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
        world.clock.jump(-DAY)
        world.put("new", trained_at=trained)
        world.clock.advance(2 * 3600)
        world.live_on(service)
        assert world.left() == ["new.pkl", "new.yaml"]
        if ends == "confirmed":
            service.registry.clock_watch.confirm("ann")
        else:
            world.clock.advance(DAY)
        world.live_on(service, 60)
    assert world.answered().rejected == {"new": ["sidecar.future_date"]}


def test_a_claim_that_was_left_goes_back_to_wait(world: World) -> None:
    """A drop in hand when the power failed, taken up by a machine without the time."""
    with world.running() as service:
        world.put("new", trained_at=world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        (drop, decision) = service.inbox.rescan().ready()[0]
        assert service.intake.take(drop, decision.integrity) is not None  # type: ignore[union-attr]  # it is whole
    world.clock.boot_id = "b1" * 16
    world.clock.jump(-DAY)
    with world.running() as service:
        world.live_on(service, 10)
        assert (world.left(), world.in_hand()) == (["new.pkl", "new.yaml"], [])
        world.clock.jump(DAY)
        world.live_on(service, 60)
        assert "new" in service.registry.registry


def test_slow_steps_are_no_jump(world: World) -> None:
    """A clock that is corrected by ten seconds every quarter of an hour: nothing is said, and all goes on."""
    with capture_logs() as logs, world.running() as service:
        started(world, service)
        for _ in range(24):
            world.clock.jump(10)
            world.clock.advance(900)
            world.live_on(service)
    assert "clock" not in operations(world)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == []


def test_the_status_names_the_jump_and_what_to_do(world: World) -> None:
    """With times, and until when nothing is removed."""
    with world.running() as service:
        world.live_on(service)
        world.clock.jump(-3600)
        world.live_on(service)
        document: dict[str, Any] = service.reporter.document() | {"state": "running", "ready": True}
        (problem,) = assess(document, Holding(held=True), world.clock.now(), disks=[])
        assert problem.message.startswith("the clock was put back by 1h, from ")
        assert problem.message.endswith("and drops that look future-dated wait")
        assert document["clock"]["held_until"] in problem.message
        assert "model-inbox retention confirm-clock" in problem.hint


def test_the_last_status_says_what_time_it_was_before_a_power_cut(world: World) -> None:
    """Nothing was registered for long, and the machine comes up with an hour that it had before."""
    publisher = Publisher([world.root / "status.json"])
    with world.running(publisher=publisher) as service:
        world.put("m")
        world.live_on(service)
        world.clock.advance(DAY)
        service.report()
    world.clock.boot_id = "b1" * 16
    world.clock.jump(-3600)
    with world.running(publisher=publisher) as service:
        jump = service.registry.history()[-1]
        assert jump.operation == "clock"
        assert jump.detail is not None
        assert -3700 < jump.detail["seconds"] <= -3500


def test_what_is_on_its_way_when_the_clock_jumps_is_not_rejected_for_its_age(world: World) -> None:
    """At a start under a clock that is a day ahead: half a drop waits for the other half as long as ever."""
    with world.running() as service:
        world.live_on(service)
    world.clock.jump(DAY)
    world.put("m")
    model = (world.inbox / "m.pkl").read_bytes()
    (world.inbox / "m.pkl").unlink()
    with world.running() as service:
        world.live_on(service, 10)
        assert world.left() == ["m.yaml"]
        (world.inbox / "m.pkl").write_bytes(model)
        world.live_on(service, 5)
        assert "m" in service.registry.registry
    assert world.answered().rejected == {}

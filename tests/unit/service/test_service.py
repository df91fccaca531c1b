"""The daemon's passes: what moves the inbox about, deaf watches, floods, fairness, and what is said and how often."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from model_inbox.errors import RegistryLocked
from model_inbox.inbox.watch import Watch
from model_inbox.service import passes as taking
from model_inbox.service import service as module
from model_inbox.service import waiting_log, watching
from model_inbox.service.service import Service
from support.world import FailingDisk, StandingClock, StoppingDisk, World, must_be_root, pickled, sidecar


@pytest.fixture(name="tmp_path")
def _tmp_path(memory_folder: Path) -> Path:
    return memory_folder


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(autouse=True)
def _canaries_take_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the world's clock says, a canary is given the time that threads take."""
    real = Watch.canary_came
    monkeypatch.setattr(Watch, "canary_came", lambda self, _: real(self, 2.0))


def said(world: World, service: Service, seconds: float) -> list[dict[str, Any]]:
    """Return what is logged while a service lives on."""
    with structlog.testing.capture_logs() as lines:
        world.live_on(service, seconds)
    return lines


def events(lines: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == name]


# --- the inbox is moved about ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("passes", [0, 1, 3], ids=lambda n: f"{n} passes while it is away")
def test_an_inbox_that_is_renamed_away_and_back_is_served_again(world: World, passes: int) -> None:
    """However many looks fell into the time between; what came before, meanwhile and after is registered."""
    away = world.root / "away"
    with world.running() as service:
        world.put("before")
        world.inbox.rename(away)
        (away / "meanwhile.pkl").write_bytes(pickled(1))
        (away / "meanwhile.yaml").write_bytes(sidecar())
        for _ in range(passes):
            world.live_on(service)
            world.clock.advance(1)
            assert not world.inbox.exists()
        away.rename(world.inbox)
        world.put("after")
        world.live_on(service, 2)
        assert sorted(world.registrations()) == ["after", "before", "meanwhile"]
        with pytest.raises(RegistryLocked):
            world.service().start()  # the lock is still ours
    assert world.left() == []


def test_an_inbox_that_is_replaced_is_another_one_of_ours(world: World) -> None:
    """Another folder at its path is served, locked and watched; the old one is no concern any more."""
    with world.running() as service:
        world.inbox.rename(world.root / "old")
        world.inbox.mkdir()
        world.put("m")
        lines = said(world, service, 2)
        assert world.registrations() == ["m"]
        assert service.watching.watch.is_alive
        assert not service.watching.watch.moved()
        assert len(events(lines, "inbox.watch_restored")) == 1
        with pytest.raises(RegistryLocked):
            world.service().start()
    assert os.listdir(world.root / "old") != []


def test_an_inbox_that_is_removed_is_made_again(world: World) -> None:
    """`rm -r inbox` costs what was in it, and nothing else."""
    with world.running() as service:
        subprocess.run(["rm", "-r", str(world.inbox)], check=True)
        world.live_on(service, 2)
        world.put("m")
        world.live_on(service, 2)
        assert world.registrations() == ["m"]


@pytest.mark.parametrize("folder", ["receipts", "rejected", ".processing"])
def test_a_folder_of_ours_that_is_removed_is_made_again(world: World, folder: str) -> None:
    """`rm -r inbox/*`, to tidy up: the drops that come afterwards get their answers, and the lock is held again."""
    with world.running() as service:
        world.put("before")
        world.live_on(service, 1)
        subprocess.run(["rm", "-r", str(world.inbox / folder)], check=True)
        world.put("good")
        world.put("bad", leave_out=["version"])
        world.live_on(service, 5)
        assert sorted(world.registrations()) == ["before", "good"]
        assert world.answered().rejected == {"bad": ["sidecar.missing_field"]}
        assert world.receipt("good")["outcome"] == "registered"
        with pytest.raises(RegistryLocked):
            world.service().start()
    assert (world.left(), world.in_hand()) == ([], [])


def test_an_inbox_that_is_mounted_over_and_unmounted(world: World) -> None:
    """What is dropped on the mount is taken there, what lies below when it is gone again."""
    must_be_root()
    with world.running() as service:
        world.put("below", seal="")
        subprocess.run(["mount", "-t", "tmpfs", "none", str(world.inbox)], check=True)
        try:
            world.live_on(service, 2)
            world.put("above")
            world.live_on(service, 2)
            assert world.registrations() == ["above"]
            assert not service.watching.watch.moved()
        finally:
            subprocess.run(["umount", "-l", str(world.inbox)], check=True)
        world.live_on(service, 3)
        assert sorted(world.registrations()) == ["above", "below"]


def test_a_mount_that_is_a_network_file_system_is_polled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system is looked at again when the folder is another one: events would not come any more."""
    network = False
    monkeypatch.setattr(watching, "is_network_file_system", lambda _: network)
    with world.running() as service:
        assert not service.watching.watch.polling
        network = True
        world.inbox.rename(world.root / "old")
        world.inbox.mkdir()
        world.live_on(service)
        assert service.watching.watch.polling
        assert service.due_in(world.clock.monotonic()) <= watching.POLLING_SECONDS + 0.001
        assert service.inbox.limits.settle_seconds == world.config.inbox.settle_seconds


@pytest.mark.parametrize(
    ("watcher", "network", "polling"),
    [
        *(("auto", False, False), ("auto", True, True), ("inotify", True, False)),
        *(("inotify", False, False), ("polling", False, True), ("polling", True, True)),
    ],
)
def test_who_polls(world: World, monkeypatch: pytest.MonkeyPatch, watcher: str, network: bool, polling: bool) -> None:
    """`auto` asks the file system; the others are an order."""
    monkeypatch.setattr(watching, "is_network_file_system", lambda _: network)
    world.configure(inbox={"watcher": watcher})
    with world.running() as service:
        assert service.watching.watch.polling is polling
        world.put("m")
        world.live_on(service, 12)
    assert world.registrations() == ["m"]


# --- a watch that hears nothing --------------------------------------------------------------------------------------


def test_a_canary_that_is_not_heard_makes_the_watch_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alive by all appearances and deaf: found within two rescans, said once, made again."""
    with world.running() as service:
        world.live_on(service, 2)
        monkeypatch.setattr(service.watching.watch._handler, "dispatch", lambda event: None)
        lines = said(world, service, 2 * world.config.inbox.rescan_seconds + 2)
        assert len(events(lines, "inbox.watch_lost")) == 1
        assert len(events(lines, "inbox.watch_restored")) == 1
        assert service.watching.watch._handler is not None
        service.watching.watch.send_canary()
        assert service.watching.watch.canary_came(2)


def test_without_any_watch_drops_are_taken_by_the_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No watches are left: said once, tried again and again, and nothing waits longer than `rescan_seconds`."""

    really = Watch.start

    def none_left(self: Any) -> bool:
        self._discard()
        self.deaf_because = "no inotify watches are left"
        return False

    monkeypatch.setattr(Watch, "start", none_left)
    with world.running() as service:
        world.put("m")
        lines = said(world, service, world.config.inbox.rescan_seconds)
        assert world.registrations() == ["m"]
        assert events(lines, "inbox.watch_lost") == []  # it was said at the start
        sleeps = []
        for _ in range(20):
            world.live_on(service)
            sleeps.append(service.due_in(world.clock.monotonic()))
            world.clock.advance(sleeps[-1])
        assert max(sleeps) <= watching.REWATCH_SECONDS + 0.001
        assert sum(sleeps) > 19, "a deaf daemon must not spin"
        monkeypatch.setattr(Watch, "start", really)
        lines = said(world, service, watching.REWATCH_SECONDS + 1)
        assert len(events(lines, "inbox.watch_restored")) == 1


def test_nothing_waits_longer_than_the_rescan(world: World) -> None:
    """An idle daemon that hears nothing looks again by its own clock."""
    with world.running() as service:
        world.live_on(service, 2)
        assert 0 < service.due_in(world.clock.monotonic()) <= world.config.inbox.rescan_seconds + 0.001


def test_a_file_of_which_no_event_told_is_found_within_a_rescan(world: World) -> None:
    """However often events wake the daemon for other names: the folder is listed by the clock."""
    with world.running() as service:
        world.put("unheard")
        for number in range(16):
            world.put(f"m{number}")
            service.step("hint", changed=[f"m{number}.pkl", f"m{number}.yaml"])
            world.clock.advance(2)
            service.watching.watch.take_changed()
            if service.take_changed() is None:
                break
        assert number == 14  # rescan_seconds is 30
        assert "unheard" not in world.registrations()
        service.step("timer", changed=service.take_changed())
        assert "unheard" in world.registrations()


# --- floods ----------------------------------------------------------------------------------------------------------


def test_a_flood_of_one_user_does_not_keep_the_other_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass ends after its time though more is ready; the next look puts the newcomer in turn."""
    must_be_root()
    monkeypatch.setattr(module, "PASS_SECONDS", 0.0)
    monkeypatch.setattr(module, "PASS_PER_LOOK", 0.0)
    monkeypatch.setattr(taking, "BATCH_DROPS", 1)
    with world.running() as service:
        for number in range(20):
            world.put(f"a{number:02d}")
        time_is_up = iter([False, False, True] * 100)  # two drops a pass
        monkeypatch.setattr(service, "_time_is_up", lambda *_: lambda: next(time_is_up))
        service.step("hint")
        assert service.due_in(world.clock.monotonic()) < 0.01
        assert world.registrations() == ["a00", "a01"]
        world.put("b")
        for name in ("b.pkl", "b.yaml"):
            os.chown(world.inbox / name, 61_001, -1)
        world.clock.advance(1)
        while "b" not in world.registrations():
            service.step("timer")
            assert len(world.registrations()) <= 6


@pytest.mark.parametrize(
    ("cause", "looked", "longest"),
    [("timer", 0.001, 2.0), ("hint", 0.5, 4.5), ("timer", 5.0, 9.0), ("start", 5.0, 2.0)],
    ids=["quick look", "slow look", "very slow look", "start"],
)
def test_a_pass_is_no_longer_than_a_part_of_the_rescan(
    world: World, monkeypatch: pytest.MonkeyPatch, cause: str, looked: float, longest: float
) -> None:
    """Nine times its look, so that looking is a tenth of the work; but who comes meanwhile waits at most 0.3 * 30 s.

    The first one is short, whatever lies there: until its end the service manager waits for us.
    """
    with world.running() as service:
        really = service.inbox.rescan
        monkeypatch.setattr(service.inbox, "rescan", lambda _: replace(really(), seconds=looked))
        passes: list[float] = []
        monkeypatch.setattr(service, "_time_is_up", lambda seconds, _: passes.append(seconds) or (lambda: False))
        service.step(cause)
    assert passes == [pytest.approx(longest)] * 2


def test_a_pass_is_bounded_and_the_rest_is_taken_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time runs out after each batch: pass follows pass without sleep until nothing is ready."""
    monkeypatch.setattr(module, "PASS_SECONDS", 0.005)
    monkeypatch.setattr(module, "PASS_PER_LOOK", 0.0)
    monkeypatch.setattr(taking, "BATCH_DROPS", 4)
    with world.running() as service:
        for number in range(30):
            world.put(f"m{number:02d}")
        passes = 0
        service.step("hint")
        while service.schedule.is_behind:
            assert service.due_in(world.clock.monotonic()) < 0.01
            service.step("timer")
            passes += 1
            assert passes < 200
        assert passes > 1
    assert len(world.registrations()) == 30


def test_drops_that_are_ready_together_wait_for_the_disk_together(world: World) -> None:
    """Thirty drops cost as many syncs as one, but for what each needs for itself: none."""
    costs = []
    for count in (20, 40):
        here = World(world.root / str(count))
        disk = StoppingDisk()
        with here.running(disk) as service:
            for number in range(count):
                here.put(f"m{number:02d}")
            disk.steps.clear()
            service.step("hint")
        assert len(here.registrations()) == count
        costs.append(sum(step in ("fsync", "fsync_dir", "syncfs") for step in disk.steps))
    assert costs[0] == costs[1] <= 10


def test_large_drops_wait_for_no_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that take long to digest and to write commit one after the other, small ones together."""
    monkeypatch.setattr(taking, "BATCH_BYTES", 1 << 20)
    committed = []
    with world.running() as service:
        register = service.registry.register_staged

        def registering(candidates: Sequence[Any]) -> Any:
            committed.append([candidate.fields["model_id"] for candidate in candidates])
            return register(candidates)

        service.registry.register_staged = registering  # type: ignore[method-assign]
        for stem, size in (("a", 10), ("b", 2 << 20), ("c", 2 << 20), ("d", 10), ("e", 10)):
            world.put(stem, bytes(size))
        service.step("hint")
    assert committed == [["a", "b"], ["c"], ["d", "e"]]


def test_fifty_thousand_files_wait_at_the_start(world: World) -> None:
    """Each look at them is quick, nothing of them is touched before its time, and a drop among them is taken."""
    # A look that a busy machine makes long ends before it has seen all of them: here no time passes.
    world.clock = StandingClock()
    world.configure(inbox={"orphan_timeout": "24h"})
    world.inbox.mkdir()
    os.close(os.open(world.inbox / "x00000.pkl", os.O_CREAT | os.O_WRONLY))
    for number in range(1, 50_000 // QUICK):
        os.close(os.open(world.inbox / f"x{number:05d}.pkl", os.O_CREAT | os.O_WRONLY))
    world.put("m")
    with world.running() as service:
        assert world.registrations() == ["m"]
        assert service.schedule.last.found == 50_000 // QUICK + 2
        assert len(world.left()) == 50_000 // QUICK


QUICK = int(os.environ.get("INBOX_QUICK", "10"))  # a tenth of them, unless `INBOX_QUICK=1`


# --- what is said ----------------------------------------------------------------------------------------------------


def test_what_waits_is_said_once_and_again_when_it_changes(world: World) -> None:
    """One line for what is missing, none while nothing changes, another when something else is missing."""
    with world.running() as service:
        (world.inbox / "m.yaml").write_bytes(sidecar(scaler_file="s.pkl"))
        lines = said(world, service, waiting_log.TELL_SECONDS + 0.1)
        assert [line["problems"] for line in events(lines, "drop.waiting")] == [
            [str(problem) for problem in service.schedule.last.drops[0][1].problems]
        ]
        assert events(said(world, service, 5), "drop.waiting") == []
        (world.inbox / "m.pkl").write_bytes(pickled(1))
        lines = events(said(world, service, 5), "drop.waiting")
        assert len(lines) == 1
        assert "m.pkl" not in str(lines[0]["problems"])


def test_an_ordinary_copy_says_nothing_but_its_end(world: World) -> None:
    """Some seconds of half a sidecar, an open file, a file without sidecar: all that is logged is the registration."""
    with world.running() as service:
        (world.inbox / "m.yaml").write_bytes(sidecar()[:20])
        lines = said(world, service, 1.5)
        (world.inbox / "m.yaml").write_bytes(sidecar())
        with (world.inbox / "m.pkl").open("wb") as file:
            for part in (b"", pickled({"v": 1})):
                file.write(part)
                file.flush()
                lines += said(world, service, 1.5)
        lines += said(world, service, 1)
    assert [line["event"] for line in lines if line["log_level"] != "debug"] == ["drop.registered"]
    assert {line["event"] for line in lines if line["log_level"] == "debug"} >= {"drop.arriving"}


def test_a_copy_that_takes_long_is_said_once_and_in_time(world: World) -> None:
    """A file held open, or growing under a user whose writers are unknown: one line, when five seconds are over."""
    with world.running() as service, (world.inbox / "m.pkl").open("wb") as file:
        (world.inbox / "m.yaml").write_bytes(sidecar())
        assert events(said(world, service, waiting_log.TELL_SECONDS - 0.5), "drop.waiting") == []
        lines = events(said(world, service, 0.6), "drop.waiting")
        assert ["artifact.open_for_writing" in str(line["problems"]) for line in lines] == [True]
        service.inbox.has_leases = False
        lines, data = [], pickled(["x" * 1000] * 10)
        for number in range(5):
            file.write(data[number * 100 : number * 100 + 100])
            file.flush()
            lines += events(said(world, service, 3), "drop.waiting")
        assert ["lacks the end of a pickle" in str(line["problems"]) for line in lines] == [True]


def test_what_was_told_is_not_told_again_after_a_look_that_could_not_see_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While sidecars of its owner wait to be read a folder is not judged, which is no reason to forget it."""
    with world.running() as service:
        (world.inbox / "sub").mkdir()
        assert len(events(said(world, service, 1), "drop.stray_found")) == 1
        monkeypatch.setattr("model_inbox.inbox.folder.PARSE_SECONDS_PER_RESCAN", -1.0)
        for number in range(3):
            (world.inbox / f"m{number}.yaml").write_bytes(sidecar())
        service.step("hint")
        assert service.schedule.last.partial
        monkeypatch.undo()
        assert events(said(world, service, 1), "drop.stray_found") == []


def test_a_folder_is_told_of_once(world: World) -> None:
    """Directories stay, and are no news the second time."""
    with world.running() as service:
        (world.inbox / "sub").mkdir()
        lines = said(world, service, 10)
        assert [line["name"] for line in events(lines, "drop.stray_found")] == ["sub"]


def test_of_a_crowd_of_one_owner_there_is_one_line_and_another_when_it_has_doubled(world: World) -> None:
    """60 strays and 60 sidecars without models, most of them out of sight: not one line each."""
    must_be_root()
    with world.running() as service:
        service.inbox.in_sight_max = service.inbox.look_units = 20
        (world.inbox / "mine.pkl").write_bytes(b"")

        def come(first: int, last: int) -> None:
            for number in range(first, last):
                for name, text in ((f"a{number}.pkl", b""), (f"b{number}.yaml", sidecar())):
                    (world.inbox / name).write_bytes(text)
                    os.chown(world.inbox / name, 61_001, -1)

        come(0, 60)
        lines = said(world, service, waiting_log.TELL_SECONDS + 0.1)
        assert [(line["owner"], line["waiting"]) for line in events(lines, "inbox.crowded")] == [("61001", 120)]
        assert [line["stem"] for line in events(lines, "drop.waiting")] == ["mine.pkl"]
        come(60, 119)
        assert events(said(world, service, 1), "inbox.crowded") == []
        come(119, 120)
        assert [line["waiting"] for line in events(said(world, service, 1), "inbox.crowded")] == [240]


def test_a_claim_that_cannot_be_made_is_told_of_once(world: World) -> None:
    """No room for one more folder: each try would have a name of its own, which is no news."""
    disk = FailingDisk(lambda name, *args: 31 if name == "mkdir" and "Z-" in args[0].name else None)  # EMLINK
    with world.running(disk) as service:
        world.put("m")
        assert len(events(said(world, service, 30), "drop.move_failed")) == 1
        assert disk.failed >= 3
        assert world.left() == ["m.pkl", "m.yaml"]


def test_a_drop_that_cannot_be_moved_is_told_of_once_and_tried_again(world: World) -> None:
    """chattr +i (here: a disk that refuses the rename): stays, said once; taken when it can be."""
    refused = [0]

    class Immutable(StoppingDisk):
        def rename(self, source: Path, target: Path) -> None:
            if source.name == "m.yaml" and immutable:
                refused[0] += 1
                raise PermissionError(1, "Operation not permitted", str(source))
            super().rename(source, target)

    immutable = True
    with world.running(Immutable()) as service:
        world.put("m")
        lines = said(world, service, 20)
        assert len(events(lines, "drop.move_failed")) == 1
        assert 3 <= refused[0] <= 8  # after 1, 2, 4, 8 ... seconds
        assert (world.left(), world.in_hand()) == (["m.pkl", "m.yaml"], [])
        immutable = False
        world.live_on(service, 31)
    assert world.registrations() == ["m"]


def test_a_stray_that_cannot_be_moved_has_a_line_of_its_own(world: World) -> None:
    """A file without a sidecar whose time is over, on a disk that refuses: said once as that, and tried again."""
    disk = FailingDisk(lambda name, *args: 1 if name == "rename" and args[0].name == "alone.pkl" and stuck else None)
    stuck = True
    with world.running(disk) as service:
        (world.inbox / "alone.pkl").write_bytes(pickled(1))
        lines = said(world, service, 90)
        assert [line["name"] for line in events(lines, "drop.stray_move_failed")] == ["alone.pkl"]
        assert events(lines, "drop.stray_found") == []
        stuck = False
        world.live_on(service, 31)
    assert world.left() == []


def test_an_inbox_that_is_away_and_one_that_cannot_be_listed_are_said_apart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renamed away it is unavailable, with an I/O error unreadable: each said once, and over when it is over."""
    with world.running() as service:
        world.inbox.rename(world.root / "away")
        lines = said(world, service, 3)
        assert [line["event"] for line in lines if line["log_level"] == "error"] == ["inbox.unavailable"]
        (world.root / "away").rename(world.inbox)
        world.live_on(service)
        refuse_to_list(world.inbox, monkeypatch)
        lines = said(world, service, 3)
        assert [line["event"] for line in lines if line["log_level"] == "error"] == ["inbox.unreadable"]
        monkeypatch.undo()
        assert [line for line in said(world, service, 3) if line["log_level"] == "error"] == []


def test_claims_that_cannot_be_listed_have_a_line_of_their_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run had in hand and the disk keeps from us: said with the time of the next try, and tried."""
    with world.running() as service:
        left = world.inbox / ".processing" / "20261124T120000000000Z-0001-m"
        left.mkdir()
        (left / "m.pkl").write_bytes(pickled(1))  # without its sidecar: it goes back to the inbox
        refuse_to_list(world.inbox / ".processing", monkeypatch)
        lines = said(world, service, 0)
        (line,) = events(lines, "drop.recovery_failed")
        assert (line["retry_in_seconds"], os.strerror(5) in line["problem"]) == (5.0, True)
        assert events(lines, "drop.deferred") == []
        monkeypatch.undo()
        world.live_on(service, 6)
        assert (world.left(), world.in_hand()) == (["m.pkl"], [])


def refuse_to_list(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk have an I/O error where the entries of that folder are."""
    for name in ("scandir", "listdir"):
        really = getattr(os, name)

        def broken(path: Any = ".", really: Any = really) -> Any:
            if Path(path) == folder:
                raise OSError(5, os.strerror(5), str(path))
            return really(path)

        monkeypatch.setattr(os, name, broken)

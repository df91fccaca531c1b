"""Jumps of the clock: what counts as one, the lines that tell of it, and what follows for times, ages and the past."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from model_inbox import ModelRegistry, StorageError
from model_inbox.base.boot import BootClock, BootTime
from model_inbox.errors import ClockHeld
from model_inbox.registry.clock import Jump, Reading, find_jump, parse_reading, reading_bytes
from model_inbox.registry.journal import Line, format_time
from support.crash_disk import QuickDisk
from support.crash_kit import START, FailingDisk, as_version_0_1, open_registry, plain, register
from support.examples import examples

DAY = 86_400.0
YEAR_1970 = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


@dataclass
class Machine:
    """A machine with a time of day and seconds since its boot. Its registry is in `folder`."""

    folder: Path
    now: datetime = START
    up: float = 500.0
    boots: int = 1
    opened: list[ModelRegistry] = field(default_factory=list)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.up += seconds

    def set_clock(self, by: float) -> None:
        self.now += timedelta(seconds=by)

    def boot(self, now: datetime, up: float = 20.0) -> None:
        self.boots += 1
        self.now, self.up = now, up

    def open(self, **options: Any) -> ModelRegistry:
        boot = BootClock(f"{self.boots:032x}", lambda: self.up)
        options.setdefault("disk", QuickDisk())
        return open_registry(self.folder, clock=lambda: self.now, boot=boot, **options)


def clock_lines(registry: ModelRegistry) -> list[Line]:
    return [line for line in registry.history() if line.operation == "clock"]


def told(registry: ModelRegistry) -> list[tuple[float, float]]:
    """Return by how much each jump that the history tells of set the clock, and the sum since it was believed."""
    return [(line.detail["seconds"], line.detail["total_seconds"]) for line in clock_lines(registry) if line.detail]


# --- what is a jump ----------------------------------------------------------------------------------------------


def reading(seconds: float, *, up: float, boot: str = "one") -> Reading:
    return Reading(START + timedelta(seconds=seconds), BootTime(boot, up))


@pytest.mark.parametrize(
    ("now", "jump"),
    [
        (reading(100, up=100), None),
        (reading(159, up=100), None),
        (reading(41, up=100), None),
        (reading(161, up=100), 61),
        (reading(39, up=100), -61),
        (reading(100 + 400 * DAY, up=100), 400 * DAY),
        # Another boot: the machine may have been off for years, but time does not run back.
        (reading(400 * DAY, up=20, boot="two"), None),
        (reading(-59, up=20, boot="two"), None),
        (reading(-61, up=20, boot="two"), -61),
    ],
)
def test_the_clock_must_go_on_as_the_seconds_since_the_boot_do(now: Reading, jump: float | None) -> None:
    """Within a boot a step of more than a minute is a jump; from boot to boot only a clock that is behind."""
    found = find_jump(now, [reading(0, up=0)], None, "")
    assert (found.seconds if found is not None else None) == jump


def test_a_clock_behind_the_last_line_has_jumped() -> None:
    """Also when nothing but that line is known."""
    last = format_time(START)
    assert find_jump(reading(-59, up=5), [], None, last) is None
    assert find_jump(reading(-3600, up=5), [], None, last) == Jump(START, START - timedelta(hours=1))


def test_a_saved_reading_reads_back_and_a_damaged_one_says_nothing() -> None:
    """Format 1, and no error for any bytes."""
    saved = reading(0, up=12.25)
    data = reading_bytes(saved)
    assert data == b'{"format":"model-inbox-clock/1","at":"%s","boot_id":"one","boottime":12.25}\n' % (
        format_time(START).encode()
    )
    assert parse_reading(data) == saved
    for damaged in (
        b"",
        b"[]",
        b"null",
        data[:-4],
        data.replace(b"clock/1", b"clock/2"),
        data.replace(b"12.25", b'""'),
    ):
        assert parse_reading(damaged) is None


# --- lines -------------------------------------------------------------------------------------------------------


def test_the_line_of_a_jump_says_by_how_much_and_from_when_to_when(tmp_path: Path) -> None:
    """It is of no model, and changes nothing."""
    machine = Machine(tmp_path)
    registry = machine.open()
    register(registry, "a")
    machine.pass_time(30)
    registry.clock_watch.look()
    machine.pass_time(20)
    machine.set_clock(-3600)
    registry.clock_watch.look()
    register(registry, "b", b"b")
    assert [(line.operation, (line.at - START).total_seconds()) for line in registry.history()] == [
        ("register", 0),
        ("clock", -3550),
        ("register", -3550),
    ]
    line = registry.history()[1]
    assert line.detail == {
        "before": format_time(START + timedelta(seconds=50)),
        "after": line.time,
        "seconds": -3600.0,
        "total_seconds": -3600.0,
        "boot_id": f"{1:032x}",
        "boottime": 550.0,
    }
    assert (line.model_id, line.actor, line.reason) == ("", "clock", "the clock was put back by 1h")


def test_a_look_tells_of_each_jump_once_whoever_looks(tmp_path: Path) -> None:
    """Two handles, one jump ahead and one back: two lines, and the sum of both is nothing."""
    machine = Machine(tmp_path)
    one, other = machine.open(), machine.open()
    for registry in (one, other):
        assert registry.clock_watch.look().doubt is None
    for step in (400 * DAY, -400 * DAY):
        machine.pass_time(3)
        machine.set_clock(step)
        for registry in (one, other, one):
            assert registry.clock_watch.look().hold_seconds == 3600
    assert told(one) == [(400 * DAY, 400 * DAY), (-400 * DAY, 0.0)]
    with machine.open(read_only=True) as reader:
        assert told(reader) == told(one)


def test_a_handle_that_only_reads_notices_and_writes_nothing(tmp_path: Path) -> None:
    """A doubt without a line, and no file changes."""
    machine = Machine(tmp_path)
    with machine.open() as registry:
        registry.clock_watch.look()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    machine.set_clock(DAY)
    with machine.open(read_only=True) as reader:
        doubt = reader.clock_watch.read().doubt
        assert doubt is not None
        assert (doubt.jump.seconds, doubt.sequence, doubt.is_held) == (DAY, None, True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_jump_counts_also_while_its_line_cannot_be_written(tmp_path: Path) -> None:
    """A full disk: nothing may be removed, it is said once, and the line comes when there is room."""
    machine = Machine(tmp_path)
    disk = FailingDisk()
    registry = machine.open(disk=disk)
    registry.clock_watch.look()
    machine.set_clock(DAY)
    disk.failing["write"] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with capture_logs() as logs:
        for _ in range(2):
            assert registry.clock_watch.look().hold_seconds == 3600
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["registry.clock_unwritten"]
    disk.failing.clear()
    registry.close()
    machine.pass_time(10)
    with machine.open() as again:
        assert again.clock_watch.look().hold_seconds == 3600
        assert told(again) == [(DAY, DAY)]


# --- for how long ------------------------------------------------------------------------------------------------


def held(registry: ModelRegistry) -> bool:
    try:
        registry.clock_watch.look().must_be_believed("purge")
    except ClockHeld as error:
        assert error.exit_status == 75
        return True
    return False


def test_an_hour_is_counted_by_the_seconds_since_the_boot(tmp_path: Path) -> None:
    """Across a restart of the program, and not by the clock that jumped: another jump begins another hour."""
    machine = Machine(tmp_path)
    with machine.open() as registry:
        assert not held(registry)
        machine.set_clock(400 * DAY)
        assert held(registry)
        machine.pass_time(3000)
        assert held(registry)
    with machine.open() as registry:
        assert held(registry)
        machine.pass_time(599)
        assert held(registry)
        machine.set_clock(-400 * DAY)
        assert held(registry)
        machine.pass_time(3599)
        assert held(registry)
        machine.pass_time(2)
        assert not held(registry)


def test_after_a_reboot_the_hour_is_over_when_the_machine_is_up_for_one(tmp_path: Path) -> None:
    """The time that it was off is not known."""
    machine = Machine(tmp_path)
    with machine.open() as registry:
        assert not held(registry)
        machine.set_clock(DAY)
        assert held(registry)
    machine.boot(machine.now + timedelta(days=3), up=3500)
    with machine.open() as registry:
        assert held(registry)
        machine.pass_time(101)
        assert not held(registry)


def test_who_confirms_the_clock_ends_it_at_once_and_stands_in_the_history(tmp_path: Path) -> None:
    """For every handle, and only when there is something to confirm."""
    machine = Machine(tmp_path)
    with machine.open() as registry, machine.open() as other:
        assert registry.clock_watch.confirm("ann") is None
        registry.clock_watch.look()
        machine.set_clock(-DAY)
        assert other.clock_watch.confirm("ann") == 2  # nobody had noticed the jump: it has line 1
        assert not held(registry) and not held(other)
        assert registry.clock_watch.look().behind_seconds == 0
        line = registry.history()[-1]
        assert (line.operation, line.actor, (line.detail or {})["confirmed"]) == ("clock", "ann", True)
        assert registry.clock_watch.confirm("ann") is None


def test_a_clock_that_was_put_back_is_behind_for_a_day_unless_it_comes_back(tmp_path: Path) -> None:
    """A clock that is back where it was before a jump ahead is not behind."""
    machine = Machine(tmp_path)
    registry = machine.open()
    watch = registry.clock_watch
    watch.look()
    machine.set_clock(400 * DAY)
    assert watch.look().behind_seconds == 0
    machine.set_clock(-400 * DAY)
    assert watch.look().behind_seconds == 0
    machine.pass_time(4000)
    machine.set_clock(-DAY)
    assert watch.look().behind_seconds == DAY
    machine.pass_time(4000)
    looked = watch.look()
    assert (looked.behind_seconds, looked.hold_seconds) == (DAY - 4000, 0)
    machine.set_clock(DAY)
    assert watch.look().behind_seconds == 0
    machine.set_clock(-DAY)
    watch.look()
    machine.pass_time(DAY + 1)
    assert watch.look().behind_seconds == 0


# --- ages --------------------------------------------------------------------------------------------------------


def ages(registry: ModelRegistry, machine: Machine) -> dict[str, float]:
    """Return for how many seconds each model has been in the trash, as a purge counts."""
    return {item.model_id: (machine.now - item.at).total_seconds() for item in registry.retired()}


def test_what_a_wrong_clock_stamped_is_as_old_as_it_is(tmp_path: Path) -> None:
    """Retired 400 days ahead, and in 1970: both count from when it was, once the clock is right again."""
    machine = Machine(tmp_path)
    registry = machine.open()
    for name in ("before", "ahead", "in-1970", "after"):
        register(registry, name, name.encode())
    registry.clock_watch.look()
    registry.delete_model("before")
    for name, step in (("ahead", 400 * DAY), ("in-1970", -50 * 365 * DAY)):
        machine.pass_time(100)
        machine.set_clock(step)
        registry.clock_watch.look()
        registry.delete_model(name)
        machine.pass_time(3)
        machine.set_clock(-step)
        registry.clock_watch.look()
    registry.delete_model("after")
    assert ages(registry, machine) == {"before": 206, "ahead": 106, "in-1970": 3, "after": 0}


def test_a_model_that_was_retired_before_the_machine_had_the_time_is_not_purged_early(tmp_path: Path) -> None:
    """Booted in 1970, a person retires a model, and time synchronization comes only after the next boot."""
    machine = Machine(tmp_path)
    with machine.open() as registry:
        register(registry, "m")
        registry.clock_watch.look()
    machine.boot(YEAR_1970)
    with machine.open() as registry:
        registry.clock_watch.look()
        registry.delete_model("m")
        assert [line.operation for line in registry.history()] == ["register", "clock", "retire"]
    machine.boot(START + timedelta(days=30))
    with machine.open() as registry:
        assert held(registry)
        assert ages(registry, machine) == {"m": 0}


def test_a_file_that_was_stamped_behind_is_as_young_as_it_is(tmp_path: Path) -> None:
    """A drop that was rejected in 1970 counts from when it was; other times stay as they are."""
    machine = Machine(tmp_path)
    registry = machine.open()
    watch = registry.clock_watch
    watch.look()
    machine.set_clock(-50 * 365 * DAY)
    watch.look()
    machine.pass_time(10)
    stamp = machine.now
    assert watch.corrected(stamp) == stamp
    machine.pass_time(10)
    machine.set_clock(50 * 365 * DAY)
    watch.look()
    assert watch.corrected(stamp) == START + timedelta(seconds=10)
    for other in (START, machine.now, stamp - timedelta(days=1), stamp + timedelta(days=1)):
        assert watch.corrected(other) == other
    machine.set_clock(400 * DAY)
    watch.look()
    ahead = machine.now
    machine.set_clock(-400 * DAY)
    watch.look()
    assert watch.corrected(ahead) == ahead


def test_history_is_pruned_by_what_the_time_was(tmp_path: Path) -> None:
    """A segment of a clock in 1970 is young, and one from 400 days ahead does not keep all later ones for ever."""
    machine = Machine(tmp_path)
    registry = machine.open()
    registry.clock_watch.look()
    register(registry, "m")
    for step in (-50 * 365 * DAY, 400 * DAY):
        machine.pass_time(10)
        machine.set_clock(step)
        registry.clock_watch.look()
        registry.pin("m")
        registry.change_segment()
        machine.set_clock(-step)
        registry.clock_watch.look()
    assert registry.prune_history(DAY) == 0
    machine.pass_time(2 * DAY)
    assert registry.prune_history(DAY) == 2


# --- the past ----------------------------------------------------------------------------------------------------


def test_as_of_goes_by_the_order_of_the_lines(tmp_path: Path) -> None:
    """Lines of a clock that was 400 days ahead for a while belong to what came before the later lines."""
    machine = Machine(tmp_path)
    registry = machine.open()
    register(registry, "a")
    machine.pass_time(60)
    machine.set_clock(400 * DAY)
    register(registry, "ahead", b"ahead")
    registry.change_segment()
    machine.set_clock(-400 * DAY)
    machine.pass_time(60)
    register(registry, "b", b"b")
    moments = [START, START + timedelta(seconds=119), START + timedelta(seconds=120), START + timedelta(days=500)]
    found = [sorted(entry["model_id"] for entry in registry.list_models(as_of=moment)) for moment in moments]
    assert found == [["a"], ["a"], ["a", "ahead", "b"], ["a", "ahead", "b"]]


STEPS = st.lists(
    st.tuples(st.integers(-(10**9), 10**9) | st.integers(-100, 100), st.booleans()), min_size=1, max_size=8
)


@settings(max_examples=examples(25), deadline=None)
@given(steps=STEPS)
def test_as_of_the_time_of_the_newest_line_is_the_present(steps: Sequence[tuple[int, bool]]) -> None:
    """Whatever the clock does, whether somebody looks at it or not, across segments."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        machine = Machine(Path(folder))
        registry = machine.open()
        for number, (step, closes) in enumerate(steps):
            machine.set_clock(step)
            machine.now = min(max(machine.now, YEAR_1970), datetime(2200, 1, 1, tzinfo=UTC))
            register(registry, f"m{number}", str(number).encode())
            if number % 3 == 2:
                registry.delete_model(f"m{number - 1}")
            if closes:
                registry.change_segment()
            if number % 2:
                registry.clock_watch.look()
            lines = registry.history()
            assert {entry["model_id"]: entry for entry in registry.list_models(as_of=lines[-1].at)} == dict(
                registry.registry
            )
        with machine.open(read_only=True) as reader:
            assert plain(reader) == plain(registry)
        registry.close()


def test_a_registry_of_version_0_1_is_watched_from_its_first_change(tmp_path: Path) -> None:
    """Its journal has no clock lines: the line for a jump is the change with which the registry is taken over."""
    machine = Machine(tmp_path)
    with machine.open() as registry:
        register(registry, "m")
    as_version_0_1(tmp_path)
    machine.set_clock(-DAY)
    with machine.open() as registry:
        assert registry.position is None
        assert registry.clock_watch.look().hold_seconds == 3600
        assert registry.position is not None
        assert told(registry) == [(-DAY, -DAY)]
        assert sorted(registry.registry) == ["m"]


def test_a_history_that_cannot_be_read_keeps_everything(tmp_path: Path) -> None:
    """Whether the clock can be believed cannot be found out then."""
    machine = Machine(tmp_path)
    with machine.open() as registry:
        register(registry, "m")
        registry.change_segment()
    segment = tmp_path / "history" / f"{0:020d}.jsonl"
    data = segment.read_bytes()
    segment.unlink()
    segment.mkdir()
    with machine.open() as registry:
        with capture_logs():
            looked = registry.clock_watch.look()
        assert looked.hold_seconds > 0
        with pytest.raises(ClockHeld, match="it is not known whether the clock is right"):
            looked.must_be_believed("purge")
        with pytest.raises(StorageError):
            registry.clock_watch.read()
        segment.rmdir()
        segment.write_bytes(data)
        assert not held(registry)

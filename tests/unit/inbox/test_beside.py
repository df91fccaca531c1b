"""Large drops beside the loop: who goes on meanwhile, whose turn it is, and what a stop and an error leave."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_inbox.base.disk import Disk
from model_inbox.inbox import beside as module
from model_inbox.inbox.pipeline import Intake
from model_inbox.service.reload import scanner_of
from model_inbox.service.service import Service
from support.waiting import wait_until
from support.world import World, digest, must_be_root, pickled, sidecar

ALICE, BOB, CAROL = 61_001, 61_002, 61_003
LARGE = 10_000


class Gate(Disk):
    """Shares no blocks, counts the copies, and lets the copy of a file go on when its gate is open."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.open: set[str] = set()
        self.copied = 0

    def clone(self, source: int, target: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{source}")).name
        self.copied += 1
        if name.startswith("big"):
            self.begun.append(name)
            wait_until(lambda: name in self.open)
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


@pytest.fixture(name="world")
def _world(memory_folder: Path) -> World:
    return World(memory_folder)


@pytest.fixture(name="serve")
def _serve(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Service]]:
    """Start a service for which 10 kB are large. Each scanner of it is a real one of its own."""
    monkeypatch.setattr(Intake, "large_bytes", LARGE)
    services: list[Service] = []

    def serve(disk: Disk | None = None) -> Service:
        service = Service(world.config, world.machine(disk), make_scanner=scanner_of)
        services.append(service)
        service.start()
        service.step("start")
        return service

    yield serve
    for service in services:
        service.close()


def put(world: World, stem: str, *, owner: int | None = None, size: int = 20_000, **fields: object) -> bytes:
    """Write a drop whose model others may write, so that it is copied."""
    data = pickled({"model": stem, "bytes": b"x" * size})
    (world.inbox / f"{stem}.pkl").write_bytes(data)
    (world.inbox / f"{stem}.pkl").chmod(0o660)
    (world.inbox / f"{stem}.yaml").write_bytes(sidecar(**fields))
    for suffix in (".pkl", ".yaml"):
        if owner is not None:
            os.chown(world.inbox / f"{stem}{suffix}", owner, -1)
    return data


def until_ended(world: World, service: Service) -> None:
    """Wait for a thread, and let the service go on with what it found."""
    wait_until(lambda: service.intake.due_in(world.clock.monotonic()) == 0)
    service.step("hint")


def test_small_drops_go_on_while_a_large_one_is_copied(world: World, serve: Callable[..., Service]) -> None:
    """The loop claims it and goes on; what came later is registered before."""
    disk = Gate()
    service = serve(disk)
    data = put(world, "big")
    service.step("hint")
    world.put("small")
    service.step("hint")
    assert world.registrations() == ["small"]
    assert len(world.in_hand()) == 1
    disk.open.add("big.pkl")
    until_ended(world, service)
    assert world.registrations() == ["small", "big"]
    assert world.answered().registered["big"]["sha256"] == digest(data)
    assert (world.left(), world.in_hand(), world.staged()) == ([], [], [])


def test_two_are_in_work_at_once_and_of_one_owner_one(world: World, serve: Callable[..., Service]) -> None:
    """Alice's three wait for each other, bob's and carol's for none of hers but the first."""
    must_be_root()
    disk = Gate()
    service = serve(disk)
    for stem, owner in (("big-a1", ALICE), ("big-a2", ALICE), ("big-a3", ALICE), ("big-b", BOB), ("big-c", CAROL)):
        put(world, stem, owner=owner)
    service.step("hint")
    in_work: list[set[str]] = []
    for number in range(5):
        wanted = {0: 2, 1: 3, 2: 4, 3: 4, 4: 5}[number]  # so many have begun: when only alice's are left, one at a time
        wait_until(lambda count=wanted: len(disk.begun) == count)
        in_work.append(set(disk.begun) - disk.open)
        disk.open.add(disk.begun[number])
        until_ended(world, service)
    assert [len(names) for names in in_work] == [2, 2, 2, 1, 1]
    assert all(sum("-a" in name for name in names) <= 1 for names in in_work)
    stems = [name.removesuffix(".pkl") for name in disk.begun]
    assert sorted(stems[:2]) == ["big-a1", "big-b"]
    assert stems[2:] == ["big-c", "big-a2", "big-a3"]  # carol had no turn yet
    assert sorted(world.registrations()) == sorted(stems)


def test_a_stop_interrupts_the_work_and_the_next_start_takes_it_up(
    world: World, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is staged then, the drop is claimed, and the next daemon registers it."""
    begun, ending = threading.Event(), threading.Event()

    class Slow(Gate):
        def write(self, fd: int, data: bytes | memoryview) -> None:
            super().write(fd, data)
            if "/.staging/" in os.readlink(f"/proc/self/fd/{fd}") and not ending.is_set():
                begun.set()
                ending.wait(30)

    service = serve(Slow())
    data = put(world, "large", size=3 << 20)
    service.step("hint")
    assert begun.wait(30)
    monkeypatch.setattr(service.intake._beside, "_progress", ending.set)  # called while it waits for the thread
    service.close()
    assert (world.registrations(), len(world.in_hand()), world.staged()) == ([], 1, [])
    again = serve()
    until_ended(world, again)
    assert world.answered().registered["large"]["sha256"] == digest(data)


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_an_error_of_the_disk_defers_it_and_it_is_tried_again(
    world: World, serve: Callable[..., Service], step: str
) -> None:
    """A full disk, and a sync that fails: said as a deferral, and the next try registers it."""

    class Failing(Gate):
        failed = 0

        def _fails(self, fd: int, name: str) -> None:
            if name == step and not self.failed and threading.current_thread().name == "large-drop":
                self.failed += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def write(self, fd: int, data: bytes | memoryview) -> None:
            self._fails(fd, "write")
            super().write(fd, data)

        def fsync(self, fd: int) -> None:
            self._fails(fd, "fsync")
            super().fsync(fd)

    disk = Failing()
    service = serve(disk)
    put(world, "large")
    service.step("hint")
    until_ended(world, service)
    assert disk.failed == 1
    assert [claim.stem for claim in service.intake.deferred] == ["large"]
    assert world.staged() == []
    world.clock.advance(1.5)
    service.step("timer")
    until_ended(world, service)
    assert world.registrations() == ["large"]


def test_what_is_refused_anyhow_is_not_copied_first(world: World, serve: Callable[..., Service]) -> None:
    """A large file that is no model of ours: its scan is enough. A good one is copied once."""
    disk = Gate()
    service = serve(disk)
    (world.inbox / "bad.pkl").write_bytes(b"\x80\x05cos\nsystem\n0" + b"]0" * LARGE + b"N.")
    (world.inbox / "bad.pkl").chmod(0o660)
    (world.inbox / "bad.yaml").write_bytes(sidecar())
    service.step("hint")
    until_ended(world, service)
    assert world.answered().rejected["bad"] == ["artifact.never_allowed"]
    assert disk.copied == 0
    put(world, "good")
    service.step("hint")
    until_ended(world, service)
    assert (world.registrations(), disk.copied) == (["good"], 1)


def test_an_inbox_that_is_renamed_away_meanwhile_comes_back_with_the_drop(
    world: World, serve: Callable[..., Service]
) -> None:
    """What a thread found then is forgotten with its files, and the drop is begun again when its claim is back."""
    disk = Gate()
    service = serve(disk)
    put(world, "big")
    service.step("hint")
    wait_until(lambda: disk.begun)
    world.inbox.rename(world.root / "away")
    world.inbox.mkdir()
    disk.open.add("big.pkl")
    until_ended(world, service)
    assert (world.registrations(), world.staged()) == ([], [])
    for name in os.listdir(world.inbox):
        if os.path.isdir(world.inbox / name):
            for inner in os.listdir(world.inbox / name):
                (world.inbox / name / inner).unlink()
            (world.inbox / name).rmdir()
    world.inbox.rmdir()
    (world.root / "away").rename(world.inbox)
    service.step("timer")
    until_ended(world, service)
    assert world.registrations() == ["big"]
    assert service.intake.due_in(world.clock.monotonic()) is None


def test_the_limits_are_what_the_manual_says() -> None:
    """64 MiB are large; two are in work at once (docs/reference/formats.md)."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "formats.md").read_text()
    assert f"{module.LARGE_BYTES >> 20} MiB or more" in text
    assert (module.AT_ONCE, "two large\ndrops" in text) == (2, True)

"""A real daemon under load: what one producer sends keeps no other drop waiting, and a kill in between loses nothing.

`benchmarks/inbox.py strays beside` measures the same at full size.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from model_inbox.inbox.beside import LARGE_BYTES
from support.waiting import wait_until
from support.world import Daemon, World, sidecar

GIB = 1 << 30


def put_large(world: World, stem: str, size: int) -> None:
    """Drop a model that is nearly all hole, and that must be copied: others may write it."""
    path = world.inbox / f"{stem}.pkl"
    with path.open("wb") as file:
        os.fchmod(file.fileno(), 0o660)
        file.write(b"\x80\x05\x8e" + (size - 12).to_bytes(8, "little"))
        file.truncate(size - 1)
        file.seek(0, os.SEEK_END)
        file.write(b".")
    (world.inbox / f"{stem}.yaml").write_bytes(sidecar())


def is_in_work(world: World, stem: str) -> bool:
    """Whether the model of a drop is being copied."""
    folder = world.models / "prediction" / ".staging"
    return any(stem in name for name in os.listdir(folder))


def stored(world: World, stem: str) -> Path:
    return world.models / "prediction" / f"{stem}.pkl"


def test_small_drops_do_not_wait_for_a_large_one(tmp_path: Path) -> None:
    """Dropped while a gigabyte is copied and digested, they are registered before it; its holes stay holes."""
    world = World(tmp_path)
    with world.daemon() as daemon:
        put_large(world, "large", GIB)
        wait_until(lambda: is_in_work(world, "large"), daemon.process)
        world.put("small")
        wait_until(lambda: world.receipt("small"), daemon.process)
        wait_until(lambda: world.receipt("large"), daemon.process)
    assert world.registrations() == ["small", "large"]
    found = stored(world, "large").stat()
    assert found.st_size == GIB
    assert found.st_blocks * 512 < 1 << 20


def test_a_kill_while_a_large_drop_is_in_work_loses_nothing(tmp_path: Path) -> None:
    """The next daemon judges it again, and registers it once."""
    world = World(tmp_path)
    with world.daemon() as daemon:
        put_large(world, "large", GIB)
        wait_until(lambda: is_in_work(world, "large"), daemon.process)
        daemon.kill()
    assert len(world.in_hand()) == 1
    with world.daemon() as again:
        wait_until(lambda: world.receipt("large"), again.process)
        wait_until(lambda: not world.in_hand(), again.process)
    assert world.registrations() == ["large"]
    assert world.staged() == []


def test_a_stop_does_not_wait_for_a_large_drop(tmp_path: Path) -> None:
    """SIGTERM interrupts the digest: the end comes long before that of the file, with exit status 0."""
    world = World(tmp_path)
    with world.daemon() as daemon:
        put_large(world, "large", 16 * GIB)  # some ten seconds
        wait_until(lambda: is_in_work(world, "large"), daemon.process)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 5
    assert (len(world.in_hand()), world.staged(), LARGE_BYTES < GIB) == (1, [], True)


def answered_after(world: World, daemon: Daemon, stem: str) -> float:
    began = time.monotonic()
    world.put(stem)
    wait_until(lambda: world.receipt(stem), daemon.process)
    return time.monotonic() - began


def test_a_drop_among_thousands_of_strays_is_answered_at_once_and_one_line_tells_of_them(tmp_path: Path) -> None:
    """While they come and when all are there it waits for less than two seconds."""
    world = World(tmp_path, {"inbox": {"rescan_seconds": 1, "orphan_timeout": "1h"}})
    with world.daemon() as daemon:
        waits = []
        for number in range(6000):
            (world.inbox / f"stray{number}.pkl").touch()
            if number % 2000 == 1999:
                waits.append(answered_after(world, daemon, f"m{number}"))
        crowded = wait_until(lambda: daemon.events("inbox.crowded"), daemon.process)
        waits.append(answered_after(world, daemon, "last"))
        assert max(waits) < 2
        assert len(crowded) == 1
        assert crowded[0]["waiting"] > 50
        assert daemon.events("drop.waiting") == []

"""Signs of life: when they are sent, and that long work sends them piece by piece."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model_inbox.base.copying import COPY_CHUNK_BYTES, DIGEST_CHUNK_BYTES, copy_open_file, digest_open_file
from model_inbox.base.disk import Disk, PacedDisk
from model_inbox.telemetry.watchdog import Heartbeat
from support.world import Clock, World, digest, pickled


class Manager:
    """A service manager that writes down what it is told, and when."""

    def __init__(self, **environment: str) -> None:
        self.now = 1000.0
        self.told: list[tuple[float, str]] = []
        self.heart = Heartbeat(
            send=lambda text: self.told.append((self.now - 1000, text)),
            monotonic=lambda: self.now,
            environment=environment,
        )

    def work(self, pieces: int, seconds: float) -> None:
        """Do that many pieces of work, each of which takes so long."""
        for _ in range(pieces):
            self.now += seconds
            self.heart.beat()


def test_work_of_many_pieces_gives_a_sign_four_times_in_the_watchdogs_time() -> None:
    """With WatchdogSec=20 a sign comes every 5 s, however many pieces are done in between."""
    manager = Manager(WATCHDOG_USEC="20000000", WATCHDOG_PID=str(os.getpid()))
    manager.heart.ready()
    assert manager.heart.due_in(manager.now) == 0.0
    manager.heart.beat()
    assert manager.heart.due_in(manager.now + 1.5) == 3.5
    manager.work(2000, 0.01)
    signs = [at for at, text in manager.told if text == "WATCHDOG=1"]
    assert [round(at) for at in signs] == [0, 5, 10, 15]


def test_a_loop_that_hangs_gives_no_sign() -> None:
    """Nothing but the work itself sends: no piece done, no sign."""
    manager = Manager(WATCHDOG_USEC="20000000")
    manager.heart.ready()
    manager.heart.beat()
    told = len(manager.told)
    manager.now += 3600
    assert len(manager.told) == told


def test_starting_and_stopping_may_take_as_long_as_they_go_on() -> None:
    """In both phases each sign asks for more time, watchdog or not; while it serves nothing is asked for."""
    manager = Manager()
    manager.work(100, 0.1)
    assert [text for _, text in manager.told] == ["EXTEND_TIMEOUT_USEC=60000000"] * 2
    manager.heart.ready()
    manager.told.clear()
    manager.work(100, 1)
    assert manager.told == []
    assert manager.heart.due_in(manager.now) is None
    manager.heart.stopping()
    manager.work(1, 1)
    assert [text for _, text in manager.told] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=60000000"]


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    """WATCHDOG_PID names whom it is for; a child that inherited the variable keeps quiet."""
    assert Manager(WATCHDOG_USEC="20000000", WATCHDOG_PID="1").heart.due_in(0.0) is None
    assert Manager(WATCHDOG_USEC="soon").heart.due_in(0.0) is None
    assert Manager(WATCHDOG_USEC="0").heart.due_in(0.0) is None


def test_the_status_line_is_sent_when_it_changed() -> None:
    """The same words twice are no news."""
    manager = Manager()
    for text in ("a", "a", "b"):
        manager.heart.say(text)
    assert [text for _, text in manager.told] == ["STATUS=a", "STATUS=b"]


def test_a_long_digest_and_a_long_copy_go_on_in_pieces(tmp_path: Path) -> None:
    """Every quarter of a megabyte digested, and every megabyte copied, is a piece; the digests are right."""
    data = os.urandom(5 * COPY_CHUNK_BYTES + 7)
    (tmp_path / "a").write_bytes(data)
    pieces: list[str] = []
    fd = os.open(tmp_path / "a", os.O_RDONLY)
    try:
        assert digest_open_file(fd, lambda: pieces.append("digest")) == digest(data)
        assert len(pieces) == 5 * COPY_CHUNK_BYTES // DIGEST_CHUNK_BYTES + 1
        pieces.clear()
        copied = copy_open_file(Disk(), fd, tmp_path / "b", 0o640, lambda: pieces.append("copy"))
    finally:
        os.close(fd)
    assert copied == (digest(data), len(data))
    assert len(pieces) >= 6
    assert (tmp_path / "b").read_bytes() == data


def test_steps_of_the_disk_are_pieces(tmp_path: Path) -> None:
    """Removing and syncing, of which purges and recoveries have thousands, each give a sign."""
    pieces: list[int] = []
    disk = PacedDisk(lambda: pieces.append(1))
    fd = disk.create(tmp_path / "a", 0o600)
    disk.fsync(fd)
    disk.close(fd)
    disk.unlink(tmp_path / "a")
    assert len(pieces) == 2
    assert not (tmp_path / "a").exists()


def test_a_large_file_is_made_to_last_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync of gigabytes would be one long silence: it is flushed range by range; what cannot be is synced at once."""
    monkeypatch.setattr("model_inbox.base.disk.FLUSH_BYTES", 1 << 20)
    pieces: list[int] = []
    disk = PacedDisk(lambda: pieces.append(1))
    fd = disk.create(tmp_path / "a", 0o600)
    disk.write(fd, os.urandom(5 << 20))
    disk.fsync(fd)
    disk.close(fd)
    assert len(pieces) == 5 + 1
    folder = os.open(tmp_path, os.O_RDONLY)
    disk.fsync(folder)
    os.close(folder)
    assert len(pieces) == 5 + 2
    closed = os.open(tmp_path / "a", os.O_RDONLY)
    monkeypatch.setattr("model_inbox.base.disk._FLUSH", 0x80)  # no such flag: as where the call is not known
    disk.fsync(closed)
    os.close(closed)
    assert len(pieces) == 5 + 3


def test_a_drop_is_taken_in_pieces(tmp_path: Path) -> None:
    """While the digest of a large model is taken, each piece that is done gives a sign of life."""
    world = World(tmp_path, clock=Clock())
    beats: list[int] = []

    class Counting(Heartbeat):
        def beat(self) -> None:
            beats.append(1)

    world.put("small", pickled(b"1"))
    with world.running(heartbeat=Counting(send=lambda _: None, environment={})) as service:
        assert world.receipt("small")["outcome"] == "registered"
        world.put("big", pickled(os.urandom(4 << 20)))
        before = len(beats)
        world.live_on(service)
        few = len(beats) - before
        assert world.receipt("big")["outcome"] == "registered"
    assert few >= 16  # 4 MiB in pieces of 256 KiB

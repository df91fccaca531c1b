"""One drop costs one drop: an exception in any function of the package, or a death in it, changes no drop's end.

A whole daemon, with the loop that `run` runs, whose clock goes on when the loop sleeps. Each function that it calls
while two drops come and maintenance is done fails once, and kills the process once.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from model_inbox.registry.paths import status_paths
from model_inbox.service import loop
from model_inbox.service.service import Service
from model_inbox.telemetry.status_file import Publisher
from model_inbox.telemetry.watchdog import Heartbeat
from support.simulation import ScannerHere
from support.tripping import Names, Trip, watching
from support.world import SharedScanner, World

SHARES = 8
"""So many tests share the functions that kill. `make test-registry` runs all of them."""

KILL_SHARES = range(int(os.environ.get("KILL_SHARES", "1")))

HOSTILE = "x\x1b[2J\ny"
LONGEST_SECONDS = 300.0
LOOP = "service/loop.py _loop "


class Fault(Exception):
    """What nobody can have foreseen."""


@pytest.fixture(name="tmp_path")
def _tmp_path(memory_folder: Path) -> Path:
    return memory_folder


class Daemon:
    """A service under the loop of `run`. Its clock goes on when it sleeps; it ends when `until` says so.

    Where the process is to die the scanner is one in this process, so that no worker is left behind. `later` is by how
    many seconds the clock is ahead at the start: it must not go back from one daemon to the next.
    """

    reload = False
    stop = None

    def __init__(self, root: Path, scanner: Any, later: float = 0.0) -> None:
        self.world = World(root, {"inbox": {"watcher": "polling"}})
        self.world.clock.advance(later)
        self.monotonic = self.world.clock.monotonic
        self._heartbeat = Heartbeat(environment={})
        config = self.world.config
        self.service = Service(
            config,
            self.world.machine(progress=self._heartbeat.beat),
            make_scanner=lambda _: scanner,
            heartbeat=self._heartbeat,
            publisher=Publisher(status_paths(config.registry.path, config.inbox.path)),
        )
        self._until: Callable[[], bool] = lambda: True
        self._latest = 0.0

    def start(self) -> None:
        self.service.start()
        self.service.step("start")
        self.service.run_maintenance()
        self.service.begin_serving()

    def live(self, until: Callable[[], bool]) -> None:
        """Run the loop until that is so, or for LONGEST_SECONDS of its own clock."""
        self._until, self._latest = until, self.monotonic() + LONGEST_SECONDS
        loop._loop(self.service, self, self, self._heartbeat)  # type: ignore[arg-type]

    # --- what the loop asks of the outside

    def stopping(self) -> bool:
        return self._until() or self.monotonic() > self._latest

    def sleep(self, seconds: float) -> bool:
        self.world.clock.advance(seconds + 0.001)
        return False

    def expect_maintenance(self) -> None:
        """Let all of it be due at once, after a time in which nothing happened."""
        self.world.clock.advance(1000)
        self.service.maintenance.reconfigure(self.service.config)

    # --- drops

    def bring(self, number: int) -> None:
        """A good drop, and one that is rejected."""
        self.world.put(f"good{number}", {"a": number}, scaler=[1])
        self.world.put(f"typo{number}", leave_out=["model_type"])

    def provoke(self, trip: Trip, number: int, *, maintained: bool) -> list[int]:
        """Do what calls the function that trips. Return the numbers of the drops that were brought for it."""
        if maintained:
            self.expect_maintenance()
        self.bring(number)
        until = self.monotonic() + 60
        with watching(trip, trip.lost):
            self.live(lambda: trip.done or self.monotonic() > until)
            if trip.done:
                return [number]
            # Some are called for a drop only after maintenance has read what they work on.
            self.expect_maintenance()
            until = self.monotonic() + 5
            self.live(lambda: trip.done or self.monotonic() > until)
            self.bring(number + 10_000)
            self.live(lambda: trip.done)
        return [number, number + 10_000]

    def is_answered(self, number: int) -> bool:
        stems = (f"good{number}", f"typo{number}")
        return all(self.world.receipt(stem) is not None for stem in stems) and not self.world.in_hand()

    def is_well(self, number: int) -> bool:
        return not self.service.unforeseen.failing and self.is_answered(number)

    def assert_ended(self, number: int) -> None:
        """Both have the ends that they have without a fault, and nothing of them is left."""
        world = self.world
        good, typo = world.receipt(f"good{number}"), world.receipt(f"typo{number}")
        assert good is not None
        assert typo is not None
        assert (good["outcome"], good["problems"]) == ("registered", [])
        assert (typo["outcome"], [one["code"] for one in typo["problems"]]) == ("rejected", ["sidecar.missing_field"])
        assert (world.left(), world.in_hand(), world.staged()) == ([], [], [])


@pytest.fixture(name="daemon")
def _daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon that runs. What it logs goes to `structlog.testing.capture_logs` alone."""
    daemon = Daemon(tmp_path, SharedScanner())
    live_by(monkeypatch, daemon)
    daemon.start()
    yield daemon
    daemon.service.close()


def live_by(monkeypatch: pytest.MonkeyPatch, daemon: Daemon) -> None:
    """Let the loop ask the daemon's clock."""

    class Times:
        monotonic = staticmethod(daemon.monotonic)
        sleep = staticmethod(daemon.world.clock.advance)

    monkeypatch.setattr(loop, "time", Times)


def live_and_note(daemon: Daemon, number: int, *, maintained: bool) -> list[str]:
    """Bring two drops, and return the functions that are called until they are answered."""
    names = Names()
    if maintained:
        daemon.expect_maintenance()
    daemon.bring(number)
    began = daemon.monotonic()
    with watching(names):
        daemon.live(lambda: daemon.is_answered(number) and daemon.monotonic() > began + 1.5)
    daemon.assert_ended(number)
    return [name for name in names.all if not name.startswith(LOOP)]


def functions(daemon: Daemon) -> tuple[list[str], list[str]]:
    """Return the functions that are called for maintenance only, and those that are called for a drop."""
    with structlog.testing.capture_logs():
        live_and_note(daemon, 0, maintained=True)  # what is done only once is not counted
        dropping = live_and_note(daemon, 1, maintained=False)
        everything = live_and_note(daemon, 2, maintained=True)
    assert len(everything) > 400
    return [name for name in everything if name not in set(dropping)], dropping


@pytest.mark.exhaustive
def test_an_exception_in_any_function_changes_no_end(daemon: Daemon) -> None:
    """It is logged with its traceback, the daemon lives, what failed is done later, and both drops end as without."""
    maintaining, dropping = functions(daemon)
    for number, name in enumerate([*maintaining, *dropping], start=10):
        try:
            assert_harmless(daemon, number, name, maintained=name in maintaining)
        except BaseException as error:
            error.add_note(f"raised in {name}")
            raise


def assert_harmless(daemon: Daemon, number: int, name: str, *, maintained: bool) -> None:
    """Let a function fail once, while drops come; they end as they must, and the log has the traceback."""
    raised = Trip(name, lambda: fail(number))
    with structlog.testing.capture_logs() as said:
        numbers = daemon.provoke(raised, number, maintained=maintained)
        daemon.live(lambda: all(map(daemon.is_well, numbers)))
    assert raised.done
    assert not daemon.service.unforeseen.failing
    for each in numbers:
        daemon.assert_ended(each)
    told = [line["traceback"] for line in said if line.get("traceback")]
    assert told
    assert all(text.isprintable() and "\\x1b" in text for text in told)


def fail(number: int) -> None:
    """Raise what is not the same twice: a cause that stays is logged once."""
    raise Fault(f"{number} {HOSTILE}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("share", KILL_SHARES)
def test_a_death_in_any_function_changes_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: int) -> None:
    """SIGKILL in it; the next daemon brings both drops to the ends that they have without it."""
    with structlog.testing.capture_logs():
        first = Daemon(tmp_path, ScannerHere())
        live_by(monkeypatch, first)
        first.start()
        maintaining, dropping = functions(first)
        first.service.close()
        chosen = [*maintaining, *dropping][share::SHARES]
        for number, name in enumerate(chosen, start=10):
            assert die_in(tmp_path, monkeypatch, number, name) == -signal.SIGKILL, f"in {name}"
        last = Daemon(tmp_path, ScannerHere(), later=5000.0 * (len(chosen) + 10))
        live_by(monkeypatch, last)
        last.start()
        last.live(lambda: not last.world.left() and not last.world.in_hand())
        for number, name in enumerate(chosen, start=10):
            try:
                last.assert_ended(number)
            except BaseException as error:
                error.add_note(f"killed in {name}")
                raise
        last.service.close()
    registered = last.world.registrations()
    assert sorted(registered) == sorted({*registered})


def die_in(root: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str) -> int:
    """Start a daemon in a child process, which goes on with what the one before left, and is killed in that function.

    Return how the child ended.
    """
    pid = os.fork()
    if pid == 0:
        try:
            daemon = Daemon(root, ScannerHere(), later=5000.0 * number)
            live_by(monkeypatch, daemon)
            daemon.start()
            daemon.live(lambda: not daemon.world.left() and not daemon.world.in_hand())
            daemon.provoke(Trip(name, lambda: os.kill(os.getpid(), signal.SIGKILL)), number, maintained=True)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

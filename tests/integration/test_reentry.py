"""Nothing calls back into the registry from below a commit, and a thread that knows no registry answers for metrics.

While code of the registry is on the stack, only the registry itself may query it. What a step of the disk calls (the
watchdog's sign of life) must not.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from model_inbox.base.copying import digest_open_file
from model_inbox.registry.paths import status_paths
from model_inbox.registry.registry import ModelRegistry
from model_inbox.registry.store import Store
from model_inbox.service import reporter
from model_inbox.service.service import Service
from model_inbox.telemetry.status_file import Publisher, read_status
from model_inbox.telemetry.watchdog import Heartbeat
from support.ports import reserve_port
from support.waiting import wait_until
from support.world import World, pickled

REGISTRY = "model_inbox.registry."
QUERIES = (
    "sequence",
    "position",
    "registry",
    "get_model",
    "get_model_info",
    "list_models",
    "history",
    "retired",
    "registrations",
)


def ask(port: int, seconds: float) -> tuple[str, float]:
    """Return the metrics, and how long the answer took."""
    began = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=seconds) as answer:
        text = answer.read().decode()
    return text, time.monotonic() - began


def reentered(frame: FrameType | None) -> bool:
    """Return whether the registry is asked by a caller that it called itself.

    Innermost are frames of the registry that answer the question. Further out there is none unless somebody was called
    from within the registry.
    """
    names: list[str] = []
    while frame is not None:
        names.append(str(frame.f_globals.get("__name__")))
        frame = frame.f_back
    ours = [name for name in names if name.startswith("model_inbox.")]
    asker = next((at for at, name in enumerate(ours) if not name.startswith(REGISTRY)), len(ours))
    return any(name.startswith(REGISTRY) for name in ours[asker:])


class Queries:
    """Notes every question to the registry: how many there were, which came from within it or from another thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.locked = 0
        self.wrong: list[str] = []
        self._thread = threading.get_ident()
        self._patch(monkeypatch, Store, "refresh", lambda store: store._writer.is_held)
        for name in QUERIES:
            self._patch(monkeypatch, ModelRegistry, name, lambda registry: registry._store._writer.is_held)
        monkeypatch.setattr(Store, "state", self._state(), raising=False)

    def note(self, what: str, *, locked: bool) -> None:
        self.count += 1
        self.locked += locked
        if threading.get_ident() != self._thread:
            self.wrong.append(f"{what} by another thread")
        elif reentered(sys._getframe(2)):
            self.wrong.append(f"{what} from within the registry{' under the writer lock' if locked else ''}")

    def _patch(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, locked: Callable[[Any], bool]) -> None:
        real = owner.__dict__[name]
        if isinstance(real, property):
            getter = real.fget
            assert getter is not None

            def get(this: Any) -> Any:
                self.note(f"{owner.__name__}.{name}", locked=locked(this))
                return getter(this)

            monkeypatch.setattr(owner, name, property(get))
            return

        def call(this: Any, *args: Any, **options: Any) -> Any:
            self.note(f"{owner.__name__}.{name}", locked=locked(this))
            return real(this, *args, **options)

        monkeypatch.setattr(owner, name, call)

    def _state(self) -> property:
        def get(this: Any) -> Any:
            self.note("Store.state", locked=this._writer.is_held)
            return this.__dict__["state"]

        def put(this: Any, value: Any) -> None:
            this.__dict__["state"] = value

        return property(get, put)


@contextmanager
def asking(port: int) -> Iterator[list[float]]:
    """Ask for the metrics all the time, in a thread; gives how long each answer took."""
    took: list[float] = []
    ended = threading.Event()
    failed: list[BaseException] = []

    def loop() -> None:
        try:
            while not ended.is_set():
                took.append(ask(port, 5)[1])
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield took
    finally:
        ended.set()
        thread.join(30)
    assert failed == []


def test_nothing_asks_the_registry_from_below_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status and metrics are made as often as can be, a reader asks all the time: neither queries within a commit."""
    monkeypatch.setattr(reporter, "PUBLISH_SECONDS", 0.0)
    monkeypatch.setattr(reporter, "PUBLISH_SECONDS_MAX", 0.0)
    queries = Queries(monkeypatch)
    port = reserve_port()
    world = World(tmp_path, {"metrics": {"listen": f"127.0.0.1:{port}"}})
    config = world.config
    publisher = Publisher(status_paths(config.registry.path, config.inbox.path))
    heard: list[str] = []
    heart = Heartbeat(send=heard.append, environment={"WATCHDOG_USEC": "1"})
    with world.running(heartbeat=heart, publisher=publisher) as running:
        heart.ready()
        running.begin_serving()
        with asking(port) as took:
            for number in range(5):
                world.put(f"m{number}")
                world.put(f"bad{number}", leave_out=["version"])
                world.live_on(running)
                running.report()
            wait_until(lambda: len(took) > 5)
        assert len(running.registry.registry) == 5
        document = read_status(publisher.paths[0])
        assert document is not None and document["registry"]["entries"] == 5
        assert "model_inbox_registry_entries 5.0" in ask(port, 1)[0]
    assert queries.wrong == []
    assert queries.locked > 10 and queries.count > queries.locked
    assert heard.count("WATCHDOG=1") > 10


class Held(Heartbeat):
    """A heartbeat at which the first digest stops, half-way, until it may go on."""

    def __init__(self) -> None:
        super().__init__(send=lambda _: None, environment={})
        self.stopped, self.go_on = threading.Event(), threading.Event()

    def beat(self) -> None:
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code is not digest_open_file.__code__:
            frame = frame.f_back
        if frame is not None and not self.go_on.is_set():
            self.stopped.set()
            assert self.go_on.wait(30)


@contextmanager
def stepping(running: Service) -> Iterator[None]:
    """One pass of the service in a thread of its own, which must have ended well afterwards."""
    failed: list[BaseException] = []

    def step() -> None:
        try:
            running.step("hint")
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=step)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
    assert not thread.is_alive() and failed == []


def test_a_reader_is_answered_while_a_digest_is_held_up(tmp_path: Path) -> None:
    """With the loop stuck in the middle of a model's digest, metrics come within a second, as they were before."""
    port = reserve_port()
    world = World(tmp_path, {"metrics": {"listen": f"127.0.0.1:{port}"}})
    heart = Held()
    with world.running(heartbeat=heart) as running:
        running.begin_serving()
        world.put("big", pickled(os.urandom(1 << 20)))
        with stepping(running):
            try:
                assert heart.stopped.wait(10)
                for _ in range(20):  # more than there are places for at once
                    text, seconds = ask(port, 5)
                    assert seconds < 1
                    assert "model_inbox_ready 1.0" in text
                    assert "model_inbox_registry_entries 0.0" in text
            finally:
                heart.go_on.set()
        running.report()
        assert world.registrations() == ["big"]


def test_a_reader_is_answered_while_a_scan_is_held_up(tmp_path: Path) -> None:
    """With the process that scans stopped in its tracks, metrics come within a second."""
    port = reserve_port()
    world = World(tmp_path, {"metrics": {"listen": f"127.0.0.1:{port}"}})
    running = Service(world.config, world.machine())
    try:
        running.start()
        world.put("first")
        running.step("start")
        running.begin_serving()
        worker = running.scanner.worker_pid
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)
        world.put("m")
        with stepping(running):
            try:
                wait_until(world.in_hand)
                for _ in range(20):
                    text, seconds = ask(port, 5)
                    assert seconds < 1
                    assert "model_inbox_registry_entries 1.0" in text
                assert world.in_hand()
            finally:
                os.kill(worker, signal.SIGCONT)
        assert world.registrations() == ["first", "m"]
    finally:
        running.close()

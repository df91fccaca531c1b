"""The process of the daemon: it sleeps until something is due, and makes a pass.

Owns signals, the pipe that hints and signals write to, and the order of start and stop. The loop sleeps in one place,
until the least of the deadlines of the daemon's parts. What a pass does is `service`'s.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import time
from collections.abc import Callable, Iterator

import structlog

from .. import __version__
from ..base.disk import PacedDisk
from ..base.machine import Machine
from ..config.changes import settings_of
from ..config.settings import Config
from ..inbox.failures import FATAL_ERRORS
from ..registry.opening import must_be_no_replica
from ..registry.paths import status_paths
from ..telemetry.status_file import Publisher
from ..telemetry.watchdog import Heartbeat
from .reload import configure_logs
from .service import Service

__all__ = ["machine_of", "run"]

log = structlog.get_logger("model_inbox")

# A drop makes thousands of objects and no cycles: the collector would look at them again and again in a flood.
COLLECT_AFTER_OBJECTS = 20_000
# After a look that took t, the next hint waits 3 t: a storm of events costs a quarter of a core. But a drop that comes
# meanwhile must not wait long.
LOOK_PAUSE_FACTOR = 3.0
LOOK_PAUSE_SECONDS_MAX = 0.3
# What the loop itself is called where it fails, and how long it sleeps then without a sign of life.
LOOP = "the loop"
PAUSE_SECONDS_MAX = 5.0


def run(config: Config, adjust: Callable[[Config], Config] = lambda config: config) -> None:
    """Run the daemon until SIGTERM or SIGINT. Raises what `Service.start` and a damaged registry raise.

    `adjust` is applied to each configuration that is read later: what the command line says holds on.
    """
    # Before anything is written there, such as the log's file.
    must_be_no_replica(config.registry.path)
    configure_logs(config)
    began = time.monotonic()
    alarm = _Alarm()
    signals = _Signals(alarm)
    heartbeat = Heartbeat()
    machine = machine_of(heartbeat)
    publisher = Publisher(status_paths(config.registry.path, config.inbox.path))
    service = Service(config, machine, wake=alarm.ring, heartbeat=heartbeat, publisher=publisher, adjust=adjust)
    with _handling(signals), contextlib.closing(service):
        log.info(
            "daemon.started",
            version=__version__,
            pid=os.getpid(),
            config=str(config.path) if config.path is not None else None,
            inbox=str(config.inbox.path),
            registry=str(config.registry.path),
            settings=settings_of(config),
        )
        service.start()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER_OBJECTS)
        service.step("start", signals.stopping)
        service.run_maintenance()
        heartbeat.ready()
        service.begin_serving()
        log.info(
            "daemon.ready",
            waiting=service.schedule.waiting,
            entries=len(service.registry.registry),
            seconds=time.monotonic() - began,
        )
        _loop(service, signals, alarm, heartbeat)
        log.info("daemon.stopping", signal=signals.stop)
        heartbeat.stopping()
        service.begin_stopping()
    log.info("daemon.stopped", uptime_seconds=time.monotonic() - began)


def machine_of(heartbeat: Heartbeat) -> Machine:
    """Return this machine, whose slower steps give the watchdog its sign of life."""
    return Machine(disk=PacedDisk(heartbeat.beat), progress=heartbeat.beat)


def _loop(service: Service, signals: _Signals, alarm: _Alarm, heartbeat: Heartbeat) -> None:
    """Make passes until a signal says to stop. What nobody foresaw costs a pause, and not the daemon."""
    looked = time.monotonic()
    while not signals.stopping():
        try:
            pause = service.unforeseen.waits(LOOP)
            if pause > 0:
                heartbeat.beat()
                alarm.sleep(min(pause, PAUSE_SECONDS_MAX))
            else:
                looked = _turn(service, signals, alarm, heartbeat, looked)
        except FATAL_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the next turn may succeed
            service.unforeseen.failed(LOOP, error)
        else:
            if pause == 0 and service.unforeseen.failing:
                service.unforeseen.succeeded(LOOP)


def _turn(service: Service, signals: _Signals, alarm: _Alarm, heartbeat: Heartbeat, looked: float) -> float:
    """Sleep until something is due, and do it. Return when the folder was looked at last."""
    now = time.monotonic()
    waits = (service.due_in(now), service.reporter.due_in(now), heartbeat.due_in(now))
    rang = alarm.sleep(min(wait for wait in waits if wait is not None))
    heartbeat.beat()
    if signals.stopping():
        return looked
    if signals.reload:
        signals.reload = False
        heartbeat.reloading()
        service.reload()
        heartbeat.ready()
    elif not rang and service.due_in(time.monotonic()) > 0:  # only a sign of life or a status was due
        service.report()
        return looked
    if rang:
        _pause(service, looked)
    looked = time.monotonic()
    service.step("hint" if rang else "timer", signals.stopping, service.take_changed())
    service.run_maintenance()
    service.report()
    return looked


def _pause(service: Service, looked: float) -> None:
    """Leave the folder alone a little while in proportion to its size: many events may ring for one look."""
    if service.schedule.last is None:
        return
    pause = min(service.schedule.last.seconds * LOOK_PAUSE_FACTOR, LOOK_PAUSE_SECONDS_MAX)
    left = looked + pause - time.monotonic()
    if left > 0:
        time.sleep(left)


class _Alarm:
    """A pipe that the loop sleeps on. Hints and signals write a byte; writing never blocks and never fails."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ring(self) -> None:
        """Wake the loop."""
        with contextlib.suppress(OSError):  # full: the loop is awake already; closed: it has ended
            os.write(self.writer, b"!")

    def sleep(self, seconds: float) -> bool:
        """Sleep until it rings or the time is over. Return whether it rang."""
        ready, _, _ = select.select([self.reader], [], [], max(seconds, 0.0))
        if ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(self.reader, 4096):
                    pass
        return bool(ready)


class _Signals:
    """What signals asked for, to be done by the loop."""

    def __init__(self, alarm: _Alarm) -> None:
        self._alarm = alarm
        self.stop: str | None = None
        self.reload = False

    def handle(self, number: int, _frame: object) -> None:
        """Note a signal, and wake the loop."""
        if number == signal.SIGHUP:
            self.reload = True
        else:
            self.stop = signal.Signals(number).name
        self._alarm.ring()

    def stopping(self) -> bool:
        """Return whether the daemon is to end."""
        return self.stop is not None


@contextlib.contextmanager
def _handling(signals: _Signals) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, signals.handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

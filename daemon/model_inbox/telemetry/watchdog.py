"""Signs of life for systemd: WATCHDOG=1, STATUS= and the time that starting and stopping may take.

Owns when these are sent. Never decides whether the daemon works: the loop calls `beat` in each round, and long work
calls it after each piece (a chunk that was digested, a file that was validated, a step of the disk). So the sign of
life comes from the thread that does the work. If that thread hangs in a system call, no sign is sent, and systemd
restarts the daemon. No other thread sends it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from .sd_notify import notify

__all__ = ["Heartbeat"]

# By how long a sign extends the time-out of a start or a stop.
EXTEND_SECONDS = 60.0
EXTEND_EVERY_SECONDS = 5.0
# A sign is sent after a quarter of WatchdogSec=, so three signs may be late or lost.
SHARE_OF_WATCHDOG = 0.25


class Heartbeat:
    """Sends signs of life and the state to the service manager. `environment` is that of the process.

    During start and stop, each sign also extends the time-out of that phase. So these may take any time, if work is
    done.
    """

    def __init__(
        self,
        *,
        send: Callable[[str], None] = notify,
        monotonic: Callable[[], float] = time.monotonic,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._send = send
        self._monotonic = monotonic
        self._watchdog_seconds = _watchdog_seconds(environment)
        self._phase = "starting"
        self._next = 0.0
        self._said = ""

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds the next sign of life is due, or None if there is no watchdog."""
        return None if self._watchdog_seconds is None else max(self._next - now, 0.0)

    def beat(self) -> None:
        """Send a sign of life, if the last one is old enough. Otherwise this only reads the clock."""
        now = self._monotonic()
        if now < self._next:
            return
        words = []
        every = None if self._watchdog_seconds is None else self._watchdog_seconds * SHARE_OF_WATCHDOG
        if self._phase != "running":
            words.append(f"EXTEND_TIMEOUT_USEC={int(EXTEND_SECONDS * 1e6)}")
            every = EXTEND_EVERY_SECONDS if every is None else min(every, EXTEND_EVERY_SECONDS)
        if self._watchdog_seconds is not None:
            words.append("WATCHDOG=1")
        self._next = now + every if every is not None else float("inf")
        if words:
            self._send("\n".join(words))

    def say(self, text: str) -> None:
        """Send in words what the daemon does, if that has changed."""
        if text != self._said:
            self._said = text
            self._send(f"STATUS={text}")

    def ready(self) -> None:
        """Send that the start has ended and the daemon serves."""
        self._phase = "running"
        self._next = 0.0
        self._send("READY=1")

    def reloading(self) -> None:
        """Send that the configuration is being read again. Call `ready` when that has ended."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Send that the daemon stops."""
        self._phase = "stopping"
        self._next = 0.0
        self._send("STOPPING=1")


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return WatchdogSec= in seconds, or None if systemd expects no sign of life from this process."""
    pid, text = environment.get("WATCHDOG_PID", ""), environment.get("WATCHDOG_USEC", "")
    if (pid and pid != str(os.getpid())) or not text.isdecimal() or not int(text):
        return None
    return int(text) / 1e6

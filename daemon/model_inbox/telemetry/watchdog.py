"""Signs of life for systemd: WATCHDOG=1, STATUS= and the time that starting and stopping may take.

Owns when these are sent, never whether we are well: the loop calls `beat` as it goes, and long work calls it for
each piece that is done (a chunk digested, a file judged, a step of the disk). So the sign comes from the very
thread that does the work: one that hangs in a system call sends none, and is restarted. No thread of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from .sd_notify import notify

__all__ = ["Heartbeat"]

EXTEND_SECONDS = 60.0  # what a start or a stop may take until the next piece of its work is done
EXTEND_EVERY_SECONDS = 5.0
SHARE_OF_WATCHDOG = 0.25  # a sign is sent when a quarter of the time is over: three may be late or lost


class Heartbeat:
    """What the service manager is told. `environment` is the process's; without $NOTIFY_SOCKET nobody listens.

    While starting and stopping each sign also extends the time-out of that phase: a backlog of any length may be
    worked off, as long as it goes on.
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
        """Return in how many seconds the next sign of life is due, or None where nobody waits for one."""
        return None if self._watchdog_seconds is None else max(self._next - now, 0.0)

    def beat(self) -> None:
        """Tell that something was done, if the last time is long enough ago. Costs a look at the clock."""
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
        """Tell in words what we do, when that changed."""
        if text != self._said:
            self._said = text
            self._send(f"STATUS={text}")

    def ready(self) -> None:
        """Tell that we serve from now on: the start is over."""
        self._phase = "running"
        self._next = 0.0
        self._send("READY=1")

    def reloading(self) -> None:
        """Tell that the configuration is being read again; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that we end."""
        self._phase = "stopping"
        self._next = 0.0
        self._send("STOPPING=1")


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return WatchdogSec= as it is for this process, or None."""
    pid, text = environment.get("WATCHDOG_PID", ""), environment.get("WATCHDOG_USEC", "")
    if (pid and pid != str(os.getpid())) or not text.isdecimal() or not int(text):
        return None
    return int(text) / 1e6

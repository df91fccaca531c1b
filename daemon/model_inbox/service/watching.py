"""The watch on the inbox's folder: whether there is one, whether it still hears, and when it is made again.

Owns the canary (a file of our own, whose event must come), and every reason to replace a watch. A watch gives hints
only: without one the folder is listed by the clock, and nothing else is different.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from ..base.file_systems import is_network_file_system
from ..base.machine import Machine
from ..config.settings import InboxSection
from ..errors import StorageError
from ..inbox.folder import Inbox, limits_of
from ..inbox.watch import Watch
from ..model.file_names import is_ignored
from .health import Health

__all__ = ["MakeWatch", "Watching"]

log = structlog.get_logger("model_inbox")

POLLING_SECONDS = 2.0
# How long the event of a canary may take.
CANARY_SECONDS = 1.0
# How long after a watch could not be made the next try comes.
REWATCH_SECONDS = 5.0


class MakeWatch(Protocol):
    """Makes the watch on a folder, as `Watch` itself does."""

    def __call__(
        self, path: Path, hint: Callable[[], None], *, polling: bool, is_ignored: Callable[[str], bool]
    ) -> Watch: ...


class Watching:
    """Keeps a watch on the inbox. Sets `inbox.limits`, which are others where the folder is polled.

    `section` is what config.yaml says of the inbox; `watcher` of it holds from the start to the end of the daemon.
    Times are of the monotonic clock, in seconds.
    """

    def __init__(
        self,
        inbox: Inbox,
        section: InboxSection,
        health: Health,
        machine: Machine,
        *,
        wake: Callable[[], None],
        make_watch: MakeWatch = Watch,
    ) -> None:
        self._inbox = inbox
        self._section = section
        self._watcher = section.watcher
        self._health = health
        self._wake = wake
        self._make_watch = make_watch
        self._monotonic = machine.monotonic
        self._logged = ""  # the cause that was logged last: only to log it once
        self._rewatch_at: float | None = None
        self._canary_sent_at: float | None = None
        self._canary_at = machine.monotonic()
        self._make(polling=self.must_poll())

    @property
    def polling(self) -> bool:
        """Whether the folder is listed by the clock, and no events are expected."""
        return self.watch.polling

    @property
    def look_every_seconds(self) -> float:
        """How long the folder may go without being listed."""
        return POLLING_SECONDS if self.polling else self._section.rescan_seconds

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds the watch or its canary is to be looked after, or None.

        Whether a canary came is asked at the next pass, whatever that is for.
        """
        moments = [] if self._rewatch_at is None else [self._rewatch_at]
        if self._canary_sent_at is None and not self.polling and not self.watch.is_deaf:
            moments.append(self._canary_at)
        return min((moment - now for moment in moments), default=None)

    def must_poll(self) -> bool:
        """Return whether the folder is to be listed by the clock: config.yaml says so, or its file system does.

        Raises StorageError.
        """
        try:
            return self._watcher == "polling" or (self._watcher == "auto" and is_network_file_system(self._inbox.path))
        except OSError as error:
            raise StorageError("look at the file system of", self._inbox.path, error) from error

    def start(self) -> None:
        """Begin to watch. A watch that cannot be made is logged and tried again."""
        if self._try():
            self._canary_at = self._monotonic()
        else:
            self._lost(self.watch.deaf_because)

    def stop(self) -> None:
        """Stop watching."""
        self.watch.stop()

    def folder_changed(self, *, polling: bool) -> None:
        """Go on with the folder that is at the inbox's path now.

        The watch is made again at once if it is another kind; else `keep` notices that it watches another folder.
        """
        self._rewatch_at = None
        if polling != self.polling:
            self.watch.stop()
            self._make(polling=polling)
            self.start()

    def reconfigure(self, section: InboxSection) -> None:
        """Go by another configuration from now on, but for `watcher`."""
        self._section = section
        self._inbox.limits = limits_of(section, polling=self.polling)
        self._canary_at = min(self._canary_at, self._monotonic() + section.rescan_seconds)

    def keep(self) -> None:
        """Notice a watch that went deaf, and make it again. Costs one stat a pass, and a small file now and then."""
        now = self._monotonic()
        if self.watch.polling or (self._rewatch_at is not None and now < self._rewatch_at):
            return
        cause = self.watch.trouble() or self._ask_canary(now)
        if not cause:
            return
        self._lost(cause)
        self._canary_sent_at = None
        if self._try():
            self._logged = ""
            self._canary_at = now
            log.info("inbox.watch_restored", watcher="inotify")

    def _ask_canary(self, now: float) -> str:
        """Send a canary if it is time. Return that the last one was not heard of, or ""."""
        if self._canary_sent_at is None:
            if now >= self._canary_at:
                self.watch.send_canary()
                self._canary_sent_at = now
                self._canary_at = now + self._section.rescan_seconds
        elif now >= self._canary_sent_at + CANARY_SECONDS:
            self._canary_sent_at = None
            if not self.watch.canary_came(0):
                return "no event came for a file that was made to test this"
        return ""

    def _make(self, *, polling: bool) -> None:
        self.watch = self._make_watch(self._inbox.path, self._wake, polling=polling, is_ignored=is_ignored)
        self._inbox.limits = limits_of(self._section, polling=polling)

    def _try(self) -> bool:
        """Make the watch, and note in the health whether that was possible."""
        began = self.watch.start()
        self._health.watch_problem = "" if began else self.watch.deaf_because or "no watch"
        if began:
            self._rewatch_at = None
        return began

    def _lost(self, cause: str) -> None:
        if cause != self._logged:
            log.warning("inbox.watch_lost", cause=cause)
        self._logged = cause
        self._rewatch_at = self._monotonic() + REWATCH_SECONDS

"""File events as hints: "look again", and nothing more.

Owns the watchdog observer and the canary that shows whether events still reach us. Never looks at a drop: what is
in the folder is found by listing it. Callbacks only set a flag and wake the loop, so an event storm costs no
memory, and an event that is lost costs at most the time to the next rescan. The names that events told of are kept, so
that a look need not list the folder; of more than NAMES_MAX none is, and everything is to be looked at.

A watch can go deaf without a word: the folder is renamed, removed and made again, unmounted or mounted over, or
the observer's thread dies. So `check` makes a file of ours and expects to be told of it; if not, everything is
thrown away and set up again.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from watchdog.events import DirModifiedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver, EventQueue, ObservedWatch
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor
from watchdog.observers.inotify_move_event_grouper import GroupedInotifyEvent, PathedInotifyEvent

__all__ = ["Watch"]

# What watchdog has to say goes to nobody's log: that a watch ends we know, and that it hears nothing we find out.
logging.getLogger("watchdog").addHandler(logging.NullHandler())
logging.getLogger("watchdog").propagate = False

CANARY_PREFIX = ".canary-"
NAMES_MAX = 1000  # names that are kept for the next look
QUEUED_MAX = 1000  # events on their way to us: each says "look again", and one look sees all
READ_BYTES = 1 << 18
READ_PAUSE_SECONDS = 0.005  # after the first event, which is passed on at once


class _Changed:
    """The names that events told of since they were taken; None when everything may have changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: set[str] | None = None

    def add(self, name: str) -> None:
        """Note a name."""
        with self._lock:
            if self._names is not None:
                self._names.add(name)
                if len(self._names) > NAMES_MAX:
                    self._names = None

    def add_all(self) -> None:
        """Note that it is not known what changed."""
        with self._lock:
            self._names = None

    def take(self) -> set[str] | None:
        """Return the names, and begin again with none."""
        with self._lock:
            names, self._names = self._names, set()
        return names


class _LookAgain(DirModifiedEvent):
    """Something happened to the folder itself, or events were lost."""


class _Descriptor(InotifyFD):
    """watchdog's reader of one inotify descriptor, which passes on no more than there is to say.

    Of the events that the kernel gives at once, one about a producer's file says as much as thousands. Those about
    the folder itself pass, canaries do, and lost events (which are no name's, and which watchdog would only log)
    are told as "look again". It reads at most every few milliseconds: a storm must not keep the loop from its work.
    """

    def __init__(self, look_again: Callable[[], None], is_ignored: Callable[[str], bool], changed: _Changed) -> None:
        super().__init__()
        self._look_again = look_again
        self._changed = changed
        self._is_ignored = is_ignored

    def run(self) -> None:
        """Read events from `inotify` and handle them."""
        while self.should_keep_running():
            for event in self.read_events():
                self.handle_event(event)
            self.stopped_event.wait(READ_PAUSE_SECONDS)

    def read_events(self, *, event_buffer_size: int = READ_BYTES) -> list[InotifyEvent]:
        """Return what there is to say of the events that came since."""
        said = []
        is_news = True
        for wd, mask, cookie, name in self._parse_event_buffer(self._read_event_buffer(event_buffer_size)):
            text = os.fsdecode(name)
            if mask & InotifyConstants.IN_Q_OVERFLOW:
                self._changed.add_all()
                self._look_again()
            elif not name or text.startswith(CANARY_PREFIX):
                if not name:
                    self._changed.add_all()
                said.append(InotifyEvent(WatchDescriptor(wd), Mask(mask), cookie, name))
            elif not self._is_ignored(text):
                self._changed.add(text)
                if is_news:
                    said.append(InotifyEvent(WatchDescriptor(wd), Mask(mask), cookie, name))
                    is_news = False
        return said


class _Emitter(InotifyEmitter):
    """watchdog's inotify emitter, but only for what adds something to the folder, and on a descriptor of its own.

    Names that leave are not asked for: each claim of ours makes some, and watchdog holds back everything behind
    a name that left for half a second, in case it arrives elsewhere. The descriptor that watchdog shares between
    observers cannot be replaced once its reader died; one's own can.
    """

    MASK = Mask(
        InotifyConstants.IN_CREATE
        | InotifyConstants.IN_MOVED_TO
        | InotifyConstants.IN_CLOSE_WRITE
        | InotifyConstants.IN_DELETE_SELF
        | InotifyConstants.IN_MOVE_SELF
    )

    def __init__(
        self,
        event_queue: EventQueue,
        watch: ObservedWatch,
        *,
        is_ignored: Callable[[str], bool],
        changed: _Changed,
        **options: Any,
    ) -> None:
        self._own = _Descriptor(self._look_again, is_ignored, changed)
        super().__init__(event_queue, watch, inotify_fd=self._own, **options)
        self._own.start()

    def get_event_mask_from_filter(self) -> Mask:
        """Return what the kernel is asked to tell."""
        return self.MASK

    def queue_event(self, event: FileSystemEvent) -> None:
        """Queue an event; one more of very many says nothing new, but for a canary, which is looked for by name.

        watchdog adds to each event one of the folder's change, also to those of names that are none of ours.
        """
        if type(event) is DirModifiedEvent:
            return
        if self._event_queue.qsize() < QUEUED_MAX or CANARY_PREFIX in os.fsdecode(event.src_path):
            super().queue_event(event)

    def build_and_queue_event(self, event: GroupedInotifyEvent, *, full_events: bool = False) -> None:
        """Queue what the kernel told; also that the folder itself was renamed, which watchdog leaves out."""
        if isinstance(event, PathedInotifyEvent) and event.ev.is_move_self:
            self._look_again()
        else:
            super().build_and_queue_event(event, full_events=full_events)

    def _look_again(self) -> None:
        self.queue_event(_LookAgain(str(self.watch.path)))

    @property
    def has_threads(self) -> bool:
        """Whether it and the reader of its descriptor are running."""
        return bool(self.is_alive() and self._own.is_alive())

    def on_thread_stop(self) -> None:
        super().on_thread_stop()
        self._own.stop()


class _Hints(FileSystemEventHandler):
    """Called on the observer's thread: notes that something happened, and returns."""

    def __init__(
        self, hint: Callable[[], None], canary_seen: threading.Event, is_ignored: Callable[[str], bool]
    ) -> None:
        self._hint = hint
        self._is_ignored = is_ignored
        self._canary_seen = canary_seen
        self.canary = ""

    def dispatch(self, event: FileSystemEvent) -> None:
        path = os.fsdecode(event.src_path)
        name = path.rpartition("/")[2]
        if name.startswith(CANARY_PREFIX):
            if name == self.canary:
                self._canary_seen.set()
            return
        if not self._is_ignored(name):
            self._hint()


class Watch:
    """Calls `hint` (from another thread) whenever something in the folder may have changed.

    With `polling` there are no events at all: the loop lists the folder by the clock. `is_ignored` tells the names
    that are none of ours: of a producer that writes under a temporary name only the last step counts.
    """

    def __init__(
        self,
        path: Path,
        hint: Callable[[], None],
        *,
        polling: bool,
        is_ignored: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.path = path
        self.polling = polling
        self.deaf_because = ""
        self._hint = hint
        self._is_ignored = is_ignored
        self._seen = threading.Event()
        self._changed = _Changed()
        self._handler: _Hints | None = None
        self._observer: Any = None
        self._inode: tuple[int, int] | None = None
        self._number = 0
        self._canary_made = False

    @property
    def is_deaf(self) -> bool:
        """Whether events are expected but do not come."""
        return not self.polling and (self._observer is None or bool(self.deaf_because))

    def trouble(self) -> str:
        """Return why the watch is of no use, or "". Costs one stat."""
        if self.is_deaf:
            return self.deaf_because or "no watch"
        if self.moved():
            return "the folder at the inbox's path is another one now"
        return "" if self.is_alive else "a thread of the watch ended"

    def start(self) -> bool:
        """Begin to watch; False, with `deaf_because`, when that is not possible now. Never raises OSError."""
        if self.polling:
            return True
        self._discard()
        self._seen = threading.Event()
        self._changed = _Changed()  # a thread of the watch before may still tell of another folder
        handler = _Hints(self._hint, self._seen, self._is_ignored)
        observer = BaseObserver(partial(_Emitter, is_ignored=self._is_ignored, changed=self._changed))  # type: ignore[arg-type]  # makes one
        try:
            found = self.path.stat()
            observer.schedule(handler, str(self.path), recursive=False)
            observer.start()
        except (OSError, RuntimeError) as error:
            with suppress(Exception):
                observer.stop()
            self.deaf_because = _why(error)
            return False
        self._inode = (found.st_dev, found.st_ino)
        self._handler, self._observer = handler, observer
        self.deaf_because = ""
        return True

    @property
    def is_alive(self) -> bool:
        """Whether every thread that an event passes through is running."""
        if self.polling or self._observer is None:
            return self.polling
        emitters = self._observer.emitters
        return self._observer.is_alive() and bool(emitters) and all(emitter.has_threads for emitter in emitters)

    def moved(self) -> bool:
        """Return whether the path no longer names the folder that is being watched. Costs one stat."""
        if self.polling or self._observer is None:
            return False
        try:
            found = self.path.stat()
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._inode

    def take_changed(self) -> set[str] | None:
        """Return the names that events told of since the last call; None when everything may have changed.

        A name is there before the hint that it gives.
        """
        return None if self.polling or self.is_deaf else self._changed.take()

    def send_canary(self) -> None:
        """Make and remove a file of ours, for `canary_came` to ask about a moment later."""
        if self.polling or self._handler is None:
            return
        self._number += 1
        self._seen.clear()
        name = f"{CANARY_PREFIX}{os.getpid()}-{self._number}"
        self._handler.canary = name
        path = self.path / name
        self._canary_made = False
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            self._canary_made = True
            os.unlink(path)

    def canary_came(self, timeout_seconds: float) -> bool:
        """Return whether we heard of the canary. True also when none could be made (a full disk is not deafness)."""
        if self.polling or not self._canary_made:
            return True
        return self._seen.wait(timeout_seconds)

    def stop(self) -> None:
        """Stop watching."""
        self._discard()

    def _discard(self) -> None:
        """Let go of an observer that may hang or be dead: it is told to stop, and not waited for."""
        observer, self._observer, self._handler = self._observer, None, None
        if observer is not None:
            threading.Thread(target=_stop_quietly, args=(observer,), daemon=True).start()


def _stop_quietly(observer: Any) -> None:
    with suppress(Exception):
        observer.stop()
        observer.join(5)


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return "no inotify watches are left (sysctl fs.inotify.max_user_watches)"
        if error.errno == errno.EMFILE:
            return "no inotify instances or open files are left (sysctl fs.inotify.max_user_instances, ulimit -n)"
        return error.strerror or str(error)
    return str(error)

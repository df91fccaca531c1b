"""What a server holds: the model to answer with, always whole, and the means to say that it fails.

Owns `Served`, `Follower` and `Followers`, which any thread reads while one thread of the hub changes them. Never loads
anything and never looks at the registry: that is the hub's work.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from ..errors import ModelInboxError
from ..model.slot import Slot
from ..problems import escaped
from ..registry.entry import Entry
from .course import Course, Key, key_of
from .names import Name

__all__ = ["Counts", "FallenBack", "Follower", "Followers", "Served", "State", "TryOut", "problem_of"]

TryOut = Callable[[Any, Any], object]
"""Called with a loaded model and its scaler before they are served. An exception refuses the model."""

PROBLEM_CHARACTERS_MAX = 1000


def problem_of(error: object) -> str:
    """Return an exception, or what a server says of one, in one line of a limited length."""
    text = "".join(traceback.format_exception_only(error)) if isinstance(error, BaseException) else str(error)
    return escaped(" ".join(text.split()), PROBLEM_CHARACTERS_MAX)


class _Parts(NamedTuple):
    entry: Entry
    model: Any
    scaler: Any


class Served(_Parts):
    """One model as it is served: `entry`, `model` and `scaler`, which belong together.

    Take it once for each request, and use only that: the next one may be another model. `entry` is that of the time
    when the model was loaded.
    """

    _report: Callable[[Served, object], None]

    def failed(self, error: object = "") -> None:
        """Say that this model misbehaves, with the exception or a text. Returns at once, and may be called anywhere.

        After `give_up_after` such calls for a model the follower goes back to the holder before. A call for a model
        that is no longer served says nothing about the one that is.
        """
        self._report(self, error)


class FallenBack(NamedTuple):
    """The model that should be served and is not, the one that is served in its place, since when, and why."""

    model_id: str
    serving: str
    at: datetime
    problem: str


@dataclass(slots=True)
class Counts:
    """What happened since the follower was made."""

    swaps: int = 0
    load_failures: int = 0
    reported: int = 0
    fallbacks: int = 0
    load_seconds: float = 0.0


class Hub(Protocol):
    """What a follower needs of the thread that works for it."""

    def wake(self) -> None:
        """Let the thread look now."""

    def resume(self) -> None:
        """Start the thread again in the child of a fork."""

    def stop(self, followed: Follower | Followers) -> None:
        """Do nothing more for it, and let go of its files."""

    def monotonic(self) -> float:
        """Return seconds that no change of the clock affects."""


@dataclass(slots=True)
class State:
    """What the hub's thread keeps of one follower."""

    course: Course
    try_out: TryOut | None
    error: BaseException | None = None
    """Why nothing can be served yet: what the last attempt raised. None as soon as something is served."""
    problem: str = ""
    trying: str = ""
    """The model that is being loaded or tried out just now."""
    fresh_at: float | None = None
    is_stale: bool = False
    reports: list[tuple[Key, str]] = field(default_factory=list)


class Follower:
    """Follows the newest model of a slot, or one alias in it. Made by `ModelRegistry.follow`.

    `current` is the model to answer with. It is replaced as a whole, by one assignment, so that no thread ever sees a
    model with the scaler of another one. Close it, or use it in a `with` block, to let go of the model's files.
    """

    def __init__(self, hub: Hub, name: Name, state: State, max_age: float | None) -> None:
        self._hub = hub
        self._name = name
        self._state = state
        self._max_age = max_age
        self._served: Served | None = None
        # The same as `_served`, but None where something is to be done first: after a fork, and after `close`.
        self._ready: Served | None = None
        self._fallen_back: FallenBack | None = None
        self._is_closed = False
        self._made_at = hub.monotonic()
        self._changed = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()
        self.counts = Counts()

    # --- for servers ------------------------------------------------------------------------------------------

    @property
    def slot(self) -> Slot:
        """The pair, type and variant that are followed."""
        return self._name.slot

    @property
    def alias(self) -> str | None:
        """The alias that is followed; None for the newest model."""
        return self._name.alias

    @property
    def current(self) -> Served:
        """The model to answer with: entry, model and scaler. Raises ModelInboxError when the follower is closed."""
        ready = self._ready
        return ready if ready is not None else self._get_ready()

    @property
    def fallen_back(self) -> FallenBack | None:
        """What is served in the place of the model that the registry names; None while that one is served.

        A follower goes back when the model was reported as failing too often, and stays there until the alias moves;
        also when the model could not be loaded at the start, and then it goes on trying.
        """
        return self._fallen_back

    @property
    def problem(self) -> str:
        """Why the model that the registry names is not served, or why the registry cannot be followed; "" if it is.

        A load or a `try_out` that does not end is named here, too, as long as nothing else is known.
        """
        # One look: the thread may end it meanwhile.
        trying = self._state.trying
        return self._state.problem or (f"the model {trying} is being loaded and tried out" if trying else "")

    @property
    def age(self) -> float:
        """How many seconds ago the model that is served was last known to be the one that the registry names.

        A fraction of a second while all is well. In a replica it counts from the last pull that succeeded.
        """
        fresh_at = self._state.fresh_at
        return max(0.0, self._hub.monotonic() - (fresh_at if fresh_at is not None else self._made_at))

    @property
    def is_stale(self) -> bool:
        """Whether `age` is more than `max_age`. Never without `max_age`."""
        return self._max_age is not None and self.age > self._max_age

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def wait_changed(self, since: Served | None = None, timeout: float | None = None) -> Served:
        """Wait until another model than `since` (by default the present one) is served, and return `current`.

        After `timeout` seconds it returns the same one. Raises ModelInboxError when the follower is closed.
        """
        # In the child of a fork this starts the thread that changes it.
        present = self.current
        known = since if since is not None else present
        with self._changed:
            self._changed.wait_for(lambda: self._served is not known or self._is_closed, timeout)
        return self.current

    async def changed(self, since: Served | None = None) -> Served:
        """Do what `wait_changed` does, without blocking the event loop."""
        known = since if since is not None else self.current
        loop = asyncio.get_running_loop()
        while True:
            woken = asyncio.Event()

            def listener(woken: asyncio.Event = woken) -> None:
                # The loop may have ended meanwhile.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(woken.set)

            with self._changed:
                self._listeners.add(listener)
            try:
                if self.current is not known:
                    return self.current
                await woken.wait()
            finally:
                with self._changed:
                    self._listeners.discard(listener)

    def close(self) -> None:
        """Follow no longer, and let go of the model's files. `current` raises from then on."""
        self._hub.stop(self)

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        served = self._served
        return f"<Follower of {self._name}: {served.entry['model_id'] if served is not None else 'nothing'}>"

    # --- for the hub ------------------------------------------------------------------------------------------

    def _serve(self, entry: Entry, model: Any, scaler: Any, fallen_back: FallenBack | None) -> None:
        """Answer with these objects from now on."""
        served = Served(entry, model, scaler)
        served._report = self._reported
        with self._changed:
            self._fallen_back = fallen_back
            self._served = self._ready = served
        self._tell()

    def _end(self) -> None:
        """Answer no longer."""
        with self._changed:
            self._is_closed = True
            # Whoever keeps the follower keeps no model in memory by that.
            self._served = self._ready = None
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def _take_reports(self) -> list[tuple[Key, str]]:
        """Return what was reported since the last call."""
        with self._changed:
            taken, self._state.reports = self._state.reports, []
        return taken

    def _reported(self, served: Served, error: object) -> None:
        text = problem_of(error)
        with self._changed:
            if served is not self._served or self._is_closed:
                return
            self.counts.reported += 1
            # What is said after the model was given up changes nothing.
            if len(self._state.reports) < self._state.course.give_up_after:
                self._state.reports.append((key_of(served.entry), text))
        self._hub.resume()
        self._hub.wake()

    def _get_ready(self) -> Served:
        if self._is_closed:
            raise ModelInboxError(f"cannot serve {self._name}: its follower is closed")
        self._hub.resume()
        if self._served is None:
            raise ModelInboxError(f"cannot serve {self._name}: nothing was loaded yet")
        self._ready = self._served
        return self._served

    def _after_fork(self) -> None:
        """In the child of a fork: the hub's thread and all who waited are not here."""
        self._changed = threading.Condition()
        self._listeners = set()
        self._ready = None


class Followers(Mapping[Slot, Follower]):
    """All slots of a registry, each with its follower. Made by `ModelRegistry.follow` without a pair.

    A slot is here from the moment when its first model is loaded, and never leaves. A key is a tuple of pair, type and
    variant.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._followers: dict[Slot, Follower] = {}
        """Replaced as a whole, by the hub's thread."""

    def __getitem__(self, slot: Slot | tuple[str, str, str]) -> Follower:
        found = self._followers.get(Slot(*slot))
        if found is None:
            # In the child of a fork nobody would ever find it.
            self._hub.resume()
            raise KeyError(slot)
        return found

    def __iter__(self) -> Iterator[Slot]:
        self._hub.resume()
        return iter(self._followers)

    def __len__(self) -> int:
        self._hub.resume()
        return len(self._followers)

    def _add(self, follower: Follower) -> None:
        self._followers = {**self._followers, follower.slot: follower}

    @property
    def current(self) -> dict[Slot, Served]:
        """The model to answer with of each slot."""
        return {slot: follower.current for slot, follower in self.items()}

    @property
    def fallen_back(self) -> dict[Slot, FallenBack]:
        """The slots that have fallen back; empty while none has."""
        found = {slot: follower.fallen_back for slot, follower in self.items()}
        return {slot: value for slot, value in found.items() if value is not None}

    @property
    def is_stale(self) -> bool:
        """Whether any slot is stale."""
        return any(follower.is_stale for follower in self.values())

    def close(self) -> None:
        """Follow no longer, and let go of all files."""
        self._hub.stop(self)

    def __enter__(self) -> Followers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""The one thread that follows a registry for all its followers.

Owns the thread, the feed, and the objects that are loaded: a model is loaded once however many names lead to it, one
load at a time, beside what is served. Never changes the registry.

A child of a fork has no such thread. It is started there when a follower is used, so that a child that serves nothing
loads nothing.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from ..base.log import log
from ..errors import EntryNotFound, ModelInboxError, RegistryError
from ..feed import Changes, Wakeups
from ..feed.wakeups import CLOCK_SECONDS
from ..model.slot import Slot
from ..problems import escaped, quoted
from ..registry.entry import Entry
from .course import Course, Key, Step, key_of
from .follower import FallenBack, Follower, Followers, State, TryOut, problem_of
from .names import Name, moved_names
from .source import Followed, Loaded, Source
from .source import after_fork as source_after_fork

if TYPE_CHECKING:
    from ..registry.following import Followable
    from ..registry.registry import ModelRegistry

__all__ = ["FollowerHub", "Wanted"]

JOIN_SECONDS = 2.0
_TRACEBACK_CHARACTERS_MAX = 4000
_NO_HOLDER = "the registry names no model here any more"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments of one call of `ModelRegistry.follow`. Raises ValueError for numbers that are none of its."""

    pair: str | None
    type: str | None
    variant: str
    alias: str | None
    try_out: TryOut | None
    max_age: float | None
    give_up_after: int

    def __post_init__(self) -> None:
        if self.give_up_after < 1:
            raise ValueError(f"cannot follow: give_up_after is {self.give_up_after}, and must be at least 1")
        if self.max_age is not None and not self.max_age >= 0:
            raise ValueError(f"cannot follow: max_age is {self.max_age}, and must be 0 or more seconds")

    @property
    def slot(self) -> Slot | None:
        """The slot of the pair. Without a pair None: all that match `type` and `variant`, if these are given."""
        if self.pair is None:
            return None
        return Slot(self.pair, self.type if self.type is not None else "lightgbm", self.variant)

    def matches(self, slot: Slot) -> bool:
        """Return whether a slot is one of those that were asked for."""
        return self.type in (None, slot.model_type) and self.variant in ("", slot.variant)


@dataclass(slots=True, eq=False)
class _Group:
    """All slots together: what is handed out, and the followers of all slots, also of those that have no model yet.

    Two that were asked for alike are two.
    """

    followers: Followers
    wanted: Wanted
    members: dict[Slot, Follower] = field(default_factory=dict)


class FollowerHub:
    """Follows one registry. Closed with it."""

    def __init__(self, source: Followed) -> None:
        self._source = source
        self._lock = threading.RLock()
        # All of these under the lock.
        self._thread: threading.Thread | None = None
        self._followers: list[Follower] = []
        self._groups: list[_Group] = []
        self._loaded: dict[Key, Loaded] = {}
        # What is being loaded or tried out, and is in `_loaded` from its load on.
        self._in_hand: Key | None = None
        self._wakeups: Wakeups | None = None
        self._looks_begun = 0
        self._looks_done = 0
        self._looked = threading.Condition(self._lock)
        self._is_closed = False
        # These are the thread's own.
        self._feed = source.feed(None)
        self._lost = ""
        self._unforeseen = 0
        _hubs.add(self)

    @classmethod
    def of(cls, registry: Followable) -> FollowerHub:
        """Return the hub of a registry's handle."""
        return cls(Source(cast("ModelRegistry", registry)))

    # --- for those who follow ---------------------------------------------------------------------------------

    def follow(self, asked: Wanted, wait_seconds: float) -> Follower | Followers:
        """Return what follows, once it has something to serve.

        Raises what kept one name from that for `wait_seconds`. All slots together may be none after that time; those
        that have a model by now are all there.
        """
        # Raises RegistryError for a handle that was closed before anybody followed.
        self._source.refresh()
        followed: Follower | Followers
        with self._lock:
            if self._is_closed:
                raise RegistryError(f"cannot follow the registry {self._source.path!r}: this handle is closed")
            if (slot := asked.slot) is not None:
                followed = self._new_follower(asked, slot)
            else:
                group = _Group(Followers(self), asked)
                self._groups.append(group)
                followed = group.followers
            first_look = self._looks_begun + 1
            self.resume()
            self.wake()
        deadline = self.monotonic() + wait_seconds
        try:
            with self._looked:
                while not self._is_closed:
                    has_looked, left = self._looks_done >= first_look, deadline - self.monotonic()
                    # Of all slots the first one may be there long before the last one.
                    if _has_model(followed) and (has_looked or isinstance(followed, Follower)):
                        break
                    if has_looked and left <= 0:
                        break
                    self._looked.wait(max(left, 0.0) or CLOCK_SECONDS)
            if isinstance(followed, Follower) and not _has_model(followed):
                raise self._why_nothing(followed)
        except BaseException:
            self.stop(followed)
            raise
        return followed

    def followers(self) -> list[Follower]:
        """Return all followers that serve something."""
        with self._lock:
            return [follower for follower in self._followers if follower._served is not None]

    def stop(self, followed: Follower | Followers) -> None:
        """Do nothing more for it, and let go of its files."""
        with self._lock:
            members = [followed] if isinstance(followed, Follower) else []
            for group in [group for group in self._groups if group.followers is followed]:
                self._groups.remove(group)
                members = list(group.members.values())
            self._followers = [one for one in self._followers if one not in members]
            for follower in members:
                follower._end()
            self._let_go()
        self.wake()

    def close(self) -> None:
        """End everything. Waits a moment for the thread, and not for a load that it is in."""
        with self._lock:
            self._is_closed = True
            for group in list(self._groups):
                self.stop(group.followers)
            for follower in list(self._followers):
                self.stop(follower)
            thread = self._thread
            self._looked.notify_all()
        self.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_SECONDS)

    def wake(self) -> None:
        """Let the thread look now."""
        wakeups = self._wakeups
        if wakeups is not None:
            wakeups.wake()

    def resume(self) -> None:
        """Start the thread, if there is none and somebody follows."""
        with self._lock:
            if self._thread is None and self._has_work():
                self._thread = threading.Thread(target=self._run, name="model-inbox-follower", daemon=True)
                self._thread.start()

    def monotonic(self) -> float:
        """Return seconds that no change of the clock affects."""
        return time.monotonic()

    def after_fork(self) -> None:
        """In the child of a fork: no other thread is here, and what waits for the journal belongs to the parent."""
        self._lock = threading.RLock()
        self._looked = threading.Condition(self._lock)
        self._thread = None
        if self._wakeups is not None:
            self._wakeups.after_fork()
            self._wakeups = None
        self._feed.close()
        self._feed = self._source.feed(self._feed.position)
        self._in_hand = None
        for follower in self._followers:
            # The thread may have been in the middle of a swap.
            served = follower._served
            follower._state.course.served = key_of(served.entry) if served is not None else None
            follower._after_fork()

    # --- the thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wakeups = self._source.wakeups()
        with self._lock:
            self._wakeups = wakeups
        try:
            while self._goes_on():
                self._look_guarded()
                wakeups.wait(self._pause())
        finally:
            with self._lock:
                if self._wakeups is wakeups:
                    self._wakeups = None
                if self._thread is threading.current_thread():
                    self._let_others_run()
            wakeups.close()

    def _has_work(self) -> bool:
        return bool(self._followers or self._groups) and not self._is_closed

    def _goes_on(self) -> bool:
        """Return whether the thread is still needed. If not, the next `follow` starts another one."""
        with self._lock:
            if self._thread is not threading.current_thread():
                return False
            if not self._has_work():
                self._let_others_run()
                return False
            self._looks_begun += 1
            return True

    def _let_others_run(self) -> None:
        """End the turn of this thread, under the lock: the next one has the feed from here on."""
        self._feed.close()
        self._thread = None

    def _pause(self) -> float:
        if self._unforeseen:
            # What is due stays due, as it was not come to.
            return CLOCK_SECONDS
        now = self.monotonic()
        dues = [due for one in list(self._followers) if (due := one._state.course.next_due(now)) is not None]
        return min([CLOCK_SECONDS, *dues])

    def _look_guarded(self) -> None:
        """Look, whatever happens: what nobody foresaw must not end the thread, which would go unnoticed."""
        error = _attempt(self._look)
        if isinstance(error, BaseException) and not self._is_closed:
            self._discard()
            self._unforeseen += 1
            if self._unforeseen.bit_count() == 1:
                lines = "".join(traceback.format_exception(error))
                log.error(
                    "follower.failed_unexpectedly",
                    problem=problem_of(error),
                    attempt=self._unforeseen,
                    traceback=escaped(lines[-_TRACEBACK_CHARACTERS_MAX:], _TRACEBACK_CHARACTERS_MAX),
                )
        else:
            self._unforeseen = 0
        with self._looked:
            self._looks_done = self._looks_begun
            self._looked.notify_all()

    def _look(self) -> None:
        """Take in what was committed, and bring every follower to what the registry names now."""
        moved, problem = self._read_feed()
        problem = self._source.refresh() or problem
        self._tell_lost(problem)
        self._find_slots()
        for follower in list(self._followers):
            if not follower.closed:
                self._attend(follower, has_moved=follower._name in moved, is_known=problem is None)

    def _read_feed(self) -> tuple[set[Name], ModelInboxError | None]:
        """Return the names that were given to models since the last look, and why more cannot be known."""
        moved: set[Name] = set()
        try:
            while True:
                found = self._feed.read()
                if isinstance(found, Changes):
                    moved |= moved_names(found.lines)
                    if not found.lines:
                        return moved, None
                else:
                    # The holders of all names are compared below, as after every look.
                    moved.clear()
        except ModelInboxError as error:
            return moved, error

    def _tell_lost(self, problem: ModelInboxError | None) -> None:
        text = escaped(problem, 1000) if problem is not None else ""
        if text and not self._lost:
            log.warning("follower.registry_lost", path=self._source.path, problem=text)
        elif self._lost and not text:
            log.info("follower.registry_found", path=self._source.path)
        self._lost = text

    def _find_slots(self) -> None:
        """Make followers of slots that are new, and hand out those that have a model by now."""
        for group in list(self._groups):
            for slot in self._source.slots():
                if slot not in group.members and group.wanted.matches(slot):
                    with self._lock:
                        # Another thread may have closed it: nobody would end its followers.
                        if group in self._groups:
                            group.members[slot] = self._new_follower(group.wanted, slot)

    def _new_follower(self, asked: Wanted, slot: Slot) -> Follower:
        state = State(Course(asked.give_up_after), asked.try_out)
        follower = Follower(self, Name(slot, asked.alias), state, asked.max_age)
        self._followers.append(follower)
        return follower

    def _attend(self, follower: Follower, *, has_moved: bool, is_known: bool) -> None:
        """Do for one follower what is to be done now."""
        state, name = follower._state, follower._name
        reports = follower._take_reports()
        for key, problem in reports:
            log.warning("follower.model_failed", name=str(name), model_id=key.model_id, problem=problem)
        holder = self._source.holder(name)
        step = state.course.look(
            key_of(holder) if holder is not None else None, has_moved=has_moved, now=self.monotonic()
        )
        for key, problem in reports:
            if state.course.reported(key):
                state.problem = problem
                step = Step.BACK
        if step is Step.LOAD and holder is not None:
            self._load_holder(follower, holder)
            step = state.course.look(state.course.holder, has_moved=False, now=self.monotonic())
        if step is Step.BACK:
            self._go_back(follower)
        if state.course.is_fresh() and follower.fallen_back is not None:
            # The registry names the model now that was gone back to.
            follower._fallen_back, state.problem = None, ""
        self._tell_holder_lost(follower, holder)
        self._tell_age(follower, is_known=is_known)

    def _load_holder(self, follower: Follower, holder: Entry) -> None:
        """Load the model that the registry names and serve it, if it is still named then."""
        state, name = follower._state, follower._name
        begun = self.monotonic()
        loaded = _attempt(partial(self._prepared, follower, holder))
        if isinstance(loaded, BaseException):
            follower.counts.load_failures += 1
            state.problem = problem_of(loaded)
            pause = state.course.load_failed(self.monotonic())
            self._log_failure(follower, holder, state.course.attempts, pause)
            if follower._served is None:
                state.error = loaded
            return
        # A load may take long. What nobody names any more is not served.
        if follower.closed:
            self._discard()
            return
        self._source.refresh()
        again = self._source.holder(name)
        if again is None or key_of(again) != key_of(holder):
            self._discard()
            self.wake()
            return
        follower.counts.load_seconds = self.monotonic() - begun
        self._swap(follower, loaded, None)

    def _go_back(self, follower: Follower) -> None:
        """Serve the latest holder before that can be loaded, in the place of the one that fails."""
        state = follower._state
        try:
            before = self._source.before(follower._name)
        except ModelInboxError as error:
            state.problem, before = problem_of(error), []
        for entry in before:
            if not state.course.is_worth_going_back_to(key_of(entry)):
                continue
            loaded = _attempt(partial(self._prepared, follower, entry))
            if isinstance(loaded, Loaded):
                failed = state.course.holder.model_id if state.course.holder is not None else ""
                fallen = FallenBack(failed, str(entry["model_id"]), self._source.now(), state.problem)
                follower.counts.fallbacks += 1
                self._swap(follower, loaded, fallen)
                return
            follower.counts.load_failures += 1
            state.problem = problem_of(loaded)
            self._log_failure(follower, entry, 1, None)
        state.course.went_back()
        if (served := follower._served) is not None:
            log.error(
                "follower.not_fallen_back",
                name=str(follower._name),
                model_id=served.entry["model_id"],
                problem=state.problem,
            )

    def _prepared(self, follower: Follower, entry: Entry) -> Loaded:
        """Return a model that was loaded, or is served already under another name, and that was tried out."""
        key = key_of(entry)
        with self._lock:
            # Whoever closes another follower of this model does not let go of it from here on.
            self._in_hand = key
            follower._state.trying = key.model_id
            loaded = self._loaded.get(key)
        try:
            if loaded is None:
                loaded = self._source.load(entry)
                with self._lock:
                    self._loaded[key] = loaded
            if follower._state.try_out is not None:
                follower._state.try_out(loaded.model, loaded.scaler)
        except BaseException:
            self._discard()
            raise
        finally:
            follower._state.trying = ""
        return loaded

    def _swap(self, follower: Follower, loaded: Loaded, fallen: FallenBack | None) -> None:
        """Serve a model, and let go of the one before if no other follower serves it."""
        state, entry = follower._state, loaded.entry
        with self._lock:
            if follower.closed:
                self._discard()
                return
            before = follower._served.entry["model_id"] if follower._served is not None else None
            # Before the model is there, so that who sees it sees all of this.
            state.error = None
            follower.counts.swaps += 1
            state.course.serves(key_of(entry))
            if fallen is None:
                state.problem = ""
                state.fresh_at = self.monotonic() - self._source.lag_seconds()
            follower._serve(entry, loaded.model, loaded.scaler, fallen)
            for group in self._groups:
                if group.members.get(follower.slot) is follower and follower.slot not in group.followers:
                    group.followers._add(follower)
            self._discard()
        name = str(follower._name)
        if fallen is None:
            seconds = round(follower.counts.load_seconds, 3)
            log.info("follower.swapped", name=name, model_id=entry["model_id"], before=before, seconds=seconds)
        else:
            log.error(
                "follower.fallen_back",
                name=name,
                model_id=fallen.model_id,
                serving=fallen.serving,
                problem=fallen.problem,
            )

    def _discard(self) -> None:
        """End what is in hand: it is served by now, or let go of."""
        with self._lock:
            self._in_hand = None
            self._let_go()

    def _let_go(self) -> None:
        """Let go of what nobody serves any more, and is not in hand. Under the lock."""
        kept = {key_of(served.entry) for one in self._followers if (served := one._served) is not None}
        for key in self._loaded.keys() - kept - {self._in_hand}:
            self._loaded.pop(key).close()

    def _log_failure(self, follower: Follower, entry: Entry, attempt: int, pause: float | None) -> None:
        served = follower._served
        log.warning(
            "follower.load_failed",
            name=str(follower._name),
            model_id=entry["model_id"],
            serving=served.entry["model_id"] if served is not None else None,
            problem=follower._state.problem,
            attempt=attempt,
            retry_in_seconds=pause,
        )

    def _tell_holder_lost(self, follower: Follower, holder: Entry | None) -> None:
        """Say once that nobody holds the name any more. What was served still is."""
        state, served = follower._state, follower._served
        if holder is None and served is not None and state.problem != _NO_HOLDER:
            state.problem = _NO_HOLDER
            log.warning("follower.holder_lost", name=str(follower._name), serving=served.entry["model_id"])
        elif holder is not None and state.problem == _NO_HOLDER:
            state.problem = ""

    def _tell_age(self, follower: Follower, *, is_known: bool) -> None:
        """Note that what is served is what the registry names, and say when that has not been so for too long."""
        state = follower._state
        if is_known and state.course.is_fresh():
            state.fresh_at = self.monotonic() - self._source.lag_seconds()
        if follower.is_stale != state.is_stale:
            state.is_stale = not state.is_stale
            if state.is_stale:
                log.error("follower.became_stale", name=str(follower._name), age_seconds=round(follower.age, 1))
            else:
                log.info("follower.became_fresh", name=str(follower._name))

    def _why_nothing(self, follower: Follower) -> BaseException:
        """Return why there is nothing to serve."""
        if follower._state.error is not None:
            return follower._state.error
        return EntryNotFound(
            f"cannot follow {quoted(str(follower._name))} of {self._source.path!r}: there is no such model yet",
            hint="`model-inbox list` shows what there is; `wait=SECONDS` waits for the first one",
        )


def _has_model(followed: Follower | Followers) -> bool:
    return followed._served is not None if isinstance(followed, Follower) else len(followed) > 0


def _attempt(work: Callable[[], _T]) -> _T | BaseException:
    """Return what it returns or raises. A model's code may raise anything, SystemExit included."""
    try:
        return work()
    except BaseException as error:  # noqa: BLE001  # it is logged by the caller, and must not end the thread
        return error


_hubs: weakref.WeakSet[FollowerHub] = weakref.WeakSet()


def _after_fork() -> None:
    source_after_fork()
    for hub in list(_hubs):
        hub.after_fork()


os.register_at_fork(after_in_child=_after_fork)

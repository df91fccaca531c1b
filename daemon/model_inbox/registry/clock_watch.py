"""The machine's clock as one handle on the registry watches it: jumps are noticed and written into the journal.

Owns the saved reading of the clocks (`<registry>.clock.json`) and when a `clock` line is written. What counts as a jump
and what follows from one is decided in `clock`. Removes nothing and keeps nothing from being removed: who removes by
age asks here first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ..base.boot import BootClock, BootTime
from ..base.disk import Disk, read_bytes, replace_file
from ..base.log import log
from ..base.units import format_duration
from ..errors import ClockHeld, RegistryLocked, StorageError
from .clock import (
    TOLERANCE_SECONDS,
    ClockDoubt,
    ClockLine,
    Jump,
    Reading,
    confirmation,
    corrected_stamp,
    doubt_of,
    doubt_of_jump,
    draft_of,
    find_jump,
    in_words,
    parse_reading,
    reading_bytes,
)
from .journal import format_time
from .store import Store

__all__ = ["ClockWatch", "Looked"]

CLOCK_MODE = 0o640
# Steps of the clock within that time add up.
BASE_SECONDS = 3600.0
# A saved reading that is by so much off is saved again.
SAVED_OFF_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the clock came to: the time of day, and why it may be wrong, or None.

    `problem` says why that cannot be found out now, or is empty. For `hold_seconds` nothing is to be retired or purged,
    for `behind_seconds` drops that look future-dated wait.
    """

    now: datetime
    doubt: ClockDoubt | None = None
    problem: str = ""
    hold_seconds: float = 0.0
    behind_seconds: float = 0.0

    def must_be_believed(self, to: str) -> None:
        """Raise ClockHeld while nothing is to be removed by the clock. `to` completes "cannot ..."."""
        if self.problem:
            raise ClockHeld(f"cannot {to}: it is not known whether the clock is right: {self.problem}")
        if self.doubt is None or not self.doubt.is_held:
            return
        jump, left = self.doubt.jump, format_duration(self.doubt.hold_seconds)
        raise ClockHeld(
            f"cannot {to}: {in_words(jump)}, from {format_time(jump.before)} to {format_time(jump.after)}, "
            f"and nothing is retired or purged for {left} from now",
            hint="Check the clock (`date -u`, `timedatectl`). If it is right: `model-inbox retention confirm-clock`",
        )


class ClockWatch:
    """Watches the clock. A handle that only reads notices jumps, and writes nothing. One thread."""

    def __init__(self, store: Store, clock: Callable[[], datetime], boot: BootClock, disk: Disk) -> None:
        self._store = store
        self._clock = clock
        self._boot = boot
        self._disk = disk
        self._path = store.files.clock
        self._saved = self._base = self._read()
        self._shown: list[Reading] = []
        self._failure = ""
        self._seen_at = -1  # after which line that was
        self.seen: Looked | None = None
        """What the last look came to."""

    def note_shown(self, wall: datetime) -> None:
        """Note what the clock showed before, in whatever boot that was."""
        self._shown = [Reading(wall, BootTime("", 0.0))]

    def read(self) -> Looked:
        """Read the clocks, and compare them with what is known. Writes nothing. Raises StorageError."""
        return self._compare(Reading(self._clock(), self._boot.read()))

    def look(self) -> Looked:
        """Do what `read` does, write the line for a jump, and save the reading from time to time.

        A failure is logged and tried again at the next look: the doubt is there meanwhile. Raises RegistryError for a
        damaged journal.
        """
        wall, seconds = self._clock(), self._boot.seconds()
        if self._is_as_before(wall, seconds):
            return Looked(wall)
        now = Reading(wall, self._boot.read())
        try:
            looked = self._compare(now)
        except StorageError as error:
            self._log_failure(str(error))
            self.seen = Looked(wall, None, str(error), LOOK_AGAIN_SECONDS)
            return self.seen
        try:
            if looked.doubt is not None and looked.doubt.sequence is None:
                self._note(now)
                looked = self._compare(now)
            else:
                self._keep_base(now)
        except (StorageError, RegistryLocked) as error:
            self._log_failure(str(error))
        else:
            self._failure = ""
        self.seen, self._seen_at = looked, self._store.state.sequence
        return looked

    def confirm(self, actor: str) -> int | None:
        """Write the line that says that the clock is right. Return its number, or None if nothing is in doubt.

        A jump that nobody noticed yet gets its line first. Raises RegistryError and StorageError.
        """
        with self._store.writing():
            now = Reading(self._clock(), self._boot.read())
            looked = self._compare(now)
            if looked.doubt is not None and looked.doubt.sequence is None:
                self._note(now)
            newest = self._store.newest_clock_line()
            if newest is None or newest.jump is None or (looked.doubt is None and newest.is_believed):
                return None
            # A crash before this line leaves the doubt; after it there is none for any process.
            (line,) = self._store.commit([confirmation(now, actor)])
        self._save(now)
        return line.sequence

    def corrected(self, at: datetime) -> datetime:
        """Return the time of a file by the clock as it was corrected since. Raises StorageError."""
        return corrected_stamp(at, self._store.clock_lines())

    # --- inside -----------------------------------------------------------------------------------------------

    def _is_as_before(self, wall: datetime, seconds: float) -> bool:
        """Return whether the last look found no doubt, and neither clock nor journal has changed since.

        Nearly always, so that a look before each piece of work costs nothing.
        """
        base, seen = self._base, self.seen
        if base is None or seen is None or seen.doubt is not None or seen.problem or self._failure:
            return False
        passed = seconds - base.boot.seconds
        step = (wall - base.wall).total_seconds() - passed
        is_new = self._seen_at != self._store.state.sequence
        return not is_new and abs(step) <= TOLERANCE_SECONDS and passed < BASE_SECONDS

    def _compare(self, now: Reading) -> Looked:
        self._store.refresh()
        if self._base is None:  # another handle may have saved one by now
            self._saved = self._base = self._read()
        newest = self._store.newest_clock_line()
        jump = self._jump(now, newest)
        doubt = doubt_of_jump(jump, newest) if jump is not None else doubt_of(newest, now.boot)
        if doubt is None:
            return Looked(now.wall)
        return Looked(now.wall, doubt, "", doubt.hold_seconds, doubt.behind_seconds)

    def _jump(self, now: Reading, newest: ClockLine | None) -> Jump | None:
        known = [*self._shown, *([self._base] if self._base is not None else [])]
        return find_jump(now, known, newest, self._store.state.last_time)

    def _note(self, now: Reading) -> None:
        """Write the line for the jump that there is, unless another process has done so by now."""
        with self._store.writing():
            newest = self._store.newest_clock_line()
            jump = self._jump(now, newest)
            if jump is not None:
                # A crash before this line: the next look finds the jump again. After it: the line tells how the clocks
                # stood, so that it is not found again, whatever reading is saved.
                self._store.commit([draft_of(jump, now, newest, "clock")])
        self._save(now)

    def _log_failure(self, problem: str) -> None:
        if problem != self._failure:
            log.error("registry.clock_unwritten", problem=problem)
        self._failure = problem

    def _read(self) -> Reading | None:
        try:
            return parse_reading(read_bytes(self._path))
        except (FileNotFoundError, StorageError):
            return None

    def _keep_base(self, now: Reading) -> None:
        """Compare with `now` from now on, if it is time, and save it if the saved reading does not say the same."""
        if self._store.read_only:
            return
        since = now.boot.since(self._base.boot) if self._base is not None else None
        if since is None or since >= BASE_SECONDS:
            self._base = now
            if self._saved is None or _off(now, self._saved) > SAVED_OFF_SECONDS:
                self._save(now)

    def _save(self, now: Reading) -> None:
        """Put the reading in its place, durably. A crash leaves the old one, which is as true."""
        replace_file(self._disk, self._path, reading_bytes(now), CLOCK_MODE)
        self._saved = self._base = now


def _off(one: Reading, other: Reading) -> float:
    """Return by how many seconds two readings differ, apart from the time between them."""
    passed = one.boot.since(other.boot)
    return abs((one.wall - other.wall).total_seconds() - passed) if passed is not None else math.inf

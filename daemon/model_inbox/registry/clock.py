"""Whether the machine's clock can be believed: jumps, the journal lines that tell of them, and for how long they count.

Owns the comparison of two readings of the clocks, the contents of a `clock` line, and what follows from such lines: how
long nothing is removed by age, how long drops that look future-dated wait, and what another line's time would be by the
present clock. Pure: it touches neither a disk nor a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ..base.boot import BootTime
from ..base.units import format_duration
from .journal import Draft, Line, format_time, parse_time

__all__ = [
    "CLOCK_FORMAT",
    "HOLD_SECONDS",
    "TOLERANCE_SECONDS",
    "ClockDoubt",
    "ClockLine",
    "Jump",
    "Reading",
    "clock_line",
    "confirmation",
    "corrected",
    "corrected_stamp",
    "doubt_of",
    "doubt_of_jump",
    "draft_of",
    "find_jump",
    "in_words",
    "parse_reading",
    "reading_bytes",
]

# Steps of the clock up to this are no jump. Slewing (adjtime, NTP) changes the clock and CLOCK_BOOTTIME alike, so only
# steps show. Those of time synchronization are seconds, a leap second is one; ages are hours and days.
TOLERANCE_SECONDS = 60.0
# How long after a jump nothing is retired or purged: time for a person, or time synchronization, to correct the clock.
HOLD_SECONDS = 3600.0
# How long after a jump backwards drops that look future-dated wait.
BEHIND_SECONDS = 86_400.0

CLOCK_FORMAT_NAME = "model-inbox-clock/"
CLOCK_FORMAT = f"{CLOCK_FORMAT_NAME}1"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the time of day was, and the seconds since the boot, at one moment."""

    wall: datetime
    boot: BootTime


@dataclass(frozen=True, slots=True)
class Jump:
    """The clock should show `before` (or at least that), and shows `after`."""

    before: datetime
    after: datetime

    @property
    def seconds(self) -> float:
        """By how much the clock was put ahead; negative if it was put back."""
        return (self.after - self.before).total_seconds()


@dataclass(frozen=True, slots=True)
class ClockLine:
    """What a `clock` line of the journal says: a jump, or (None) that somebody confirmed the clock.

    `total_seconds` adds up the jumps since the clock was last believed.
    """

    sequence: int
    reading: Reading
    jump: Jump | None
    total_seconds: float = 0.0

    @property
    def is_believed(self) -> bool:
        """Whether the clock can be believed after this line: it was confirmed, or is back where it was."""
        return self.jump is None or abs(self.total_seconds) <= TOLERANCE_SECONDS


@dataclass(frozen=True, slots=True)
class ClockDoubt:
    """A jump that still counts. `sequence` is its line's number; None while there is none, as it cannot be written.

    For `hold_seconds` more nothing is retired or purged; for `behind_seconds` more the clock is taken to be behind.
    """

    jump: Jump
    sequence: int | None
    hold_seconds: float
    behind_seconds: float

    @property
    def is_held(self) -> bool:
        """Whether nothing is to be retired or purged now."""
        return self.hold_seconds > 0


# --- comparing -----------------------------------------------------------------------------------------------


def find_jump(now: Reading, known: Sequence[Reading], newest: ClockLine | None, last_time: str) -> Jump | None:
    """Return the jump between what was known of the clocks and `now`, or None.

    That is: earlier readings, the `newest` line about the clock, and the time of the last line of all (or ""). Within
    one boot the time of day must go on as the seconds since the boot do. From another boot only the order is known:
    the machine may have been off for any time, so a clock that is ahead is believed, and one that is behind is not.
    """
    # Of two readings of one moment the line counts, which all handles know.
    known = [newest.reading, *known] if newest is not None else known
    same = [reading for reading in known if now.boot.since(reading.boot) is not None]
    if same:
        latest = max(same, key=lambda reading: reading.boot.seconds)
        before = _later(latest.wall, now.boot.seconds - latest.boot.seconds)
        if abs((now.wall - before).total_seconds()) > TOLERANCE_SECONDS:
            return Jump(before, now.wall)
    else:
        before = max((reading.wall for reading in known), default=now.wall)
        if (before - now.wall).total_seconds() > TOLERANCE_SECONDS:
            return Jump(before, now.wall)
        if newest is not None and newest.jump is not None and newest.total_seconds < -TOLERANCE_SECONDS:
            regained = (now.wall - newest.reading.wall).total_seconds() + newest.total_seconds
            if regained > -TOLERANCE_SECONDS:
                # It was behind in an earlier boot, and is not any more: somebody corrected it meanwhile.
                return Jump(newest.reading.wall, now.wall)
    last = parse_time(last_time) if last_time else now.wall
    return Jump(last, now.wall) if (last - now.wall).total_seconds() > TOLERANCE_SECONDS else None


def _later(moment: datetime, seconds: float) -> datetime:
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return moment


# --- lines ---------------------------------------------------------------------------------------------------


def draft_of(jump: Jump, now: Reading, newest: ClockLine | None, actor: str) -> Draft:
    """Return the line that tells of a jump."""
    detail = {
        "before": format_time(jump.before),
        "after": format_time(jump.after),
        "seconds": round(jump.seconds, 6),
        "total_seconds": round(_total(jump, newest), 6),
        **_boot_fields(now.boot),
    }
    return Draft("clock", "", in_words(jump), actor, detail=detail)


def confirmation(now: Reading, actor: str) -> Draft:
    """Return the line that tells that somebody confirmed the clock."""
    detail = {"confirmed": True, **_boot_fields(now.boot)}
    return Draft("clock", "", "the clock was confirmed", actor, detail=detail)


def in_words(jump: Jump) -> str:
    """Return a jump as a sentence without its end: "the clock was put ahead by 400d"."""
    way = "ahead" if jump.seconds > 0 else "back"
    return f"the clock was put {way} by {format_duration(abs(round(jump.seconds)))}"


def clock_line(line: Line) -> ClockLine:
    """Return what a `clock` line says. One that does not say it in our way counts as a jump by nothing."""
    detail: Mapping[str, Any] = line.detail or {}
    boot = BootTime(str(detail.get("boot_id", "")), _number(detail.get("boottime")))
    reading = Reading(line.at, boot)
    if detail.get("confirmed") is True:
        return ClockLine(line.sequence, reading, None)
    try:
        jump = Jump(_instant(detail["before"]), _instant(detail["after"]))
    except (KeyError, TypeError, ValueError):
        jump = Jump(line.at, line.at)
    return ClockLine(line.sequence, reading, jump, _number(detail.get("total_seconds")))


# --- what follows --------------------------------------------------------------------------------------------


def doubt_of(newest: ClockLine | None, boot: BootTime) -> ClockDoubt | None:
    """Return what the newest line about the clock means by now; None if it means nothing any more.

    The time since is that of the boot, as far as the line is of the same one. After a restart of the machine it is at
    least the time since that: the hours begin again.
    """
    if newest is None or newest.jump is None:
        return None
    since = boot.since(newest.reading.boot)
    if since is None:
        since = boot.seconds
        if not (boot.is_known and newest.reading.boot.is_known) and boot.seconds >= newest.reading.boot.seconds:
            since = boot.seconds - newest.reading.boot.seconds
    since = max(since, 0.0)
    is_behind = newest.total_seconds < -TOLERANCE_SECONDS
    hold, behind = HOLD_SECONDS - since, (BEHIND_SECONDS - since) if is_behind else 0.0
    if hold <= 0 and behind <= 0:
        return None
    return ClockDoubt(newest.jump, newest.sequence, max(hold, 0.0), max(behind, 0.0))


def doubt_of_jump(jump: Jump, newest: ClockLine | None) -> ClockDoubt:
    """Return what a jump means that has no line yet."""
    is_behind = _total(jump, newest) < -TOLERANCE_SECONDS
    return ClockDoubt(jump, None, HOLD_SECONDS, BEHIND_SECONDS if is_behind else 0.0)


def _total(jump: Jump, newest: ClockLine | None) -> float:
    return (newest.total_seconds if newest is not None and not newest.is_believed else 0.0) + jump.seconds


def corrected(line: Line, clock_lines: Sequence[ClockLine]) -> datetime:
    """Return the time of a line by the clock as it was corrected later.

    The clock was in doubt from a jump until it was believed again. What was stamped in between moves with the jumps
    that followed: a line of a clock that was 400 days ahead gets 400 days earlier when that is put back.
    """
    at, in_doubt = line.at, False
    for note in clock_lines:
        if note.sequence <= line.sequence:
            in_doubt = not note.is_believed
        elif not in_doubt:
            break
        else:
            at = _later(at, note.jump.seconds if note.jump is not None else 0.0)
            in_doubt = not note.is_believed
    return at


def corrected_stamp(at: datetime, clock_lines: Sequence[ClockLine]) -> datetime:
    """Return the time that a file was stamped with by the clock as it was corrected later.

    A file has no number among the lines, so its time alone says which clock stamped it: one that was behind, if the
    time is of the stretch that the clock showed then. Within that stretch a file of long ago looks younger, by as much
    as the clock was behind.
    """
    for number, note in enumerate(clock_lines):
        if note.is_believed or note.total_seconds > 0:
            continue
        later = clock_lines[number + 1 :]
        if later and later[0].jump is not None and note.reading.wall <= at <= later[0].jump.before:
            for one in later:
                at = _later(at, one.jump.seconds if one.jump is not None else 0.0)
                if one.is_believed:
                    break
            return at
    return at


# --- the saved reading ---------------------------------------------------------------------------------------


def reading_bytes(reading: Reading) -> bytes:
    """Return the bytes of the file that keeps a reading."""
    fields = {"format": CLOCK_FORMAT, "at": format_time(reading.wall), **_boot_fields(reading.boot)}
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def parse_reading(data: bytes) -> Reading | None:
    """Return the reading that a file keeps; None if it is damaged or of a later format: then nothing is known."""
    try:
        fields = orjson.loads(data)
        if fields["format"] != CLOCK_FORMAT:
            return None
        return Reading(_instant(fields["at"]), BootTime(str(fields["boot_id"]), float(fields["boottime"])))
    except (KeyError, TypeError, ValueError):
        return None


def _boot_fields(boot: BootTime) -> dict[str, Any]:
    return {"boot_id": boot.boot_id, "boottime": round(boot.seconds, 6)}


def _instant(text: Any) -> datetime:
    moment = parse_time(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0

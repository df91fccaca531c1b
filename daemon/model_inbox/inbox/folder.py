"""The inbox folder as it stands: what is in it, since when, and what `readiness` decides about each thing.

Owns reading sidecars, opening a producer's file to look at it, and what earlier claims came to. Which files are looked
at is `sight`'s. Only reads; `pipeline` moves files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from ..base.disk import content_of, read_regular
from ..base.leases import Lease
from ..base.machine import Machine
from ..config.settings import InboxSection
from ..model.file_names import SIDECAR, stem_of
from ..model.sidecar import Sidecar, parse_sidecar
from ..problems import Problem
from .crowd import in_turns
from .drop import Drop, Sighting, pair
from .late_file import LateFiles
from .permissions import unreadable
from .readiness import (
    Decision,
    Held,
    Limits,
    Look,
    Refuse,
    Rejection,
    Take,
    Wait,
    dated_by_the_clock,
    judge,
    judge_stray,
)
from .settle_time import settle_seconds_of
from .sight import Sight, sighting_of

__all__ = ["Inbox", "Rescan", "limits_of", "parse_sidecar_file"]

PARSE_SECONDS_PER_RESCAN = 0.25
FIRST_RETRY_SECONDS = 1.0
RACY_SECONDS = 0.05  # two writes in one tick of the kernel's clock look like one: what is that young is read again
KEPT_BYTES = 4 << 20  # of text; as objects it takes some seven times as much
LOOK_KEPT_SECONDS = 10.0  # of thousands of drops that are ready, few are taken before they are looked at again
CHANGED_SECONDS = 0.25  # a producer that rewrites its files all the time costs a claim that often


_Decision = TypeVar("_Decision", bound=Decision)

_COMPLETE_AND_FREE = Look(Lease.FREE, complete=True)


@dataclass(frozen=True, slots=True)
class Rescan:
    """What one look at the folder came to.

    `at` is when it began, on the monotonic clock: what the decisions say about time counts from there. `unread` are
    the owners of sidecars that there was no time to read. `resting` says how many things of each owner wait beside
    these, which were not looked at this time, and `rest_until` when the next of them is due. `found` counts those, too.
    `unlisted`: there were more new names than there was time for.
    """

    at: float
    found: int
    drops: tuple[tuple[Drop, Decision], ...]
    strays: tuple[tuple[Sighting, Wait | Refuse], ...]
    seconds: float
    unread: frozenset[int] = frozenset()
    resting: Mapping[int, int] = field(default_factory=dict)
    rest_until: float | None = None
    unlisted: bool = False

    @property
    def partial(self) -> bool:
        """Whether more is to be looked at, at once."""
        rest_is_over = self.rest_until is not None and self.rest_until <= self.at
        return self.unlisted or bool(self.unread) or rest_is_over

    @property
    def waiting(self) -> int:
        """How many things in the inbox wait: drops, and files that belong to none. Folders are not waited for."""
        drops = sum(isinstance(decision, Wait) for _, decision in self.drops)
        strays = sum(isinstance(d, Wait) and stray.kind != "folder" for stray, d in self.strays)
        return drops + strays + sum(self.resting.values())

    @property
    def next_at(self) -> float | None:
        """When, on the monotonic clock, something is due to be judged again, or None."""
        dates = [
            self.at + decision.until
            for _, decision in (*self.drops, *self.strays)
            if isinstance(decision, Wait) and decision.until is not None
        ]
        if self.rest_until is not None:
            dates.append(self.rest_until)
        return min(dates, default=None)

    def held_by(self, problem: Problem, seconds: float, *, refusals_only: bool = False) -> Rescan:
        """Return this look with what was to be taken or refused waiting for an obstacle, `seconds` at the most.

        With `refusals_only` what is to be taken is not held.
        """
        held = Wait((problem,), seconds)
        kept = (Wait, Take) if refusals_only else (Wait,)
        return replace(
            self,
            drops=tuple((drop, what if isinstance(what, kept) else held) for drop, what in self.drops),
            strays=tuple((stray, what if isinstance(what, Wait) else held) for stray, what in self.strays),
        )

    def ready(self) -> list[tuple[Drop, Take | Refuse]]:
        """Return the drops to be taken or refused: oldest first, but the owners in turn."""
        due = [(drop, decision) for drop, decision in self.drops if isinstance(decision, (Take, Refuse))]
        # A sidecar that was not read yet may name a file of its owner that a refusal would take along.
        due = [item for item in due if isinstance(item[1], Take) or item[0].owner not in self.unread]
        due.sort(key=lambda item: (item[0].sightings[item[0].sidecar_name].ctime_ns, item[0].stem))
        return in_turns(due, lambda item: item[0].owner) if len(due) > 1 else due


@dataclass(slots=True)
class _Hold:
    """Why a drop is not claimed: until a moment, or (`signatures`) as long as its files are these.

    With `attempts` it could not be claimed that many times, the last time with its files as they were `seen`.
    """

    problems: tuple[Problem, ...]
    again_at: float = 0.0
    attempts: int = 0
    seen: Mapping[str, tuple[int, int, int, int]] | None = None
    signatures: Mapping[str, tuple[int, int, int, int]] | None = None


class Inbox(Sight):
    """The folder that producers write into.

    The clock is asked for `trained_at` in the future and the age of what was there at the start; settle times and
    time-outs count in monotonic seconds, so that a clock that jumps changes nothing.
    """

    def __init__(self, path: Path, limits: Limits, machine: Machine) -> None:
        super().__init__(path, limits, machine)
        self._holds: dict[str, _Hold] = {}
        self._late_files = LateFiles(self.rejected_dir)
        self.clock_behind_seconds = 0.0
        """For how long the clock is taken to be behind. Set before each look."""

    # --- looking ----------------------------------------------------------------------------------------------

    def rescan(self, changed: Collection[str] | None = None) -> Rescan:
        """Look at what is in the folder, and decide about it. Raises StorageError when it cannot be listed.

        `changed` are names that events told of: only these and what is in sight are looked at, and the folder is not
        listed. Without it the folder is listed. In sight is all that waits, but of one owner no more than IN_SIGHT_MAX
        drops and strays; the others rest, until an event or the listing tells of them or RELOOK_SECONDS are over.
        """
        began = self._monotonic()
        sightings = self._see(changed, began)
        if self._suspects.known and changed is None and not self._crowd.units:
            self._suspects.keep(set(map(_mark, sightings.values())))
        sidecars, unread = self._read_sidecars(sightings)
        if changed is not None or self._crowd.units:
            self._add_named(sightings, sidecars, began)
        drops, strays = pair(sightings, sidecars)
        for name in [name for name in self._holds if not self._is_known(name)]:
            del self._holds[name]
        if self._crowd.units:
            unread |= self._crowd.urgent
        if self._is_unlisted:
            unread |= {sighting.owner for sighting in sightings.values()}  # whose the others are is not known
        judged = [self._judged(drop) for drop in drops]
        unreadable = {sightings[name].owner: why for name, why in sidecars.items() if isinstance(why, Problem)}
        judged_strays = [
            (stray, self._judged_stray(stray, sightings, unreadable))
            for stray in strays
            if stray.owner not in unread  # it may belong to a sidecar that was not read yet
        ]
        if len(sightings) > self.in_sight_max:
            judged, judged_strays = self._let_rest(judged, judged_strays, began)
        self._forget_much_text(judged)
        self.work.write(*self._suspects.words)
        found = len(self._memory) + len(self._crowd.units) + len(self._crowd.files)
        seconds = self._monotonic() - began
        rescan = Rescan(began, found, tuple(judged), tuple(judged_strays), seconds, unread, unlisted=self._is_unlisted)
        if self._crowd.units:
            return replace(rescan, resting=self._crowd.waiting, rest_until=self._crowd.next_at)
        return rescan

    def _judged(self, drop: Drop) -> tuple[Drop, Decision]:
        self._progress()
        leading, seen = drop.sightings[drop.sidecar_name], drop.sightings.values()
        return drop, self._decided(leading, seen, lambda: judge(drop, self, self.limits))

    def _decided(
        self, leading: Sighting, seen: Collection[Sighting], decide: Callable[[], _Decision]
    ) -> _Decision | Wait | Refuse:
        """Decide about files, of which one is `leading`. What nobody foresaw costs them, and neither us nor others."""
        if self._suspects.known and (decision := self._suspects.decision(map(_mark, seen))) is not None:
            return decision
        try:
            decided = decide()
        except OSError as error:
            return Wait((self._unreadable(leading.name, error),), FIRST_RETRY_SECONDS)
        except Exception as error:  # noqa: BLE001  # whatever it is
            return self.note_failed(leading, error)
        if self._suspects.known:
            self._suspects.looked_at(map(_mark, seen))
        return decided

    def _judged_stray(
        self, stray: Sighting, names: Mapping[str, Sighting], unreadable: Mapping[int, Problem]
    ) -> Wait | Refuse:
        return self._decided(stray, [stray], lambda: judge_stray(stray, names, self, self.limits, unreadable))

    def note_failed(self, sighting: Sighting, error: Exception) -> Wait | Refuse:
        """Remember that a file could not be looked at or claimed, for a reason that nobody foresaw; return what now."""
        return self._suspects.failed(_mark(sighting), sighting.name, error)

    def _read_sidecars(self, sightings: Mapping[str, Sighting]) -> tuple[dict[str, Sidecar | Problem], frozenset[int]]:
        """Return what the sidecars say, and the owners of those that there was no time to read.

        Each owner's oldest come first, and the owners in turn; of each one is read in any case, so that it goes on.
        """
        sidecars: dict[str, Sidecar | Problem] = {}
        to_read = []
        for name, sighting in sightings.items():
            if SIDECAR.fullmatch(name) is None or sighting.kind == "folder":
                continue
            known = self._memory[name]
            if self._suspects.known and (decision := self._suspects.decision([_mark(sighting)])) is not None:
                (sidecars[name],) = decision.problems
                continue
            # One that could not be read is read again each time: what kept us from it may leave no trace on it. So is
            # one whose problems are the clock's, which may be corrected.
            if (
                known.sidecar is None
                or known.is_racy
                or isinstance(known.sidecar, Problem)
                or dated_by_the_clock(known.sidecar.problems)
            ):
                to_read.append(sighting)
            else:
                sidecars[name] = known.sidecar
        to_read.sort(key=lambda sighting: (self._memory[sighting.name].sidecar is not None, sighting.ctime_ns))
        if self._suspects.known:
            # Those first with which a daemon died: two of them must not hide each other's count for ever.
            to_read.sort(key=lambda sighting: _mark(sighting) not in self._suspects.known)
        began = self._monotonic()
        owners = len({sighting.owner for sighting in to_read})
        order = iter(to_read if owners == 1 else in_turns(to_read, lambda sighting: sighting.owner))
        for count, sighting in enumerate(order, 1):
            known = self._memory[sighting.name]
            known.is_racy = self._is_racy(sighting)
            known.sidecar = sidecars[sighting.name] = self._read_sidecar(sighting.name, sighting)
            if count >= owners and self._monotonic() - began > PARSE_SECONDS_PER_RESCAN:
                break
        return sidecars, frozenset(sighting.owner for sighting in order)

    def _forget_much_text(self, judged: Iterable[tuple[Drop, Decision]]) -> None:
        """Keep what waiting sidecars say only up to a size in all: thousands of large ones must not fill the memory.

        Of the others that is kept which `readiness` decides by; the rest is read again when they are taken.
        """
        kept = 0
        for drop, decision in judged:
            sidecar = drop.sidecar
            if not isinstance(decision, Wait) or sidecar is None or sidecar.metadata is None:
                continue
            kept += drop.sightings[drop.sidecar_name].size
            if kept > KEPT_BYTES:
                self._memory[drop.sidecar_name].sidecar = replace(sidecar, metadata=None)

    def _is_racy(self, sighting: Sighting) -> bool:
        """Return whether a file is so young that it may be written again without its times showing that."""
        return self._clock().timestamp() - sighting.ctime_ns / 1e9 < RACY_SECONDS

    def _read_sidecar(self, name: str, sighting: Sighting) -> Sidecar | Problem:
        if sighting.kind != "file":
            return parse_sidecar(b"", stem=stem_of(name), now=self._clock(), name=name)
        self.work.write(_mark(sighting), *self._suspects.words)
        try:
            return parse_sidecar_file(os.path.join(self.path, name), self._clock(), self.limits.max_sidecar_size)
        except OSError as error:
            return self._unreadable(name, error)
        except Exception as error:  # noqa: BLE001  # as in `_decided`
            return self.note_failed(sighting, error).problems[0]

    def _unreadable(self, name: str, error: OSError) -> Problem:
        found = None
        with suppress(OSError):
            found = self._disk.lstat(self.path / name)
        return unreadable(self.path, name, error, found)

    # --- facts, asked by `judge` ------------------------------------------------------------------------------

    def unchanged_seconds(self, name: str) -> float:
        """How long we have seen the name with its present signature."""
        return self._monotonic() - self._memory[name].since

    def age_seconds(self, name: str) -> float:
        """How long ago it changed last; for what was there when we started, by its own times."""
        return self._monotonic() - self._memory[name].changed

    def looks(self, names: Sequence[str]) -> dict[str, Look]:
        """Open each file and find out whether somebody writes it and whether it ends as a pickle does."""
        return {name: self._look_into(name) for name in names}

    def _look_into(self, name: str) -> Look:
        known = self._memory[name]
        if known.free_at is not None and self._monotonic() - known.free_at < LOOK_KEPT_SECONDS:
            return _COMPLETE_AND_FREE  # who writes to it since is found when it is staged
        known.free_at = None
        self.work.write(_mark(known.sighting), *self._suspects.words)
        try:
            fd, _ = self._disk.open_read(os.path.join(self.path, name))
        except OSError as error:
            return Look(Lease.UNKNOWN, complete=False, problem=self._unreadable(name, error))
        try:
            lease = self._read_lease(fd) if self.has_leases else Lease.UNKNOWN
            found, seen = self._disk.fstat(fd), known.sighting
            is_same = content_of(found) == (seen.inode, seen.size, seen.mtime_ns) and found.st_uid == seen.owner
            if not is_same or found.st_ctime_ns != seen.ctime_ns:
                lease = Lease.OPEN  # it has changed since it was listed, maybe after it was read
            if lease is Lease.OPEN:
                # A writer that has the file mapped changes it without a trace: nothing seen now is remembered.
                known.complete = known.sidecar = None
                return Look(lease, complete=False)
            # Imported here: commands that find an empty inbox need nothing of the scanner.
            from ..pickles import looks_complete

            racy = self._is_racy(known.sighting)
            complete = SIDECAR.fullmatch(name) is not None or known.complete or looks_complete(fd)
            known.complete = None if racy else complete
            if lease is Lease.FREE and complete:
                if not racy:
                    known.free_at = self._monotonic()
                return _COMPLETE_AND_FREE
            return Look(lease, complete)
        except OSError as error:
            return Look(Lease.UNKNOWN, complete=False, problem=self._unreadable(name, error))
        finally:
            os.close(fd)

    def rejection_of(self, stray: Sighting) -> Rejection | None:
        """The rejected drop that a file without a sidecar belongs to, as it was when the file was first seen."""
        known = self._memory[stray.name]
        if not known.is_rejection_known:
            oldest = self._clock() - timedelta(seconds=self.limits.incomplete_timeout)
            known.rejection = self._late_files.rejection_of(stray, f"{oldest.astimezone(UTC):%Y%m%dT%H%M%S}")
            known.is_rejection_known = True
        if known.rejection is not None and not self._disk.exists(self.rejected_dir / known.rejection.drop_id):
            known.rejection = None  # it was sent back, or purged
        return known.rejection

    def held(self, drop: Drop) -> Held | None:
        """Why this drop is not to be claimed now, from what an earlier claim of it came to."""
        hold = self._holds.get(drop.sidecar_name)
        if hold is None:
            return None
        if hold.signatures is not None:
            if hold.signatures == {name: drop.sightings[name].signature for name in drop.present}:
                return Held(hold.problems, None)
            del self._holds[drop.sidecar_name]
            return None
        if hold.attempts and hold.seen != self._signatures(drop.present):
            return None
        left = hold.again_at - self._monotonic()
        return Held(hold.problems, left) if left > 0 else None

    # --- what became of claims --------------------------------------------------------------------------------

    def note_not_whole(
        self, sidecar_name: str, contents: Mapping[str, tuple[int, int, int]], problems: tuple[Problem, ...]
    ) -> None:
        """Remember that a drop with these bytes, put back just now, is not complete, until its files change.

        `contents` are the names of its files and what they were like when that was seen: if one has changed
        since, nothing is remembered.
        """
        sightings = {name: sighting for name in contents if (sighting := self._look_at(name)) is not None}
        if {name: sighting.content for name, sighting in sightings.items()} != dict(contents):
            self.note_changed(sidecar_name, contents, problems)
            return
        for name, sighting in sightings.items():
            known = self._memory.get(name)
            if known is not None and known.sighting.content == sighting.content:
                known.sighting = sighting  # our rename changed its ctime; nobody touched it
        signatures = {name: sighting.signature for name, sighting in sightings.items()}
        self._holds[sidecar_name] = _Hold(problems, signatures=signatures)

    def note_changed(self, sidecar_name: str, names: Iterable[str], problems: tuple[Problem, ...]) -> None:
        """Remember that a drop changed while it was claimed: it is left alone for a moment, and seen as new."""
        for name in names:
            self._memory.pop(name, None)
            self._given_back.add(name)
        wait = min(self.limits.settle_seconds, CHANGED_SECONDS)
        self._holds[sidecar_name] = _Hold(problems, again_at=self._monotonic() + wait)

    def note_unmovable(self, sidecar_name: str, names: Iterable[str], problem: Problem, longest_seconds: float) -> None:
        """Remember that a drop could not be claimed: it is tried again, less and less often, or when it changes.

        `names` are its files. To remove an attribute from one of them, or to give a right, changes it.
        """
        earlier = self._holds.get(sidecar_name)
        attempts = earlier.attempts + 1 if earlier is not None and earlier.signatures is None else 1
        wait = min(FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 16), longest_seconds)
        self._holds[sidecar_name] = _Hold((problem,), self._monotonic() + wait, attempts, seen=self._signatures(names))

    def as_held(self, rescan: Rescan) -> Rescan:
        """Return a look with the drops waiting that were to be taken, and could not be."""
        passed = self._monotonic() - rescan.at
        drops = []
        for drop, decision in rescan.drops:
            held = self.held(drop) if not isinstance(decision, Wait) else None
            if held is None or held.seconds is None:
                drops.append((drop, decision))
            else:
                drops.append((drop, Wait(held.problems, passed + held.seconds)))
        return replace(rescan, drops=tuple(drops))

    def unmovable(self) -> list[Problem]:
        """Return what is known of the drops that could not be claimed."""
        return [hold.problems[0] for hold in self._holds.values() if hold.attempts]

    def held_until(self, after: float) -> float | None:
        """Return when, on the monotonic clock, the next drop that is held back may be claimed again, or None.

        Only moments later than `after`, the last look: what was due before it has been judged again.
        """
        moments = [hold.again_at for hold in self._holds.values() if hold.signatures is None]
        return min((moment for moment in moments if moment > after), default=None)

    def _signatures(self, names: Iterable[str]) -> dict[str, tuple[int, int, int, int]]:
        return {name: seen.signature for name in names if (seen := self._look_at(name)) is not None}

    def _look_at(self, name: str) -> Sighting | None:
        try:
            return sighting_of(name, self._disk.lstat(self.path / name))
        except OSError:
            return None


def parse_sidecar_file(path: Path | str, now: datetime, bytes_max: int) -> Sidecar:
    """Read and parse a sidecar. Raises OSError, also for anything but a regular file."""
    name = os.path.basename(path)
    data = read_regular(path, bytes_max)
    size = os.stat(path).st_size if len(data) > bytes_max else None
    stem = name.rpartition(".")[0]
    return parse_sidecar(data, stem=stem, now=now, name=name, bytes_max=bytes_max, size=size)


def _mark(sighting: Sighting) -> str:
    """Return what a version of a file is called in `Inbox.work`."""
    return f"{sighting.inode}:{sighting.size}:{sighting.mtime_ns}:{sighting.ctime_ns}"


def limits_of(inbox: InboxSection, *, polling: bool) -> Limits:
    """Return what config.yaml says about waiting, where the folder is polled or is not."""
    return Limits(
        settle_seconds_of(inbox.settle_seconds, polling=polling),
        inbox.incomplete_timeout,
        inbox.orphan_timeout,
        inbox.max_artifact_size,
        inbox.max_sidecar_size,
    )

"""The inbox folder as it stands: what is in it, since when, and what `readiness` decides about each thing.

Owns the listing of the folder, the memory of what was seen (nothing that a restart could not see anew), the
folders of ours inside it, and opening a producer's file to look at it. Only reads, but for making its own
folders; `pipeline` moves files.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from ..base.disk import make_folder, read_regular
from ..base.leases import Lease
from ..base.machine import Machine
from ..config.settings import InboxSection
from ..errors import ConfigError, StorageError
from ..model.sidecar import Sidecar, parse_sidecar
from ..model.sidecar_fields import SIDECAR_BYTES_MAX
from ..pickles import looks_complete
from ..problems import Problem
from ..problems.inbox import inbox_not_a_folder, inbox_not_ours
from .drop import IGNORED, SIDECAR_SUFFIX, Drop, Kind, Sighting, pair
from .permissions import unreadable
from .readiness import Decision, Held, Limits, Look, Refuse, Take, Wait, dated_by_the_clock, judge, judge_stray
from .settle_time import settle_seconds_of

__all__ = ["Inbox", "Rescan", "limits_of", "parse_sidecar_file"]

_Item = TypeVar("_Item")

INBOX_MODE = 0o3770  # setgid: files get the producers' group; sticky: nobody takes another's file away
OWN_MODE = 0o700
RECEIPTS_MODE = 0o750
PARSE_SECONDS_PER_RESCAN = 1.0
FIRST_RETRY_SECONDS = 1.0
RACY_SECONDS = 0.05  # two writes in one tick of the kernel's clock look like one: what is that young is read again
KEPT_BYTES = 4 << 20  # of text; as objects it takes some seven times as much
LOOK_KEPT_SECONDS = 10.0  # of thousands of drops that are ready, few are taken before they are looked at again
CHANGED_SECONDS = 0.25  # a producer that rewrites its files all the time costs a claim that often


_WHOLE_AND_FREE = Look(Lease.FREE, complete=True)


@dataclass(frozen=True, slots=True)
class Rescan:
    """What one look at the folder came to.

    `at` is when it began, on the monotonic clock: what the decisions say about time counts from there. `unread` are
    the owners of sidecars that there was no time to read; look again at once.
    """

    at: float
    found: int
    drops: tuple[tuple[Drop, Decision], ...]
    strays: tuple[tuple[Sighting, Wait | Refuse], ...]
    seconds: float
    unread: frozenset[int] = frozenset()

    @property
    def partial(self) -> bool:
        """Whether more sidecars wait to be read."""
        return bool(self.unread)

    @property
    def waiting(self) -> int:
        """How many things in the inbox wait: drops, and files that belong to none. Folders are not waited for."""
        drops = sum(isinstance(decision, Wait) for _, decision in self.drops)
        return drops + sum(isinstance(d, Wait) and stray.kind != "folder" for stray, d in self.strays)

    @property
    def next_at(self) -> float | None:
        """When, on the monotonic clock, something is due to be judged again, or None."""
        dates = [
            self.at + decision.until
            for _, decision in (*self.drops, *self.strays)
            if isinstance(decision, Wait) and decision.until is not None
        ]
        return min(dates, default=None)

    def ready(self) -> list[tuple[Drop, Take | Refuse]]:
        """Return the drops to be taken or refused: oldest first, but the owners in turn."""
        due = [(drop, decision) for drop, decision in self.drops if isinstance(decision, (Take, Refuse))]
        # A sidecar that was not read yet may name a file of its owner that a refusal would take along.
        due = [item for item in due if isinstance(item[1], Take) or item[0].owner not in self.unread]
        due.sort(key=lambda item: (item[0].sightings[item[0].sidecar_name].ctime_ns, item[0].stem))
        return _in_turns(due, lambda item: item[0].owner)


def _in_turns(items: Iterable[_Item], owner_of: Callable[[_Item], int]) -> list[_Item]:
    """Return the items in their order, but the owners in turn: one user's thousands hold up nobody else's first."""
    queues: dict[int, deque[_Item]] = {}
    for item in items:
        queues.setdefault(owner_of(item), deque()).append(item)
    order: list[_Item] = []
    while queues:
        for owner in list(queues):
            order.append(queues[owner].popleft())
            if not queues[owner]:
                del queues[owner]
    return order


@dataclass(slots=True)
class _Hold:
    """Why a drop is not claimed: until a moment, or (`signatures`) as long as its files are these."""

    problems: tuple[Problem, ...]
    again_at: float = 0.0
    attempts: int = 0
    signatures: Mapping[str, tuple[int, int, int, int]] | None = None


@dataclass(slots=True)
class _Memory:
    """What is remembered of a name as long as its signature stays the same. Times of the monotonic clock."""

    sighting: Sighting
    since: float
    changed: float
    sidecar: Sidecar | Problem | None = None
    is_racy: bool = False
    complete: bool | None = None
    free_at: float | None = None  # when it was seen whole, with nobody writing it


class Inbox:
    """The folder that producers write into.

    The clock is asked for `trained_at` in the future and the age of what was there at the start; settle times and
    time-outs count in monotonic seconds, so that a clock that jumps changes nothing.
    """

    def __init__(self, path: Path, limits: Limits, machine: Machine) -> None:
        self.path = path
        self._progress = machine.progress
        self.limits = limits
        self.receipts_dir = path / "receipts"
        self.rejected_dir = path / "rejected"
        self.processing_dir = path / ".processing"
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._disk = machine.disk
        self._read_lease = machine.read_lease
        self._memory: dict[str, _Memory] = {}
        self._holds: dict[str, _Hold] = {}
        self._folder: int | None = None
        self.has_leases = True
        self.clock_behind_seconds = 0.0
        """For how long the clock is taken to be behind. Whoever watches the clock sets it before each look."""

    # --- the folders ------------------------------------------------------------------------------------------

    def prepare(self, *, make: bool = True) -> None:
        """Make the inbox (unless `make` is false) and our folders in it, and see that they are ours.

        Raises StorageError, and ConfigError when one is a symlink, no folder, or somebody else's: whoever owns a
        folder of ours could put files under our hands.
        """
        if make:
            make_folder(self._disk, self.path, INBOX_MODE)
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError("open the inbox", self.path, error) from error
        try:
            self._prepare_folders(os.fstat(handle).st_uid)
        except BaseException:
            os.close(handle)
            raise
        self.close()
        self._folder = handle

    def _prepare_folders(self, owner: int) -> None:
        problems = []
        if os.geteuid() not in (0, owner):
            problems.append(inbox_not_ours(self.path, owner, os.geteuid()))
        else:
            for folder, mode in (
                (self.processing_dir, OWN_MODE),
                (self.rejected_dir, RECEIPTS_MODE),
                (self.receipts_dir, RECEIPTS_MODE),
            ):
                problems += self._prepare_own(folder, mode, {owner, os.geteuid()})
        if problems:
            raise ConfigError(f"cannot use the inbox {str(self.path)!r}", problems)
        self.has_leases = self._probe_leases()

    def close(self) -> None:
        """Let go of the folder."""
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    @property
    def is_removed(self) -> bool:
        """Whether the folder that we prepared is gone for good, and not just renamed or mounted over."""
        return self._folder is not None and os.fstat(self._folder).st_nlink == 0

    @property
    def is_in_place(self) -> bool:
        """Whether the inbox's path still names the folder that we prepared, with those of ours in it.

        Costs a stat of each. What stands in a folder of ours' place is `prepare`'s affair.
        """
        if self._folder is None:
            return False
        try:
            there = self.path.stat()
            for folder in (self.processing_dir, self.rejected_dir, self.receipts_dir):
                folder.lstat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._folder))

    def _prepare_own(self, folder: Path, mode: int, owners: set[int]) -> list[Problem]:
        try:
            if not self._disk.exists(folder):
                self._disk.mkdir(folder, mode)  # never with its parents: the inbox may have been renamed away just now
                self._disk.fsync_dir(folder.parent)
            found = self._disk.lstat(folder)
        except OSError as error:
            raise StorageError("make the folder", folder, error) from error
        if not stat.S_ISDIR(found.st_mode):
            return [inbox_not_a_folder(folder)]
        return [] if found.st_uid in owners else [inbox_not_ours(folder, found.st_uid, os.geteuid())]

    def _probe_leases(self) -> bool:
        """Tell whether the file system knows leases, by a file of our own that nobody can be writing."""
        probe = self.processing_dir / ".lease-probe"
        try:
            fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            os.close(fd)
            fd = os.open(probe, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError("make a file in", self.processing_dir, error) from error
        try:
            return self._read_lease(fd) is Lease.FREE
        finally:
            os.close(fd)

    # --- looking ----------------------------------------------------------------------------------------------

    def rescan(self) -> Rescan:
        """List the folder and decide about everything in it. Raises StorageError when it cannot be listed."""
        began = self._monotonic()
        sightings = self._list()
        self._remember(sightings.values(), began)
        sidecars, unread = self._read_sidecars(sightings)
        drops, strays = pair(sightings, sidecars)
        for stem in [stem for stem in self._holds if f"{stem}{SIDECAR_SUFFIX}" not in sightings]:
            del self._holds[stem]
        judged = tuple(self._judged(drop) for drop in drops)
        unreadable = {sightings[name].owner: why for name, why in sidecars.items() if isinstance(why, Problem)}
        judged_strays = tuple(
            (stray, judge_stray(stray, sightings, self, self.limits, unreadable))
            for stray in strays
            if stray.owner not in unread  # it may belong to a sidecar that was not read yet
        )
        self._forget_much_text(judged)
        return Rescan(began, len(sightings), judged, judged_strays, self._monotonic() - began, unread)

    def _judged(self, drop: Drop) -> tuple[Drop, Decision]:
        self._progress()
        return drop, judge(drop, self, self.limits)

    def _list(self) -> dict[str, Sighting]:
        found = {}
        is_ignored = IGNORED.fullmatch
        try:
            with self._disk.scan(self.path) as entries:
                for entry in entries:
                    if is_ignored(entry.name):
                        continue
                    try:
                        found[entry.name] = _sighting(entry.name, entry.stat(follow_symlinks=False))
                    except OSError:  # it left, or its inode cannot be read: nothing else may wait for that
                        continue
        except OSError as error:
            raise StorageError("list the inbox", self.path, error) from error
        return found

    def _remember(self, sightings: Iterable[Sighting], now: float) -> None:
        memory: dict[str, _Memory] = {}
        wall = self._clock().timestamp()
        for sighting in sightings:
            known = self._memory.get(sighting.name)
            if known is not None and known.sighting == sighting:
                memory[sighting.name] = known
                continue
            changed = now
            if known is None:
                # Seen for the first time, perhaps after a restart: its age counts, its rest has to be seen.
                changed = now - max(wall - max(sighting.mtime_ns, sighting.ctime_ns) / 1e9, 0.0)
            memory[sighting.name] = _Memory(sighting, now, changed)
        self._memory = memory

    def _read_sidecars(self, sightings: Mapping[str, Sighting]) -> tuple[dict[str, Sidecar | Problem], frozenset[int]]:
        """Return what the sidecars say, and the owners of those that there was no time to read.

        Each owner's oldest come first, and the owners in turn; of each one is read in any case, so that it goes on.
        """
        sidecars: dict[str, Sidecar | Problem] = {}
        to_read = []
        for name, sighting in sightings.items():
            if not name.endswith(SIDECAR_SUFFIX) or sighting.kind == "folder":
                continue
            known = self._memory[name]
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
        began = self._monotonic()
        owners = len({sighting.owner for sighting in to_read})
        order = iter(_in_turns(to_read, lambda sighting: sighting.owner))
        for count, sighting in enumerate(order, 1):
            known = self._memory[sighting.name]
            known.is_racy = self._is_racy(sighting)
            known.sidecar = sidecars[sighting.name] = self._read_sidecar(sighting.name, sighting)
            if count >= owners and self._monotonic() - began > PARSE_SECONDS_PER_RESCAN:
                break
        return sidecars, frozenset(sighting.owner for sighting in order)

    def _forget_much_text(self, judged: Iterable[tuple[Drop, Decision]]) -> None:
        """Keep what waiting sidecars say only up to a size in all: thousands of large ones must not fill the memory.

        Of the others that is kept which `readiness` decides by; whoever takes them reads the rest again.
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
        """Tell whether a file is so young that it may be written again without its times showing that."""
        return self._clock().timestamp() - sighting.ctime_ns / 1e9 < RACY_SECONDS

    def _read_sidecar(self, name: str, sighting: Sighting) -> Sidecar | Problem:
        stem = name[: -len(SIDECAR_SUFFIX)]
        if sighting.kind != "file":
            return parse_sidecar(b"", stem=stem, now=self._clock())
        try:
            return parse_sidecar_file(os.path.join(self.path, name), stem, self._clock())
        except OSError as error:
            return self._unreadable(name, error)

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
            return _WHOLE_AND_FREE  # who writes to it since is found when it is staged
        known.free_at = None
        try:
            fd, _ = self._disk.open_read(os.path.join(self.path, name))
        except OSError as error:
            return Look(Lease.UNKNOWN, complete=False, problem=self._unreadable(name, error))
        try:
            lease = self._read_lease(fd) if self.has_leases else Lease.UNKNOWN
            if _sighting(name, self._disk.fstat(fd)) != known.sighting:
                lease = Lease.OPEN  # it has changed since it was listed, maybe after it was read
            if lease is Lease.OPEN:
                # A writer that has the file mapped changes it without a trace: nothing seen now is remembered.
                known.complete = known.sidecar = None
                return Look(lease, complete=False)
            racy = self._is_racy(known.sighting)
            complete = name.endswith(SIDECAR_SUFFIX) or known.complete or looks_complete(fd)
            known.complete = None if racy else complete
            if lease is Lease.FREE and complete:
                if not racy:
                    known.free_at = self._monotonic()
                return _WHOLE_AND_FREE
            return Look(lease, complete)
        except OSError as error:
            return Look(Lease.UNKNOWN, complete=False, problem=self._unreadable(name, error))
        finally:
            os.close(fd)

    def held(self, drop: Drop) -> Held | None:
        """Why this drop is not to be claimed now, from what an earlier claim of it came to."""
        hold = self._holds.get(drop.stem)
        if hold is None:
            return None
        if hold.signatures is not None:
            if hold.signatures == {name: drop.sightings[name].signature for name in drop.present}:
                return Held(hold.problems, None)
            del self._holds[drop.stem]
            return None
        left = hold.again_at - self._monotonic()
        return Held(hold.problems, left) if left > 0 else None

    # --- what became of claims --------------------------------------------------------------------------------

    def note_not_whole(
        self, stem: str, contents: Mapping[str, tuple[int, int, int]], problems: tuple[Problem, ...]
    ) -> None:
        """Remember that a drop with these bytes, put back just now, is not whole, until its files change.

        `contents` are the names of its files and what they were like when that was seen: if one has changed
        since, nothing is remembered.
        """
        sightings = {name: sighting for name in contents if (sighting := self._look_at(name)) is not None}
        if {name: sighting.content for name, sighting in sightings.items()} != dict(contents):
            self.note_changed(stem, contents, problems)
            return
        for name, sighting in sightings.items():
            known = self._memory.get(name)
            if known is not None and known.sighting.content == sighting.content:
                known.sighting = sighting  # our rename changed its ctime; nobody touched it
        signatures = {name: sighting.signature for name, sighting in sightings.items()}
        self._holds[stem] = _Hold(problems, signatures=signatures)

    def note_changed(self, stem: str, names: Iterable[str], problems: tuple[Problem, ...]) -> None:
        """Remember that a drop changed under our hands: it is left alone for a moment, and seen as new."""
        for name in names:
            self._memory.pop(name, None)
        wait = min(self.limits.settle_seconds, CHANGED_SECONDS)
        self._holds[stem] = _Hold(problems, again_at=self._monotonic() + wait)

    def note_unmovable(self, stem: str, problem: Problem, longest_seconds: float) -> None:
        """Remember that a drop could not be claimed: it is tried again, less and less often."""
        earlier = self._holds.get(stem)
        attempts = earlier.attempts + 1 if earlier is not None and earlier.signatures is None else 1
        wait = min(FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 16), longest_seconds)
        self._holds[stem] = _Hold((problem,), self._monotonic() + wait, attempts)

    def held_until(self, after: float) -> float | None:
        """Return when, on the monotonic clock, the next drop that is held back may be claimed again, or None.

        Only moments later than `after`, the last look: what was due before it has been judged again.
        """
        moments = [hold.again_at for hold in self._holds.values() if hold.signatures is None]
        return min((moment for moment in moments if moment > after), default=None)

    def _look_at(self, name: str) -> Sighting | None:
        try:
            return _sighting(name, self._disk.lstat(self.path / name))
        except OSError:
            return None


def parse_sidecar_file(path: Path | str, stem: str, now: datetime) -> Sidecar:
    """Read and parse a sidecar. Raises OSError, also for anything but a regular file."""
    return parse_sidecar(read_regular(path, SIDECAR_BYTES_MAX), stem=stem, now=now)


def _sighting(name: str, found: os.stat_result) -> Sighting:
    mode = found.st_mode
    kind: Kind
    if stat.S_ISREG(mode):
        kind = "file"
    elif stat.S_ISDIR(mode):
        kind = "folder"
    elif stat.S_ISLNK(mode):
        kind = "symlink"
    else:
        kind = "other"
    return Sighting(name, kind, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_uid)


def limits_of(inbox: InboxSection, *, polling: bool) -> Limits:
    """Return what config.yaml says about waiting, where the folder is polled or is not."""
    return Limits(
        settle_seconds_of(inbox.settle_seconds, polling=polling),
        inbox.incomplete_timeout,
        inbox.orphan_timeout,
        inbox.max_artifact_size,
    )

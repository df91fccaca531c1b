"""The registry's entries on disk: followed by everybody, changed by the holder of the writer lock.

Owns the JSON file (a checkpoint), the journal that is the truth between checkpoints, the writer lock, and what one
handle has read of them. A change is a `Draft`; committing it appends its line. Knows entries as dictionaries with
ids, nothing of model files: `registry` puts those in place before, or takes them away after.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ..base.disk import Disk, exists
from ..base.log import log
from ..errors import ModelInboxError, RegistryCorrupted, RegistryError, RegistryLocked, StorageError
from ..problems import Problem
from .checkpoint import checkpoint_bytes
from .checkpoint_file import CheckpointFile
from .clock import ClockLine, clock_line
from .derived import Fault, older_copy
from .doubt import Doubt
from .healing import log_ignored
from .history import Retirements, note_retirement, retirements
from .journal import Draft, Line, number_drafts
from .kept_rules import KeptRules
from .opening import change_refused, make_files, open_journal, read_files
from .paths import RegistryFiles
from .position import Identity
from .protection import Protection, protection_in
from .segments import JournalFile, all_lines, lines_of_operation
from .state import State
from .unfinished import Unfinished
from .usage import DAY, Quota, Usage
from .writer_lock import WriterLock

__all__ = ["Store"]

SEGMENT_BYTES_MIN = 4 << 20
_NEVER = (0, 0, 0, 0)
_PATH_LOOK_SECONDS = 1.0


class Store:
    """One handle on the registry's JSON file and journal.

    `state` is what was committed as far as this handle has looked; `refresh` looks. With `read_only` nothing is
    made, cut or locked; `denied` says why, when it was not asked for. Several threads may use a handle, and a
    child process may go on with the one it inherited. Raises RegistryMissing, RegistryCorrupted, RegistryTooNew,
    RegistryLocked and StorageError.

    Two locks order the threads. That of `_writer` belongs to the one that writes, and is held while it waits for other
    processes. `_state_lock` belongs to the one that takes lines in, and is never held for longer than an append:
    readers wait for that at most. Where both are needed the first is taken first.

    It is one class of more than 400 lines because following, committing and replacing the journal all move the same
    few fields (what was read, up to where, whether a change is half applied) under these two locks.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool,
        lock_timeout: float,
        clock: Callable[[], datetime],
        disk: Disk,
        segment_bytes: int = SEGMENT_BYTES_MIN,
        denied: str = "",
    ) -> None:
        self.path = path
        self.read_only = read_only
        self.denied = denied
        self.lock_timeout = lock_timeout
        self.damage: ModelInboxError | None = None
        self.files = RegistryFiles(path)
        self.unfinished = Unfinished()
        """Of the lines of this segment: steps on files that may not be done yet."""
        self.state = State(str(path.parent), {}, 0)
        self._clock = clock
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._writer = WriterLock(self.files.writer_lock)
        self.json_file = CheckpointFile(self.files, disk, clock)
        self._state_lock = threading.RLock()
        self._unsettled = False  # lines are being taken in: when that was cut short, everything is read again
        self.doubt = Doubt(self.files.journal)
        self.rules: dict[str, KeptRules] = {}
        """The rules that lines of this handle may name, by digest."""
        self.rules_in_force = ""
        """The digest of those that decide now, "" if nothing is decided by rules here."""
        self._faults: tuple[Fault, ...] = ()
        self._retirements: Retirements | None = None
        self._clock_lines: list[ClockLine] | None = None
        self._protection: Protection | None = None
        self._protection_is_known = False
        self._seen = _NEVER
        self._path_look_due = 0.0
        self._journal: JournalFile | None = None
        self._fd = -1  # the open journal's
        try:
            if not read_only:
                self._prepare()
            self._load()
        except BaseException:
            self._writer.close()
            raise
        _stores.add(self)
        if self._faults and not read_only:
            try:
                self.checkpoint()
            except (StorageError, RegistryLocked) as error:  # it is tried again; nothing depends on these files
                log.error("registry.checkpoint_failed", problem=str(error))

    # --- opening ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make an empty registry where there is none. Under the lock, so that two makers agree."""
        files = self.files
        if exists(files.journal) and exists(self.path):
            return
        with self._writer.held(self.lock_timeout):
            if exists(files.journal):
                self.json_file.is_dirty = not exists(self.path)  # the next checkpoint makes a missing one again
            else:
                make_files(files, self._disk)

    def _load(self) -> None:
        """Read journal and checkpoint from their beginning, and go on from there."""
        look = self.json_file.look()
        opened = read_files(self.files, self._disk, writable=not self.read_only)
        journal = opened.journal
        if self.read_only and opened.faults != self._faults:
            log_ignored(opened.faults)
        state = State(str(self.path.parent), opened.entries, journal.base_sequence, journal.base_time, journal.identity)
        unfinished = Unfinished()
        for line in opened.lines:
            state.apply(line)
            unfinished.note(line)
        if self._journal is not None:
            may_be_taken_back = journal.inode == self._journal.inode or not self.read_only
            try:
                _compare(self.path, self.state, state, may_be_taken_back=may_be_taken_back)
            except RegistryCorrupted:
                journal.close()
                raise
        self._follow(journal)
        self.json_file.note_read(opened.mark, opened.data, None if opened.faults else look)
        self.state, self.unfinished, self._retirements, self._clock_lines = state, unfinished, None, None
        self._protection_is_known = False
        self._faults, self._unsettled = opened.faults, False

    def _follow(self, journal: JournalFile) -> None:
        """Go on with this journal in the place of the one that is open."""
        if self._journal is not None:
            self._journal.close()
        self._journal, self._fd = journal, journal.fd
        self._seen = _NEVER  # what was appended since it was read shows at the next look

    # --- following --------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what was committed since; one fstat when there is nothing.

        Every commit, and every change of segment, shows at the open file itself (`JournalFile.look`), which costs
        half of what its path does. Whether somebody put other files in the place of all that is asked now and then.

        When the files cannot be followed any more (damage, a folder that is gone) the handle goes on with what it
        holds, and `damage` says why.

        Never called from a step of the disk within `commit` or a change of segment: what they have open would be read
        again and closed under them.
        """
        try:
            found = os.fstat(self._fd)  # before reading: what comes after it shows at the next look
        except OSError:
            look = _NEVER  # closed by another thread, or by `close`
        else:
            look = found.st_ino, found.st_size, found.st_ctime_ns, found.st_nlink
        if look == self._seen != _NEVER and time.monotonic() < self._path_look_due:
            return
        with self._state_lock:
            try:
                self._take_in()
            except RegistryError as error:
                self._went_bad(error)
            except StorageError as error:
                self._seen = _NEVER
                self._went_bad(error)
                return
            else:
                self.damage = None
            self._path_look_due = time.monotonic() + _PATH_LOOK_SECONDS
            if self.journal.inode == look[0]:
                self._seen = look  # damage is looked at again when the file has changed

    def look_at_path(self) -> None:
        """Refresh, and look whether other files were put in the place of ours."""
        self._path_look_due = 0.0
        self.refresh()

    @property
    def journal(self) -> JournalFile:
        """The open journal. Raises RegistryError when this handle is closed."""
        if self._journal is None:
            raise RegistryError(f"cannot use the registry {str(self.path)!r}: this handle is closed")
        return self._journal

    def lines(self, *, over_gaps: bool = False) -> list[Line]:
        """Return every line that is kept, oldest first; see `segments.all_lines`."""
        return all_lines(self.files.journal, self.files.history, over_gaps=over_gaps)

    def retirements(self) -> Retirements:
        """Return the retirements whose models the trash should hold, in order. Reads the history once."""
        self.refresh()
        with self._state_lock:
            if self._retirements is None:
                reached = self.state.sequence
                self._retirements = retirements(line for line in self.lines(over_gaps=True) if line.sequence <= reached)
            return dict(self._retirements)

    def clock_lines(self) -> Sequence[ClockLine]:
        """Return what the journal says about the clock, oldest first, as of the last look. Searches the history once.

        The list is not to be changed. Raises StorageError.
        """
        if self._clock_lines is None:
            with self._state_lock:
                reached = self.state.sequence
                found = lines_of_operation(self.files.journal, self.files.history, "clock")
                self._clock_lines = [clock_line(line) for line in found if line.sequence <= reached]
        return self._clock_lines

    def protection(self) -> Protection | None:
        """Return which aliases are protected, as of the last look, or None. Searches the history once.

        Raises StorageError.
        """
        if not self._protection_is_known:
            with self._state_lock:
                reached = self.state.sequence
                found = lines_of_operation(self.files.journal, self.files.history, "protect", newest=True)
                told = [line for line in found if line.sequence <= reached]
                self._protection = protection_in(told[-1]) if told else None
                self._protection_is_known = True
        return self._protection

    def newest_clock_line(self) -> ClockLine | None:
        """Return the last of `clock_lines`, or None."""
        lines = self.clock_lines()
        return lines[-1] if lines else None

    def _usage(self) -> tuple[Usage, datetime]:
        """Return what each owner has of the registry, and the time of now. With `_state_lock` held.

        The first call reads the models that were retired in the last day from the journal. Raises StorageError.
        """
        now = self._clock()
        if self.state.usage is None:
            lines = lines_of_operation(self.files.journal, self.files.history, "retire", since=now - DAY)
            retired = [line.removed for line in lines if line.removed is not None]
            self.state.usage = Usage(self.state.entries.values(), retired, now)
        return self.state.usage, now

    def now(self) -> datetime:
        """Return the time of now."""
        return self._clock()

    def over_quota(self, quota: Quota, owner: object, size: int, pending: tuple[int, int] = (0, 0)) -> Problem | None:
        """Return why one more model is over the quota of its owner, by what this handle has seen: see `Usage.refusal`.

        Only inside `writing` it holds until the model is committed. Raises StorageError.
        """
        with self._state_lock:
            usage, now = self._usage()
            return usage.refusal(quota, owner, size, now, pending)

    def _take_in(self) -> None:
        """Read new lines, and follow a change of segment. Starts over when lines were taken back.

        With `_state_lock` held.
        """
        journal = self.journal
        if self._unsettled:
            self._load()
            return
        self._unsettled = True
        try:
            lines = journal.read_new()
        except ModelInboxError:
            self._unsettled = False  # nothing was changed
            raise
        if lines is None:
            self._load()
            return
        self._apply(lines)
        self._unsettled = False
        if journal.is_closed:
            self._go_to_next_segment()

    def _go_to_next_segment(self) -> None:
        """Go on with the next segment if it begins where we stand, in the same epoch; else read everything again."""
        journal = open_journal(self.files, self._disk, writable=not self.read_only)
        if journal.identity != self.state.identity or journal.base_sequence != self.state.sequence:
            journal.close()
            self._load()
            return
        self._unsettled = True
        self._follow(journal)
        self.unfinished = Unfinished(labels=self.unfinished.labels)  # a full disk may have kept some from being written
        lines = journal.read_new()
        if lines is None or journal.is_closed:
            self._load()
            return
        self._apply(lines)
        self._unsettled = False

    def _apply(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self.state.apply(line)
            is_plain = line.operation == "register" and line.entry is not None and not line.entry.get("held")
            if not is_plain or self.unfinished.moves or self.unfinished.labels:
                self.unfinished.note(line)  # a plain registration leaves nothing undone
            if line.operation == "register":
                continue  # nearly all lines: of no model in the trash, and not about the clock
            if self._retirements is not None:
                note_retirement(self._retirements, line)
            if line.operation == "clock" and self._clock_lines is not None:
                self._clock_lines.append(clock_line(line))
            if line.operation == "protect":
                self._protection = protection_in(line)

    def _went_bad(self, error: ModelInboxError) -> None:
        """Go on serving what we hold, and say once that it no longer follows the files."""
        if self._journal is None:
            raise RegistryError(f"cannot use the registry {str(self.path)!r}: this handle is closed") from error
        if self.damage is None or str(self.damage) != str(error):
            log.error("registry.unreadable", path=str(self.path), problem=str(error))
        self.damage = error

    # --- changing ---------------------------------------------------------------------------------------------

    def may_write(self) -> None:
        """Raise RegistryError for a handle that only reads."""
        if self.read_only:
            raise change_refused(self.path, self.denied)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer lock over an up-to-date state and a journal without a torn tail. Reentrant."""
        self.may_write()
        _ = self.journal  # says so when this handle is closed
        with self._writer.held(self.lock_timeout) as is_first:
            if is_first:
                self._catch_up()
            elif self.doubt.problem is not None:
                raise self.doubt.problem
            yield

    def _catch_up(self) -> None:
        """Under the writer lock: take in what was committed, and cut what a dead writer left behind it."""
        with self._state_lock:
            if self.doubt.problem is not None:
                self._settle()
            self._take_in()
            lost = self.journal.cut_torn_tail()
            self.state.committed = self.state.sequence
        if lost:
            path, offset = str(self.files.journal), self.journal.offset
            log.warning("journal.tail_truncated", path=path, offset=offset, lost_bytes=lost)

    def look_again(self) -> None:
        """After a change that failed: take in what it committed, and cut what it did not. Inside `writing`.

        Raises the StorageError of an append that could not be taken back: what it committed is found out later.
        """
        if self.doubt.problem is not None:
            raise self.doubt.problem
        self._catch_up()

    def _settle(self) -> None:
        """Find out, as a restart does, what became of a write that failed, and make the journal durable as it is.

        Under the writer lock, with `_state_lock` held. A line that is whole is committed, though its writer was told
        that it failed: others may have read it under this lock, and built on it.
        """
        before = self.state.committed
        with self.doubt.noted():
            self._load()
            self.journal.rewrite()
            self._load()
        self.doubt.end(self.state.sequence, self.state.sequence - before)

    def commit(self, drafts: Sequence[Draft]) -> list[Line]:
        """Append lines for the drafts and apply them: the append is the commit. Inside `writing`.

        A registered entry gets its `sequence` and `registered_at` here. The first commit to a journal of an older
        format gives the registry its identity. The first line that earlier versions would misread makes its journal
        one that they refuse.
        """
        needed = max(draft.format for draft in drafts)
        if self.state.identity is None or needed > self.journal.format:
            self._take_over(max(needed, self.journal.format))
        for draft in drafts:
            # A crash after this and before the lines leaves a file that no line names.
            if draft.rules and not self.rules[draft.rules].is_kept:
                self.rules[draft.rules].keep()
        lines = number_drafts(drafts, self.state.sequence, self._clock())
        with self._state_lock:
            self._unsettled = True
            before = self.journal.offset
            try:
                look = self.journal.append(lines)
            except ModelInboxError as error:
                self._unsettled = self.doubt.begins_with(error)  # else nothing was changed
                raise
            self._apply(lines)
            self.state.committed = self.state.sequence
            self._unsettled = False
            self.json_file.fell_behind(self.journal.offset - before)
            self._seen = look
        return lines

    def _take_over(self, name: str) -> None:
        """Put the lines of the journal in a file of another format. A registry without an epoch begins its first one.

        A crash leaves the old journal, or the new one with the same lines: versions that know only the old format
        refuse that, instead of dropping the identity when they begin the next segment.
        """
        identity = self.state.identity or Identity.new(self._disk.token)
        with self._state_lock:
            self._unsettled = True
            try:
                self.journal.take_over(identity, name)
            except ModelInboxError:
                self._unsettled = False  # the journal is looked at again before the next change
                raise
            self._follow(open_journal(self.files, self._disk, writable=not self.read_only))
            self.journal.read_new()  # the lines that are applied already
            self.state.identity = identity
            self._unsettled = False
        log.info("registry.taken_over", path=str(self.path), position=str(self.state.position), format=name)

    def sync(self) -> None:
        """Make what was read durable, before acting on it. Inside `writing`."""
        with self.doubt.noted():
            self.journal.sync()

    # --- checkpoints and segments -----------------------------------------------------------------------------

    def checkpoint(self, *, force: bool = False) -> bool:
        """Bring the JSON file up to date, off the commit path; return whether it was written.

        The file is made and synced without the lock; the lock is held for its rename only, and only while the
        segment is still the one that the contents were taken from and no newer checkpoint stands there.
        """
        self.may_write()
        with self._writer.threads:
            self.refresh()
            if not force and self.json_file.is_up_to_date(self.state, self.journal.base_sequence):
                return False
            with self._state_lock:
                data = checkpoint_bytes(self.state.entries)
                sequence = self.state.sequence
                inode = self.journal.inode
            temporary = self.json_file.write(data)
            try:
                with self.writing():
                    put = self.journal.inode == inode and self.json_file.marked(self.journal.base_sequence) <= sequence
                    if put:
                        self.sync()  # the JSON file must not show what the journal could still lose
                        self.json_file.put(temporary, data, sequence, self.state)
            except ModelInboxError:
                self.json_file.discard(temporary)
                raise
            if not put:
                self.json_file.discard(temporary)
            self.json_file.caught_up()  # what is newer by now is another handle's to bring in
        return put

    @property
    def is_outgrown(self) -> bool:
        """Whether the journal is longer than the checkpoint, so that the next segment should begin.

        The cost of a checkpoint is so shared by as many lines as it has bytes.
        """
        return self.journal.offset > max(self._segment_bytes, self.json_file.size)

    def change_segment(self) -> None:
        """Write a checkpoint and begin a new journal segment; the old one goes to `history/`. Inside `writing`.

        Checkpoint and mark are durable before the old journal is replaced: whatever a crash leaves, the checkpoint
        has at least the entries that the current journal builds on. A segment without lines stays. The first change of
        a journal of an older format gives the registry its identity.
        """
        identity = self.state.identity or Identity.new(self._disk.token)
        data = checkpoint_bytes(self.state.entries)
        temporary = self.json_file.write(data)
        try:
            self.sync()
            self.json_file.put(temporary, data, self.state.sequence, self.state)
        except ModelInboxError:
            self.json_file.discard(temporary)
            raise
        if self.journal.sequence > self.journal.base_sequence:
            self.journal.change_segment(self.files.history, identity, self.state.last_time)
            with self._state_lock:
                self.state.identity = identity
                self._go_to_next_segment()
        self.json_file.caught_up()

    def close(self, *, wait: bool = True) -> None:
        """Bring the JSON file up to date if this process changed something, and close the files.

        Without `wait` a lock that somebody holds is no reason to wait: others, and the next open, do not depend
        on the JSON file's being up to date.
        """
        if not self._writer.threads.acquire(blocking=wait):
            return
        try:
            if self._journal is None:
                return
            if not wait:
                self.lock_timeout = 0
            try:
                if self.json_file.is_dirty and self.doubt.problem is None:
                    self.checkpoint()
            finally:
                with self._state_lock:
                    self._journal.close()
                    self._journal, self._fd = None, -1
                    self._writer.close()
                    self._seen = _NEVER
        finally:
            self._writer.threads.release()

    def _after_fork(self) -> None:
        """In the child of a fork: locks held by threads that stayed behind, and the lock file, are not ours."""
        self._state_lock = threading.RLock()
        self.state.after_fork()
        self._writer.after_fork()
        self.json_file.is_dirty = False
        if self._unsettled:
            self._seen = _NEVER


def _compare(path: Path, held: State, found: State, *, may_be_taken_back: bool) -> None:
    """Compare what a registry is `found` to be with what was `held` of it. Log that it has begun another epoch.

    Raises RegistryCorrupted when lines of one epoch are gone: an older copy was put in the place of the files. Lines
    that are not known to have been committed `may_be_taken_back` by their writer: a sync failed. That leaves the same
    file. A writer, which would stop for an older copy, allows for it in another file, too: a disk that fails, and a
    change of segment.
    """
    if held.identity is not None and found.identity == held.identity:
        least = held.committed if may_be_taken_back else held.sequence
        if found.sequence < least:
            raise older_copy(RegistryFiles(path).journal, found.sequence, least)
        found.committed = max(found.committed, held.committed)
    elif held.identity is not None:
        log.warning(
            "registry.epoch_changed",
            path=str(path),
            before=str(held.position),
            after=str(found.position) if found.position is not None else None,
            lost_lines=max(held.sequence - found.sequence, 0),
        )


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_stores):
        store._after_fork()


os.register_at_fork(after_in_child=_after_fork)

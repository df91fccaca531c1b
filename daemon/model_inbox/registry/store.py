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
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import structlog

from ..base.disk import (
    Disk,
    exists,
    make_folder,
    read_bytes,
    remove_quietly,
    replace_file,
    temporary_name,
    unique_token,
    write_new_file,
)
from ..base.flocks import FileLock
from ..errors import ModelInboxError, RegistryCorrupted, RegistryError, RegistryLocked, RegistryMissing, StorageError
from .checkpoint import (
    CHECKPOINT_MODE,
    NO_FILE,
    Mark,
    checkpoint_bytes,
    fingerprint,
    mark_bytes,
    parse_checkpoint,
    parse_mark,
)
from .entry import EntryFields, numbered_entry, sequence_of
from .history import Held, note_retirement, prune_history, retirements, state_at
from .journal import Draft, Line, format_time, parse_time
from .paths import JOURNAL_SUFFIX, RegistryFiles
from .position import Identity
from .segments import JournalFile, NotTakenBack, all_lines, base_name, begin_segment, history_segments
from .state import State

__all__ = ["Ledger", "read_mark"]

log = structlog.get_logger("model_inbox")

SEGMENT_BYTES_MIN = 4 << 20
_LOADS_MAX = 100
_NEVER = (0, 0, 0, 0)
_PATH_LOOK_SECONDS = 1.0


class Ledger:
    """One handle on the registry's JSON file and journal.

    `state` is what was committed as far as this handle has looked; `refresh` looks. With `read_only` nothing is
    made, cut or locked; `denied` says why, when it was not asked for. Several threads may use a handle, and a
    child process may go on with the one it inherited. Raises RegistryMissing, RegistryCorrupted, RegistryTooNew,
    RegistryLocked and StorageError.

    Two locks order the threads. `_thread_lock` belongs to the one that writes, and is held while it waits for other
    processes. `_state_lock` belongs to the one that takes lines in, and is never held for longer than an append:
    readers wait for that at most. Where both are needed the first is taken first.
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
        self.unfinished: dict[str, list[Line]] = {}
        """By model id, lines of this segment after which files may still lie where no entry names them."""
        self.state = State(str(path.parent), {}, 0)
        self._journal_name = str(self.files.journal)
        self._clock = clock
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._lock = FileLock(self.files.writer_lock, "registry writer's")
        self._thread_lock = threading.RLock()
        self._state_lock = threading.RLock()
        self._depth = 0
        self._unsettled = False  # lines are being taken in: when that was cut short, everything is read anew
        self._broken: StorageError | None = None
        self._pid = os.getpid()
        self._dirty = False  # this process committed something that the JSON file may lack
        self._unsaved_bytes = 0  # of the lines that this handle has appended since it last saw to the JSON file
        self._checkpoint_bytes = 0  # of the JSON file that was read or written last
        self._placed: Mark | None = None  # as long as this mark stands, the JSON file is the one of its line
        self._held: Held | None = None
        self._seen = _NEVER
        self._path_look_due = 0.0
        self._journal: JournalFile | None = None
        self._fd = -1  # the open journal's
        try:
            if not read_only:
                self._prepare()
            self._load()
        except BaseException:
            self._lock.close()
            raise
        _ledgers.add(self)

    # --- opening ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make an empty registry where there is none. Under the lock, so that two makers agree.

        The JSON file comes first: after a crash in between, the next maker finds it and goes on.
        """
        files = self.files
        if exists(files.journal) and exists(self.path):
            return
        try:
            self._lock.acquire(self.lock_timeout)
            if exists(files.journal):
                self._dirty = not exists(self.path)  # a JSON file that is missed is made anew at the next checkpoint
                return
            if exists(files.mark) or history_segments(files.history):
                raise RegistryCorrupted(files.journal, None, "the journal is missing, its history is not")
            for other in sorted(self.path.parent.glob(f"*{JOURNAL_SUFFIX}")):
                raise RegistryError(
                    f"cannot make the registry {str(self.path)!r}: its folder belongs to that of {other.name!r}",
                    hint="History and trash are beside a registry: give each one a folder of its own",
                )
            entries: dict[str, EntryFields] = {}
            if exists(self.path):
                entries = parse_checkpoint(self.path, read_bytes(self.path))
            else:
                replace_file(self._disk, self.path, checkpoint_bytes({}), CHECKPOINT_MODE)
            base = 0
            if entries:  # a registry that was not ours: what it held is where our history begins
                base = max(1, *(sequence_of(entry) for entry in entries.values()))
                make_folder(self._disk, files.history)
                data = checkpoint_bytes(entries)
                replace_file(self._disk, files.history / base_name(base, data), data, CHECKPOINT_MODE)
            begin_segment(self._disk, files.journal, Identity.new(unique_token), base, "")
        finally:
            self._lock.release()

    def _load(self) -> None:
        """Read journal and checkpoint anew; start over while either changes under our hands.

        The journal is opened first and read last: a checkpoint that is put in place meanwhile holds no line that
        is not read after it. The mark is read before both are.
        """
        for _ in range(_LOADS_MAX):
            journal = self._open_journal()
            try:
                mark = read_mark(self.files.mark)
                data = self._read_entries(journal)
                fault = self._disagreement(journal, mark, data)
                if fault is not None:
                    # So it was the mark while the others were read.
                    if journal.is_current() and read_mark(self.files.mark) == mark:
                        raise fault
                    journal.close()
                    continue
                entries = parse_checkpoint(self.path, data) if data is not None else {}
                segment = journal.read_new()
                if segment is None or not journal.is_current():
                    journal.close()
                    continue
                if mark is not None and journal.sequence < mark.sequence:
                    raise RegistryCorrupted(
                        self.files.journal,
                        journal.offset,
                        f"it ends at line {journal.sequence}, but lines up to {mark.sequence} were committed",
                    )
            except BaseException:
                with suppress(OSError):
                    journal.close()
                raise
            break
        else:
            raise RegistryError(f"cannot read the registry {str(self.path)!r}: it changed during each of many tries")
        state = State(str(self.path.parent), entries, journal.base_sequence, journal.base_time, journal.identity)
        unfinished: dict[str, list[Line]] = {}
        for line in segment.lines:
            state.apply(line)
            _note_unfinished(unfinished, line)
        self._log_epoch(state)
        self._follow(journal)
        self._checkpoint_bytes = len(data or b"")
        self._placed = mark if mark is not None and data is not None and mark.is_of(data) else None
        self.state, self.unfinished, self._held = state, unfinished, None
        self._unsettled = False

    def _disagreement(self, journal: JournalFile, mark: Mark | None, data: bytes | None) -> RegistryCorrupted | None:
        """Return in what the mark disagrees with the journal's header or with the JSON file; None when in nothing."""
        if mark is None:
            return None
        if mark.identity is not None and mark.identity != journal.identity:
            return RegistryCorrupted(
                self.files.mark,
                None,
                f"it is of the epoch {mark.identity}, the journal of {journal.identity or 'none'}: a rebuild was cut "
                "short, or one of the two files is a copy",
            )
        if data is not None and not mark.fits(data):
            return RegistryCorrupted(self.path, None, "its bytes are not those of the checkpoint that was written last")
        return None

    def _log_epoch(self, state: State) -> None:
        """Log that the registry has begun another epoch since this handle looked last."""
        held = self.state
        if self._journal is not None and held.identity is not None and state.identity != held.identity:
            log.warning(
                "registry.epoch_changed",
                path=str(self.path),
                before=str(held.position),
                after=str(state.position) if state.position is not None else None,
                lost_lines=max(held.sequence - state.sequence, 0),
            )

    def _follow(self, journal: JournalFile) -> None:
        """Go on with this journal in the place of the one that is open."""
        if self._journal is not None:
            self._journal.close()
        self._journal, self._fd = journal, journal.fd
        self._seen = _NEVER  # what was appended since it was read shows at the next look

    def _open_journal(self) -> JournalFile:
        try:
            return JournalFile(self.files.journal, self._disk, writable=not self.read_only)
        except RegistryMissing:
            if exists(self.path) or exists(self.files.mark):
                raise RegistryCorrupted(self.files.journal, None, "the journal is missing") from None
            raise RegistryMissing(
                f"cannot open the registry {str(self.path)!r}: there is none",
                hint="A writer makes it: `ModelRegistry(path, storage_dir)`, or the daemon when it starts",
            ) from None

    def _read_entries(self, journal: JournalFile) -> bytes | None:
        try:
            return read_bytes(self.path)
        except FileNotFoundError:
            if journal.base_sequence == 0:
                return None
            raise RegistryCorrupted(
                self.path, None, f"the file is missing, the journal begins after line {journal.base_sequence}"
            ) from None

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
        seen = self._seen
        try:
            found = os.fstat(self._fd)
        except OSError:
            found = None  # closed by another thread, or for good
        if (
            found is not None
            and found.st_size == seen[1]
            and found.st_ctime_ns == seen[2]
            and found.st_nlink == seen[3]
            and found.st_ino == seen[0]
            and time.monotonic() < self._path_look_due
        ):
            return
        with self._state_lock:
            try:
                look = self.journal.look()  # before reading: what comes after it shows at the next look
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
            if self.journal.look()[0] == look[0]:
                self._seen = look  # damage is looked at again when the file has changed

    @property
    def journal(self) -> JournalFile:
        """The open journal. Raises RegistryError when this handle is closed."""
        if self._journal is None:
            raise RegistryError(f"cannot use the registry {str(self.path)!r}: this handle is closed")
        return self._journal

    def lines(self) -> list[Line]:
        """Return every line that is kept, oldest first."""
        return all_lines(self.files.journal, self.files.history)

    def held(self) -> Held:
        """Return the retirements whose models the trash should hold, in order. Reads the history once."""
        self.refresh()
        with self._state_lock:
            if self._held is None:
                reached = self.state.sequence
                self._held = retirements(line for line in self.lines() if line.sequence <= reached)
            return dict(self._held)

    def state_at(self, moment: datetime) -> State:
        """Return the entries after the last line at or before `moment`; raises as `history.state_at` does."""
        return state_at(self.files, moment, reached=self.state.sequence)

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
            segment = journal.read_new()
        except ModelInboxError:
            self._unsettled = False  # nothing was changed
            raise
        if segment is None:
            self._load()
            return
        self._apply(segment.lines)
        self._unsettled = False
        if not journal.is_current():
            self._go_to_next_segment()

    def _go_to_next_segment(self) -> None:
        """Go on with the next segment if it begins where we stand, in the same epoch; else read everything anew."""
        journal = self._open_journal()
        if journal.identity != self.state.identity or journal.base_sequence != self.state.sequence:
            journal.close()
            self._load()
            return
        self._unsettled = True
        self._follow(journal)
        self.unfinished = {}
        segment = journal.read_new()
        if segment is None or not journal.is_current():
            self._load()
            return
        self._apply(segment.lines)
        self._unsettled = False

    def _apply(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self.state.apply(line)
            _note_unfinished(self.unfinished, line)
            if self._held is not None:
                note_retirement(self._held, line)

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
        if self.denied:
            raise RegistryError(
                f"cannot change the registry {str(self.path)!r}: {self.denied}",
                hint="Change it as the user who owns its folder (the service); reading works as you are",
            )
        if self.read_only:
            raise RegistryError(
                f"cannot change the registry {str(self.path)!r}: it was opened read-only",
                hint="Open it without read_only=True",
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer lock over an up-to-date state and a journal without a torn tail. Reentrant."""
        self.may_write()
        if not self._thread_lock.acquire(timeout=max(self.lock_timeout, 0)):
            raise RegistryLocked(
                f"cannot take the registry writer's lock {str(self._lock.path)!r} within {self.lock_timeout:g} s: "
                "held by another thread of this process",
                hint="Try again, or wait for that thread",
            )
        try:
            if self._depth:
                yield
                return
            if self._broken is not None:
                raise self._broken
            _ = self.journal
            try:
                self._lock.acquire(self.lock_timeout)
                self._depth = 1
                with self._state_lock:
                    self._take_in()
                    lost = self.journal.cut_torn_tail()
                if lost:
                    log.warning(
                        "journal.tail_truncated",
                        path=self._journal_name,
                        offset=self.journal.offset,
                        lost_bytes=lost,
                    )
                yield
            finally:
                self._depth = 0
                self._lock.release()
        finally:
            self._thread_lock.release()

    def commit(self, drafts: Sequence[Draft]) -> list[Line]:
        """Append lines for the drafts and apply them: the append is the commit. Inside `writing`.

        A registered entry gets its `sequence` and `registered_at` here. The first commit to a journal of an older
        format gives the registry its identity.
        """
        if self.state.identity is None:
            self._take_over()
        now = self._clock()
        if self.state.last_time:
            now = max(now, parse_time(self.state.last_time))  # a clock set back must not unsort the history
        time = format_time(now)
        lines = []
        for number, draft in enumerate(drafts, self.state.sequence + 1):
            entry = draft.entry
            if draft.operation == "register" and entry is not None:
                entry = numbered_entry(entry, sequence=number, registered_at=time)
            lines.append(
                Line(
                    number,
                    time,
                    draft.operation,
                    draft.model_id,
                    draft.drop_id,
                    draft.actor,
                    draft.reason,
                    draft.changes_entry,
                    entry,
                    draft.removed,
                    draft.detail,
                )
            )
        with self._state_lock:
            self._unsettled = True
            before = self.journal.offset
            try:
                self.journal.append(lines)
            except NotTakenBack as error:
                self._broken = error
                raise
            except ModelInboxError:
                self._unsettled = False  # nothing was changed
                raise
            self._apply(lines)
            self._unsettled = False
            self._dirty = True
            self._unsaved_bytes += self.journal.offset - before
            self._pid = os.getpid()
            self._seen = self.journal.look()
        return lines

    def _take_over(self) -> None:
        """Begin the first epoch of a registry whose journal has none, with the lines that it has.

        A crash leaves the old journal, or the new one with the same lines: versions that know only the old format
        refuse that, instead of dropping the identity when they begin the next segment.
        """
        identity = Identity.new(unique_token)
        with self._state_lock:
            self._unsettled = True
            try:
                self.journal.begin_epoch(identity)
            except ModelInboxError:
                self._unsettled = False  # the journal is looked at again before the next change
                raise
            self._follow(self._open_journal())
            self.journal.read_new()  # the lines that are applied already
            self.state.identity = identity
            self._unsettled = False
        log.info("registry.taken_over", path=str(self.path), position=str(self.state.position))

    def sync(self) -> None:
        """Make last what was read, before acting on it. Inside `writing`."""
        self.journal.sync()

    # --- checkpoints and segments -----------------------------------------------------------------------------

    def checkpoint(self, *, force: bool = False) -> bool:
        """Bring the JSON file up to date, off the commit path; tell whether it was written.

        The file is made and synced without the lock; the lock is held for its rename only, and only while the
        segment is still the one that the contents were taken from and no newer checkpoint stands there.
        """
        self.may_write()
        with self._thread_lock:
            self.refresh()
            if not (self._dirty or force or self._marked() < self.state.sequence):
                return False
            with self._state_lock:
                data = checkpoint_bytes(self.state.entries)
                sequence = self.state.sequence
                inode = self.journal.inode
            temporary = temporary_name(self.path)
            write_new_file(self._disk, temporary, data, CHECKPOINT_MODE)
            try:
                with self.writing():
                    put = self.journal.inode == inode and self._marked() <= sequence
                    if put:
                        self.journal.sync()  # the JSON file must not show what the journal could still lose
                        self._put_checkpoint(temporary, data, sequence)
            except ModelInboxError:
                remove_quietly(self._disk, temporary)
                raise
            if not put:
                remove_quietly(self._disk, temporary)
            self._dirty = False  # what is newer by now is another handle's to bring in
            self._unsaved_bytes = 0
        return put

    @property
    def is_stale(self) -> bool:
        """Whether the JSON file lacks more bytes than it has, of what this handle has committed.

        Written no more often than that it costs less than the lines themselves, and while a registry is small, a
        plain reader of it finds what was registered a moment ago.
        """
        return self._unsaved_bytes > self._checkpoint_bytes

    @property
    def is_outgrown(self) -> bool:
        """Whether the journal is longer than the checkpoint, so that the next segment should begin.

        The cost of a checkpoint is so shared by as many lines as it has bytes.
        """
        return self.journal.offset > max(self._segment_bytes, self._checkpoint_bytes)

    def change_segment(self) -> None:
        """Write a checkpoint and begin a new journal segment; the old one goes to `history/`. Inside `writing`.

        Checkpoint and mark last before the old journal is replaced: whatever a crash leaves, the checkpoint
        holds at least what the current journal builds on. A segment without lines stays. The first change of a
        journal of an older format gives the registry its identity.
        """
        identity = self.state.identity or Identity.new(unique_token)
        data = checkpoint_bytes(self.state.entries)
        temporary = temporary_name(self.path)
        write_new_file(self._disk, temporary, data, CHECKPOINT_MODE)
        try:
            self.journal.sync()
            self._put_checkpoint(temporary, data, self.state.sequence)
        except ModelInboxError:
            remove_quietly(self._disk, temporary)
            raise
        if self.journal.sequence > self.journal.base_sequence:
            self.journal.change_segment(self.files.history, identity, self.state.last_time)
            with self._state_lock:
                self.state.identity = identity
                self._go_to_next_segment()
        self._dirty = False
        self._unsaved_bytes = 0

    def prune_history(self, keep_seconds: float, *, needed: int | None = None) -> int:
        """Remove closed segments whose last line is older than that; see `history.prune_history`. Inside `writing`."""
        oldest = self._clock().timestamp() - keep_seconds
        return prune_history(self.files, self._disk, oldest=oldest, current=self.journal.inode, needed=needed)

    def _marked(self) -> int:
        """Return the line that the checkpoint in place is known to hold."""
        mark = read_mark(self.files.mark)
        return mark.sequence if mark is not None else self.journal.base_sequence

    def _put_checkpoint(self, temporary: Path, data: bytes, sequence: int) -> None:
        """Under the lock: put a synced checkpoint in place, its mark before it.

        The mark tells that the journal had reached `sequence`, which is true already, and allows for the JSON file
        that is there as for the one that comes: it is lasting before that one is renamed, so they always agree.

        Which one is there is known when the mark is still the one that we know it by. Nothing about the file itself
        would tell: a later one may have the number of an inode that was freed meanwhile.
        """
        mark = read_mark(self.files.mark)
        if mark is not None and mark == self._placed:
            before = mark.after
        else:
            try:
                before = fingerprint(read_bytes(self.path))
            except FileNotFoundError:
                before = NO_FILE
        placed = Mark(sequence, fingerprint(data), before, self.state.identity)
        replace_file(self._disk, self.files.mark, mark_bytes(placed), CHECKPOINT_MODE)
        try:
            self._disk.rename(temporary, self.path)
            self._disk.fsync_dir(self.path.parent)
        except OSError as error:
            raise StorageError("write the checkpoint", self.path, error) from error
        self._checkpoint_bytes = len(data)
        self._placed = placed

    def close(self, *, wait: bool = True) -> None:
        """Bring the JSON file up to date if this process changed something, and close the files.

        Without `wait` a lock that somebody holds is no reason to wait: others, and the next open, do not depend
        on the JSON file's being up to date.
        """
        if not self._thread_lock.acquire(blocking=wait):
            return
        try:
            if self._journal is None:
                return
            if not wait:
                self.lock_timeout = 0
            try:
                if self._dirty and os.getpid() == self._pid and self._broken is None:
                    self.checkpoint()
            finally:
                with self._state_lock:
                    self._journal.close()
                    self._journal, self._fd = None, -1
                    self._lock.close()
                    self._seen = _NEVER
        finally:
            self._thread_lock.release()

    def _after_fork(self) -> None:
        """In the child of a fork: locks held by threads that stayed behind, and the lock file, are not ours."""
        self._thread_lock = threading.RLock()
        self._state_lock = threading.RLock()
        self.state.after_fork()
        self._lock.close()
        self._depth = 0
        self._dirty = False
        if self._unsettled:
            self._seen = _NEVER


def _note_unfinished(unfinished: dict[str, list[Line]], line: Line) -> None:
    if line.operation in ("retire", "replace_scaler"):
        unfinished.setdefault(line.model_id, []).append(line)
    elif line.operation in ("register", "restore"):
        unfinished.pop(line.model_id, None)  # its writer finished what was left of an earlier model of that id


def read_mark(path: Path) -> Mark | None:
    """Return the mark of the last checkpoint; None where there is none yet.

    Raises RegistryCorrupted, RegistryTooNew, StorageError.
    """
    try:
        return parse_mark(path, read_bytes(path))
    except FileNotFoundError:
        return None


_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger._after_fork()


os.register_at_fork(after_in_child=_after_fork)

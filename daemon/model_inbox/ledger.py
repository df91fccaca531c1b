"""The registry's entries on disk: followed by everybody, changed by the holder of the writer lock.

Owns the JSON file (a checkpoint), the journal that is the truth between checkpoints, the writer lock, and what one
handle has read of them. A change is a `Draft`; committing it appends its line. Knows entries as dictionaries with
ids, nothing of model files: `registry` puts those in place before, or takes them away after.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import structlog

from .entry import State
from .errors import ModelInboxError, RegistryCorrupted, RegistryError, RegistryMissing, StorageError
from .fsio import Disk, make_folder, replace_file, temporary_name, write_new_file
from .journal import Line, Operation, format_time, parse_time
from .locks import FileLock
from .segments import (
    JournalFile,
    all_lines,
    base_name,
    begin_segment,
    first_base,
    history_segments,
    read_segment,
)

__all__ = ["Draft", "Ledger", "also_changed", "read_checkpoint"]

log = structlog.get_logger("model_inbox")

CHECKPOINT_FORMAT = "model-inbox-checkpoint/1"
CHECKPOINT_MODE = 0o640
SEGMENT_BYTES_MIN = 4 << 20
_LOADS_MAX = 100


@dataclass(slots=True)
class Draft:
    """A line before it has its sequence and time; see `journal.Line`."""

    operation: Operation
    model_id: str
    reason: str = ""
    actor: str = ""
    drop_id: str | None = None
    changes_entry: bool = False
    entry: dict[str, Any] | None = None
    removed: Mapping[str, Any] | None = None
    detail: dict[str, Any] | None = None


class Ledger:
    """One handle on the registry's JSON file and journal.

    `state` is what was committed as far as this handle has looked; `refresh` looks. With `read_only` nothing is
    made, cut or locked. Several threads may use a handle. Raises RegistryMissing, RegistryCorrupted,
    RegistryTooNew, RegistryLocked and StorageError.
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
    ) -> None:
        self.path = path
        self.read_only = read_only
        self.lock_timeout = lock_timeout
        self.damage: ModelInboxError | None = None
        self.journal_path = path.with_name(f"{path.stem}.journal.jsonl")
        self.history_dir = path.parent / "history"
        self.mark_path = path.with_name(f"{path.stem}.checkpoint.json")
        self.retired_lines: dict[str, Line] = {}
        """Retirements since the segment began whose id is free: files of theirs may still lie about."""
        self._journal_name = str(self.journal_path)
        self._clock = clock
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._lock = FileLock(path.with_name(f".{path.stem}.writer.lock"), "registry writer's")
        self._thread_lock = threading.RLock()
        self._depth = 0
        self._pid = os.getpid()
        self._dirty = False  # this process committed something that the JSON file may lack
        self._checkpoint_bytes = 0
        self._seen: tuple[int, int, int] = (0, 0, 0)
        self._journal: JournalFile | None = None
        if not read_only:
            self._prepare()
        self._load()

    # --- opening ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make an empty registry where there is none. Under the lock, so that two makers agree.

        The JSON file comes first: after a crash in between, the next maker finds it and goes on.
        """
        if self.journal_path.exists() and self.path.exists():
            return
        with self._thread_lock:
            self._lock.acquire(self.lock_timeout)
            try:
                if self.journal_path.exists():
                    return
                if self.mark_path.exists() or history_segments(self.history_dir):
                    raise RegistryCorrupted(self.journal_path, None, "the journal is missing, its history is not")
                entries: dict[str, dict[str, Any]] = {}
                if self.path.exists():
                    entries = read_checkpoint(self.path)
                else:
                    replace_file(self._disk, self.path, _checkpoint_bytes({}), CHECKPOINT_MODE)
                base = max((_sequence_of(entry) for entry in entries.values()), default=0)
                if entries:  # a registry that was not ours: what it held is where our history begins
                    make_folder(self._disk, self.history_dir)
                    kept = self.history_dir / base_name(base)
                    replace_file(self._disk, kept, _checkpoint_bytes(entries), CHECKPOINT_MODE)
                begin_segment(self._disk, self.journal_path, base)
            finally:
                self._lock.release()

    def _load(self) -> None:
        """Read journal and checkpoint anew; start over while the segment changes under our hands."""
        for _ in range(_LOADS_MAX):
            journal = self._open_journal()
            try:
                entries, size = self._read_entries(journal)
                segment = journal.read_new()
                if segment is None or not journal.is_current():
                    journal.close()
                    continue
                self._check_mark(journal)
            except BaseException:
                with suppress(OSError):
                    journal.close()
                raise
            break
        else:
            raise RegistryError(f"cannot read the registry {str(self.path)!r}: it changed during each of many tries")
        if self._journal is not None:
            self._journal.close()
        self._journal = journal
        self._checkpoint_bytes = size
        self.state = State(str(self.path.parent), entries, journal.base_sequence)
        self.retired_lines = {}
        self._apply(segment.lines)
        self._seen = (0, 0, 0)  # what was appended since the read shows at the next look

    def _open_journal(self) -> JournalFile:
        try:
            return JournalFile(self.journal_path, self._disk, writable=not self.read_only)
        except RegistryMissing:
            if self.path.exists() or self.mark_path.exists():
                raise RegistryCorrupted(self.journal_path, None, "the journal is missing") from None
            raise RegistryMissing(
                f"cannot open the registry {str(self.path)!r}: there is none",
                hint="A writer makes it: `ModelRegistry(path, storage_dir)`, or the daemon when it starts",
            ) from None

    def _read_entries(self, journal: JournalFile) -> tuple[dict[str, dict[str, Any]], int]:
        try:
            return read_checkpoint(self.path), self.path.stat().st_size
        except FileNotFoundError:
            if journal.base_sequence == 0:
                return {}, 0
            raise RegistryCorrupted(
                self.path, None, f"the file is missing, the journal begins after line {journal.base_sequence}"
            ) from None

    def _check_mark(self, journal: JournalFile) -> None:
        """Notice a journal that ends before a line that a checkpoint already held: somebody cut it."""
        try:
            reached = int(orjson.loads(self.mark_path.read_bytes())["sequence"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            raise RegistryCorrupted(self.mark_path, 0, "not the mark of a checkpoint") from None
        if journal.sequence < reached:
            raise RegistryCorrupted(
                self.journal_path,
                journal.offset,
                f"it ends at line {journal.sequence}, but lines up to {reached} were committed",
            )

    # --- following --------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what was committed since; one stat when there is nothing.

        When the files cannot be followed any more (damage, a folder that is gone) the handle goes on with what it
        holds, and `damage` says why.
        """
        try:
            found = os.stat(self._journal_name)
        except OSError as error:
            self._went_bad(StorageError("look at the journal", self._journal_name, error))
            return
        seen = self._seen
        if found.st_size == seen[1] and found.st_mtime_ns == seen[2] and found.st_ino == seen[0]:
            return
        with self._thread_lock:
            try:
                self._take_in(self.journal)
                self._seen = found.st_ino, found.st_size, found.st_mtime_ns
                self.damage = None
            except (RegistryError, StorageError) as error:
                self._went_bad(error)

    @property
    def journal(self) -> JournalFile:
        """The open journal. Raises RegistryError when this handle is closed."""
        if self._journal is None:
            raise RegistryError(f"cannot use the registry {str(self.path)!r}: this handle is closed")
        return self._journal

    def lines(self) -> list[Line]:
        """Return every line that is kept, oldest first."""
        return all_lines(self.journal_path, self.history_dir)

    def state_at(self, moment: datetime) -> State:
        """Return the entries after the last line at or before `moment`.

        Raises RegistryError for a moment before the history that is kept.
        """
        lines = self.lines()
        self.refresh()
        base, state = self._first_state(lines[0].sequence if lines else self.state.sequence + 1)
        if base is not None and (not lines or moment < lines[0].at):
            raise RegistryError(
                f"cannot tell the registry as of {format_time(moment)}: its history begins at "
                f"{lines[0].time if lines else 'its first line'}",
                hint="registry.history_keep says how long the history is kept",
            )
        for line in lines:
            if line.at > moment:
                break
            if line.sequence > state.sequence:
                state.apply(line)
        return state

    def _first_state(self, before_sequence: int) -> tuple[Path | None, State]:
        """Return the registry as it was before the oldest line that is kept, with the file that holds it."""
        base = first_base(self.history_dir, before_sequence)
        if base is None:
            return None, State(str(self.path.parent), {}, 0)
        return base, State(str(self.path.parent), read_checkpoint(base), int(base.name[:20]))

    def _take_in(self, journal: JournalFile) -> None:
        """Read new lines, and follow a change of segment. Starts over when lines were taken back."""
        segment = journal.read_new()
        if segment is None:
            self._load()
            return
        self._apply(segment.lines)
        if not journal.is_current():
            self._go_to_next_segment()

    def _go_to_next_segment(self) -> None:
        """Go on with the next segment if it begins where we stand, else read everything anew."""
        journal = self._open_journal()
        if journal.base_sequence != self.state.sequence:
            journal.close()
            self._load()
            return
        self.journal.close()
        self._journal = journal
        self.retired_lines = {}
        self._seen = (0, 0, 0)
        segment = journal.read_new()
        if segment is None or not journal.is_current():
            self._load()
            return
        self._apply(segment.lines)

    def _apply(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self.state.apply(line)
            if line.operation == "retire":
                self.retired_lines[line.model_id] = line
            elif line.operation in ("register", "restore"):
                self.retired_lines.pop(line.model_id, None)

    def _went_bad(self, error: ModelInboxError) -> None:
        """Go on serving what we hold, and say once that it no longer follows the files."""
        if self._journal is None:
            raise error
        if self.damage is None or str(self.damage) != str(error):
            log.error("registry.unreadable", path=str(self.path), problem=str(error))
        self.damage = error

    # --- changing ---------------------------------------------------------------------------------------------

    def may_write(self) -> None:
        """Raise RegistryError for a handle that only reads."""
        if self.read_only:
            raise RegistryError(
                f"cannot change the registry {str(self.path)!r}: it was opened read-only",
                hint="Open it without read_only=True",
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer lock over an up-to-date state and a journal without a torn tail. Reentrant."""
        self.may_write()
        with self._thread_lock:
            journal = self.journal
            if self._depth:
                yield
                return
            self._lock.acquire(self.lock_timeout)
            self._depth = 1
            try:
                if journal.broken is not None:
                    raise journal.broken
                self._take_in(journal)
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

    def commit(self, drafts: Sequence[Draft]) -> list[Line]:
        """Append lines for the drafts and apply them: the append is the commit. Inside `writing`.

        A registered entry gets its `sequence` and `registered_at` here.
        """
        now = self._clock()
        if self.state.last_time:
            now = max(now, parse_time(self.state.last_time))  # a clock set back must not unsort the history
        time = format_time(now)
        lines = []
        for number, draft in enumerate(drafts, self.state.sequence + 1):
            if draft.operation == "register" and draft.entry is not None:
                draft.entry["registered_at"] = time
                draft.entry["sequence"] = number
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
                    draft.entry,
                    draft.removed,
                    draft.detail,
                )
            )
        self.journal.append(lines)
        self._apply(lines)
        self._dirty = True
        self._pid = os.getpid()
        found = os.stat(self._journal_name)
        self._seen = found.st_ino, found.st_size, found.st_mtime_ns
        return lines

    def sync(self) -> None:
        """Make last what was read, before acting on it. Inside `writing`."""
        self.journal.sync()

    # --- checkpoints and segments -----------------------------------------------------------------------------

    def checkpoint(self, *, force: bool = False) -> bool:
        """Bring the JSON file up to date, off the commit path; tell whether it was written.

        The file is made and synced without the lock; the lock is held for its rename only, and only while the
        segment is still the one that the contents were taken from (else a newer checkpoint exists already).
        """
        self.may_write()
        with self._thread_lock:
            self.refresh()
            if not (self._dirty or force):
                return False
            data = _checkpoint_bytes(self.state.entries)
            sequence = self.state.sequence
            inode = self.journal.inode
            temporary = temporary_name(self.path)
            write_new_file(self._disk, temporary, data, CHECKPOINT_MODE)
            with self.writing():
                if self.journal.inode == inode:
                    self.journal.sync()  # the JSON file must not show what the journal could still lose
                    self._put_checkpoint(temporary, sequence)
                else:
                    self._disk.unlink(temporary)
            self._checkpoint_bytes = len(data)
            self._dirty = self.state.sequence != sequence
        return True

    @property
    def is_outgrown(self) -> bool:
        """Whether the journal is longer than the checkpoint, so that the next segment should begin.

        The cost of a checkpoint is so shared by as many lines as it has bytes.
        """
        return self.journal.offset > max(self._segment_bytes, self._checkpoint_bytes)

    def change_segment(self) -> None:
        """Write a checkpoint and begin a new journal segment; the old one goes to `history/`. Inside `writing`.

        Checkpoint and mark last before the old journal is replaced: whatever a crash leaves, the checkpoint
        holds at least what the current journal builds on.
        """
        data = _checkpoint_bytes(self.state.entries)
        temporary = temporary_name(self.path)
        write_new_file(self._disk, temporary, data, CHECKPOINT_MODE)
        self.journal.sync()
        self._put_checkpoint(temporary, self.state.sequence)
        self.journal.change_segment(self.history_dir)
        self._checkpoint_bytes = len(data)
        self._dirty = False
        self._go_to_next_segment()

    def prune_history(self, keep_seconds: float) -> int:
        """Remove closed segments whose last line is older than that; return how many. Inside `writing`.

        The registry as it was at their end stays as a base file, so that `state_at` goes on to work from there.
        A crash before a removal leaves a base that is not used while its segment is there.
        """
        oldest = self._clock().timestamp() - keep_seconds
        removed = 0
        for path in history_segments(self.history_dir):
            base_sequence, lines, _ = read_segment(path)
            if path.stat().st_ino == self.journal.inode or (lines and lines[-1].at.timestamp() >= oldest):
                break
            base, state = self._first_state(base_sequence + 1)
            for line in lines:
                state.apply(line)
            kept = self.history_dir / base_name(state.sequence)
            replace_file(self._disk, kept, _checkpoint_bytes(state.entries), CHECKPOINT_MODE)
            try:
                self._disk.unlink(path)
                if base is not None and base != kept:
                    self._disk.unlink(base)
                self._disk.fsync_dir(self.history_dir)
            except OSError as error:
                raise StorageError("prune the history in", self.history_dir, error) from error
            removed += 1
        return removed

    def _put_checkpoint(self, temporary: Path, sequence: int) -> None:
        """Under the lock: put a synced checkpoint and its mark in place, with one sync of the folder.

        The mark tells that the journal had reached `sequence`. Whichever of the two names lasts alone after a
        crash, it is true: the lines up to `sequence` were synced before.
        """
        mark = temporary_name(self.mark_path)
        text = orjson.dumps({"format": CHECKPOINT_FORMAT, "sequence": sequence}, option=orjson.OPT_APPEND_NEWLINE)
        write_new_file(self._disk, mark, text, CHECKPOINT_MODE)
        try:
            self._disk.rename(temporary, self.path)
            self._disk.rename(mark, self.mark_path)
            self._disk.fsync_dir(self.path.parent)
        except OSError as error:
            raise StorageError("write the checkpoint", self.path, error) from error

    def close(self) -> None:
        """Bring the JSON file up to date if this process changed something, and close the files."""
        with self._thread_lock:
            if self._journal is None:
                return
            try:
                if self._dirty and os.getpid() == self._pid:
                    self.checkpoint()
            finally:
                self._journal.close()
                self._journal = None
                self._lock.close()
                self._seen = (0, 0, 0)


def also_changed(line: Line) -> Mapping[str, Any]:
    """Return the other entries that a line sets beside its own."""
    also = (line.detail or {}).get("also", {})
    return also if isinstance(also, dict) else {}


def read_checkpoint(path: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the JSON file. Raises FileNotFoundError, RegistryCorrupted, StorageError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError("read the registry", path, error) from error
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RegistryCorrupted(path, error.pos, f"not JSON: {error.msg}") from None
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise RegistryCorrupted(path, 0, "not a JSON object of entries")
    return value


def _checkpoint_bytes(entries: Mapping[str, Any]) -> bytes:
    return orjson.dumps(entries, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _sequence_of(entry: Mapping[str, Any]) -> int:
    sequence = entry.get("sequence")
    return sequence if isinstance(sequence, int) else 0

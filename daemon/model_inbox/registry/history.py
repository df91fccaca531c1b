"""The registry's past: its entries as of a moment, and the retired models that the trash should hold.

Owns what is worked out from the closed segments and the base files, and the removal of old segments. Never changes
the current segment, and knows nothing of model files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from ..base.disk import Disk, content_of, inode_of, read_bytes, replace_file
from ..errors import RegistryCorrupted, RegistryError, StorageError
from .checkpoint import CHECKPOINT_MODE, checkpoint_bytes, parse_checkpoint
from .clock import ClockLine, corrected
from .entry import EntryFields, sequence_of
from .journal import Line, brings_back, format_time
from .paths import RegistryFiles
from .segments import (
    all_lines,
    base_files,
    base_name,
    base_sequence,
    check_base,
    first_base,
    history_segments,
    read_segment,
)
from .state import State

__all__ = [
    "HistoryCheck",
    "Retirements",
    "entries_after",
    "entries_before",
    "note_retirement",
    "prune_history",
    "registrations_in",
    "retirements",
    "state_at",
]

_LOOKS_MAX = 5

Retirements = dict[tuple[str, int], Line]
"""The retirements whose models the trash should hold: (model_id, sequence of its registration) -> line."""


# --- the trash -----------------------------------------------------------------------------------------------


def retirements(lines: Iterable[Line]) -> Retirements:
    """Return the retirements whose models the trash should hold after these lines, in order."""
    found: Retirements = {}
    for line in lines:
        note_retirement(found, line)
    return found


def note_retirement(found: Retirements, line: Line) -> None:
    """Bring the retirements up to date with one more line."""
    if line.operation == "retire" and line.removed is not None:
        found[(line.model_id, sequence_of(line.removed))] = line
    elif brings_back(line) and line.entry is not None:
        found.pop((line.model_id, sequence_of(line.entry)), None)
    elif line.operation == "purge" and line.detail is not None:
        found.pop((line.model_id, sequence_of(line.detail)), None)


def registrations_in(lines: Iterable[Line], drop_ids: Collection[str]) -> dict[str, Line]:
    """Return the lines that registered these drops, by drop."""
    return {
        line.drop_id: line
        for line in lines
        if line.operation == "register" and line.drop_id is not None and line.drop_id in drop_ids
    }


# --- the entries as of a moment ------------------------------------------------------------------------------


def state_at(files: RegistryFiles, moment: datetime, *, reached: int) -> State:
    """Return the entries after the last line whose time is not after `moment`, and all lines before that one.

    The order is that of the lines: where the clock ran back, lines with later times may come before. So the line is
    searched from the end. `reached` is the number of the last line of all.

    Raises RegistryError for a moment before the history that is kept, RegistryCorrupted when its beginning is missing.
    """
    for _ in range(_LOOKS_MAX):  # the oldest segment may turn into a base file between the two reads
        lines = all_lines(files.journal, files.history, over_gaps=True)
        base, state = _first_state(files, lines[0].sequence if lines else reached + 1)
        if not lines or lines[0].sequence == state.sequence + 1:
            break
    else:
        raise RegistryCorrupted(
            files.history,
            None,
            f"the history begins at line {lines[0].sequence}, and the entries before that line are missing",
        )
    count = next((number for number in range(len(lines), 0, -1) if lines[number - 1].at <= moment), 0)
    if base is not None and count == 0:
        raise RegistryError(
            f"cannot tell the registry as of {format_time(moment)}: its history begins at "
            f"{lines[0].time if lines else 'its first line'}",
            hint="registry.history_keep says how long the history is kept",
        )
    for number, line in enumerate(lines[: count + 1], 1):
        # Nobody knows when a missing line was committed: the ones right after the last line may belong to the answer.
        if line.sequence != state.sequence + 1:
            raise RegistryCorrupted(
                files.history, None, f"the lines {state.sequence + 1} to {line.sequence - 1} are in no segment"
            )
        if number <= count:
            state.apply(line)
    return state


def entries_after(files: RegistryFiles, sequence: int) -> dict[str, EntryFields]:
    """Return the entries after line `sequence`, where the current segment begins, from base files and closed segments.

    Raises RegistryCorrupted when lines or the entries before them are damaged or missing, and StorageError.
    """
    base, state = _first_state(files, sequence + 1)
    for path in history_segments(files.history):
        begins = base_sequence(path)
        if begins >= sequence or state.sequence >= sequence:
            break
        lines = read_segment(path).lines
        if begins > state.sequence:
            raise _lines_missing(path, state.sequence + 1, begins)
        for line in lines:
            if line.sequence > state.sequence:
                state.apply(line)
    if state.sequence != sequence:
        raise _lines_missing(base or files.history, state.sequence + 1, sequence)
    return state.entries


def entries_before(files: RegistryFiles, sequence: int) -> tuple[int, dict[str, EntryFields]]:
    """Return the entries of the newest base file from before line `sequence`, and the line that it stands behind.

    Without such a file these are none, and 0. Raises RegistryCorrupted for a damaged file.
    """
    _, state = _first_state(files, sequence)
    return state.sequence, state.entries


def _lines_missing(path: Path, first: int, last: int) -> RegistryCorrupted:
    return RegistryCorrupted(path, None, f"lines {first} to {last} are in no segment")


def _first_state(files: RegistryFiles, before_sequence: int) -> tuple[Path | None, State]:
    """Return the registry as it was before the oldest line that is kept, with the file that holds it."""
    folder = str(files.path.parent)
    for _ in range(_LOOKS_MAX):
        base = first_base(files.history, before_sequence)
        if base is None:
            return None, State(folder, {}, 0)
        with suppress(FileNotFoundError):  # pruned meanwhile
            data = read_bytes(base)
            check_base(base, data)
            return base, State(folder, parse_checkpoint(base, data), base_sequence(base))
    raise RegistryError(f"cannot read {str(files.history)!r}: it changed during each of many tries")


class HistoryCheck:
    """Finds damage in closed segments and base files. A file that was found sound is read again when it has changed."""

    def __init__(self, files: RegistryFiles) -> None:
        self._files = files
        self._sound: dict[Path, object] = {}

    def damage(self) -> str:
        """Return what the first damaged file is and where, or "". Raises StorageError."""
        history = self._files.history
        sound: dict[Path, object] = {}
        problem = ""
        for path in [*base_files(history), *history_segments(history)]:
            try:
                look = content_of(path.lstat())
                if self._sound.get(path) != look:
                    _check(path)
            except FileNotFoundError:
                continue  # pruned meanwhile
            except OSError as error:
                raise StorageError("look at", path, error) from error
            except RegistryCorrupted as error:
                problem = problem or error.message
            else:
                sound[path] = look
        self._sound = sound
        return problem


def _check(path: Path) -> None:
    if path.suffix == ".jsonl":
        read_segment(path)
        return
    data = read_bytes(path)
    check_base(path, data)
    parse_checkpoint(path, data)


# --- removal -------------------------------------------------------------------------------------------------


def prune_history(
    files: RegistryFiles,
    disk: Disk,
    *,
    oldest: float,
    current: int,
    needed: int | None,
    clock_lines: Sequence[ClockLine],
) -> int:
    """Remove closed segments whose last line is before the timestamp `oldest`; return how many.

    The `clock_lines` of the journal correct the times of lines that were stamped by a wrong clock.
    Under the writer lock. A segment with line `needed`, or any after it, stays, and so does the one with the inode
    `current`. The registry as it was at the end of a removed segment stays as a base file, so that `state_at` goes on
    to work from there. A crash before a removal leaves a base that is not used while its segment is there. Raises
    RegistryCorrupted when the entries that a segment builds on are missing.
    """
    removed = 0
    for path in history_segments(files.history):
        segment = read_segment(path)
        lines = segment.lines
        if inode_of(path) == current or (lines and corrected(lines[-1], clock_lines).timestamp() >= oldest):
            break
        if needed is not None and (not lines or lines[-1].sequence >= needed):
            break
        base, state = _first_state(files, segment.header.base_sequence + 1)
        if state.sequence != segment.header.base_sequence:
            raise RegistryCorrupted(
                path, 0, f"the entries before line {segment.header.base_sequence + 1} are in no file"
            )
        for line in lines:
            state.apply(line)
        data = checkpoint_bytes(state.entries)
        kept = files.history / base_name(state.sequence, data)
        if kept != base:
            replace_file(disk, kept, data, CHECKPOINT_MODE)
        try:
            disk.unlink(path)
            disk.fsync_dir(files.history)  # the segment must not outlast the base that it builds on
            if base is not None and base != kept:
                disk.unlink(base)
        except OSError as error:
            raise StorageError("prune the history in", files.history, error) from error
        removed += 1
    return removed

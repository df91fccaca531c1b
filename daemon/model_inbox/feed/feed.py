"""Read the lines that follow a position, in order, each once.

Owns what a reader has open and where it stands. Never writes, locks or cuts anything, so it works without the right to
write. A position that must outlast the process is for the caller to keep.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..base.disk import Disk
from ..errors import ModelInboxError, RegistryCorrupted, RegistryError, StorageError
from ..registry.journal import Line
from ..registry.paths import RegistryFiles
from ..registry.position import Position
from ..registry.segments import JournalFile, base_sequence, history_segments, read_segment, segment_name
from .steps import Impossible, ReadClosed, next_step

__all__ = ["Changes", "Compare", "Feed"]

_TRIES_MAX = 100


@dataclass(frozen=True, slots=True)
class Changes:
    """The lines that follow the position before, without a gap, and the position after them. There may be none.

    `position` is None only in a registry that nobody has changed since version 0.1 made it.
    """

    lines: tuple[Line, ...]
    position: Position | None


@dataclass(frozen=True, slots=True)
class Compare:
    """Nobody can go on from the position before: compare everything that was made of it with the registry.

    Read the registry after this: it has everything up to `position` at least, from which the feed goes on. A line that
    the comparison saw already comes again; it holds whole entries, so applying it twice changes nothing.
    """

    position: Position | None
    because: str


class Feed:
    """The lines of a registry from `position` on; with None from its end on, after a `Compare`.

    A position leads on in its own epoch only, and only while the history has the lines after it. Else, and when lines
    that were read are there no more, `read` returns `Compare`. A line may be taken back until its writer has synced it,
    which takes milliseconds.

    One thread at a time may use a feed.
    """

    def __init__(self, files: RegistryFiles, position: Position | None = None) -> None:
        self._files = files
        self._disk = Disk()
        self._position = position
        self._journal: JournalFile | None = None
        # Where a journal without an identity was compared: its inode and its last line.
        self._nameless: tuple[int, int] | None = None

    @property
    def position(self) -> Position | None:
        """Where the next `read` goes on."""
        return self._position

    def read(self) -> Changes | Compare:
        """Return what was committed since, at most one segment at once; no lines when there is nothing new.

        Raises RegistryMissing, RegistryCorrupted, RegistryTooNew and StorageError as long as the journal cannot be
        read. The feed stays where it is then, and the next call tries again.
        """
        try:
            for _ in range(_TRIES_MAX):
                found = self._try()
                if found is not None:
                    return found
        except ModelInboxError:
            self.close()
            raise
        path = str(self._files.journal)
        raise RegistryError(f"cannot follow the journal {path!r}: it changed during each of many tries")

    def close(self) -> None:
        """Close the journal. The next `read` opens it again."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _try(self) -> Changes | Compare | None:
        """Return the next lines, or None when the segment was closed and had no more."""
        if self._journal is None:
            self._journal = JournalFile(self._files.journal, self._disk, writable=False)
        journal, position = self._journal, self._position
        if position is None:
            return self._compare(journal, "there is no position to go on from")
        is_behind = position.sequence < journal.base_sequence
        closed = [base_sequence(path) for path in history_segments(self._files.history)] if is_behind else []
        step = next_step(position, journal.identity, journal.base_sequence, closed)
        if isinstance(step, Impossible):
            return self._compare(journal, step.because)
        if isinstance(step, ReadClosed):
            return self._read_closed(journal, position, step.base_sequence)
        lines = journal.read_new()
        if lines is None or journal.sequence < position.sequence:
            return self._compare(journal, f"lines up to {position.sequence} were read, and are there no more")
        lines = tuple(line for line in lines if line.sequence > position.sequence)
        if journal.is_closed:
            # The lines that came between the reading and the closing are read from the history, or the next segment.
            self.close()
        if not lines:
            return None if journal.is_closed else Changes((), position)
        self._position = position.identity.at(lines[-1].sequence)
        return Changes(lines, self._position)

    def _read_closed(self, journal: JournalFile, position: Position, base: int) -> Changes | Compare | None:
        """Return the lines after `position` of a closed segment."""
        path = self._files.history / segment_name(base)
        try:
            segment = read_segment(path)
        except (RegistryCorrupted, StorageError) as error:
            # Damaged, or removed a moment ago: a comparison needs no history.
            return self._compare(journal, str(error))
        lines = tuple(line for line in segment.lines if line.sequence > position.sequence)
        if segment.header.identity != position.identity or not lines:
            return self._compare(journal, f"the lines after {position.sequence} are not in the history")
        self._position = position.identity.at(lines[-1].sequence)
        return Changes(lines, self._position)

    def _compare(self, journal: JournalFile, because: str) -> Changes | Compare | None:
        """Go on from the end of the journal, and have the caller compare. None: try again with the next segment."""
        if journal.read_new() is None:
            # It was cut a moment ago. Read it again from its beginning.
            self.close()
            journal = self._journal = JournalFile(self._files.journal, self._disk, writable=False)
            journal.read_new()
        nameless = (journal.inode, journal.sequence) if journal.identity is None else None
        if nameless is not None and nameless == self._nameless:
            if journal.is_closed:
                self.close()
                return None
            return Changes((), None)
        self._nameless = nameless
        self._position = journal.identity.at(journal.sequence) if journal.identity is not None else None
        return Compare(self._position, because)

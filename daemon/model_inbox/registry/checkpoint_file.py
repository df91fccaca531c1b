"""The registry's JSON file and its mark on disk, as one handle reads them and puts them in place.

Owns the order of the steps that replaces both, what is known of the file in place, and that nothing which was found
there is replaced without a copy. The bytes are `checkpoint`'s; when a checkpoint is due is the store's decision.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ..base.disk import Disk, content_of, read_bytes, remove_quietly, replace_file, temporary_name, write_new_file
from ..errors import RegistryCorrupted, StorageError
from .checkpoint import CHECKPOINT_MODE, NO_FILE, Fingerprint, Mark, fingerprint, mark_bytes, parse_mark
from .healing import Rewritten, find_faults, log_rewritten, set_aside
from .paths import RegistryFiles
from .position import Identity
from .state import State

__all__ = ["CheckpointFile", "read_mark"]

_LOOKS_MAX = 5


def read_mark(path: Path) -> Mark | None:
    """Return the mark of the last checkpoint; None where there is none yet.

    Raises RegistryCorrupted, RegistryTooNew, StorageError.
    """
    try:
        return parse_mark(path, read_bytes(path))
    except FileNotFoundError:
        return None


class CheckpointFile:
    """The JSON file with its mark, and how far it is behind what one handle has committed.

    `size` is that of the JSON file which was read or put in place last, in bytes.
    """

    def __init__(self, files: RegistryFiles, disk: Disk, clock: Callable[[], datetime]) -> None:
        self._files = files
        self._disk = disk
        self._clock = clock
        self.size = 0
        self.is_dirty = False
        """Whether this process committed something that the JSON file may lack."""
        self.rewritten: tuple[Rewritten, ...] = ()
        """The files that this handle last found edited or damaged, and made again."""
        self._unsaved_bytes = 0  # of the lines that this handle has appended since it last saw to the JSON file
        self._placed: Mark | None = None  # as long as this mark stands, the JSON file is the one of its line
        self._sound: object = None  # how both files look since they were found to be what they should be

    def look(self) -> object:
        """Return what tells whether one of the two files was changed or replaced: inode, size, time of each."""
        return _look(self._files.mark), _look(self._files.path)

    def note_read(self, mark: Mark | None, data: bytes | None, look: object) -> None:
        """Remember the mark and the JSON file's bytes as they were read, None for a file that was not there.

        `look` is how they looked before that; None when they are not what they should be.
        """
        self.size = len(data or b"")
        self._placed = mark if mark is not None and data is not None and mark.is_of(data) else None
        self._sound = look

    def is_sound(self, identity: Identity | None) -> bool:
        """Return whether mark and JSON file belong together and to this epoch. Costs two looks if nothing changed."""
        if self._sound is not None and self._sound == self.look():
            return True
        for _ in range(_LOOKS_MAX):
            look = self.look()
            try:
                mark, data = read_mark(self._files.mark), read_bytes(self._files.path)
            except (FileNotFoundError, RegistryCorrupted):
                mark, data = None, b""
            if mark is not None and mark.identity in (None, identity) and mark.fits(data):
                self.note_read(mark, data, look)
                return True
            if look == self.look():  # else they were of two moments
                break
        return False

    def marked(self, otherwise: int) -> int:
        """Return the number of the line that the checkpoint in place has reached; `otherwise` without a sound mark."""
        try:
            mark = read_mark(self._files.mark)
        except RegistryCorrupted:
            return otherwise
        return mark.sequence if mark is not None else otherwise

    def is_up_to_date(self, state: State, base_sequence: int) -> bool:
        """Return whether the JSON file has all of a state that begins behind that line, and is what it should be."""
        return not self.is_dirty and self.is_sound(state.identity) and self.marked(base_sequence) >= state.sequence

    @property
    def is_stale(self) -> bool:
        """Whether the JSON file lacks more bytes than it has, of what this handle has committed.

        Written no more often than that it costs less than the lines themselves, and while a registry is small, a
        plain reader of it finds what was registered a moment ago.
        """
        return self._unsaved_bytes > self.size

    def fell_behind(self, size: int) -> None:
        """Note that lines of that many bytes were committed."""
        self.is_dirty = True
        self._unsaved_bytes += size

    def caught_up(self) -> None:
        """Note that the JSON file has all that this handle has committed."""
        self.is_dirty = False
        self._unsaved_bytes = 0

    def write(self, data: bytes) -> Path:
        """Write and sync the bytes of a JSON file beside its place; return where they are."""
        temporary = temporary_name(self._disk, self._files.path)
        write_new_file(self._disk, temporary, data, CHECKPOINT_MODE)
        return temporary

    def put(self, temporary: Path, data: bytes, sequence: int, held: State) -> None:
        """Under the writer lock: put a JSON file that `write` wrote in place, its mark before it.

        What is there and not what it should be is kept, and logged. `held` is the state that the caller holds.

        The mark says that the journal had reached `sequence`, which is true already, and allows for the JSON file that
        is there, if it is sound, as well as for the one that comes. It is durable before that one is renamed, so the
        two always agree: a crash before the mark leaves the old checkpoint, one before the rename the old JSON file
        under the new mark. A JSON file that is not sound is then still found not to fit.

        Which JSON file is there is known as long as the mark is the one that we know it by. Nothing about the file
        itself would tell: a later one may have the number of an inode that was freed in between.
        """
        found: list[Rewritten] = []
        if self.is_sound(held.identity):
            before = self._fingerprint_there()
        else:
            before = NO_FILE
            faults = find_faults(self._files, self._disk, held)
            found = set_aside(self._files, self._disk, faults, self._clock())
        placed = Mark(sequence, fingerprint(data), before, held.identity)
        replace_file(self._disk, self._files.mark, mark_bytes(placed), CHECKPOINT_MODE)
        look = _look(temporary)
        try:
            self._disk.rename(temporary, self._files.path)
            self._disk.fsync_dir(self._files.path.parent)
        except OSError as error:
            raise StorageError("write the checkpoint", self._files.path, error) from error
        self.size = len(data)
        self._placed = placed
        self._sound = (_look(self._files.mark), look)
        if found:
            log_rewritten(found)
            self.rewritten = tuple(found)

    def _fingerprint_there(self) -> Fingerprint:
        mark = read_mark(self._files.mark)
        if mark is not None and mark == self._placed:
            return mark.after
        try:
            return fingerprint(read_bytes(self._files.path))
        except FileNotFoundError:
            return NO_FILE

    def discard(self, temporary: Path) -> None:
        """Remove a JSON file that `write` wrote and nobody put in place."""
        remove_quietly(self._disk, temporary)


def _look(path: Path) -> object:
    """Return what a rename leaves of a file's status and a write or another file does not; None without a file."""
    try:
        return content_of(os.lstat(path))
    except OSError:
        return None

"""The registry's JSON file and its mark on disk, as one handle reads them and puts them in place.

Owns the order of the steps that replaces both, and what is known of the file in place. The bytes are `checkpoint`'s;
when a checkpoint is due is the store's decision.
"""

from __future__ import annotations

from pathlib import Path

from ..base.disk import Disk, read_bytes, remove_quietly, replace_file, temporary_name, write_new_file
from ..errors import StorageError
from .checkpoint import CHECKPOINT_MODE, NO_FILE, Mark, fingerprint, mark_bytes, parse_mark
from .paths import RegistryFiles
from .position import Identity

__all__ = ["CheckpointFile", "read_mark"]


def read_mark(path: Path) -> Mark | None:
    """Return the mark of the last checkpoint; None where there is none yet.

    Raises RegistryCorrupted, RegistryTooNew, StorageError.
    """
    try:
        return parse_mark(path, read_bytes(path))
    except FileNotFoundError:
        return None


class CheckpointFile:
    """The JSON file with its mark. `size` is that of the JSON file which was read or put in place last, in bytes."""

    def __init__(self, files: RegistryFiles, disk: Disk) -> None:
        self._files = files
        self._disk = disk
        self.size = 0
        self._placed: Mark | None = None  # as long as this mark stands, the JSON file is the one of its line

    def note_read(self, mark: Mark | None, data: bytes | None) -> None:
        """Remember the mark and the JSON file's bytes as they were read, None for a file that was not there."""
        self.size = len(data or b"")
        self._placed = mark if mark is not None and data is not None and mark.is_of(data) else None

    def marked(self) -> int | None:
        """Return the number of the line that the checkpoint in place has reached; None before the first one."""
        mark = read_mark(self._files.mark)
        return mark.sequence if mark is not None else None

    def write(self, data: bytes) -> Path:
        """Write and sync the bytes of a JSON file beside its place; return where they are."""
        temporary = temporary_name(self._disk, self._files.path)
        write_new_file(self._disk, temporary, data, CHECKPOINT_MODE)
        return temporary

    def put(self, temporary: Path, data: bytes, sequence: int, identity: Identity | None) -> None:
        """Under the writer lock: put a JSON file that `write` wrote in place, its mark before it.

        The mark says that the journal had reached `sequence`, which is true already, and allows for the JSON file that
        is there as well as for the one that comes. It is durable before that one is renamed, so the two always agree:
        a crash before the mark leaves the old checkpoint, one before the rename the old JSON file under the new mark.

        Which JSON file is there is known as long as the mark is the one that we know it by. Nothing about the file
        itself would tell: a later one may have the number of an inode that was freed in between.
        """
        mark = read_mark(self._files.mark)
        if mark is not None and mark == self._placed:
            before = mark.after
        else:
            try:
                before = fingerprint(read_bytes(self._files.path))
            except FileNotFoundError:
                before = NO_FILE
        placed = Mark(sequence, fingerprint(data), before, identity)
        replace_file(self._disk, self._files.mark, mark_bytes(placed), CHECKPOINT_MODE)
        try:
            self._disk.rename(temporary, self._files.path)
            self._disk.fsync_dir(self._files.path.parent)
        except OSError as error:
            raise StorageError("write the checkpoint", self._files.path, error) from error
        self.size = len(data)
        self._placed = placed

    def discard(self, temporary: Path) -> None:
        """Remove a JSON file that `write` wrote and nobody put in place."""
        remove_quietly(self._disk, temporary)

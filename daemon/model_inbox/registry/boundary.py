"""Which files are a registry's own to read, move and remove: those in its folder and in its storage folder.

Owns the decision, by real paths: no `..`, no absolute path and no link on the way leads out of these two. Entries are
data, which another program or a person may have written: what they name elsewhere may be anybody's file. Opens,
moves and removes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Boundary"]

_NO_NAMES = frozenset({"", ".", ".."})


class Boundary:
    """The folder of a registry and its storage folder. Either may be a link itself: the operator has set it."""

    def __init__(self, folder: Path, storage_dir: Path) -> None:
        self.folder = folder
        self.storage_dir = storage_dir
        # What our own entries begin with: as they are stored, and as the API shows them.
        relative = (
            f"{os.path.relpath(storage_dir, folder)}/" if storage_dir.is_relative_to(folder) else f"{storage_dir}/"
        )
        self._starts = (relative.removeprefix("./"), f"{storage_dir}/")

    def holds(self, stored: str) -> bool:
        """Return whether the file that an entry names by this path lies inside. It need not exist.

        The last part of the path is not followed: whoever opens the file follows no link either.
        """
        for start in self._starts:
            # Nearly all entries: no system call is needed.
            if stored.startswith(start) and "/" not in stored[len(start) :]:
                return stored[len(start) :] not in _NO_NAMES and "\0" not in stored
        head, name = os.path.split(os.path.join(self.folder, stored))
        if name in _NO_NAMES or "\0" in stored:
            return False
        real = os.path.realpath(head)
        roots = (os.path.realpath(self.folder), os.path.realpath(self.storage_dir))
        return any(real == root or real.startswith(f"{root.rstrip('/')}/") for root in roots)

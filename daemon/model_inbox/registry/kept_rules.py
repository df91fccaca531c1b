"""The rules that decided, kept beside the history: one file for each set of rules, named by its digest.

Owns these files, and that one is durable before the first line that names it. A line that a rule decided names its
rules by the SHA-256 of their text in `detail.rules`. Knows nothing of what the text says: `config.rules` makes it.
Never removes a file: a handle that has kept its rules goes on naming them without looking again.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from ..base.disk import Disk, make_folder, replace_file
from ..errors import StorageError
from .paths import RegistryFiles

__all__ = ["KeptRules", "read_rules", "rules_files", "sound_rules"]

RULES_MODE = 0o640
_NAME = re.compile(r"([0-9a-f]{64})\.rules\.json", re.ASCII)


class KeptRules:
    """The text of the rules that one handle goes by, and its file. `is_kept` is true once the file is durable."""

    def __init__(self, files: RegistryFiles, text: bytes, disk: Disk) -> None:
        self.digest = hashlib.sha256(text).hexdigest()
        self.is_kept = False
        self._path = files.rules(self.digest)
        self._text = text
        self._disk = disk

    def keep(self) -> None:
        """Make the file durable, if this handle has not done so before. Raises StorageError.

        A crash before the rename leaves no file, or that of an earlier process with the same bytes; after it, a file
        that no line names yet. Several processes may do this at once: their files are equal.
        """
        if self.is_kept:
            return
        make_folder(self._disk, self._path.parent)
        try:
            is_there = self._path.read_bytes() == self._text
        except OSError:
            is_there = False
        if is_there:
            # The process that made it may have died before its name was synced.
            try:
                self._disk.fsync_dir(self._path.parent)
            except OSError as error:
                raise StorageError("keep the rules in", self._path, error) from error
        else:
            replace_file(self._disk, self._path, self._text, RULES_MODE)
        self.is_kept = True


def rules_files(history: Path) -> list[Path]:
    """Return the files of rules that are kept."""
    try:
        return sorted(history / name for name in os.listdir(history) if _NAME.fullmatch(name))
    except FileNotFoundError:
        return []


def sound_rules(path: Path) -> bytes | None:
    """Return the text in a file of rules, None if it is not there or has other bytes. Raises OSError."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    named = _NAME.fullmatch(path.name)
    return text if named is not None and hashlib.sha256(text).hexdigest() == named[1] else None


def read_rules(files: RegistryFiles, digest: str) -> bytes | None:
    """Return the text of the rules with that digest, None if they are not kept. Raises StorageError."""
    path = files.rules(digest)
    try:
        return sound_rules(path)
    except OSError as error:
        raise StorageError("read the rules in", path, error) from error

"""What an entry says of where its model came from, what it may import, and where its files are, for people.

Owns these words, and the look at the files. Opens no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .boundary import Boundary
from .entry import EntryFields, StoredFile, files_of_entry

__all__ = ["SeenFile", "imports_in_words", "look_at_files", "origin_in_words"]

# How it was known that a drop was complete.
_COMPLETE = {
    "digest": "; its files had the SHA-256 that its sidecar gives",
    "lease": "; no process had its files open",
    "quiet": "; its files had stayed unchanged for the settle time",
}


class SeenFile(NamedTuple):
    """A file that an entry names, with its size in bytes; None, and why, if that is not known."""

    file: StoredFile
    size: int | None
    problem: str


def origin_in_words(entry: EntryFields) -> str:
    """Return where a model came from, and how it was known that it was complete."""
    if entry.get("origin") == "inbox":
        how = _COMPLETE.get(str(entry.get("integrity")), "")
        return f"the inbox, drop {entry.get('drop_id')}{how}"
    return "Python (register_model)"


def imports_in_words(imports: Mapping[str, str] | None) -> str:
    """Return what the files of an entry may import, by package."""
    if imports is None:
        return "anything: it was registered from Python, and is trusted as the code that registered it"
    if not imports:
        return "nothing"
    roots = Counter(str(name).partition(".")[0] for name in imports)
    parts = ", ".join(f"{root} ({count})" for root, count in sorted(roots.items()))
    return f"{len(imports)} names: {parts}"


def look_at_files(entry: EntryFields, boundary: Boundary) -> Iterator[SeenFile]:
    """Yield the files of an entry whose paths are absolute. One outside of the boundary is not looked at."""
    for file in files_of_entry(entry):
        size, problem = None, ""
        try:
            if boundary.holds(file.path):
                size = Path(file.path).lstat().st_size
            else:
                problem = "outside of the registry's folders: not used"
        except FileNotFoundError:
            problem = "missing"
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        yield SeenFile(file, size, problem)

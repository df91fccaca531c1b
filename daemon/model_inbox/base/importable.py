"""Whether every user of this machine can import what this process can.

Owns the look at the rights of the folders that modules come from. Imports nothing and changes nothing.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

__all__ = ["everybody_can_import"]

# Reading and passing, for the group and for others: the user may be of either.
_FOLDER_RIGHTS = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
_PASSING_RIGHTS = stat.S_IXGRP | stat.S_IXOTH
_FILE_RIGHTS = stat.S_IRGRP | stat.S_IROTH


def everybody_can_import(package: Path, modules: Iterable[str]) -> bool:
    """Return whether all users can read a package with its sub-packages, these modules, and Python's library.

    By the mode bits of folders and of what stands for a package. False where one cannot be seen. Access control lists
    that take rights away from a single user are not looked at.
    """
    passed: set[Path] = set()
    try:
        return all(_is_open(path, passed) for path in (*_origins(modules), *_library(), *_folders_of(package)))
    except (OSError, ImportError, ValueError):
        return False


def _origins(modules: Iterable[str]) -> Iterator[Path]:
    for name in modules:
        found = find_spec(name)
        if found is not None and found.origin is not None:
            yield Path(found.origin)
            yield from map(Path, found.submodule_search_locations or ())


def _library() -> Iterator[Path]:
    """Yield the folders and archives of Python's own modules and of installed ones."""
    yield Path(os.__file__)
    yield from (path for entry in sys.path if entry and (path := Path(entry)).exists())


def _folders_of(package: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(package):
        yield Path(folder)
        yield from (Path(folder) / name for name in files if name == "__init__.py")


def _is_open(path: Path, passed: set[Path]) -> bool:
    """Return whether everybody can read a path and pass to it. `passed` are folders that were looked at before."""
    real = path.resolve()
    mode = real.stat().st_mode
    wanted = _FOLDER_RIGHTS if stat.S_ISDIR(mode) else _FILE_RIGHTS
    # Links on the way are in folders that have to be passed, too.
    return mode & wanted == wanted and all(_can_be_passed(folder, passed) for folder in (*path.parents, *real.parents))


def _can_be_passed(folder: Path, passed: set[Path]) -> bool:
    if folder not in passed and folder.stat().st_mode & _PASSING_RIGHTS == _PASSING_RIGHTS:
        passed.add(folder)
    return folder in passed

"""How a process gets at a registry's folder: the path as its user knows it, and whether it may write there.

Owns no file; removes only temporary files that nobody writes any more.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from ..base.disk import Disk, is_mounted_read_only, is_temporary, remove_quietly
from .paths import RegistryFiles

__all__ = ["absolute", "remove_old_temporaries", "user_name", "why_not_writable"]

_TEMPORARY_SECONDS = 86_400


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path without `..`, which a relative path in an entry could not be taken from.

    Links are followed only where there are dots: the name that the user knows is what errors show.
    """
    whole = Path(path).absolute()
    return Path(os.path.realpath(whole.parent)) / whole.name if ".." in whole.parts else whole


def why_not_writable(path: Path) -> str:
    """Return why a registry that is there cannot be written by this process; "" when it can, or is not there."""
    journal, replica = RegistryFiles(path).journal, RegistryFiles(path).replica
    if os.path.lexists(replica):
        return (
            f"its folder {str(path.parent)!r} is a replica: change the registry that {replica.name} names as its source"
        )
    if not os.path.lexists(journal):
        return ""
    if is_mounted_read_only(path.parent):
        return f"its folder {str(path.parent)!r} is on a file system that is mounted read-only"
    for place in (path.parent, journal):
        if not os.access(place, os.W_OK, effective_ids=True):
            return f"{user_name()} may not write {str(place)!r}"
    return ""


def user_name() -> str:
    """Return the name of the user who runs this process, or the number of one without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def remove_old_temporaries(disk: Disk, folders: Sequence[Path], now: datetime) -> None:
    """Remove temporary files that are a day old: no writer takes that long."""
    oldest = now.timestamp() - _TEMPORARY_SECONDS
    for folder in folders:
        with suppress(OSError):
            for name in os.listdir(folder):
                if is_temporary(name) and (folder / name).lstat().st_mtime < oldest:
                    remove_quietly(disk, folder / name)

"""Whose a folder is, found by walking its path with descriptors: what root needs to know before it works in one.

Owns the rules for a path that root may follow. A folder that another user owns, or can write to, can be swapped for a
symlink or for another folder at any moment, so a check of the path says nothing about its next use. Never opens a
folder for reading, changes nothing, and never follows a symlink that anybody but root can have made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ..errors import ModelInboxError
from ..problems import quoted

__all__ = ["Owner", "owner_of"]

_LINKS_MAX = 40


class Owner(NamedTuple):
    """The user and the group that a folder belongs to; of the nearest existing folder above it if it is not there."""

    uid: int
    gid: int
    exists: bool


def owner_of(folder: Path) -> Owner:
    """Return whose `folder` is.

    Raises ModelInboxError if root cannot know whose folder it is: two users other than root own folders on the path, a
    folder of root's is below one of another user, a symlink can have been made by another user, or the folder is
    root's and another user can change the path to it. Raises OSError if the path cannot be walked.
    """
    folder = Path(os.path.abspath(folder))
    with _walked(folder) as (chain, left):
        found = [(name, os.fstat(fd)) for name, fd in chain]
    name, last = found[-1]
    owners = list(dict.fromkeys(status.st_uid for _, status in found if status.st_uid != 0))
    if last.st_uid == 0:
        for above, status in found:
            if status.st_uid != 0 or _others_can_swap(status):
                raise _refusal(
                    folder, f"{quoted(name, 400)} belongs to root, but others can write to {quoted(above, 400)}"
                )
    elif len(owners) > 1:
        raise _refusal(folder, f"the folders on its path belong to several users (uid {', '.join(map(str, owners))})")
    return Owner(last.st_uid, last.st_gid, exists=not left)


def _others_can_swap(status: os.stat_result) -> bool:
    """Return whether users other than the owner can rename what is in a folder. With the sticky bit they cannot."""
    return bool(status.st_mode & 0o022) and not status.st_mode & stat.S_ISVTX


@contextmanager
def _walked(folder: Path) -> Iterator[tuple[list[tuple[str, int]], list[str]]]:
    """Yield the folders from / to `folder` as far as they exist, each with its path and an open descriptor.

    The second value has the names that are left, from the first that does not exist.
    """
    with ExitStack() as opened:

        def opening(name: str, above: int | None) -> int:
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            opened.callback(os.close, fd)
            return fd

        root = ("/", opening("/", None))
        chain = [root]
        left = list(folder.parts[1:])
        links = 0
        while left:
            name = left[0]
            if name == "..":
                left.pop(0)
                chain = chain[:-1] or [root]
                continue
            path, above = chain[-1]
            try:
                fd = opening(name, above)
            except (FileNotFoundError, NotADirectoryError):
                break
            left.pop(0)
            found, place = os.fstat(fd), os.path.join(path, name)
            if not stat.S_ISLNK(found.st_mode):
                chain.append((place, fd))
                continue
            links += 1
            holder = os.fstat(above)
            if links > _LINKS_MAX or found.st_uid != 0 or holder.st_uid != 0 or _others_can_swap(holder):
                raise _refusal(folder, f"{quoted(place, 400)} is a symlink that another user can change")
            target = Path(os.readlink("", dir_fd=fd))
            if target.is_absolute():
                chain = [root]
            left = [*target.parts[1 if target.is_absolute() else 0 :], *left]
        yield chain, left


def _refusal(folder: Path, why: str) -> ModelInboxError:
    return ModelInboxError(
        f"cannot work in {str(folder)!r} as root: {why}",
        hint="Run the command as the user that the folder belongs to: `sudo -u USER model-inbox ...`",
    )

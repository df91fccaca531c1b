"""Who runs a command, and as whom it acts: root becomes the owner of the folder that it is about to write in.

Owns the one change of user that a process of ours makes. What root left behind, the service could not write any
more; so a command started by root gives its rights up for good before it opens anything for writing. Never takes
rights, and never changes the owner of a file.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from ..errors import ModelInboxError

__all__ = ["act_as_owner", "name_of_group", "name_of_user", "person"]


def name_of_user(uid: int) -> str:
    """Return the name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def name_of_group(gid: int) -> str:
    """Return the name of a group, or the number where there is none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def person() -> str:
    """Return who is at the keyboard, for the history: the user, or who became root by sudo."""
    if os.geteuid() == 0 and (invoker := os.environ.get("SUDO_USER")) and invoker != "root":
        return f"{invoker} (sudo)"
    return name_of_user(os.getuid())


def act_as_owner(folder: Path) -> None:
    """Become the owner of `folder` if we are root and it belongs to somebody else; else do nothing.

    Of a folder that is not there the nearest one above it counts. User, group and supplementary groups change for
    the whole process and cannot be taken back. Raises ModelInboxError when the system does not allow it.
    """
    if os.geteuid() != 0:
        return
    there = _nearest(folder).stat()
    if there.st_uid == 0:
        return
    try:
        owner = pwd.getpwuid(there.st_uid)
    except KeyError:
        name, gid = str(there.st_uid), there.st_gid
    else:
        name, gid = owner.pw_name, owner.pw_gid
    try:
        if name.isdigit():
            os.setgroups([])
        else:
            os.initgroups(name, gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(there.st_uid, there.st_uid, there.st_uid)
    except OSError as error:
        raise ModelInboxError(
            f"cannot act as the user {name}, who owns {str(folder)!r}: {error.strerror}",
            hint="Run the command as that user",
        ) from error


def _nearest(folder: Path) -> Path:
    for place in (folder, *folder.parents):
        if place.exists():
            return place
    return Path("/")

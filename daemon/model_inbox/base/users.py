"""The user who runs a command, and the user as whom it acts: root acts as the owner of the folder it writes in.

Owns the only change of user in this package. The service cannot write to files that root made, so a command that root
starts gives up its rights for its whole life before it opens anything for writing. Never gains rights and never
changes the owner of a file.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from ..errors import ModelInboxError, StorageError, is_transient

__all__ = ["act_as_owner", "is_private_group", "name_of_group", "name_of_user", "person"]


def name_of_user(uid: int) -> str:
    """Return the name of a user, or the number of a user without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def name_of_group(gid: int) -> str:
    """Return the name of a group, or the number of a group without a name."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def is_private_group(gid: int, uid: int) -> bool:
    """Return whether a group has one member, this user: many systems make such a group for each user."""
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    if user.pw_gid != gid or any(member != user.pw_name for member in group.gr_mem):
        return False
    return all(other.pw_uid == uid for other in pwd.getpwall() if other.pw_gid == gid)


def person() -> str:
    """Return the name of the user who runs this process, for the history; under sudo the one who called sudo."""
    if os.geteuid() == 0 and (invoker := os.environ.get("SUDO_USER")) and invoker != "root":
        return f"{invoker} (sudo)"
    return name_of_user(os.getuid())


def act_as_owner(folder: Path) -> None:
    """Change to the owner of `folder` if this process runs as root and root does not own the folder.

    If the folder does not exist, the nearest existing one above it counts. User, group and supplementary groups change
    for the whole process and cannot be changed back. Raises ModelInboxError when the system does not allow it.
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
        if is_transient(error):
            raise StorageError("act as the owner of", folder, error) from error
        raise ModelInboxError(
            f"cannot act as the user {name}, who owns {str(folder)!r}: {error.strerror}",
            hint="Run the command as that user",
        ) from error


def _nearest(folder: Path) -> Path:
    for place in (folder, *folder.parents):
        if place.exists():
            return place
    return Path("/")

"""The user who runs a command, and the user as whom it acts: root acts as the owner of the folder it writes in.

Owns the only change of user in this package. The service cannot write to files that root made, so a command that root
starts gives up its rights for its whole life before it opens anything for writing. Never gains rights and never
changes the owner of a file.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import ModelInboxError, StorageError, is_transient
from ..problems import escaped
from .disk import no_op
from .owners import Owner, owner_of

__all__ = [
    "act_as_any_owner",
    "act_as_owner",
    "acting_as",
    "invoker",
    "is_private_group",
    "name_of_group",
    "name_of_user",
    "person",
]


# From linux/prctl.h.
_PR_SET_NO_NEW_PRIVS = 38
_LOGIN_UID = Path("/proc/self/loginuid")
# What the kernel says of a process that no login began.
_NO_LOGIN = 2**32 - 1
# Who ran this process before it became somebody else.
_before: list[int | None] = []


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
        return f"{escaped(invoker)} (sudo)"
    return name_of_user(os.getuid())


def invoker() -> int | None:
    """Return the number of the user who runs this process, as far as the system knows; None: it does not.

    That is the process's user. Behind root it is the user who logged in, as the kernel notes it, or else the one who
    called sudo. A change by `act_as_owner` does not count.
    """
    if _before:
        return _before[0]
    uid = os.getuid()
    if uid != 0:
        return uid
    with suppress(OSError, ValueError):
        login = int(_LOGIN_UID.read_text("ascii"))
        if login != _NO_LOGIN:
            return login
    called = os.environ.get("SUDO_UID", "")
    return int(called) if called.isascii() and called.isdecimal() and int(called) < _NO_LOGIN else None


def acting_as() -> str | None:
    """Return the name of the user that this process became by `act_as_owner`; None if it is still the one of before."""
    return name_of_user(os.geteuid()) if _before and os.geteuid() != 0 else None


def act_as_owner(*folders: Path, before: Callable[[], None] = no_op) -> None:
    """Change to the owner of `folders` if this process runs as root and root does not own them.

    Folders that do not exist do not count; if there is none, the nearest existing one above counts. User, group and
    supplementary groups change for the whole process, its capabilities are gone, and neither can come back. Call it
    before anything in the folders is read: their owner may swap what is in them at any moment. `before` is called right
    before the change, for what only root can do. Raises ModelInboxError if the folders have several owners, if others
    can change the path to a folder of root's (see `owners`), or if the system does not allow it.
    """
    if os.geteuid() != 0:
        return
    found = [(folder, _owner_of(folder)) for folder in folders]
    found = [one for one in found if one[1].exists] or found
    first, there = found[0]
    for folder, other in found[1:]:
        if other.uid != there.uid:
            raise ModelInboxError(
                f"cannot act as the owner of the folders: {str(first)!r} belongs to {name_of_user(there.uid)} and "
                f"{str(folder)!r} to {name_of_user(other.uid)}",
                hint="Give both to the service's user with chown, or run the command as the right user",
            )
    if there.uid != 0:
        before()
        _become(there.uid, there.gid, first)


def act_as_any_owner(*folders: Path, before: Callable[[], None] = no_op) -> None:
    """Change to the owner of the first of `folders` that is not root's, if this process runs as root.

    For commands that only look and must also answer while a folder is away. Raises ModelInboxError as `act_as_owner`.
    """
    if os.geteuid() != 0:
        return
    for folder in folders:
        owner = _owner_of(folder)
        if owner.uid != 0:
            before()
            _become(owner.uid, owner.gid, folder)
            return


def _owner_of(folder: Path) -> Owner:
    try:
        return owner_of(folder)
    except OSError as error:
        raise StorageError("find the owner of", folder, error) from error


def _become(uid: int, gid: int, folder: Path) -> None:
    """Change to a user, with all its groups. A user without a name gets the folder's group and no other."""
    try:
        owner = pwd.getpwuid(uid)
    except KeyError:
        name, groups = str(uid), []
    else:
        name, gid = owner.pw_name, owner.pw_gid
        groups = os.getgrouplist(name, gid)
    if not _before:
        _before.append(invoker())
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        # The kernel takes all capabilities away with the change from root to another user.
        os.setresuid(uid, uid, uid)
        _no_new_privileges()
    except OSError as error:
        if is_transient(error):
            raise StorageError("act as the owner of", folder, error) from error
        raise ModelInboxError(
            f"cannot act as the user {name}, who owns {str(folder)!r}: {error.strerror}",
            hint="Run the command as that user",
        ) from error


def _no_new_privileges() -> None:
    """Keep this process and its children from gaining rights by a set-user-ID program. Raises OSError."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

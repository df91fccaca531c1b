"""What helps against an error of the file system.

Owns the advice for each errno, in one table. Makes no problem: messages about such errors use the advice as a hint.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from ..errors import StorageError
from ..problems import quoted
from .users import name_of_user

__all__ = ["remedy_for"]

_REMEDIES: Mapping[int, str] = {
    errno.EROFS: "See why it is read-only (`dmesg`, `findmnt -T {path}`); the kernel does this after an error of the "
    "disk. When the disk works without errors, mount it for writing again: `mount -o remount,rw`",
    errno.ENOSPC: "Make room: `df -h {path}` and `df -i {path}` show what is left",
    errno.EDQUOT: "The user {user} has used up its quota of the disk: remove files of that user, or raise the quota",
    errno.EACCES: "Let the user {user} write there: `ls -ld {places}` shows the rights; `chown {user}` or "
    "`chmod u+rwx` gives them",
    errno.EPERM: "`lsattr -d {places}` shows whether one has the attribute i or a: `chattr -i -a` removes them. "
    "Else see that they belong to the user {user}",
    errno.EIO: "See `dmesg`, and check the disk or the server of the file system",
    errno.ENOTDIR: "`ls -ld {path}` shows what stands where a folder belongs: move it away, and put the folder back",
    errno.ENOENT: "The folder or file is missing: mount or put it back, or restart the daemon, which makes it again",
    errno.EXDEV: "Another file system is mounted there (`findmnt -T {path}`): unmount it",
    errno.EBUSY: "It is in use, or another file system is mounted there (`findmnt -T {path}`): unmount it",
    errno.ENOTEMPTY: "See what is in it (`ls -la {path}`), and move that away",
}
_OTHERS = "Correct what the message names; it is tried again without you"


def remedy_for(error: StorageError, user: str = "") -> str:
    """Return what helps against an error. `user` is who met it; the user of this process if not given."""
    remedy = _REMEDIES.get(error.errno or 0, _OTHERS)
    path = quoted(error.path, 400)
    # To move or remove a file is to change its folder.
    folder = error.path if os.path.isdir(error.path) else os.path.dirname(error.path)
    places = " ".join(dict.fromkeys((path, quoted(folder, 400))))
    return remedy.format(path=path, places=places, user=user or name_of_user(os.geteuid()))

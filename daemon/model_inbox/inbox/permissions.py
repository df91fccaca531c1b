"""What keeps the service from reading a file in the inbox, and which chmod, chgrp or setfacl helps.

Owns the hint for reading; `base/remedies` has those for a place that cannot be written. Changes no right itself.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from ..base.acl import READ, Acl, acl_of, default_acl_of
from ..base.users import name_of_group, name_of_user
from ..problems import Problem, quoted
from ..problems.drop import drop_unreadable

__all__ = ["unreadable"]


def unreadable(inbox: Path, name: str, error: OSError, found: os.stat_result | None) -> Problem:
    """Return the problem of a file that the service cannot read, with the rights that it has (`found`) if known.

    What is made in the inbox has the inbox's group; what is moved, or linked, there keeps its own. In a private inbox
    what is made there has a list of rights that names the service, and what is moved there has none.
    """
    if error.errno not in (errno.EACCES, errno.EPERM):
        return drop_unreadable(name, error.strerror or str(error), "Write it again")
    if found is None:
        return drop_unreadable(name, os.strerror(error.errno), f"chmod g+r {quoted(name)}")
    rights = f"owned by {name_of_user(found.st_uid)}"
    helps = f"chmod g+r {quoted(name)}"
    with suppress(OSError):
        folder = inbox.stat()
        if _is_named(folder.st_uid, default_acl_of(inbox)):
            # With the service's name on the list, the group's bit is the mask, and lets nobody else read.
            if not _is_named(folder.st_uid, acl_of(inbox / name)):
                helps = f"setfacl -m u:{name_of_user(folder.st_uid)}:r {quoted(name)}"
        elif folder.st_gid != found.st_gid:
            rights += f", group {name_of_group(found.st_gid)}"
            helps = f"chgrp {name_of_group(folder.st_gid)} {quoted(name)}" + (
                f", and {helps}" if not found.st_mode & 0o040 else ""
            )
    return drop_unreadable(name, f"{rights}, mode {found.st_mode & 0o7777:04o}", helps)


def _is_named(uid: int, acl: Acl | None) -> bool:
    return acl is not None and bool(acl.users.get(uid, 0) & READ)

"""What keeps the service from reading a file in the inbox, and which chmod or chgrp helps.

Owns the hint for reading; `base/remedies` has those for a place that cannot be written. Changes no right itself.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from ..base.users import name_of_group, name_of_user
from ..problems import Problem, quoted
from ..problems.drop import drop_unreadable

__all__ = ["unreadable"]


def unreadable(inbox: Path, name: str, error: OSError, found: os.stat_result | None) -> Problem:
    """Return the problem of a file that the service cannot read, with the rights that it has (`found`) if known.

    What is made in the inbox has the inbox's group; what is moved, or linked, there keeps its own.
    """
    if error.errno in (errno.EACCES, errno.EPERM):
        rights, helps = os.strerror(error.errno), [f"chmod g+r {quoted(name)}"]
        if found is not None:
            of_group = ""
            with suppress(OSError):
                group = inbox.stat().st_gid
                if group != found.st_gid:
                    of_group = f", group {name_of_group(found.st_gid)}"
                    helps = [
                        f"chgrp {name_of_group(group)} {quoted(name)}",
                        *(helps if not found.st_mode & 0o040 else ()),
                    ]
            rights = f"owned by {name_of_user(found.st_uid)}{of_group}, mode {found.st_mode & 0o7777:04o}"
        return drop_unreadable(name, rights, ", and ".join(helps))
    return drop_unreadable(name, error.strerror or str(error), "Write it again")

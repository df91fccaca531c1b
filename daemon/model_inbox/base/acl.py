"""POSIX access control lists: who besides owner, group and others has rights on a file, by name.

Owns the binary form in which Linux keeps a list in the extended attributes `system.posix_acl_access` and
`system.posix_acl_default` (linux/posix_acl_xattr.h, linux/posix_acl.h): a header with the version, then one record for
each entry, both little-endian. Only reads; `disk` sets and removes lists. A file system without lists has none to read.

With a list, the group's bits of a file's mode are its mask: the most that any user or group in it may do. So chmod
limits the list, too, and who looks at the mode alone never sees less than is permitted.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ACCESS", "DEFAULT", "NO_LISTS", "READ", "Acl", "acl_of", "default_acl_of", "one_reader"]

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"

NO_LISTS = (errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without lists answers."""

READ, _WRITE, EXECUTE = 4, 2, 1

_VERSION = 2
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_OWNER, _USER, _GROUP_OF_FILE, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Acl:
    """A list. Rights are sums of READ, 2 for writing and EXECUTE. `users` and `groups` are limited by the mask."""

    owner: int
    group: int
    others: int
    mask: int | None = None
    users: Mapping[int, int] = field(default_factory=dict)
    groups: Mapping[int, int] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the binary form. The kernel wants the entries in this order."""
        entries = [
            (_OWNER, self.owner, _NOBODY),
            *((_USER, rights, uid) for uid, rights in sorted(self.users.items())),
            (_GROUP_OF_FILE, self.group, _NOBODY),
            *((_GROUP, rights, gid) for gid, rights in sorted(self.groups.items())),
            *([(_MASK, self.mask, _NOBODY)] if self.mask is not None else []),
            (_OTHERS, self.others, _NOBODY),
        ]
        return _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)

    @classmethod
    def decode(cls, data: bytes) -> Acl:
        """Return the list of a binary form. Raises ValueError for one that is not understood."""
        if len(data) < _HEADER.size or _HEADER.unpack_from(data) != (_VERSION,):
            raise ValueError("a list of another version")
        if (len(data) - _HEADER.size) % _ENTRY.size:
            raise ValueError("a list that is cut off")
        single: dict[int, int] = {}
        named: dict[int, dict[int, int]] = {_USER: {}, _GROUP: {}}
        for tag, rights, who in _ENTRY.iter_unpack(data[_HEADER.size :]):
            if tag in named:
                named[tag][who] = rights
            else:
                single[tag] = rights
        try:
            return cls(
                single[_OWNER], single[_GROUP_OF_FILE], single[_OTHERS], single.get(_MASK), named[_USER], named[_GROUP]
            )
        except KeyError:
            raise ValueError("a list without owner, group or others") from None

    def may_read(self, uid: int, gids: frozenset[int], owner: int, group: int) -> bool:
        """Return whether a user in these groups may read a file of this owner and group (acl(5), access check).

        With an empty mask the kernel does not look at the list, and only the file's own group gets no right.
        """
        mask = self.mask if self.mask is not None else 7
        if uid == owner:
            return bool(self.owner & READ)
        if not mask:
            return group not in gids and bool(self.others & READ)
        if uid in self.users:
            return bool(self.users[uid] & mask & READ)
        of_groups = [rights for gid, rights in self.groups.items() if gid in gids]
        if group in gids:
            of_groups.append(self.group)
        if of_groups:
            return any(rights & mask & READ for rights in of_groups)
        return bool(self.others & READ)

    @property
    def reads_for_many(self) -> bool:
        """Whether the group of the file, or everybody, may read."""
        return bool((self.group & (self.mask if self.mask is not None else 7) | self.others) & READ)


def one_reader(uid: int, *, folder: bool) -> Acl:
    """Return the list that lets a file's owner do everything, and one other user read."""
    rights = READ | EXECUTE if folder else READ
    return Acl(READ | _WRITE | EXECUTE if folder else READ | _WRITE, 0, 0, rights, {uid: rights})


def acl_of(file: int | Path) -> Acl | None:
    """Return the list of a file or folder; None if it has only a mode. Raises OSError."""
    return _read(file, ACCESS)


def default_acl_of(folder: Path) -> Acl | None:
    """Return the list that what is made in a folder gets; None if it has none. Raises OSError."""
    return _read(folder, DEFAULT)


def _read(file: int | Path, name: str) -> Acl | None:
    # Only Linux has the call, and the producer's side runs elsewhere, too.
    if not hasattr(os, "getxattr"):
        return None
    try:
        data = os.getxattr(file, name) if isinstance(file, int) else os.getxattr(file, name, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENODATA, *NO_LISTS):
            return None
        raise
    try:
        return Acl.decode(data)
    except ValueError:
        return None

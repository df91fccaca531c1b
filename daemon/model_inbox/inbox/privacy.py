"""Who may read what the service holds of a drop: with `inbox.private`, the owner of the drop and the service alone.

Owns the rights of receipts and of the folders of rejected drops, and the list of rights (base/acl) on the inbox that
every file made in it gets: its owner and the service read it, and the producers' group does not. So the list holds
whatever program a producer writes with. Claimed drops are in a folder of the service alone in any case. Never changes a
file of a producer: only its owner may.

Where the file system has no lists, what the service holds is for the service alone, also without the owner of the drop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..base.acl import EXECUTE, NO_LISTS, READ, Acl, acl_of, default_acl_of, one_reader
from ..base.disk import storage_errors
from ..base.machine import Machine
from ..model.file_names import SIDECAR
from ..model.owner import uid_of_owner
from ..model.receipt import REASON_NAME, read_receipt_file
from .drop import TRIES_NAME

__all__ = ["Privacy", "readers_of"]

_FOLDER_MODE = 0o750
_CLOSED_FOLDER_MODE, _CLOSED_MODE = 0o700, 0o600
_OWN_NAMES = frozenset({REASON_NAME, TRIES_NAME})


class Privacy:
    """The rights of one inbox. `is_on` is `inbox.private`; `has_acls` is known once they are applied."""

    def __init__(self, machine: Machine) -> None:
        self.is_on = False
        self.has_acls = True
        self.left_open: list[Path] = []
        """What others may read although it is on, because it belongs to another user than the service."""
        self._disk = machine.disk
        self._progress = machine.progress

    def apply(self, inbox: Path, service: int, own: Sequence[Path]) -> None:
        """Give the inbox its list of rights, or take it away; a list that an administrator set stays in it.

        `own` are our folders in it. They have none: they may have got one when they were made. Raises StorageError.
        """
        ours = readers_of(service)
        with storage_errors("set the rights of", inbox):
            for folder in own:
                if default_acl_of(folder) == ours:
                    self._disk.set_acl(folder, None, default=True)
                    self._disk.set_acl(folder, None)
            there = default_acl_of(inbox)
            if not self.is_on:
                if there == ours:
                    self._disk.set_acl(inbox, None, default=True)
                return
            try:
                if there is None or there.reads_for_many or not there.users.get(service, 0) & READ:
                    self._disk.set_acl(inbox, ours if there is None else _joined(there, ours), default=True)
                self.has_acls = True
            except OSError as error:
                if error.errno not in NO_LISTS:
                    raise
                self.has_acls = False

    def close_answer(self, path: Path, uid: int) -> None:
        """Let only the owner of a drop, and us, read its receipt. Raises StorageError."""
        with storage_errors("set the rights of", path):
            self._let_read(path, uid, _CLOSED_MODE)

    def set_rejected(self, folder: Path) -> None:
        """Let the producers' group read a rejected drop, or only its owner. Raises OSError.

        A crash after it leaves a claim that others may read: it is in a folder that they cannot enter.
        """
        if self.is_on:
            self._let_read(folder, self._owner_in(folder), _CLOSED_FOLDER_MODE)
        else:
            self._disk.chmod(folder, _FOLDER_MODE)

    def close_earlier(self, rejected_dir: Path, receipts_dir: Path) -> None:
        """Close what was left readable while `inbox.private` was off, and remember what is not ours to close.

        A receipt of version 0.1 names its owner without the number, and is then for the service alone. Raises
        StorageError.
        """
        self.left_open = []
        with storage_errors("set the rights in", rejected_dir), self._disk.scan(rejected_dir) as entries:
            for entry in entries:
                self._progress()
                is_open = entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mode & 0o077
                folder = rejected_dir / entry.name
                if is_open and acl_of(folder) is None:
                    self._close(folder, partial(self.set_rejected, folder))
        with storage_errors("set the rights in", receipts_dir), self._disk.scan(receipts_dir) as entries:
            for entry in entries:
                self._progress()
                # A list lets no others read.
                is_open = entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mode & 0o007
                if is_open and entry.name.endswith(".json"):
                    path = receipts_dir / entry.name
                    uid = uid_of_owner((read_receipt_file(path) or {}).get("owner"))
                    self._close(path, partial(self._let_read, path, -1 if uid is None else uid, _CLOSED_MODE))

    def _close(self, path: Path, close: Callable[[], None]) -> None:
        try:
            close()
        except PermissionError:
            self.left_open.append(path)

    def _let_read(self, path: Path, uid: int, closed_mode: int) -> None:
        # Closed first: with a list on it, what was there before would say who may read.
        self._disk.chmod(path, closed_mode)
        if self.has_acls and uid != -1:
            self._disk.set_acl(path, one_reader(uid, folder=closed_mode == _CLOSED_FOLDER_MODE))

    def _owner_in(self, folder: Path) -> int:
        """Return the owner of the drop in a folder, that of its sidecar if it has one; -1 for an empty folder."""
        names = [name for name in self._disk.names(folder) if name not in _OWN_NAMES]
        names.sort(key=lambda name: (SIDECAR.fullmatch(name) is None, name))
        return self._disk.lstat(folder / names[0]).st_uid if names else -1


def readers_of(service: int) -> Acl:
    """Return the list that files get which are made in a private inbox."""
    return Acl(7, 0, 0, READ | EXECUTE, {service: READ | EXECUTE})


def _joined(there: Acl, ours: Acl) -> Acl:
    """Return an administrator's list with the service's right to read, and without that of the group and of others."""
    mask = (there.mask if there.mask is not None else 0) | READ | EXECUTE
    return replace(there, group=0, others=0, mask=mask, users={**there.users, **ours.users})

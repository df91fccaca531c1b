"""The inbox and the folders of ours in it: made, seen to be ours, and found again.

Owns their paths, modes and owners (`privacy` has the rights of what is in them), whether the file system has leases,
and the line that says what is in work (`.processing/.in-work`). Looks at no file of a producer; `folder` does.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ..base.disk import Note, make_folder, remove_quietly, storage_errors
from ..base.leases import Lease
from ..base.machine import Machine
from ..errors import ConfigError, StorageError
from ..problems import Problem
from ..problems.inbox import inbox_not_a_folder, inbox_not_ours, inbox_not_sticky, inbox_open_to_others
from .privacy import Privacy
from .suspects import Died, Suspects, work_heading

__all__ = ["OwnFolders"]

INBOX_MODE = 0o3770  # setgid: files get the producers' group; sticky: nobody takes another's file away
OWN_MODE = 0o700
RECEIPTS_MODE = 0o750
WORK_NAME = ".in-work"
_PROTECTED_HARDLINKS = Path("/proc/sys/fs/protected_hardlinks")


class OwnFolders:
    """An inbox's folders. `has_leases` is known once they are prepared."""

    def __init__(self, path: Path, machine: Machine) -> None:
        self.path = path
        self.receipts_dir = path / "receipts"
        self.rejected_dir = path / "rejected"
        self.processing_dir = path / ".processing"
        self.has_leases = True
        self._disk = machine.disk
        self._read_lease = machine.read_lease
        self._folder: int | None = None
        self._heading = work_heading(machine.boot.read(), machine.disk.token())
        self.work = Note(self._heading)
        """What is in work at each moment, for the next daemon in case this one dies in it."""
        self.died = Died()
        """What the last daemon had in work when it died."""
        self._suspects = Suspects(machine.monotonic)
        self.privacy = Privacy(machine)
        self.not_sticky: Problem | None = None
        """That users can take each other's drops out of the inbox, if they can. Known once it is prepared."""

    def prepare(self, *, make: bool = True) -> None:
        """Make the inbox (unless `make` is false) and our folders in it, and see that they are ours.

        Raises StorageError, and ConfigError when one is a symlink, no folder, somebody else's, or one that others can
        write in: they could exchange our files, or may have left some there before the first start. A private inbox
        must be sticky, too: others could take a drop out of it, and read or replace it.
        """
        if make:
            make_folder(self._disk, self.path, INBOX_MODE)
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError("open the inbox", self.path, error) from error
        try:
            self._prepare_folders(os.fstat(handle))
        except BaseException:
            os.close(handle)
            raise
        self.close()
        self._folder = handle
        self.died = Died.of(self.work.open(self.processing_dir / WORK_NAME), self._heading)
        self._suspects.recall(self.died.words)

    def deaths_counted(self) -> None:
        """Note that what a daemon that died had in work has been counted: nothing of it is in work now."""
        self.died = Died()
        self.work.write(*self._suspects.words)

    def _prepare_folders(self, found: os.stat_result) -> None:
        problems = []
        owner, mode = found.st_uid, stat.S_IMODE(found.st_mode)
        is_shared = mode & 0o022 and not mode & stat.S_ISVTX
        self.not_sticky = inbox_not_sticky(self.path, mode) if is_shared else None
        if self.not_sticky is not None and self.privacy.is_on:
            problems.append(self.not_sticky)
        if os.geteuid() not in (0, owner):
            problems.append(inbox_not_ours(self.path, owner, os.geteuid()))
        else:
            for folder, own_mode in (
                (self.processing_dir, OWN_MODE),
                (self.rejected_dir, RECEIPTS_MODE),
                (self.receipts_dir, RECEIPTS_MODE),
            ):
                problems += self._prepare_own(folder, own_mode, {owner, os.geteuid()})
        if problems:
            raise ConfigError(f"cannot use the inbox {str(self.path)!r}", problems)
        self._apply_privacy(owner)
        self.has_leases = self._probe_leases()

    def set_private(self, private: bool) -> None:
        """Apply the value of `inbox.private`. Raises StorageError; a later `prepare` applies it again."""
        self.privacy.is_on = private
        if self._folder is not None:
            self._apply_privacy(os.fstat(self._folder).st_uid)

    def _apply_privacy(self, owner: int) -> None:
        self.privacy.apply(self.path, owner, (self.processing_dir, self.rejected_dir, self.receipts_dir))
        if self.privacy.is_on:
            self.privacy.close_earlier(self.rejected_dir, self.receipts_dir)

    def close(self) -> None:
        """Let go of the folder."""
        self.work.close()
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    @property
    def is_removed(self) -> bool:
        """Whether the folder that we prepared is gone, and not just renamed or mounted over."""
        return self._folder is not None and os.fstat(self._folder).st_nlink == 0

    @property
    def is_in_place(self) -> bool:
        """Whether the inbox's path still names the folder that we prepared, with those of ours in it.

        Costs a stat of each. What stands in a folder of ours' place is `prepare`'s affair.
        """
        if self._folder is None:
            return False
        try:
            there = self.path.stat()
            for folder in (self.processing_dir, self.rejected_dir, self.receipts_dir):
                folder.lstat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._folder))

    def _prepare_own(self, folder: Path, mode: int, owners: set[int]) -> list[Problem]:
        try:
            if not self._disk.exists(folder):
                self._disk.mkdir(folder, mode)  # never with its parents: the inbox may have been renamed away just now
                self._disk.fsync_dir(folder.parent)
            found = self._disk.lstat(folder)
        except OSError as error:
            raise StorageError("make the folder", folder, error) from error
        if not stat.S_ISDIR(found.st_mode):
            return [inbox_not_a_folder(folder)]
        if found.st_uid not in owners:
            return [inbox_not_ours(folder, found.st_uid, os.geteuid(), reserved=True)]
        # With an ACL, the bits of the group are the most that any entry of it permits.
        return [inbox_open_to_others(folder, stat.S_IMODE(found.st_mode))] if found.st_mode & 0o022 else []

    def protects_links(self, file: Path) -> bool:
        """Return whether only the owner of a file can have given it a further name, as far as can be found out.

        The kernel forbids others to link a file that they cannot write (fs.protected_hardlinks, on by default); where
        it would let us link this one, it would let other producers. Root may always, and asks for the setting. A crash
        leaves the name of the probe, which the next one removes. Raises StorageError.
        """
        if os.geteuid() == 0:
            try:
                return _PROTECTED_HARDLINKS.read_bytes().strip() != b"0"
            except OSError:
                return False
        probe = self.processing_dir / ".link-probe"
        with storage_errors("remove", probe):
            remove_quietly(self._disk, probe)
            try:
                self._disk.link(file, probe)
            except OSError as error:
                return error.errno == errno.EPERM
            self._disk.unlink(probe)
            return False

    def _probe_leases(self) -> bool:
        """Return whether the file system knows leases, by a file of our own that nobody can be writing."""
        probe = self.processing_dir / ".lease-probe"
        try:
            fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            os.close(fd)
            fd = os.open(probe, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError("make a file in", self.processing_dir, error) from error
        try:
            return self._read_lease(fd) is Lease.FREE
        finally:
            os.close(fd)

"""A drop's files on their way from its claim into the registry: made ours, so that nobody else can change them.

Owns the drops' part of the staging folder: what is linked and what is copied into it, the rights that files have
there, and when it is emptied. Decides nothing about the contents of a file. Syncs only copies; `sync_files` syncs the
other files, of many drops together.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..base.copying import copy_open_file
from ..base.disk import content_of, read_regular, remove_quietly, start_writing_back, write_new_file
from ..base.leases import Lease
from ..base.machine import Machine
from ..base.units import format_size
from ..errors import StorageError
from ..problems.artifact import artifact_too_large
from ..problems.drop import drop_changed
from ..registry.files import STORED_MODE, staged_paths
from .claim_names import claimed_at
from .claims import Claim
from .drop import Role
from .folder import Inbox
from .outcomes import NotWhole, Rejected

__all__ = ["Staged", "Staging"]

KEEP_SECONDS = 86_400.0  # staged files of an API writer that is at work now are younger
_CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class Staged:
    """A file in the staging folder. `linked`: it is the producer's own inode, which is ours alone.

    `sha256` is that of a copy, taken while it was made; of a linked file it is still to be found out.
    """

    path: Path
    sha256: str | None
    size: int
    linked: bool


class Staging:
    """Stages the files of an inbox's claims below `folder`."""

    def __init__(self, folder: Path, inbox: Inbox, machine: Machine) -> None:
        self._folder = folder
        self._inbox = inbox
        self._disk = machine.disk
        self._read_lease = machine.read_lease
        self._progress = machine.progress
        self.left: set[Path] = set()  # what could not be removed; only this class changes it

    def targets(self, claim: Claim) -> dict[Role | str, Path]:
        """Return where the files of a drop are staged: by role, and the sidecar."""
        return dict(zip(("model", "scaler", "sidecar"), staged_paths(self._folder, claim.drop_id), strict=True))

    def stage(
        self, claim: Claim, roles: Mapping[Role, str], targets: Mapping[str, Path], *, max_size: int, by_copy: bool
    ) -> dict[Role, Staged] | NotWhole | Rejected:
        """Bring claimed files into the staging folder as files of ours. Stop at the first one that cannot be used.

        A file that is ours alone is linked, whatever its size, unless `by_copy`; any other is copied, so that nobody
        else can change what we judge. Raises StorageError.
        """
        staged: dict[Role, Staged] = {}
        for role, name in roles.items():
            outcome = self._stage_file(claim, name, targets[role], max_size, by_copy=by_copy)
            if not isinstance(outcome, Staged):
                return outcome
            staged[role] = outcome
        return staged

    def _stage_file(
        self, claim: Claim, name: str, target: Path, max_size: int, *, by_copy: bool
    ) -> Staged | NotWhole | Rejected:
        source, expected = claim.files[name]
        try:
            fd, found = self._disk.open_read(source)
        except FileNotFoundError:
            return NotWhole((drop_changed(name),))
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EINVAL):
                return NotWhole((drop_changed(name),))
            raise StorageError("open", source, error) from error
        try:
            if content_of(found) != expected or found.st_uid != claim.uid:
                return NotWhole((drop_changed(name),))
            if found.st_nlink > 1:
                claim.linked.add(name)
            lease = self._read_lease(fd) if self._inbox.has_leases else Lease.UNKNOWN
            if lease is Lease.OPEN:
                return NotWhole((drop_changed(name),))
            if found.st_size > max_size:
                problem = artifact_too_large(name, format_size(found.st_size), format_size(max_size))
                return Rejected((problem,))
            ours = lease is Lease.FREE and self._is_ours_alone(found) and not by_copy
            if ours and self._link(source, target):
                start_writing_back(fd)
                return Staged(target, None, found.st_size, linked=True)
            digest, size = copy_open_file(self._disk, fd, target, STORED_MODE, self._progress)
            if size != found.st_size or self._disk.fstat(fd).st_mtime_ns != found.st_mtime_ns:
                return NotWhole((drop_changed(name),))
            return Staged(target, digest, size, linked=False)
        finally:
            os.close(fd)

    def can_link(self, claim: Claim, *, by_copy: bool) -> bool:
        """Return whether all files of a claim are likely to be linked, so that no byte of them is copied."""
        found = [self._disk.lstat(file.path) for file in claim.files.values()]
        return self._inbox.has_leases and not by_copy and all(self._is_ours_alone(status) for status in found)

    def accept(self, claim: Claim, staged: Iterable[Staged], text: bytes, sidecar: Path, *, by_copy: bool) -> None:
        """Make the staged files of an accepted drop the registry's: linked ones get the mode of stored ones.

        Not before: what goes back must be as it was. `text` is what was judged, staged at `sidecar`.
        """
        for part in staged:
            if part.linked:
                self._make_ours(part.path)
        if self._stage_sidecar(claim, text, sidecar, by_copy=by_copy):
            self._make_ours(sidecar)

    def _make_ours(self, path: Path) -> None:
        try:
            # A list would keep the readers of models out.
            self._disk.set_acl(path, None)
            self._disk.chmod(path, STORED_MODE)
        except OSError as error:
            raise StorageError("stage", path, error) from error

    def _stage_sidecar(self, claim: Claim, text: bytes, target: Path, *, by_copy: bool) -> bool:
        """Stage the text as the file that it was read from, if that is ours alone, else as a new one.

        Returns whether it is the file itself, linked.
        """
        source = claim.files[claim.sidecar_name].path
        try:
            found = self._disk.lstat(source)
        except OSError as error:
            raise StorageError("stage", source, error) from error
        ours = self._inbox.has_leases and self._is_ours_alone(found) and not by_copy
        if ours and self._link(source, target):
            if read_regular(target, len(text)) == text:
                return True
            self._disk.unlink(target)
        write_new_file(self._disk, target, text, STORED_MODE, sync=False)
        return False

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove staged files, where they are there. What cannot be removed now is removed by `remove_left`."""
        for path in paths:
            if not remove_quietly(self._disk, path):
                self.left.add(path)

    def remove_left(self) -> None:
        """Try again to remove what could not be removed."""
        left, self.left = self.left, set()
        self.remove(left)

    def clean(self, now: float) -> None:
        """Remove staged files of drops, all of which are begun again, and very old ones of others.

        `now` in seconds since 1970. For a start, when nothing is in hand.
        """
        with self._disk.scan(self._folder) as entries:
            for entry in entries:
                stem = entry.name.removesuffix(".yaml").removesuffix(".pkl").removesuffix("_scaler")
                with contextlib.suppress(OSError):
                    age = now - entry.stat(follow_symlinks=False).st_mtime
                    if claimed_at(stem) is not None or age > KEEP_SECONDS:
                        self._disk.unlink(self._folder / entry.name)

    def _is_ours_alone(self, found: os.stat_result) -> bool:
        """Return whether a file has no other name, a mode that lets nobody else write it, and the owner and group that
        a new file of ours gets in the folder: the users who read models must be able to read it.

        A user who has the file open for reading can still open it for writing by that descriptor, if the mode allows.
        """
        if found.st_nlink != 1 or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return False
        folder = self._folder.stat()
        return found.st_gid == (folder.st_gid if folder.st_mode & stat.S_ISGID else os.getegid())

    def _link(self, source: Path, target: Path) -> bool:
        """Give a file of ours a second name; false where that is not possible, as on another file system.

        A crash after it leaves the second name, which the next start removes; the claim has the first.
        """
        try:
            self._disk.link(source, target)
        except OSError as error:
            if error.errno in _CANNOT_LINK:
                return False
            raise StorageError("stage", target, error) from error
        return True

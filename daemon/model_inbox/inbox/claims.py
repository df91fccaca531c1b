"""Drops in hand: moving a drop's files out of the producers' reach, back again, or away.

Owns `.processing/<drop_id>/`, the claim: while it is there the drop is in hand. Its sidecar is moved in first and
out last, so a claim with a sidecar is a drop, and one without never got far or is nearly released. A claim whose
folder is out of sight (the inbox was renamed away, or mounted over) is nobody's until it comes back. Decides nothing.

While there is much to do, the empty folders of drops that were released serve the next claims: making and removing
a folder costs a file system several times what renaming one does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Literal, NamedTuple

from ..base.copying import move_file
from ..base.disk import content_of
from ..base.log import log
from ..base.machine import Machine
from ..errors import StorageError
from ..model.file_names import SIDECAR, SIDECAR_SUFFIX, Role, stem_of
from ..model.owner import OwnerFields
from ..model.sidecar import Sidecar
from ..problems import Problem
from ..registry.entry import EntryFields
from .claim_names import DROP_ID, REASON_LIKE, original_name
from .drop import TRIES_NAME, Sighting, safe_stem
from .folder import Inbox

__all__ = [
    "Claim",
    "ClaimedFile",
    "Claims",
    "Committed",
    "Integrity",
    "Left",
    "Refused",
    "Retry",
    "SetAside",
    "Stage",
    "ToJudge",
    "ToRefuse",
]

Integrity = Literal["digest", "lease", "quiet"]

_SPARE = ".spare-"


Content = tuple[int, int, int]
"""What of a file stays the same as long as nobody writes to it: inode, size, time of the last write."""


@dataclass(frozen=True, slots=True)
class Left:
    """Found in `.processing/`, in nobody's hands: what it is at has to be found out (`recovery`)."""


class ToJudge(NamedTuple):
    """Claimed as complete, for the reason `integrity`.

    `sidecar` is what its sidecar said when it was found complete, if that is still known. With `by_copy` its files are
    copied: the disk failed to sync one of them, so that its bytes must be written again.
    """

    integrity: Integrity = "quiet"
    sidecar: Sidecar | None = None
    by_copy: bool = False


@dataclass(frozen=True, slots=True)
class ToRefuse:
    """Claimed only to be rejected, for these problems. `absent` are the files that it lacked then."""

    problems: tuple[Problem, ...]
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Rejected for these problems: its reasons are written into the claim. `is_logged`: the log has them, too."""

    problems: tuple[Problem, ...]
    is_logged: bool = False


class Committed(NamedTuple):
    """In the registry, as `entry`: what is missing is the receipt, and that the files are removed.

    `problems` are what the metadata of a duplicate says otherwise.
    """

    outcome: Literal["registered", "duplicate"]
    entry: EntryFields
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class SetAside:
    """Failed unexpectedly too often, and not registered: to be rejected for these problems without another look."""

    problems: tuple[Problem, ...]


Stage = Left | ToJudge | ToRefuse | Refused | Committed | SetAside


@dataclass(frozen=True, slots=True)
class Retry:
    """Why a drop is deferred: it failed `attempts` times, the last time for this cause.

    It is tried again `at` that moment of the monotonic clock, in seconds. `hint` is what helps.
    """

    attempts: int
    at: float
    cause: str
    hint: str = ""


class ClaimedFile(NamedTuple):
    """One file of a claim: where it is, and what it was like when it was seen last before it was claimed.

    After a restart: when the claim was taken up.
    """

    path: Path
    content: Content


@dataclass(slots=True)
class Claim:
    """A drop in hand. `stage` is what it is at; nothing else tells that.

    `files` are by the names that they have in the claim, `roles` which of them are the model and the scaler, if that is
    known, `size` is how many bytes they have together. `uid` is the owner of the sidecar, which the other files must
    have, too; `owner` is the same with the user's name, `owner_name` the name, or the number of a user without one.
    `retry` is set from the first time on that the drop was deferred. `failures` counts the tries that failed
    unexpectedly, and `failure` says what ended the last one; with `alone` it is tried alone. `linked` are the files
    that were found to have further names elsewhere. `sidecar_sha256`, `model_id` and `digests` are what its answer
    says, as far as it is known, `notes` what its answer and the log say of it that rejects nothing. Times are of the
    monotonic clock, in seconds.
    """

    drop_id: str
    folder: Path
    stem: str
    stage: Stage
    sidecar_name: str = ""
    files: dict[str, ClaimedFile] = field(default_factory=dict)
    roles: Mapping[Role, str] = field(default_factory=dict)
    size: int = 0
    owner: OwnerFields = field(default_factory=lambda: OwnerFields(name=None, uid=-1))
    owner_name: str = ""
    uid: int = -1
    began: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    retry: Retry | None = None
    failures: int = 0
    failure: str = ""
    alone: bool = False
    sidecar_sha256: str | None = None
    model_id: str | None = None
    digests: dict[str, str] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()
    linked: set[str] = field(default_factory=set)

    @property
    def sidecar_last(self) -> list[str]:
        """The names of the files in the order in which they leave the claim."""
        return sorted(self.files, key=lambda name: name == self.sidecar_name)


class Claims:
    """Makes and ends claims. One daemon, one thread: nobody else touches `.processing/`."""

    def __init__(self, inbox: Inbox, machine: Machine) -> None:
        self._inbox = inbox
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._disk = machine.disk
        self._accounts = machine.accounts
        self._counter = 0
        self._spares: list[Path] = []  # empty folders
        self._spares_made = 0

    def claim(self, stem: str, sightings: Mapping[str, Sighting], stage: Stage) -> Claim | None:
        """Move what was sighted of a drop out of the producers' reach, in that order: the sidecar first.

        None when it was withdrawn meanwhile. Raises StorageError when a file cannot be moved; what had been moved
        is back in the inbox then, or is left as a claim. A crash in between leaves a claim whose sidecar names
        files that are still in the inbox; the daemon that finds it fetches them. Nothing here is synced: whichever of
        the renames a power cut takes back, the drop is complete in the inbox or in its claim, and both are found.
        """
        began = self._monotonic()
        shown = safe_stem(stem)
        drop_id, folder = self._new_folder(shown)
        first = next(iter(sightings))
        claim = Claim(
            drop_id, folder, stem, stage, first if SIDECAR.fullmatch(first) else f"{stem}{SIDECAR_SUFFIX}", began=began
        )
        for name, found in sightings.items():
            kept, there = _kept_name(name), self._inbox.path / name
            path = folder / kept
            try:
                self._disk.rename(there, path)
            except FileNotFoundError:
                if not claim.files:
                    self._remove_folder(folder)
                    return None
                continue
            except OSError as error:
                with contextlib.suppress(StorageError):
                    self._return(folder, sorted(claim.files, key=lambda kept: kept == first))
                raise StorageError("take", there, error) from error
            claim.files[kept] = ClaimedFile(path, (found.inode, found.size, found.mtime_ns))
            claim.size += found.size
        self._note_owner(claim, sightings[first].owner)
        claim.steps["claim"] = self._monotonic() - began
        log.debug("drop.claimed", drop_id=drop_id, stem=shown)
        return claim

    def put_back(self, claim: Claim) -> str | None:
        """Return a drop to the inbox, the sidecar last, never over a newer file and never beside one.

        Returns the name of a newer file that is there, and then all of the drop stays claimed: it must not be
        taken for a part of the newer drop. None when all is back. A crash in between leaves a claim with its
        sidecar, which the daemon that finds it completes again.
        """
        for name in claim.files:
            there = original_name(name)
            if self._disk.exists(self._inbox.path / there):
                return there
        taken = self._return(claim.folder, claim.sidecar_last)
        if taken is not None:
            for name in claim.sidecar_last:  # it came while we moved: what has gone back is fetched again
                if not self._disk.exists(claim.folder / name):
                    with contextlib.suppress(FileNotFoundError):
                        self._disk.rename(self._inbox.path / original_name(name), claim.folder / name)
        return taken

    def release(self, claim: Claim) -> None:
        """Remove the sources of a drop that has its answer, the sidecar last, then the claim."""
        for name in claim.sidecar_last:
            path = claim.files[name].path
            try:
                self._disk.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError("remove", path, error) from error
        self._remove_folder(claim.folder)

    def rejected_place(self, folder: Path) -> Path:
        """Return where `reject` moves a claim."""
        return self._inbox.rejected_dir / folder.name

    def reject(self, folder: Path) -> None:
        """Move a claim, with its reasons in it, to `rejected/`, durably. Raises StorageError."""
        target = self.rejected_place(folder)
        try:
            self._forget_tries(folder)
            self._inbox.privacy.set_rejected(folder)
            self._disk.rename(folder, target)
            self._disk.fsync_dir(self._inbox.rejected_dir)
            self._disk.fsync_dir(self._inbox.processing_dir)
        except OSError as error:
            raise StorageError("move to rejected", target, error) from error

    def join_rejected(self, stray: Sighting, drop_id: str) -> None:
        """Move a file to a rejected drop, durably, and never over a file there. Raises StorageError."""
        folder = self._inbox.rejected_dir / drop_id
        move_file(self._disk, self._inbox.path / stray.name, folder / _kept_name(stray.name))
        try:
            self._disk.fsync_dir(folder)
            self._disk.fsync_dir(self._inbox.path)
        except OSError as error:
            raise StorageError("move to rejected", folder, error) from error

    def left(self) -> list[Claim]:
        """Return the claims that are there, oldest first, not looked into. Raises StorageError."""
        found = []
        for name in self._listed(self._inbox.processing_dir):
            folder = self._inbox.processing_dir / name
            match = DROP_ID.fullmatch(name)
            if match is not None and folder.is_dir() and not folder.is_symlink():
                found.append(Claim(name, folder, match["stem"], Left(), began=self._monotonic()))
        return found

    def names_in(self, claim: Claim) -> list[str]:
        """Return the names of everything in the folder of a claim but the count of tries. Raises StorageError."""
        return [name for name in self._listed(claim.folder) if name != TRIES_NAME]

    def _forget_tries(self, folder: Path) -> None:
        """Remove the count of a claim that ends. A crash after it leaves a claim that has its tries again."""
        if self._disk.exists(folder / TRIES_NAME):
            self._disk.unlink(folder / TRIES_NAME)

    def take_up(self, claim: Claim, names: Sequence[str]) -> None:
        """Take up a claim that was cut short, with the files that are in it. Raises StorageError."""
        try:
            found = {name: self._disk.lstat(claim.folder / name) for name in names}
        except OSError as error:
            raise StorageError("take up", claim.folder, error) from error
        claim.files = {name: ClaimedFile(claim.folder / name, content_of(status)) for name, status in found.items()}
        sidecars = sorted(filter(SIDECAR.fullmatch, names), key=lambda name: (not name.endswith(SIDECAR_SUFFIX), name))
        leading = next(iter(sidecars), names[0] if names else None)
        if leading is not None:
            claim.stem = stem_of(leading)
            claim.sidecar_name = leading if sidecars else f"{claim.stem}{SIDECAR_SUFFIX}"
            claim.size = sum(status.st_size for status in found.values())
            self._note_owner(claim, found[leading].st_uid)

    def fetch(self, claim: Claim, wanted: Sequence[str]) -> None:
        """Move the files into a claim that were still in the inbox when the claim was interrupted.

        Only files of the sidecar's owner. Not for a drop that is registered: files of these names in the inbox belong
        to the next drop. Raises StorageError.
        """
        for name in wanted:
            if name in claim.files:
                continue
            path, target = self._inbox.path / name, claim.folder / name
            try:
                found = self._disk.lstat(path)
                if found.st_uid != claim.uid or not stat.S_ISREG(found.st_mode):
                    continue
                self._disk.rename(path, target)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError("take", path, error) from error
            claim.files[name] = ClaimedFile(target, content_of(found))
            claim.size += found.st_size

    def give_up(self, claim: Claim) -> bool:
        """End a claim that is no drop: what is in it goes back to the inbox, to be judged like anything there.

        Returns whether all of it did. What cannot go back, because its name is taken there by now, is all that the
        claim holds then.
        """
        for name in claim.files:
            self._return(claim.folder, [name], keep_folder=True)
        left = self.names_in(claim)
        if not left:
            self._remove_folder(claim.folder)
            return True
        self.take_up(claim, left)
        return False

    def _return(self, folder: Path, names: Sequence[str], *, keep_folder: bool = False) -> str | None:
        """Move files of a claim back, in that order, and remove the folder; or return the first name that is taken."""
        for name in names:
            there = original_name(name)
            try:
                move_file(self._disk, folder / name, self._inbox.path / there)
            except StorageError as error:
                if error.errno == errno.EEXIST:
                    return there
                if error.errno != errno.ENOENT:
                    raise
        if not keep_folder:
            self._remove_folder(folder)
        return None

    def tidy(self) -> None:
        """Remove the folders that no claim needs now. What cannot be removed is left to the next start."""
        spares, self._spares = self._spares, []
        for spare in spares:
            self._remove_spare(spare)

    def clean(self) -> None:
        """Remove the folders that an earlier daemon left for its next claims."""
        with contextlib.suppress(StorageError):
            for name in self._listed(self._inbox.processing_dir):
                if name.startswith(_SPARE):
                    self._remove_spare(self._inbox.processing_dir / name)

    def _remove_spare(self, spare: Path) -> None:
        """Remove a folder that should be empty. One that is not becomes a claim, to be taken up: a power cut may have
        taken back that it was renamed to one, and kept that a file went into it.
        """
        with contextlib.suppress(OSError):
            if self._disk.names(spare):
                self._disk.rename(spare, self._free_name("spare")[1])
            else:
                self._disk.rmdir(spare)

    def _listed(self, folder: Path) -> list[str]:
        try:
            return sorted(self._disk.names(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError("list", folder, error) from error

    def _note_owner(self, claim: Claim, uid: int) -> None:
        claim.uid = uid
        claim.owner_name = name = self._accounts.name_of(uid)
        claim.owner = {"name": name if name != str(uid) else None, "uid": uid}

    def _new_folder(self, safe: str) -> tuple[str, Path]:
        while True:
            drop_id, folder = self._free_name(safe)
            try:
                self._make_folder(folder)
            except FileExistsError:
                continue
            except OSError as error:
                raise StorageError("make the folder", folder, error) from error
            return drop_id, folder

    def _free_name(self, safe: str) -> tuple[str, Path]:
        """Return a drop_id that no drop bears, ending in that stem, and the folder of its claim."""
        moment = self._clock().astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
        while True:
            self._counter += 1
            drop_id = f"{moment}Z-{self._counter:04d}-{safe}"
            folder = self._inbox.processing_dir / drop_id
            if not (self._disk.exists(self._inbox.rejected_dir / drop_id) or self._disk.exists(folder)):
                return drop_id, folder

    def _make_folder(self, folder: Path) -> None:
        """Make a claim's folder, of a spare one if there is any. Neither is synced: see `claim`."""
        if self._spares:
            spare = self._spares.pop()
            try:
                self._disk.rename(spare, folder)
            except OSError:  # another inbox is at that path now
                self._remove_spare(spare)
            else:
                return
        self._disk.mkdir(folder, 0o700)

    def _remove_folder(self, folder: Path) -> None:
        """Remove an empty folder, or keep it for a next claim. A crash around the rename leaves an empty folder under
        one name or the other, which the next start removes.
        """
        try:
            names = self._disk.names(folder)
            if names == [TRIES_NAME]:
                self._forget_tries(folder)
            elif names:
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
            self._spares_made += 1
            spare = folder.with_name(f"{_SPARE}{self._spares_made}")
            self._disk.rename(folder, spare)
            self._spares.append(spare)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError("remove", folder, error) from error


def _kept_name(name: str) -> str:
    """Return the name of a file in its claim: its own, but where our reasons will have that one."""
    return f"dropped.{name}" if REASON_LIKE.fullmatch(name) else name

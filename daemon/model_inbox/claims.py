"""Drops in hand: moving a drop's files out of the producers' reach, back again, or away for good.

Owns `.processing/<drop_id>/`, the claim: while it is there the drop is in hand. Its sidecar is moved in first and
out last, so a claim with a sidecar is a drop, and one without never got far or is nearly released. Decides nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import structlog

from .arrival import SIDECAR_SUFFIX, Sighting, safe_stem
from .errors import StorageError
from .fsio import Disk, move_file
from .inbox import Inbox
from .problems import Problem

__all__ = ["REASON_NAME", "Claim", "Claims", "Integrity", "claimed_at", "is_older", "owner_name"]

log = structlog.get_logger("model_inbox")

Integrity = Literal["digest", "lease", "quiet"]

REASON_NAME = "reason.json"
"""The name, in the folder of a rejected drop, of the file that holds its reasons."""

_DROP_ID = re.compile(r"(\d{8}T\d{12})Z-\d{4,}-[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(slots=True)
class Claim:
    """A drop in hand, and what became known of it on its way.

    `expected` is what was seen of its files before the claim, None after a restart. `refused` are the problems for
    which it was claimed only to be rejected. `committed` is the registry's answer, once there is one. Times are of
    the monotonic clock, in seconds.
    """

    drop_id: str
    folder: Path
    stem: str
    names: list[str]
    integrity: Integrity = "quiet"
    expected: Mapping[str, tuple[int, int, int]] | None = None
    refused: tuple[Problem, ...] = ()
    owner: str = ""
    began: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    attempts: int = 0
    retry_at: float = 0.0
    sidecar_sha256: str | None = None
    model_id: str | None = None
    digests: dict[str, str] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()
    committed: tuple[Literal["registered", "duplicate"], Mapping[str, Any]] | None = None

    @property
    def sidecar_name(self) -> str:
        """The name of the sidecar, in the inbox and in the claim."""
        return f"{self.stem}{SIDECAR_SUFFIX}"

    @property
    def sidecar_last(self) -> list[str]:
        """The names of the files in the order in which they leave the claim."""
        return sorted(self.names, key=lambda name: name == self.sidecar_name)


class Claims:
    """Makes and ends claims. One daemon, one thread: nobody else touches `.processing/`."""

    def __init__(
        self, inbox: Inbox, *, clock: Callable[[], datetime], monotonic: Callable[[], float], disk: Disk
    ) -> None:
        self._inbox = inbox
        self._clock = clock
        self._monotonic = monotonic
        self._disk = disk
        self._counter = 0

    def claim(self, stem: str, names: Sequence[str], sightings: Mapping[str, Sighting]) -> Claim | None:
        """Move a drop's files out of the producers' reach, the sidecar (the first name) first.

        None when it was withdrawn meanwhile. A crash in between leaves a claim whose sidecar names files that
        are still in the inbox; the restart fetches them. Nothing here is synced: whichever of the renames a
        power cut takes back, the drop is whole in the inbox or in its claim, and both are found.
        """
        began = self._monotonic()
        drop_id, folder = self._new_folder(stem)
        moved: list[str] = []
        expected: dict[str, tuple[int, int, int]] = {}
        for name in names:
            kept = _kept_name(name)
            try:
                self._disk.rename(self._inbox.path / name, folder / kept)
            except FileNotFoundError:
                if not moved:
                    self._disk.rmdir(folder)
                    return None
                continue
            except OSError as error:
                self.return_files(folder, moved)
                raise StorageError("claim", self._inbox.path / name, error) from error
            moved.append(kept)
            expected[kept] = sightings[name].content
        claim = Claim(drop_id, folder, stem, moved, expected=expected, began=began)
        claim.owner = owner_name(sightings[names[0]].owner)
        claim.steps["claim"] = self._monotonic() - began
        log.debug("drop.claimed", drop_id=drop_id, stem=safe_stem(stem))
        return claim

    def put_back(self, claim: Claim) -> str | None:
        """Return a drop to the inbox, the sidecar last, never over a newer file.

        Returns the name that a newer file has there, which keeps the rest claimed; None when all is back. A
        crash in between leaves a claim with its sidecar, which the restart completes again.
        """
        for name in claim.sidecar_last:
            try:
                move_file(self._disk, claim.folder / name, self._inbox.path / name)
            except StorageError as error:
                if error.errno == errno.ENOENT:
                    continue
                if error.errno == errno.EEXIST:
                    return name
                raise
        self._remove_folder(claim.folder)
        return None

    def release(self, claim: Claim) -> None:
        """Remove the sources of a drop that has its answer, the sidecar last, then the claim."""
        for name in claim.sidecar_last:
            try:
                self._disk.unlink(claim.folder / name)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError("remove", claim.folder / name, error) from error
        self._remove_folder(claim.folder)

    def reject(self, folder: Path) -> Path:
        """Move a claim, with its reasons in it, to `rejected/`, lastingly; return where it is."""
        target = self._inbox.rejected_dir / folder.name
        try:
            os.chmod(folder, 0o750)  # noqa: S103  # the producers' group reads why its drop was refused
            self._disk.rename(folder, target)
            self._disk.fsync_dir(self._inbox.rejected_dir)
            self._disk.fsync_dir(self._inbox.processing_dir)
        except OSError as error:
            raise StorageError("move to rejected", target, error) from error
        return target

    def folders(self) -> list[tuple[Path, list[str]]]:
        """Return the claims that an earlier daemon left, oldest first, with the names in each."""
        found = []
        for name in _listed(self._inbox.processing_dir):
            folder = self._inbox.processing_dir / name
            if _DROP_ID.fullmatch(name) and folder.is_dir() and not folder.is_symlink():
                found.append((folder, _listed(folder)))
        return found

    def take_up(self, folder: Path, sidecar_name: str, names: list[str], wanted: Sequence[str]) -> Claim:
        """Take up a claim that was cut short: of `wanted`, what did not get along follows from the inbox."""
        names = list(names)
        for name in wanted:
            if name in names:
                continue
            try:
                self._disk.rename(self._inbox.path / name, folder / name)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError("claim", self._inbox.path / name, error) from error
            names.append(name)
        stem = sidecar_name[: -len(SIDECAR_SUFFIX)]
        claim = Claim(folder.name, folder, stem, names, began=self._monotonic())
        claim.owner = owner_name((folder / sidecar_name).lstat().st_uid)
        return claim

    def return_files(self, folder: Path, names: Sequence[str]) -> None:
        """End a claim that is no drop: what is in it goes back to the inbox, to be judged like anything there.

        What cannot go back, because its name is taken there by now, goes to `rejected/`.
        """
        for name in names:
            with contextlib.suppress(StorageError):
                move_file(self._disk, folder / name, self._inbox.path / name)
        if _listed(folder):
            self.reject(folder)
        else:
            self._remove_folder(folder)

    def _new_folder(self, stem: str) -> tuple[str, Path]:
        moment = self._clock().astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
        while True:
            self._counter += 1
            drop_id = f"{moment}Z-{self._counter:04d}-{safe_stem(stem)}"
            folder = self._inbox.processing_dir / drop_id
            if os.path.lexists(self._inbox.rejected_dir / drop_id):
                continue
            try:
                self._disk.mkdir(folder, 0o700)
            except FileExistsError:
                continue
            except OSError as error:
                raise StorageError("make the folder", folder, error) from error
            return drop_id, folder

    def _remove_folder(self, folder: Path) -> None:
        try:
            self._disk.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError("remove", folder, error) from error


def claimed_at(drop_id: str) -> datetime | None:
    """Return the moment in a drop_id, or None when it is none."""
    match = _DROP_ID.fullmatch(drop_id)
    return datetime.strptime(match[1], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC) if match else None


def is_older(drop_id: str, now: datetime, keep_seconds: float) -> bool:
    """Tell whether a drop_id is from before the time for which things are kept."""
    at = claimed_at(drop_id)
    return at is not None and now - at > timedelta(seconds=keep_seconds)


def owner_name(uid: int) -> str:
    """Return the name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _kept_name(name: str) -> str:
    """Return the name of a file in its claim: its own, but for the one that our reasons will have."""
    return name if name != REASON_NAME else f"dropped.{name}"


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError("list", folder, error) from error

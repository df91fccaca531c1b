"""What keeps the daemon from writing where drops pass: a read-only or full disk, a missing right, a mount in the way.

Owns the places that a drop passes, the question whether each can be written, which is asked by writing, and when it is
asked again. Decides nothing about a drop: while an obstacle stops them, `service` leaves drops in the inbox, and
`deferral` those in hand. Never asked while all is well, but for what `may_take` asks of the kernel.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..base.disk import Disk, remove_quietly
from ..base.log import log
from ..base.machine import Machine
from ..base.remedies import remedy_for
from ..errors import StorageError
from ..problems import Problem
from ..problems.drop import drop_storage_unwritable
from ..registry.paths import RegistryFiles
from .folder import Inbox

__all__ = ["Obstacle", "Obstacles"]

FIRST_PAUSE_SECONDS = 0.5
# When the trouble ends, drops go on within this time.
LONGEST_PAUSE_SECONDS = 4.0
# One error of many in a batch asks for all of them.
ASKED_SECONDS = 0.5
# A disk with less room than this is full for every purpose.
PROBE_BYTES = 64 << 10
_PROBE = ".write-probe"
# Errors of the whole file system: one obstacle for all places on it.
_OF_THE_DISK = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO})
# Errors that say nothing about the place.
_OF_THE_PROCESS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR, errno.ETXTBSY}
)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A place that cannot be written, and the error that says so.

    `stops` says whom it stops: every drop, only those to be rejected, or none. `began` is on the monotonic clock.
    """

    error: StorageError
    hint: str
    stops: frozenset[str]
    since: datetime
    began: float


@dataclass(frozen=True, slots=True)
class _Place:
    """A place that drops pass. `probe` raises StorageError. `served` says whether a missing folder is made again."""

    path: Path
    stops: frozenset[str]
    probe: Callable[[], None]
    served: bool = False


_ALL = frozenset({"take", "refuse"})
_REFUSALS = frozenset({"refuse"})
_NONE: frozenset[str] = frozenset()


class Obstacles:
    """The obstacles that there are now. One thread, one daemon. Times are of the monotonic clock, in seconds."""

    def __init__(self, inbox: Inbox, registry_path: Path, storage_dir: Path, machine: Machine) -> None:
        self._inbox = inbox
        self._files = RegistryFiles(registry_path)
        self._storage_dir = storage_dir
        self._staging_dir = storage_dir / ".staging"
        self._trash_dir = RegistryFiles(registry_path).trash
        self._disk: Disk = machine.disk
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self.found: dict[Path, Obstacle] = {}
        """By the place. Changed only by `look`."""
        self.version = 0
        """Counts the changes of `found`."""
        self.next_at: float | None = None
        """When the places are looked at again; None: there is no obstacle."""
        self._pause = 0.0
        self._looked_at = float("-inf")
        self._asks_kernel = True
        self._places: Sequence[_Place] = (
            _Place(inbox.processing_dir, _ALL, self._probe_claims, served=True),
            _Place(inbox.receipts_dir, _ALL, lambda: self._probe_folder(inbox.receipts_dir), served=True),
            _Place(inbox.rejected_dir, _REFUSALS, self._probe_rejected, served=True),
            _Place(registry_path.parent, _ALL, lambda: self._probe_folder(registry_path.parent)),
            _Place(storage_dir, _ALL, self._probe_storage),
            _Place(self._files.journal, _ALL, self._probe_journal),
            _Place(self._trash_dir, _NONE, self._probe_trash),
        )
        self._asked = (
            *(inbox.path, inbox.processing_dir, inbox.receipts_dir),
            *(registry_path.parent, storage_dir, self._staging_dir, self._files.journal),
        )

    # --- answers ----------------------------------------------------------------------------------------------

    def stopping(self, what: str = "take") -> Obstacle | None:
        """Return an obstacle that stops drops from being taken ("take") or rejected ("refuse"), or None."""
        return next((obstacle for obstacle in self.found.values() if what in obstacle.stops), None)

    def may_take(self) -> bool:
        """Return whether drops may be taken now. Costs some calls of access(2); only if one says no it is tried."""
        if self.found:
            return self.stopping() is None
        if not self._asks_kernel or all(map(self._disk.may_write, self._asked)):
            return True
        self.look()
        if not self.found and all(map(self._disk.exists, self._asked)):
            # The kernel says no and writing works: its answer means nothing on this file system.
            self._asks_kernel = False
        return self.stopping() is None

    def suspect(self) -> None:
        """Look at the places after a step on the disk failed, unless that was done just now."""
        if self._monotonic() - self._looked_at >= ASKED_SECONDS:
            self.look()

    def explains(self, path: object) -> bool:
        """Return whether an error at that path is one of an obstacle's, which was logged."""
        return any(Path(str(path)).is_relative_to(obstacle.error.path) for obstacle in self.found.values())

    def problem(self, what: str = "take") -> Problem | None:
        """Return what a drop is told that waits for an obstacle to end, or None."""
        obstacle = self.stopping(what)
        return drop_storage_unwritable(obstacle.error.message, obstacle.hint) if obstacle is not None else None

    def pause_left(self) -> float:
        """Return in how many seconds the places are looked at again; 0 without an obstacle."""
        return max(self.next_at - self._monotonic(), 0.0) if self.next_at is not None else 0.0

    # --- looking ----------------------------------------------------------------------------------------------

    def look_if_due(self) -> None:
        """Look at the places again if the pause is over."""
        if self.next_at is not None and self._monotonic() >= self.next_at:
            self.look()

    def look(self) -> None:
        """Find out which places cannot be written, and log what changed: one line when it begins, one when it ends."""
        found: dict[Path, Obstacle] = {}
        devices: dict[tuple[int, int | None], Path] = {}
        for place in self._places:
            error = self._try(place)
            if error is None:
                continue
            device = self._device_of(place.path)
            first = devices.get((device, error.errno)) if device is not None and error.errno in _OF_THE_DISK else None
            if first is not None:
                found[first] = _widened(found[first], place.stops)
                continue
            if device is not None:
                devices[device, error.errno] = place.path
            found[place.path] = self._obstacle(place, error)
        self._note(found)
        self._looked_at = self._monotonic()
        self._pause = min(max(self._pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS) if found else 0.0
        self.next_at = self._looked_at + self._pause if found else None

    def _try(self, place: _Place) -> StorageError | None:
        try:
            place.probe()
        except StorageError as error:
            if error.errno in _OF_THE_PROCESS or (place.served and error.errno == errno.ENOENT):
                return None
            return error
        return None

    def _obstacle(self, place: _Place, error: StorageError) -> Obstacle:
        known = self.found.get(place.path)
        since, began = (known.since, known.began) if known is not None else (self._clock(), self._monotonic())
        return Obstacle(error, remedy_for(error), place.stops, since, began)

    def _note(self, found: dict[Path, Obstacle]) -> None:
        before, self.found = self.found, found
        for path, obstacle in found.items():
            known = before.get(path)
            if known is None or known.error.errno != obstacle.error.errno:
                self.version += 1
                error = obstacle.error
                log.error("daemon.storage_failed", path=error.path, problem=str(error), hint=obstacle.hint)
        for path, obstacle in before.items():
            if path not in found:
                self.version += 1
                log.info(
                    "daemon.storage_restored", path=obstacle.error.path, seconds=self._monotonic() - obstacle.began
                )

    def _device_of(self, path: Path) -> int | None:
        with suppress(OSError):
            return self._disk.lstat(path).st_dev
        return None

    # --- probes: a crash within one leaves a file or folder that the next probe replaces ------------------------

    def _probe_claims(self) -> None:
        """A file goes from the inbox into `.processing/`, as those of a drop do."""
        source, target = self._inbox.path / _PROBE, self._inbox.processing_dir / _PROBE
        try:
            with _step("write in", self._inbox.path):
                self._make_file(source)
            with _step("move files to", self._inbox.processing_dir):
                self._disk.rename(source, target)
                self._disk.unlink(target)
        finally:
            remove_quietly(self._disk, source)

    def _probe_folder(self, folder: Path) -> None:
        path = folder / _PROBE
        try:
            with _step("write in", folder):
                self._make_file(path, PROBE_BYTES)
                self._disk.unlink(path)
        finally:
            remove_quietly(self._disk, path)

    def _probe_rejected(self) -> None:
        """A folder goes from `.processing/` to `rejected/`, as that of a drop does."""
        source, target = self._inbox.processing_dir / f"{_PROBE}.d", self._inbox.rejected_dir / f"{_PROBE}.d"
        with suppress(OSError):
            self._disk.mkdir(source, 0o700)
        if not self._disk.exists(source):
            # The probe of the claims tells why.
            return
        with _step("move folders to", self._inbox.rejected_dir):
            try:
                self._disk.rename(source, target)
                self._disk.rmdir(target)
            except OSError:
                with suppress(OSError):
                    self._disk.rmdir(source)
                raise

    def _probe_storage(self) -> None:
        """A file goes from the staging folder to where models are stored, by a link as those of a drop do."""
        source, target = self._staging_dir / _PROBE, self._storage_dir / _PROBE
        try:
            with _step("write in", self._staging_dir):
                self._make_file(source, PROBE_BYTES)
            with _step("write in", self._storage_dir):
                remove_quietly(self._disk, target)
                self._disk.link(source, target)
                self._disk.unlink(target)
        finally:
            remove_quietly(self._disk, source)

    def _probe_journal(self) -> None:
        with _step("append to", self._files.journal):
            self._disk.close(self._disk.open_append(self._files.journal))

    def _probe_trash(self) -> None:
        folder = self._trash_dir / f"{_PROBE}.d"
        with _step("write in", self._trash_dir):
            with suppress(FileExistsError):
                self._disk.mkdir(folder, 0o700)
            self._disk.rmdir(folder)

    def _make_file(self, path: Path, size: int = 0) -> None:
        """Make a file of that many bytes, and sync it: some disks say only then that they cannot."""
        remove_quietly(self._disk, path)
        fd = self._disk.create(path, 0o600)
        try:
            if size:
                self._disk.write(fd, bytes(size))
                self._disk.fsync(fd)
        finally:
            self._disk.close(fd)


@contextmanager
def _step(operation: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(operation, path, error) from error


def _widened(obstacle: Obstacle, stops: frozenset[str]) -> Obstacle:
    return Obstacle(obstacle.error, obstacle.hint, obstacle.stops | stops, obstacle.since, obstacle.began)

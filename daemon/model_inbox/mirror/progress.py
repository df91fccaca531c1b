"""How far a mirror is, and which models it has set aside: one file in its own folder.

Owns the value, its JSON form (`mlflow.json`) and how it is kept. Never touches the registry. A crash leaves the file as
it was before the last step, which is then taken again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from ..base.disk import Disk, make_folder, read_bytes, replace_file
from ..base.flocks import FileLock
from ..base.instants import canonical_instant
from ..errors import RegistryError, StorageError
from ..problems import escaped
from ..registry.position import Position

__all__ = ["FORMAT", "Aside", "Folder", "Progress"]

FORMAT = "model-inbox-mlflow/1"
_MODE = 0o640
_FOLDER_MODE = 0o750


@dataclass(frozen=True, slots=True)
class Aside:
    """A model that MLflow does not take, since when, and why. `line` is the change that was to be made.

    `passing` models are tried again by the mirror itself: MLflow failed with them, and did not refuse them.
    """

    model_id: str
    line: int
    at: str
    problem: str
    tries: int = 1
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a mirror is. `position` is empty before the first comparison has ended."""

    tracking_uri: str = ""
    position: str = ""
    updated_at: str = ""
    pushed: int = 0
    aside: Mapping[str, Aside] | None = None
    problem: str = ""
    failed_at: str = ""
    through_server: bool | None = None

    @property
    def set_aside(self) -> Mapping[str, Aside]:
        """The models that are set aside, by their ids."""
        return self.aside or {}

    def position_or_none(self) -> Position | None:
        """Return the position to go on from."""
        return Position.parse(self.position) if self.position else None

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        fields = asdict(self)
        fields["aside"] = [asdict(one) for one in self.set_aside.values()]
        return (json.dumps({"format": FORMAT, **fields}, indent=1) + "\n").encode()

    @classmethod
    def decode(cls, data: bytes) -> Progress:
        """Return what `encode` wrote. Raises ValueError."""
        found = json.loads(data)
        if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
            raise ValueError(f"this is no {FORMAT}")
        try:
            aside = {one["model_id"]: Aside(**one) for one in found.pop("aside")}
            made = cls(**found, aside=aside)
            made.position_or_none()
        except (KeyError, TypeError) as error:
            raise ValueError(f"a field is missing or unknown: {error}") from error
        return made


class Folder:
    """The folder of one mirror: its progress, the lock that makes it the only one, and what it was asked to retry."""

    def __init__(self, path: Path, disk: Disk, clock: Callable[[], datetime]) -> None:
        self.path = path
        self._disk = disk
        self._clock = clock
        self._lock = FileLock(self.lock_path, "mirror's")

    @property
    def lock_path(self) -> Path:
        """The lock that a mirror holds while it is at work."""
        return self.path / ".mirror.lock"

    @property
    def work(self) -> Path:
        """The folder for what is made for an upload."""
        return self.path / "work"

    @property
    def _file(self) -> Path:
        return self.path / "mlflow.json"

    @property
    def _retry(self) -> Path:
        return self.path / "retry"

    def lock(self) -> FileLock:
        """Make the folder and take the lock. Raises RegistryLocked if another mirror is at work, and StorageError."""
        for folder in (self.path, self.work, self._retry):
            make_folder(self._disk, folder, _FOLDER_MODE)
        self._lock.acquire(0)
        return self._lock

    def read(self) -> Progress:
        """Return how far the mirror is; an empty value before its first start. Raises RegistryError, StorageError."""
        try:
            return Progress.decode(read_bytes(self._file))
        except FileNotFoundError:
            return Progress()
        except ValueError as error:
            raise RegistryError(
                f"cannot read {str(self._file)!r}: {escaped(error)}",
                hint="Remove that file: the mirror then compares both sides, and goes on from there",
            ) from error

    def write(self, progress: Progress) -> Progress:
        """Keep how far the mirror is, durably. Raises StorageError."""
        progress = replace(progress, updated_at=canonical_instant(self._clock()))
        replace_file(self._disk, self._file, progress.encode(), _MODE)
        return progress

    def ask_for_retry(self, model_id: str) -> None:
        """Leave word for the mirror at work that a model is to be tried again."""
        replace_file(self._disk, self._retry / model_id, b"", _MODE)

    def asked_for(self) -> tuple[str, ...]:
        """Return the models that are to be tried again."""
        try:
            return tuple(sorted(name for name in os.listdir(self._retry) if not name.startswith(".")))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StorageError("list", self._retry, error) from error

    def done_with(self, model_id: str) -> None:
        """Forget that a model was to be tried again."""
        try:
            self._disk.unlink(self._retry / model_id)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageError("remove", self._retry / model_id, error) from error

"""What the registry has of its models: the entries, and the files, open and held to the digests while they are sent.

Owns how files are found and what shows that they changed meanwhile. Never copies one: MLflow's client reads the open
file itself. Never changes the registry.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..base.copying import digest_open_file
from ..base.disk import open_regular
from ..errors import StorageError
from ..problems import quoted
from ..registry.entry import EntryFields, files_of_entry, sequence_of
from ..registry.registry import ModelRegistry
from ..registry.stored_sidecar import has_sidecar
from .errors import MlflowRefused
from .plan import Wanted
from .tags import MirroredFile, artifact_path

__all__ = ["OpenFile", "is_removed", "model_files", "places_of", "registered"]

# A file that moves to the trash is found at the second try.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file of a model, open for reading."""

    fd: int
    source: Path
    place: MirroredFile
    looked: tuple[int, int, int]

    def must_be_unchanged(self) -> None:
        """Raise MlflowRefused if the file was written to since it was opened and read."""
        if _look(self.fd) != self.looked:
            raise MlflowRefused(
                f"cannot mirror {str(self.source)!r}: it changed while it was sent",
                hint="No program writes to a stored file: `model-inbox verify` shows what it is now",
            )


@contextmanager
def model_files(registry: ModelRegistry, entry: EntryFields) -> Iterator[dict[str, OpenFile]]:
    """Open the model, its scaler and its sidecar, and verify them; yield them by their roles.

    Yield none if the model was removed permanently. Raises MlflowRefused for a file of a registered model that is
    missing, or has other bytes than were registered, and StorageError.
    """
    with ExitStack() as stack:
        found: dict[str, OpenFile] = {}
        model_id = str(entry["model_id"])
        for file in files_of_entry(entry):
            opened = _open(registry, entry, file.role, stack)
            if opened is None:
                if file.role == "model" and not _is_registered(registry, entry):
                    break
                raise MlflowRefused(
                    f"cannot mirror {quoted(model_id)}: its {file.role} is gone",
                    hint="`model-inbox verify` shows what is missing. Restore it from a backup",
                )
            fd, path = opened
            line = int(entry.get("scaler_replaced") or 0) if file.role == "scaler" else 0
            found[file.role] = _held(fd, path, artifact_path(file.role, file.path, line), file.sha256)
        if found and has_sidecar(entry):
            sidecar = found["model"].source.with_name(f"{model_id}.yaml")
            try:
                fd = open_regular(sidecar)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise StorageError("open", sidecar, error) from error
            else:
                stack.callback(os.close, fd)
                found["sidecar"] = _held(fd, sidecar, artifact_path("sidecar", sidecar.name), None)
        yield found


def is_removed(registry: ModelRegistry, entry: EntryFields) -> bool:
    """Return whether the bytes of a model are nowhere any more."""
    return registry.file_of(entry) is None


def _open(registry: ModelRegistry, entry: EntryFields, role: str, stack: ExitStack) -> tuple[int, Path] | None:
    for _ in range(_TRIES):
        path = registry.file_of(entry, "scaler" if role == "scaler" else "model")
        if path is None:
            return None
        try:
            fd = open_regular(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError("open", path, error) from error
        stack.callback(os.close, fd)
        return fd, path
    return None


def _is_registered(registry: ModelRegistry, entry: EntryFields) -> bool:
    now = registry.get_model_info(str(entry["model_id"]))
    return now is not None and sequence_of(now) == sequence_of(entry)


def _held(fd: int, path: Path, place: str, digest: str | None) -> OpenFile:
    looked = _look(fd)
    try:
        found = digest_open_file(fd)
    except OSError as error:
        raise StorageError("read", path, error) from error
    if digest is not None and found != digest:
        raise MlflowRefused(
            f"cannot mirror {str(path)!r}: its bytes are not those that were registered",
            hint="The file was changed or damaged on disk; `model-inbox verify` tells which are",
        )
    return OpenFile(fd, path, MirroredFile(place, found, looked[0]), looked)


def _look(fd: int) -> tuple[int, int, int]:
    seen = os.fstat(fd)
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def places_of(files: Mapping[str, OpenFile]) -> dict[str, MirroredFile]:
    """Return where these files go in a run's artifacts."""
    return {role: file.place for role, file in files.items()}


def registered(registry: ModelRegistry) -> list[Wanted]:
    """Return all registered models as they are now, in the order of their registration."""
    identity, sequence, entries = registry.stored_entries()
    epoch = identity.epoch if identity is not None else ""
    found = [Wanted(entry, sequence, epoch) for entry in entries]
    return sorted(found, key=lambda one: (int(one.entry.get("sequence") or 0), one.model_id))

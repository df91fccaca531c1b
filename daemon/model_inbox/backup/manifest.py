"""The manifest of a snapshot: which registry it is of, at which position, and every file with its digest.

Owns the bytes of `manifest.json`: one line of JSON that ends with a checksum, like a line of the journal. Pure: never
touches the disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..base.instants import canonical_instant
from ..base.shapes import format_of
from ..problems import quoted
from ..registry.journal import seal, unseal
from ..registry.position import Identity
from .errors import BackupDamaged

__all__ = ["MANIFEST_NAME", "MODELS_NAME", "CopiedFile", "Manifest", "Source", "snapshot_name", "snapshot_time"]

MANIFEST_NAME = "manifest.json"
MODELS_NAME = "models"
"""The folder of a snapshot that is the registry's folder: it can be opened as it is."""

FORMAT_NAME = "model-inbox-backup/"
FORMAT = f"{FORMAT_NAME}1"

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z", re.ASCII)

Source = tuple[int, int, int]
"""Inode, size and time of the last write of the file that was copied: while they stay, so do its bytes."""


def snapshot_name(now: datetime) -> str:
    """Return the name of a snapshot that is made now. Names sort by time."""
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def snapshot_time(name: str) -> datetime | None:
    """Return when the snapshot of that name was made; None if it is not the name of one."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return datetime.fromisoformat(name)
    except ValueError:
        return None


class CopiedFile(NamedTuple):
    """A file of a snapshot. `source` is None for a file that was not copied but written by the backup."""

    size: int
    sha256: str
    source: Source | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot holds.

    `registry` is the name of the registry's JSON file and `storage` the path of the folder of model files, both below
    `models/`. `files` are by their paths below `models/`. `lacking` are files that entries name and that the registry
    itself had no more, or with other bytes. `identity` is None for a registry that version 0.1 wrote last.
    """

    made_at: datetime
    identity: Identity | None
    sequence: int
    entries: int
    registry: str
    storage: str
    files: Mapping[str, CopiedFile]
    lacking: tuple[str, ...]

    @property
    def position(self) -> str:
        """The position of the registry that the snapshot holds, as text."""
        return str(self.identity.at(self.sequence)) if self.identity is not None else f"line {self.sequence}"

    @property
    def size(self) -> int:
        """How many bytes its files have together."""
        return sum(file.size for file in self.files.values())

    def encode(self) -> bytes:
        """Return the bytes of `manifest.json`."""
        identity = self.identity
        return seal(
            {
                "format": FORMAT,
                "made_at": canonical_instant(self.made_at),
                "registry_id": identity.registry_id if identity is not None else None,
                "epoch": identity.epoch if identity is not None else None,
                "sequence": self.sequence,
                "entries": self.entries,
                "registry": self.registry,
                "storage": self.storage,
                "lacking": list(self.lacking),
                "files": {path: list(file) for path, file in sorted(self.files.items())},
            }
        )

    @classmethod
    def decode(cls, data: bytes, where: object) -> Manifest:
        """Return what `encode` wrote. Raises BackupDamaged; `where` names the file in its message."""
        fields = unseal(data.removesuffix(b"\n"))
        name = format_of(data)
        if isinstance(name, str) and name.startswith(FORMAT_NAME) and name != FORMAT:
            raise BackupDamaged(
                f"cannot use {str(where)!r}: it has the format {quoted(name)}, this version reads {FORMAT}",
                hint="Use the version of model-inbox that made the backup, or a newer one",
            )
        try:
            if fields is None or name != FORMAT:
                raise ValueError(name)
            return cls(
                datetime.fromisoformat(fields["made_at"]),
                Identity(fields["registry_id"], fields["epoch"]) if fields["epoch"] is not None else None,
                int(fields["sequence"]),
                int(fields["entries"]),
                _plain(fields["registry"]),
                _plain(fields["storage"]),
                {_plain(path): _file(values) for path, values in fields["files"].items()},
                tuple(str(path) for path in fields["lacking"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise BackupDamaged(
                f"cannot use {str(where)!r}: it is not the manifest of a snapshot, or was changed",
                hint="`model-inbox backup list` shows the other snapshots",
            ) from None


def _plain(path: Any) -> str:
    """Return a path below a folder, and never out of it. Raises ValueError."""
    if not isinstance(path, str) or not path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(path)
    return path


def _file(values: Any) -> CopiedFile:
    size, sha256, source = values
    return CopiedFile(int(size), str(sha256), (int(source[0]), int(source[1]), int(source[2])) if source else None)

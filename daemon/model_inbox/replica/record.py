"""`replica.json`: what a replica is a copy of, and when it was last the same.

Owns the value and its JSON form. Pure: never touches the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..base.instants import canonical_instant

__all__ = ["FORMAT", "Record", "pulled_at"]

FORMAT = "model-inbox-replica/1"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a replica.

    `pulled_at` is when the last pull that succeeded began: None before the first one. `files` are the model files that
    were verified and put in place, by their paths below the folder, each with its SHA-256.
    """

    source: str
    registry: str = ""
    aliases: tuple[str, ...] = ()
    pulled_at: datetime | None = None
    position: str = ""
    models: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    failed_at: datetime | None = None
    problem: str = ""

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        document = {
            "format": FORMAT,
            "source": self.source,
            "registry": self.registry,
            "aliases": list(self.aliases),
            "pulled_at": canonical_instant(self.pulled_at) if self.pulled_at is not None else None,
            "position": self.position,
            "models": self.models,
            "lacking": list(self.lacking),
            "failed_at": canonical_instant(self.failed_at) if self.failed_at is not None else None,
            "problem": self.problem,
            "files": dict(sorted(self.files.items())),
        }
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()

    def covers(self, entry: Mapping[str, Any]) -> bool:
        """Return whether the files of an entry belong here: of some aliases, those of their holders, and of former ones
        what was fetched then.
        """
        if not self.aliases or entry.get("model_path") in self.files:
            return True
        return not set(self.aliases).isdisjoint(entry.get("aliases") or ())

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Return what `encode` wrote. Raises ValueError."""
        document = _object(data)
        failed_at = document.get("failed_at")
        return cls(
            source=str(document.get("source", "")),
            registry=str(document.get("registry", "")),
            aliases=tuple(map(str, document.get("aliases", ()))),
            pulled_at=pulled_at(data),
            position=str(document.get("position", "")),
            models=int(document.get("models", 0)),
            files={str(name): str(digest) for name, digest in dict(document.get("files", {})).items()},
            lacking=tuple(map(str, document.get("lacking", ()))),
            failed_at=datetime.fromisoformat(failed_at) if isinstance(failed_at, str) else None,
            problem=str(document.get("problem", "")),
        )


def pulled_at(data: bytes) -> datetime | None:
    """Return when the last pull that succeeded began, of a replica.json; None before the first. Raises ValueError."""
    at = _object(data).get("pulled_at")
    return datetime.fromisoformat(at) if isinstance(at, str) else None


def _object(data: bytes) -> dict[str, Any]:
    document = json.loads(data)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"this is no {FORMAT}")
    return document

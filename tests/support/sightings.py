"""What lies in an inbox, as values: sightings of files, parsed sidecars, and the drop that they make."""

from __future__ import annotations

from datetime import UTC, datetime

from model_inbox.inbox.drop import Drop, Kind, Sighting, pair
from model_inbox.model.sidecar import Sidecar, parse_sidecar
from model_inbox.problems import Problem
from support.world import sidecar

__all__ = ["only_drop", "parsed", "seen"]

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def seen(name: str, *, kind: Kind = "file", size: int = 100, owner: int = 1) -> Sighting:
    return Sighting(name, kind, inode=hash(name) & 0xFFFF, size=size, mtime_ns=1, ctime_ns=1, owner=owner)


def parsed(stem: str, seal: str = "...", **fields: object) -> Sidecar:
    return parse_sidecar(sidecar(seal, **fields), stem=stem, now=NOW)


def only_drop(sightings: list[Sighting], text: Sidecar | Problem, name: str = "m.yaml") -> Drop:
    drops, _ = pair({s.name: s for s in sightings}, {name: text})
    assert len(drops) == 1
    return drops[0]

"""Where the lines after a position are, decided from the headers of the segments.

Owns `next_step`. Pure: it gets what others have read, and touches no disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..registry.position import Identity, Position

__all__ = ["Impossible", "ReadClosed", "ReadCurrent", "next_step"]


@dataclass(frozen=True, slots=True)
class ReadCurrent:
    """The next lines are in the current segment."""


@dataclass(frozen=True, slots=True)
class ReadClosed:
    """The next lines are in the closed segment whose lines follow line `base_sequence`."""

    base_sequence: int


@dataclass(frozen=True, slots=True)
class Impossible:
    """Nobody can go on from there, for this reason."""

    because: str


def next_step(
    position: Position, identity: Identity | None, base_sequence: int, closed: Sequence[int]
) -> ReadCurrent | ReadClosed | Impossible:
    """Return where to read on from `position`.

    `identity` and `base_sequence` stand in the header of the current segment; `closed` are those numbers of the closed
    segments that are kept, in ascending order.
    """
    if identity is None or position.identity != identity:
        return Impossible(f"the registry is in the epoch {identity}, and the position is {position}")
    if position.sequence >= base_sequence:
        return ReadCurrent()
    before = [base for base in closed if base <= position.sequence]
    if not before:
        return Impossible(f"the lines after {position.sequence} are no longer in the history")
    return ReadClosed(before[-1])

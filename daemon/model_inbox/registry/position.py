"""Which registry, which unbroken history of it, and after which line: where somebody stands who follows one.

Owns the values `Identity` and `Position` and their text. Never makes random text itself: callers pass it in. Never
touches the disk.

An **epoch** is one unbroken history: within it, a number is that of one line for ever. A new one begins whenever lines
may have got lost or changed under their numbers: with a rebuild, and with an older copy that was put back. Its text is
`<n>-<random>`: n counts up and tells people which is newer; the random part keeps two epochs apart that begin
independently at copies of one registry. Compare epochs for equality only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..problems import quoted

__all__ = ["Identity", "Position", "newest"]

_REGISTRY_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_EPOCH = re.compile(r"([1-9][0-9]{0,8})-[0-9a-f]{16}", re.ASCII)
_SEQUENCE = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """A registry and its epoch. Raises ValueError for text that is neither."""

    registry_id: str
    epoch: str

    def __post_init__(self) -> None:
        if not _REGISTRY_ID.fullmatch(self.registry_id):
            raise ValueError(f"{quoted(self.registry_id)} is no registry_id: that is 32 hexadecimal digits")
        if not _EPOCH.fullmatch(self.epoch):
            raise ValueError(f"{quoted(self.epoch)} is no epoch: that is a number, `-` and 16 hexadecimal digits")

    @classmethod
    def new(cls, token: Callable[[], str]) -> Identity:
        """Return the identity of a registry in its first epoch; `token` returns 16 random hexadecimal digits."""
        return cls(token() + token(), f"1-{token()}")

    @property
    def epoch_number(self) -> int:
        """How many epochs this one and those before it are."""
        return int(self.epoch.partition("-")[0])

    def next_epoch(self, token: Callable[[], str]) -> Identity:
        """Return the identity of the same registry in a new epoch."""
        return Identity(self.registry_id, f"{self.epoch_number + 1}-{token()}")

    def at(self, sequence: int) -> Position:
        """Return the position after the line `sequence`."""
        return Position(self.registry_id, self.epoch, sequence)

    def __str__(self) -> str:
        return f"{self.registry_id}/{self.epoch}"


def newest(identities: Iterable[Identity]) -> Identity | None:
    """Return the registry that is named first, in the newest of its epochs that are named; None when none is."""
    found = list(identities)
    ours = [one for one in found if one.registry_id == found[0].registry_id]
    return max(ours, key=lambda one: one.epoch_number, default=None)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the history of a registry: everything up to the line `sequence` of this epoch is known.

    `str(position)` is `registry_id/epoch/sequence`, and `Position.parse` reads that. Two positions with the same
    `registry_id` and `epoch` are ordered by their `sequence`; any others say nothing about each other: who followed
    the one compares what it holds with the registry instead of going on.
    """

    registry_id: str
    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.registry_id}/{self.epoch}/{self.sequence}"

    @property
    def identity(self) -> Identity:
        """The registry and its epoch."""
        return Identity(self.registry_id, self.epoch)

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the position that `str` made the text of. Raises ValueError."""
        registry_id, _, rest = text.partition("/")
        epoch, _, sequence = rest.partition("/")
        if not _SEQUENCE.fullmatch(sequence):
            raise ValueError(f"{quoted(text)} is no position: that is registry_id/epoch/sequence")
        return Identity(registry_id, epoch).at(int(sequence))

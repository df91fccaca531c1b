"""What the steps of a drop's journey come to, as values: refused, not whole, or a file that is staged.

Pure. Owns no decision: `staging` and `validation` return these, and `pipeline` carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..problems import Problem

__all__ = ["NotWhole", "Rejected", "Staged"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """What a step came to: the drop is refused."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class NotWhole:
    """What a step came to: the drop goes back.

    `final` tells that other bytes are needed; else it may be whole the next time that it is looked at.
    """

    problems: tuple[Problem, ...]
    final: bool = False


@dataclass(frozen=True, slots=True)
class Staged:
    """A file in the staging folder. `linked`: it is the producer's own inode, which is ours alone.

    `sha256` is that of a copy, taken while it was made; of a linked file it is still to be found out.
    """

    path: Path
    sha256: str | None
    size: int
    linked: bool

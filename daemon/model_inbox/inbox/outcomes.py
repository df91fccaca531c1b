"""What a step of a drop's journey comes to, as values, when it does not go on: refused, or not complete.

Pure. Owns no decision: `staging` and `validation` return these, and `pipeline` carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..problems import Problem

__all__ = ["NotWhole", "Rejected"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """What a step came to: the drop is refused."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class NotWhole:
    """What a step came to: the drop goes back.

    `final` tells that other bytes are needed; else it may be complete the next time that it is looked at.
    """

    problems: tuple[Problem, ...]
    final: bool = False

"""How much better or worse one number must be than another: `0.0005`, or `5%` of the other.

Owns the form of a margin and the comparison. Numbers are compared as they are written in decimal, since 0.3 - 0.2 is a
little less than 0.1 in binary. Pure.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple

__all__ = ["Margin", "Order", "gain_of", "parse_margin"]

Order = Literal["min", "max"]

_FORM = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*(%?)", re.ASCII)
_HELP = "write a number that is not negative, like 0.001, or a part of the other value, like '5%'"


class Margin(NamedTuple):
    """An amount, or with `is_percent` that many hundredths of the absolute value of the other number."""

    amount: Fraction
    is_percent: bool = False

    def needed(self, other: float) -> Fraction | None:
        """Return the least gain over the other number; None where that is a part of zero."""
        if not self.is_percent:
            return self.amount
        return abs(_exact(other)) * self.amount / 100 if other or not self.amount else None

    def bound(self, old: float, order: Order, *, better: bool) -> float | None:
        """Return the number that is better than another by just this much, or worse; None if that is a part of zero."""
        needed = self.needed(old)
        if needed is None:
            return None
        return float(_exact(old) - needed if better == (order == "min") else _exact(old) + needed)

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{float(self.amount):g}{'%' if self.is_percent else ''}"


def parse_margin(value: object) -> Margin:
    """Return the margin that a text or a number means. Raises ValueError with the form."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"not a margin; {_HELP}")
    text = value.strip() if isinstance(value, str) else f"{value:.15f}".rstrip("0").rstrip(".")
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"not a margin; {_HELP}")
    return Margin(Fraction(match[1]), bool(match[2]))


def gain_of(new: float, old: float, order: Order) -> Fraction:
    """Return by how much a number is better than another; negative if it is worse."""
    return _exact(old) - _exact(new) if order == "min" else _exact(new) - _exact(old)


def _exact(number: float) -> Fraction:
    return Fraction(repr(number))

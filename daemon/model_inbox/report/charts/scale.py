"""Scales: where a value stands in a chart, and the ticks of an axis of numbers or bytes.

Owns the range of an axis, its ticks and their texts. Works for every finite number, from the least to the largest:
ranges are worked out in decimals, which neither overflow nor round. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

__all__ = ["Scale", "Tick", "as_finite", "byte_ticks", "exact", "number_scale", "number_ticks", "short"]

_EXACT = Context(prec=60, Emin=-999999, Emax=999999)
_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
# A narrower range says nothing at the digits that ticks have: it is shown as one value.
_NARROWEST = Decimal("1e-6")
# Numbers from here on are written with an exponent.
_WRITTEN_OUT_MAX = Decimal(10_000_000)
_WRITTEN_OUT_LEAST = -6


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: its place in pixels, and its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values and the pixels that show it. `start` is where `low` stands.

    `factor` is a power of two that brings the range to where floats neither overflow nor lose digits.
    """

    low: Decimal
    high: Decimal
    start: float
    end: float
    factor: float = 1.0

    def __call__(self, value: float) -> float:
        """Return where a value stands, in pixels. What lies outside of the range stands at its nearest end."""
        low, high = (float(_EXACT.multiply(end, Decimal(self.factor))) for end in (self.low, self.high))
        share = (value * self.factor - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def several(self, values: Iterable[float]) -> list[float]:
        """Return where many values stand."""
        low, high = (float(_EXACT.multiply(end, Decimal(self.factor))) for end in (self.low, self.high))
        factor, span, start, length = self.factor, high - low, self.start, self.end - self.start
        return [start + min(1.0, max(0.0, (value * factor - low) / span)) * length for value in values]


def as_finite(value: object) -> float | None:
    """Return a number as a finite float; None for anything else, such as NaN or an integer larger than any float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        shown = float(value)
    except OverflowError:
        return None
    return shown if math.isfinite(shown) else None


def number_scale(values: Iterable[float], start: float, end: float, *, from_zero: bool = False) -> Scale:
    """Return the scale of finite values, with room at both ends; of none, that from 0 to 1.

    `from_zero` makes the range begin at zero, for amounts, whose length is compared.
    """
    known = [*values]
    low, high = (Decimal(min(known)), Decimal(max(known))) if known else (Decimal(0), Decimal(1))
    if from_zero:
        low = min(low, Decimal(0))
    largest = max(abs(low), abs(high))
    span = _EXACT.subtract(high, low)
    if span <= _EXACT.multiply(largest, _NARROWEST):
        # All values are equal, or nearly: they stand in the middle.
        room = _EXACT.multiply(largest, Decimal("0.1")) or Decimal(1)
    else:
        room = _EXACT.multiply(span, Decimal("0.06"))
    if known:
        high = _EXACT.add(high, room)
        low = low if from_zero and low == 0 else _EXACT.subtract(low, room)
    return Scale(low, high, start, end, _factor(max(abs(low), abs(high))))


def _factor(largest: Decimal) -> float:
    if largest > Decimal("1e200"):
        return 2.0**-600
    return 2.0**600 if largest < Decimal("1e-200") else 1.0


def number_ticks(scale: Scale, most: int = 5) -> list[Tick]:
    """Return at most `most` ticks of round numbers, all with the same digits after the point."""
    return [Tick(_place(scale, value), shown) for value, shown in _round_values(scale, most)]


def _round_values(scale: Scale, most: int) -> list[tuple[Decimal, str]]:
    step = _step(_EXACT.subtract(scale.high, scale.low), most)
    values = _multiples(scale, step)
    largest = max(map(abs, values), default=Decimal(0))
    exponent = step.normalize(_EXACT).as_tuple().exponent
    places = max(0, -exponent) if isinstance(exponent, int) else 0
    if largest >= _WRITTEN_OUT_MAX or places > -_WRITTEN_OUT_LEAST:
        return [(value, _scientific(value)) for value in values]
    return [(value, f"{value:.{places}f}") for value in values]


def _step(span: Decimal, most: int) -> Decimal:
    """Return the least of 1, 2, 2.5 and 5 times a power of ten that is in the span at most `most - 1` times."""
    raw = _EXACT.divide(span, Decimal(most - 1))
    power = Decimal(1).scaleb(raw.adjusted(), _EXACT)
    return next(step for one in _STEPS if (step := _EXACT.multiply(one, power)) >= raw)


def _multiples(scale: Scale, step: Decimal) -> list[Decimal]:
    first = int(_EXACT.divide(scale.low, step).to_integral_value(ROUND_CEILING))
    last = int(_EXACT.divide(scale.high, step).to_integral_value(ROUND_FLOOR))
    return [_EXACT.multiply(Decimal(index), step) for index in range(first, last + 1)]


def _place(scale: Scale, value: Decimal) -> float:
    share = _EXACT.divide(_EXACT.subtract(value, scale.low), _EXACT.subtract(scale.high, scale.low))
    return scale.start + float(share) * (scale.end - scale.start)


def _scientific(value: Decimal) -> str:
    mantissa, _, exponent = f"{value.normalize(_EXACT):e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def byte_ticks(scale: Scale, most: int = 5) -> list[Tick]:
    """Return ticks of an axis of bytes: round numbers of one unit of 1,024."""
    power = 0
    while power + 1 < len(_UNITS) and scale.high >= Decimal(1024) ** (power + 1):
        power += 1
    unit = Decimal(1024) ** power
    inner = Scale(_EXACT.divide(scale.low, unit), _EXACT.divide(scale.high, unit), scale.start, scale.end)
    values = [one for one in _round_values(inner, most) if power or one[0] == one[0].to_integral_value()]
    return [Tick(_place(inner, value), f"{shown} {_UNITS[power]}" if value else "0") for value, shown in values]


def short(value: float) -> str:
    """Return a value for people, with four significant digits."""
    return f"{value:.4g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def exact(value: float) -> str:
    """Return a value for a table, with six significant digits; what is no finite number by its name."""
    known = as_finite(value)
    if known is not None:
        return f"{known:.6g}"
    return "too large" if isinstance(value, int) else str(value)

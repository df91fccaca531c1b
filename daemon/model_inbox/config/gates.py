"""The settings of `gates:`: what a model must fulfil before it is served.

Owns the meaning of each key, and which values are allowed. Never looks at a model: `gates` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from ..base.margins import Margin, Order
from ..base.units import parse_size
from ..problems import quoted
from .names import MarginSetting, Name, NumberName, ValueName
from .sections import MatchSection, Section, setting

__all__ = ["Bound", "GateSection", "Margin", "Order", "unique_names"]


def _number(value: object) -> object:
    """Return a bound as a number: a size may be written with its unit."""
    return parse_size(value) if isinstance(value, str) else value


_BoundNumber = Annotated[
    float,
    BeforeValidator(_number),
    Field(allow_inf_nan=False),
    WithJsonSchema({"type": ["number", "string"], "examples": [0.01, "500MB"]}),
]


class Bound(Section):
    """The smallest and the largest value that pass."""

    min: _BoundNumber | None = setting(None, "The smallest value that passes; null is any.")
    max: _BoundNumber | None = setting(None, "The largest value that passes; null is any.")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("it bounds nothing; add min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no value is from {self.min:g} to {self.max:g}")
        return self


class GateSection(Section):
    """What the models of some slots must fulfil. All gates that match a slot count.

    A name is written as in `list --where`: 1d.rmse is a metric, and min_samples, size_bytes, calibration_ok,
    features.NAME and tags.NAME are fields of the entry. In the name of a metric, * is any part between two dots.
    """

    name: Name = Field(description="The name of the gate, for messages.")
    match: MatchSection = Field(default_factory=MatchSection, description="The slots.")
    require: tuple[ValueName, ...] = setting((), "What a model must have, as names. calibration_ok must be true.")
    bounds: Mapping[NumberName, Bound] = setting({}, "Names of numbers, each with its smallest and largest value.")
    against: Name | None = setting(
        None, "The model in service to compare with: the name of an alias, or newest. Without such a model it passes."
    )
    max_regression: Mapping[NumberName, MarginSetting] = setting(
        {}, "By how much a metric may be worse than that of the model in service: a number, or a part such as 5%."
    )
    min_gain: Mapping[NumberName, MarginSetting] = setting(
        {}, "By how much a metric must be better than that of the model in service: a number, or a part such as 5%."
    )
    order: Order | Mapping[NumberName, Order] | None = setting(
        None, "Whether small (min) or large (max) values are better: for all compared metrics, or for each by its name."
    )
    on_fail: Literal["reject", "hold"] = setting(
        "reject", "reject: the drop is rejected; hold: the model is registered, but not served."
    )

    @model_validator(mode="after")
    def _can_be_evaluated(self) -> Self:
        compared = [*self.max_regression, *self.min_gain]
        if not (self.require or self.bounds or compared):
            raise ValueError("it asks for nothing; add require, bounds, max_regression or min_gain")
        if compared and self.against is None:
            raise ValueError("max_regression and min_gain need against: the name of an alias, or newest")
        if not compared and self.against is not None:
            raise ValueError("against is used by max_regression and min_gain alone; add one of them")
        for path in compared:
            if self.order_of(path) is None:
                raise ValueError(
                    f"order does not say whether small or large values of {quoted(path)} are better; add it: "
                    f"order: {{{path}: min}}"
                )
        return self

    def comparisons(self) -> Iterator[tuple[str, str, Margin, Order]]:
        """Yield what is asked for beside the model in service: rule, name of the metric, margin and order."""
        for rule, margins in (("max_regression", self.max_regression), ("min_gain", self.min_gain)):
            for name, margin in margins.items():
                # `_can_be_evaluated` has seen that each has an order.
                if (order := self.order_of(name)) is not None:
                    yield rule, name, margin, order

    def order_of(self, path: str) -> Order | None:
        """Return whether small or large values of a metric are better; None if the gate does not say."""
        return self.order.get(path) if isinstance(self.order, Mapping) else self.order


def unique_names(gates: tuple[GateSection, ...]) -> tuple[GateSection, ...]:
    """Return the gates. Raises ValueError if two have the same name."""
    for name, count in Counter(gate.name for gate in gates).items():
        if count > 1:
            raise ValueError(f"{count} gates have the name {quoted(name)}; a message must say which one it was")
    return gates

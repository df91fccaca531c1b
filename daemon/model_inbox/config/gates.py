"""The settings of `gates:`: what a model must fulfil before it is served.

Owns the meaning of each key, and which values are allowed. Never looks at a model: `gates` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from ..base.margins import Margin, Order, parse_margin
from ..base.units import parse_size
from ..errors import ConditionError
from ..model.conditions.paths import Kind, parse_path
from ..model.metadata import is_valid_id
from ..problems import quoted
from .sections import MatchSection, Section, setting

__all__ = ["Bound", "GateSection", "Margin", "MarginSetting", "Order", "unique_names"]


def _path(value: str) -> str:
    try:
        parse_path(value)
    except ConditionError as error:
        raise ValueError(f"{error.message} ({error.hint})" if error.hint else error.message) from None
    return value


def _number(value: object) -> object:
    """Return a bound as a number: a size may be written with its unit."""
    return parse_size(value) if isinstance(value, str) else value


def _name(value: str) -> str:
    if not is_valid_id(value):
        raise ValueError(f"{quoted(value)} is not a name; write letters, digits, '.', '_' and '-', like accuracy")
    return value


MarginSetting = Annotated[
    Margin,
    PlainValidator(lambda value: value if isinstance(value, Margin) else parse_margin(value)),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["number", "string"], "examples": ["5%", 0.001]}),
]
_FinitePath = Annotated[str, AfterValidator(_path)]
_Number = Annotated[
    float,
    BeforeValidator(_number),
    Field(allow_inf_nan=False),
]
_BoundNumber = Annotated[_Number, WithJsonSchema({"type": ["number", "string"], "examples": [0.01, "500MB"]})]


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

    name: Annotated[str, AfterValidator(_name)] = Field(description="The name of the gate, for messages.")
    match: MatchSection = Field(default_factory=MatchSection, description="The slots.")
    require: tuple[_FinitePath, ...] = setting((), "What a model must have, as names. calibration_ok must be true.")
    bounds: Mapping[_FinitePath, Bound] = setting({}, "Names of numbers, each with its smallest and largest value.")
    against: Annotated[str, AfterValidator(_name)] | None = setting(
        None, "The model in service to compare with: the name of an alias, or newest. Without such a model it passes."
    )
    max_regression: Mapping[_FinitePath, MarginSetting] = setting(
        {}, "By how much a metric may be worse than that of the model in service: a number, or a part such as 5%."
    )
    min_gain: Mapping[_FinitePath, MarginSetting] = setting(
        {}, "By how much a metric must be better than that of the model in service: a number, or a part such as 5%."
    )
    order: Order | Mapping[_FinitePath, Order] | None = setting(
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
        for path in (*self.bounds, *compared):
            kind = parse_path(path).kind
            if kind not in (Kind.NUMBER, Kind.SIZE):
                raise ValueError(f"{quoted(path)} is {kind.value}, and only numbers have bounds; use require")
        return self

    def order_of(self, path: str) -> Order | None:
        """Return whether small or large values of a metric are better; None if the gate does not say."""
        return self.order.get(path) if isinstance(self.order, Mapping) else self.order


def unique_names(gates: tuple[GateSection, ...]) -> tuple[GateSection, ...]:
    """Return the gates. Raises ValueError if two have the same name."""
    names: Any = [gate.name for gate in gates]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two gates have the name {quoted(twice)}; a message must say which one it was")
    return gates

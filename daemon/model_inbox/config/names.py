"""Settings that name something: an alias, a value of an entry, a number of an entry, and by how much two may differ.

Owns which names are allowed, and what is said of others. Never looks at a model.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from ..base.margins import Margin, parse_margin
from ..errors import ConditionError
from ..model.conditions.paths import Kind, parse_path
from ..model.metadata import is_valid_id
from ..problems import quoted

__all__ = ["MarginSetting", "Name", "NumberName", "ValueName"]


def _name(value: str) -> str:
    if not is_valid_id(value):
        raise ValueError(
            f"{quoted(value)} is not a name; it is written like a model_id: letters, digits, '.', '_' and '-'"
        )
    return value


def _kind_of(value: str) -> Kind:
    try:
        return parse_path(value).kind
    except ConditionError as error:
        raise ValueError(f"{error.message} ({error.hint})" if error.hint else error.message) from None


def _value_name(value: str) -> str:
    _kind_of(value)
    return value


def _number_name(value: str) -> str:
    kind = _kind_of(value)
    if kind not in (Kind.NUMBER, Kind.SIZE):
        raise ValueError(f"{quoted(value)} is {kind.value}; write the name of a number, such as the metric 1d.rmse")
    return value


Name = Annotated[str, AfterValidator(_name)]
"""The name of an alias or of a gate."""
ValueName = Annotated[str, AfterValidator(_value_name)]
"""The name of a value of an entry, as in `list --where`."""
NumberName = Annotated[str, AfterValidator(_number_name)]
"""The name of a number of an entry."""
MarginSetting = Annotated[
    Margin,
    PlainValidator(lambda value: value if isinstance(value, Margin) else parse_margin(value)),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["number", "string"], "examples": ["5%", 0.001]}),
]

"""JSON objects as TypedDicts with a description of each field, and the JSON schemas made from them.

Owns `Field`, the annotation of a field, the conversion of such types to a schema, and how a file names its format.
Knows nothing about models. Pure.

The type checker checks the code that makes and reads such an object. At run time the object is a plain dictionary:
fields that a newer version added stay in it and are written again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

__all__ = [
    "DIALECT",
    "Field",
    "Shape",
    "conforming",
    "document",
    "fields_of_shape",
    "format_of",
    "object_schema",
    "title_of",
]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


class Field:
    """The meaning of a field in words, and the limits of its value as JSON schema keywords."""

    __slots__ = ("limits", "meaning")

    def __init__(self, meaning: str, **limits: Any) -> None:
        self.meaning = meaning
        self.limits: Mapping[str, Any] = limits


def fields_of_shape(shape: type) -> dict[str, Any]:
    """Return the schema of each field of a TypedDict by name, with its title and description."""
    return {
        name: {"title": title_of(name), **_value_schema(hint)}
        for name, hint in get_type_hints(shape, include_extras=True).items()
    }


def object_schema(shape: type) -> dict[str, Any]:
    """Return the schema of an object of the shape. Further fields are allowed.

    Raises TypeError for a type that JSON does not have.
    """
    return {
        "type": "object",
        "properties": fields_of_shape(shape),
        "required": [name for name in shape.__annotations__ if name in shape.__required_keys__],  # type: ignore[attr-defined]  # a TypedDict has them
    }


def document(name: str, title: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as a separate document, which other documents can refer to by its `$id`."""
    rest = {key: value for key, value in schema.items() if key not in ("title", "description")}
    head = {"$schema": DIALECT, "$id": f"urn:model-inbox:schema:{name}", "title": title, "description": description}
    return {**head, **rest}


def title_of(name: str) -> str:
    """Return a field's name as a title: "Min samples" for `min_samples`."""
    return name.replace("_", " ").capitalize()


def _value_schema(hint: Any) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *fields = arguments
        # The last description wins: a type alias with one can be given another where it is used.
        schema = {**_value_schema(inner), "description": fields[-1].meaning}
        for field in fields:
            schema |= field.limits
        return schema
    if hint in _TYPES:
        return {"type": _TYPES[hint]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        return _union_schema([_value_schema(argument) for argument in arguments])
    if origin is list:
        return {"type": "array", "items": _value_schema(arguments[0])}
    if origin is dict and arguments[0] is str:
        values = {} if arguments[1] is Any else _value_schema(arguments[1])
        return {"type": "object", "additionalProperties": values or True}
    if is_typeddict(hint):
        return object_schema(hint)
    raise TypeError(f"no JSON value has the type {hint!r}")


def _union_schema(options: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of a value of any of these types. Every keyword but `type` applies to one type only."""
    merged: dict[str, Any] = {}
    for option in options:
        merged |= option
    return {**merged, "type": [option["type"] for option in options]}


Shape = type | list["Shape"] | dict[str, "Shape"]
"""What a JSON value should be: a type, a list of values of one shape, or an object with these fields and any others."""


def conforming(value: Any, shape: Shape) -> Any:
    """Return a JSON value of a file that others may have written without the parts that are not of the shape.

    A field or an item of another type is left out, and so is a number that is not finite. Fields that the shape does
    not have stay, and so does null in a field: readers take it for a missing field. A value that as a whole is of
    another type becomes the empty one of the shape: an empty object, an empty list, or None.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return {}
        return {name: _field(inner, shape.get(name)) for name, inner in value.items() if _fits(inner, shape.get(name))}
    if isinstance(shape, list):
        items = value if isinstance(value, list) else ()
        return [conforming(item, shape[0]) for item in items if item is not None and _fits(item, shape[0])]
    return value if _fits(value, shape) else None


def _field(value: Any, shape: Shape | None) -> Any:
    return value if shape is None or value is None else conforming(value, shape)


def _fits(value: Any, shape: Shape | None) -> bool:
    """Return whether a value, without what is in it, is of a shape. Null and no shape fit anything."""
    if shape is None or value is None:
        return True
    if isinstance(shape, dict | list):
        return isinstance(value, type(shape))
    if shape is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is shape


def format_of(data: bytes) -> object:
    """Return the format that a JSON file names, before anything is asked that a later version may do otherwise.

    None if it is no JSON object or names none.
    """
    import orjson

    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return fields.get("format") if isinstance(fields, dict) else None

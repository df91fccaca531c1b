"""The shape of a JSON object: a TypedDict whose fields say what they mean, and the JSON schema that follows from it.

Owns `Field`, which stands beside a field's type, and the way from such types to a schema. Knows no model. Pure.

The type checker holds those who make and read such an object to its shape; at run time it is a plain dictionary, so a
field that a newer version added is simply there, and survives being written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

__all__ = ["DIALECT", "Field", "document", "fields_of_shape", "object_schema", "title_of"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


class Field:
    """What a field means, in words, and the limits of its value as keywords of JSON schema."""

    __slots__ = ("limits", "meaning")

    def __init__(self, meaning: str, **limits: Any) -> None:
        self.meaning = meaning
        self.limits: Mapping[str, Any] = limits


def fields_of_shape(shape: type) -> dict[str, Any]:
    """Return the schema of each field of a TypedDict, by name, with the title and the description in it."""
    return {
        name: {"title": title_of(name), **_value_schema(hint)}
        for name, hint in get_type_hints(shape, include_extras=True).items()
    }


def object_schema(shape: type) -> dict[str, Any]:
    """Return the schema of an object of the shape. Fields that the shape does not have are allowed.

    Raises TypeError for a type that JSON does not have.
    """
    return {
        "type": "object",
        "properties": fields_of_shape(shape),
        "required": [name for name in shape.__annotations__ if name in shape.__required_keys__],  # type: ignore[attr-defined]  # a TypedDict has them
    }


def document(name: str, title: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as a document of its own, which other documents can refer to by its `$id`."""
    rest = {key: value for key, value in schema.items() if key not in ("title", "description")}
    head = {"$schema": DIALECT, "$id": f"urn:model-inbox:schema:{name}", "title": title, "description": description}
    return {**head, **rest}


def title_of(name: str) -> str:
    """Return a field's name as people write it: `min_samples` is "Min samples"."""
    return name.replace("_", " ").capitalize()


def _value_schema(hint: Any) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *fields = arguments
        # The last meaning counts: an alias that has one may be given another one where it is used.
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
    """Return the schema of a value that is one of these; each keyword but `type` is about values of one type."""
    merged: dict[str, Any] = {}
    for option in options:
        merged |= option
    return {**merged, "type": [option["type"] for option in options]}

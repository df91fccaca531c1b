"""Options with conditions and names of values, and tables of these values.

Owns how `--where`, `--tag`, `--sort` and `--columns` are parsed, and how a value of an entry is shown in a cell. Never
reads a registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from ..base.instants import parse_stored
from ..base.units import format_size
from ..errors import ConditionError
from ..model.conditions.condition import Condition, has, parse_condition
from ..model.conditions.paths import FieldPath, Kind, parse_path
from ..registry.finding import Sort, parse_sort
from .common import now
from .output import Column, printable, short_number, when

__all__ = ["as_columns", "as_conditions", "as_sort", "as_tags", "as_values", "table_of", "text_of"]

_Value = TypeVar("_Value")


def as_conditions(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> list[Condition]:
    """Parse conditions; the callback of an option that may be given several times."""
    moment = now()
    return [_parsed(lambda text: parse_condition(text, moment), value) for value in values]


def as_tags(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> list[Condition]:
    """Parse tags, `NAME` or `NAME=VALUE`; the callback of an option that may be given several times."""
    return [_parsed(_tag, value) for value in values]


def as_sort(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Sort | None:
    """Parse an order, `NAME` or `-NAME`; the callback of an option."""
    return None if value is None else _parsed(parse_sort, value)


def as_columns(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[FieldPath] | None:
    """Parse names between commas; the callback of an option."""
    return None if value is None else [_parsed(parse_path, name.strip()) for name in value.split(",")]


def _tag(text: str) -> Condition:
    name, sign, value = text.partition("=")
    return has(parse_path(f"tags.{name}"), value if sign else None)


def _parsed(parse: Callable[[str], _Value], text: str) -> _Value:
    try:
        return parse(text)
    except ConditionError as error:
        raise click.BadParameter(printable(f"{error.message}. {error.hint}".rstrip(". "))) from error


def as_values(entry: Mapping[str, Any], columns: Sequence[FieldPath]) -> dict[str, Any]:
    """Return the values of an entry by their names as they were given, for JSON."""
    return {path.text: path.read(entry) for path in columns}


def table_of(entries: Sequence[Mapping[str, Any]], paths: Sequence[FieldPath]) -> tuple[list[Column], list[list[str]]]:
    """Return the columns and the cells of the values with these names.

    The last columns are left out first where there is no room. Those of ids are never left out or shortened.
    """
    columns = []
    for rank, path in enumerate(paths, 1):
        is_number = path.kind in (Kind.NUMBER, Kind.SIZE)
        is_whole = is_number or path.kind is Kind.TIME
        is_id = path.field == "model_id"
        title = printable("MODEL" if is_id else path.text)
        least = None if is_whole or is_id else 8
        columns.append(Column(title, rank=0 if is_id else rank, least=least, right=is_number))
    readers = [(path, path.reader()) for path in paths]
    return columns, [[text_of(path, read(entry)) for path, read in readers] for entry in entries]


def text_of(path: FieldPath, value: Any) -> str:
    """Return a value for people; "" for a missing one."""
    if value is None:
        return ""
    if path.kind is Kind.SIZE:
        return format_size(int(value))
    if path.kind is Kind.TIME:
        return when(parse_stored(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping | list | tuple):
        return ", ".join(map(str, value))
    return short_number(value)

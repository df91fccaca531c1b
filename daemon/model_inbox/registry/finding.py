"""Which entries are meant: conditions on them, their order, and how many.

Owns the search in a list of entries, and what is said of a name that none of them has: a search for a name with a
typing error must not look like a search that found nothing. The language itself is `model.conditions`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from operator import is_
from typing import Any, NamedTuple

from ..errors import ConditionError
from ..model.conditions.condition import Comparison, Condition, has, parse_condition
from ..model.conditions.paths import FieldPath, Kind, metrics_in, nearest_name, parse_path
from ..problems import escaped, quoted
from .entry import Entry

__all__ = ["Found", "Sort", "Table", "Unknown", "conditions_of", "find", "parse_sort", "search", "unknown_names"]

# From so many entries the names are collected that may have been meant.
_ASKED_FOR_NAMES = 1000
# So many columns are kept for the next search.
_COLUMNS_MAX = 32
_NUMBERS = re.compile(r"([0-9]+)", re.ASCII)
_NOUNS = {
    "validation_metrics": "metric",
    "recorded": "recorded metric",
    "tags": "tag",
    "provenance": "provenance",
    "frameworks": "framework",
    "imports": "import",
    "scaler_imports": "import of a scaler",
    "features_used": "feature",
}
"""What the parts of a field are called."""


class Table:
    """Entries, and the columns of their values that were asked for.

    To walk through the mappings of 100,000 entries takes ten times as long as through a list. A table of the same
    entries can be used again; entries never change. Several threads may use one.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self.entries = entries
        self._columns: dict[FieldPath, list[Any]] = {}

    def of(self, entries: Sequence[Mapping[str, Any]]) -> Table:
        """Return this table if it is of these entries, else a new one."""
        is_same = len(self.entries) == len(entries) and all(map(is_, self.entries, entries))
        return self if is_same else Table(entries)

    def column(self, path: FieldPath) -> list[Any]:
        """Return the value of each entry, as `path.comparable` reads it."""
        column = self._columns.get(path)
        if column is None:
            if len(self._columns) >= _COLUMNS_MAX:
                self._columns.clear()
            read = path.comparable()
            column = self._columns[path] = [read(entry) for entry in self.entries]
        return column

    def rows(self, conditions: Iterable[Condition]) -> list[int]:
        """Return the numbers of the entries for which all conditions hold, in their order."""
        rows: Sequence[int] = range(len(self.entries))
        for condition in conditions:
            of_each = [self._rows_of(all_of, rows) for all_of in condition.alternatives]
            rows = of_each[0] if len(of_each) == 1 else sorted(set().union(*of_each))
        return list(rows)

    def _rows_of(self, all_of: Iterable[Comparison], rows: Sequence[int]) -> Sequence[int]:
        for one in all_of:
            column, test = self.column(one.path), one.tests_value()
            rows = [row for row in rows if test(column[row])]
        return rows


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of entries: by the value of a name, the largest first if `descending`."""

    path: FieldPath
    descending: bool = False

    def applied(self, table: Table, rows: Iterable[int]) -> list[int]:
        """Return the rows in this order. Those without the value are last; equal ones stay in their order."""
        column = table.column(self.path)
        found: list[int] = []
        without: list[int] = []
        for row in rows:
            (without if column[row] is None else found).append(row)
        as_key = _natural if self.path.kind is Kind.TEXT else None
        found.sort(
            key=column.__getitem__ if as_key is None else lambda row: as_key(column[row]), reverse=self.descending
        )
        return found + without


def _natural(text: str) -> list[Any]:
    """Return a key by which 1.10 comes after 1.9: the text, and in turn its numbers, by length and then by digits."""
    parts: list[Any] = _NUMBERS.split(text)
    for at in range(1, len(parts), 2):
        digits = parts[at].lstrip("0")
        parts[at] = (len(digits), digits)
    return parts


def parse_sort(text: str) -> Sort:
    """Return the order that `NAME` or `-NAME` means. Raises ConditionError."""
    path = parse_path(text.removeprefix("-"))
    if path.kind in (Kind.NAMES, Kind.NUMBERS, Kind.OTHER):
        raise ConditionError(
            f"cannot sort by {quoted(path.text)}: it is {path.kind.value}",
            hint="Sort by a metric, like 1d.rmse, by a time like trained_at, or by a field with a number or text",
        )
    return Sort(path, descending=text.startswith("-"))


def conditions_of(
    where: str | Iterable[str] = (),
    tags: Mapping[str, str | None] | None = None,
    alias: str | None = None,
    held: bool | None = None,
    *,
    now: datetime,
) -> list[Condition]:
    """Return the conditions that must all hold. A tag with the value None may have any. Raises ConditionError."""
    conditions = [parse_condition(text, now) for text in ([where] if isinstance(where, str) else where)]
    conditions += [has(parse_path(f"tags.{name}"), value) for name, value in (tags or {}).items()]
    if alias is not None:
        conditions.append(has(parse_path("aliases"), alias))
    if held is not None:
        conditions.append(has(parse_path("held")) if held else parse_condition("held missing", now))
    return conditions


class Unknown(NamedTuple):
    """A name that none of the entries has, and the one that was probably meant."""

    path: FieldPath
    near: str | None
    entries: int

    def __str__(self) -> str:
        noun, name = _NOUNS[self.path.field], quoted(self.path.part)
        meant = f". Did you mean {escaped(self.near)}?" if self.near else "."
        none_of = "The only model does not have" if self.entries == 1 else f"None of {self.entries} models has"
        return f"{none_of} the {noun} {name}{meant}"


class Found(NamedTuple):
    """The entries that were found, how many there are without the limit, and the names that no entry has."""

    entries: list[Any]
    total: int
    unknown: list[Unknown]


def search(
    entries: Sequence[Entry],
    before: Table | None,
    conditions: Mapping[str, Any],
    sort: str | None,
    limit: int | None,
    *,
    now: datetime,
) -> tuple[Found, Table]:
    """Find entries for a program: parse what it gave, and use the table of the search before if it is of the same ones.

    `conditions` are the arguments of `conditions_of`. Raises ConditionError, and ValueError for a negative limit.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"cannot search: limit is {limit}, and must not be negative")
    wanted, order = conditions_of(**conditions, now=now), parse_sort(sort) if sort is not None else None
    table = before.of(entries) if before is not None else Table(entries)
    return find(table, wanted, order, limit), table


def find(table: Table, conditions: Sequence[Condition], sort: Sort | None = None, limit: int | None = None) -> Found:
    """Return the entries for which all conditions hold, in the order of `sort` or else in theirs.

    Raises ConditionError if a name that no entry has is nearly that of a field.
    """
    compared = [one.path for condition in conditions for one in condition.comparisons if one.operator != "missing"]
    unknown = unknown_names(table, [*compared, *([sort.path] if sort is not None else [])])
    rows = table.rows(conditions)
    total = len(rows)
    if sort is not None:
        rows = sort.applied(table, rows)
    return Found([table.entries[row] for row in rows[:limit]], total, unknown)


def unknown_names(table: Table, paths: Iterable[FieldPath]) -> list[Unknown]:
    """Return the names of parts, like metrics and tags, that none of the entries has. Of no entries, none is unknown.

    Raises ConditionError for a name that is taken for a metric, and nearly that of a field.
    """
    unknown = []
    for path in dict.fromkeys(paths):
        if not table.entries or not path.part or path.field not in _NOUNS:
            continue
        if any(value is not None for value in table.column(path)):
            continue
        near = nearest_name(path.text, _names_beside(table.entries, path))
        if path.is_metric and near is not None and parse_path(near).field != path.field:
            raise ConditionError(
                f"cannot use {quoted(path.text)} as a name: no model has a metric of that name",
                hint=f"Did you mean {escaped(near)}?",
            )
        unknown.append(Unknown(path, near, len(table.entries)))
    return unknown


def _names_beside(entries: Sequence[Mapping[str, Any]], path: FieldPath) -> list[str]:
    """Return the names of parts that the first entries have in the same field, as they are written."""
    found: dict[str, None] = {}
    for entry in islice(entries, _ASKED_FOR_NAMES):
        parts = entry.get(path.field)
        if path.is_metric:
            found.update((name, None) for name, _ in metrics_in(parts))
        elif isinstance(parts, Mapping | Sequence) and not isinstance(parts, str):
            found.update((f"{path.text.partition('.')[0]}.{part}", None) for part in parts)
    return list(found)

"""Names of values in an entry: `1d.rmse`, `tags.stage`, `trained_at`, `features`.

Owns which names exist, what kind of value each has, and how it is read from an entry. A name that is no field of an
entry is a metric in `validation_metrics`. Never compares anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ...base.instants import parse_stored
from ...errors import ConditionError
from ...problems import quoted

__all__ = ["FieldPath", "Kind", "Reader", "field_of", "metrics_in", "nearest_name", "parse_path"]

Reader = Callable[[Mapping[str, Any]], Any]
"""Returns a value of an entry; None if the entry does not have it."""

METRICS = "validation_metrics"
_DOTS_MAX = 64


class Kind(Enum):
    """What kind of value a name has. The text completes "NAME is ..."."""

    NUMBER = "a number"
    SIZE = "a number of bytes"
    TEXT = "text"
    YES_NO = "true or false"
    TIME = "a time"
    NAMES = "a list of names"
    NUMBERS = "a list of numbers"
    OTHER = "neither a number nor text"


FIELDS: Mapping[str, Kind] = {
    "model_id": Kind.TEXT,
    "model_type": Kind.TEXT,
    "currency_pair": Kind.TEXT,
    "variant": Kind.TEXT,
    "trained_at": Kind.TIME,
    "version": Kind.TEXT,
    METRICS: Kind.NAMES,
    "min_samples": Kind.NUMBER,
    "calibration_ok": Kind.YES_NO,
    "features_used": Kind.NAMES,
    "horizons": Kind.NUMBERS,
    "model_path": Kind.TEXT,
    "scaler_path": Kind.TEXT,
    "sha256": Kind.TEXT,
    "scaler_sha256": Kind.TEXT,
    "size_bytes": Kind.SIZE,
    "registered_at": Kind.TIME,
    "sequence": Kind.NUMBER,
    "origin": Kind.TEXT,
    "drop_id": Kind.TEXT,
    "owner": Kind.TEXT,
    "imports": Kind.NAMES,
    "verdict": Kind.OTHER,
    "frameworks": Kind.NAMES,
    "load_bytes": Kind.SIZE,
    "integrity": Kind.TEXT,
    "tags": Kind.NAMES,
    "description": Kind.TEXT,
    "aliases": Kind.NAMES,
    "pinned": Kind.YES_NO,
    "scaler_replaced": Kind.NUMBER,
    "scaler_imports": Kind.NAMES,
    "promotions": Kind.NAMES,
    "barred": Kind.NAMES,
    "recorded": Kind.NAMES,
    "provenance": Kind.NAMES,
    "held": Kind.TEXT,
    "held_since": Kind.TIME,
    "gates": Kind.OTHER,
}
"""Every field of an entry. A mapping counts as the list of its names."""

OTHER_NAMES: Mapping[str, str] = {
    "id": "model_id",
    "model": "model_id",
    "pair": "currency_pair",
    "subject": "currency_pair",
    "type": "model_type",
    "features": "features_used",
}
"""Other names of fields, as options and tables of the commands have them."""

PARTS: Mapping[str, Kind] = {
    METRICS: Kind.NUMBER,
    "recorded": Kind.NUMBER,
    "tags": Kind.TEXT,
    "provenance": Kind.TEXT,
    "frameworks": Kind.TEXT,
    "imports": Kind.TEXT,
    "scaler_imports": Kind.TEXT,
    "features_used": Kind.YES_NO,
}
"""The fields whose parts have names of their own, like `tags.stage`, and the kind of each part."""

FIXED_PARTS: Mapping[str, Mapping[str, Kind]] = {
    "owner": {"name": Kind.TEXT, "uid": Kind.NUMBER},
    "verdict": {"python": Kind.TEXT, "allowlist": Kind.TEXT},
}
"""The fields whose parts are always the same."""

_COLLECTIONS = (Kind.NAMES, Kind.NUMBERS, Kind.OTHER)


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A name of a value in an entry: `text` as it was written, the `field` of the entry, the `part` of it, or "".

    `read` returns the value as the entry has it, or None if it is missing. What is empty is missing, but for the text
    of a tag and other parts. So is a value of another kind, which an entry that was made elsewhere may have.
    """

    text: str
    field: str
    part: str
    kind: Kind

    @property
    def is_metric(self) -> bool:
        """Whether it names a metric in `validation_metrics`."""
        return self.field == METRICS and bool(self.part)

    def read(self, entry: Mapping[str, Any]) -> Any:
        """Return the value in one entry. For many entries, `reader` is faster."""
        return self.reader()(entry)

    def comparable(self) -> Reader:
        """Return the function that reads this value in the form in which it is compared: a time as a datetime."""
        read = self.reader()
        return (lambda entry: parse_stored(read(entry))) if self.kind is Kind.TIME else read

    def reader(self) -> Reader:
        """Return the function that reads this value from entries."""
        if not self.part:
            return _whole_reader(self.field, self.kind)
        if self.field == METRICS:
            return _metric_reader(self.part)
        if self.field == "recorded":
            return _recorded_reader(self.part)
        if self.field == "features_used":
            return _member_reader(self.field, self.part)
        return _part_reader(self.field, self.part, self.kind)


def field_of(entry: Mapping[str, Any], path: FieldPath | str) -> Any:
    """Return the value that a name has in an entry, or None if the entry does not have it. Raises ConditionError."""
    return (parse_path(path) if isinstance(path, str) else path).read(entry)


def parse_path(text: str) -> FieldPath:
    """Return what a name means. Every name means something, but for parts that a field cannot have.

    Raises ConditionError for these and for an empty name.
    """
    first, dot, part = text.partition(".")
    field = OTHER_NAMES.get(first, first)
    if field not in FIELDS:
        if not text.strip():
            raise ConditionError(
                f"cannot use {quoted(text)} as a name: it is empty",
                hint="Write the name of a metric, like 1d.rmse, or of a field, like tags.stage",
            )
        return _metric(text, text)
    if not dot:
        return FieldPath(text, field, "", FIELDS[field])
    if field in FIXED_PARTS and part in FIXED_PARTS[field]:
        return FieldPath(text, field, part, FIXED_PARTS[field][part])
    if field == METRICS and part:
        return _metric(text, part)
    if field in PARTS and part:
        return FieldPath(text, field, part, PARTS[field])
    raise ConditionError(f"cannot use {quoted(text)} as a name: {_parts_of(field)}", hint=_hint_for(field, text))


def _metric(text: str, name: str) -> FieldPath:
    if name.count(".") > _DOTS_MAX:
        raise ConditionError(f"cannot use {quoted(text)} as a name: it has more than {_DOTS_MAX} dots")
    return FieldPath(text, METRICS, name, Kind.NUMBER)


def _parts_of(field: str) -> str:
    if field in FIXED_PARTS:
        return f"the parts of {field} are {' and '.join(FIXED_PARTS[field])}"
    return f"the name of a part of {field} is missing" if field in PARTS else f"{field} has no parts"


def _hint_for(field: str, text: str) -> str:
    if field in PARTS:
        return f"Write {field} alone, or a name after the dot"
    if field in FIXED_PARTS:
        return f"Write {' or '.join(f'{field}.{part}' for part in FIXED_PARTS[field])}"
    return f"Write {field} alone. A metric of this name is {quoted(f'{METRICS}.{text}')}"


def nearest_name(text: str, names: Sequence[str] = ()) -> str | None:
    """Return the name of a field, or one of `names`, that was probably meant; None if none is similar.

    `names` are those of parts that there are: metrics, or `tags.stage`.
    """
    from difflib import get_close_matches

    first, dot, part = text.partition(".")
    if dot and (first in FIELDS or first in OTHER_NAMES):
        return next(iter(get_close_matches(text[:64], names, 1, 0.6)), None)
    if dot and (near := get_close_matches(first[:64], [*PARTS, *FIXED_PARTS, "features"], 1, 0.8)):
        return f"{near[0]}.{part}"
    # `size` is not similar enough to `size_bytes`, and means it.
    begun = [name for name in FIELDS if len(text) > 2 and name.startswith(f"{text}_")]
    # The name of a metric like `precision` is a little like that of a field.
    fields = get_close_matches(text[:64], [*FIELDS, *OTHER_NAMES], 1, 0.7)
    return next(iter([*begun, *fields, *get_close_matches(text[:64], names, 1, 0.6)]), None)


# --- reading -----------------------------------------------------------------------------------------------------


def _whole_reader(field: str, kind: Kind) -> Reader:
    if field == "owner":
        return _part_reader(field, "name", kind)
    fits = _CHECKS[kind]

    def read(entry: Mapping[str, Any]) -> Any:
        value = entry.get(field)
        return value if fits(value) else None

    return read


def _part_reader(field: str, part: str, kind: Kind) -> Reader:
    wanted: tuple[type, ...] = (str,) if kind is Kind.TEXT else (int, float)

    def read(entry: Mapping[str, Any]) -> Any:
        values = entry.get(field)
        value = values.get(part) if isinstance(values, dict) else None
        return value if type(value) in wanted else None

    return read


def _recorded_reader(part: str) -> Reader:
    def read(entry: Mapping[str, Any]) -> Any:
        values = entry.get("recorded")
        measured = values.get(part) if isinstance(values, dict) else None
        value = measured.get("value") if isinstance(measured, dict) else None
        return value if _is_number(value) else None

    return read


def _member_reader(field: str, part: str) -> Reader:
    def read(entry: Mapping[str, Any]) -> Any:
        values = entry.get(field)
        return True if isinstance(values, list | tuple) and part in values else None

    return read


def _metric_reader(name: str) -> Reader:
    find = _finder(name)
    first, _, second = name.partition(".")

    def read(entry: Mapping[str, Any]) -> Any:
        metrics = entry.get(METRICS)
        if not isinstance(metrics, dict):
            return None
        # Nearly all names are those of two mappings, or of one. The general way takes twice as long.
        value = metrics.get(first)
        if second and isinstance(value, dict):
            value = value.get(second)
            if type(value) is float:
                return value
        return value if type(value) is float and not second else find(metrics)

    return read


def _finder(name: str) -> Reader:
    """Return the function that finds the number with a dotted name in a mapping, or None.

    The names in the mapping may contain dots, too: the way with the shortest first names is taken.
    """
    parts = name.split(".")
    # The functions for the last part, for the last two parts, and so on, each with those before it.
    finders: list[Reader] = []
    for start in reversed(range(len(parts))):
        ways = [(".".join(parts[start:end]), finders[len(parts) - end - 1]) for end in range(start + 1, len(parts))]
        finders.append(_find_by(ways, ".".join(parts[start:])))
    return finders[-1]


def _find_by(ways: Sequence[tuple[str, Reader]], name: str) -> Reader:
    def find(mapping: Mapping[str, Any]) -> Any:
        for first, find_rest in ways:
            inner = mapping.get(first)
            if isinstance(inner, dict):
                found = find_rest(inner)
                if found is not None:
                    return found
        value = mapping.get(name)
        return value if type(value) is float or type(value) is int else None

    return find


def metrics_in(metrics: object, prefix: str = "") -> Iterator[tuple[str, int | float]]:
    """Yield all metrics of an entry's `validation_metrics` with their dotted names."""
    if isinstance(metrics, Mapping):
        for name, value in metrics.items():
            if _is_number(value):
                yield f"{prefix}{name}", value
            else:
                yield from metrics_in(value, f"{prefix}{name}.")


def _is_number(value: object) -> bool:
    return type(value) is int or type(value) is float


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_bool(value: object) -> bool:
    return value is True or value is False


def _is_collection(value: object) -> bool:
    return isinstance(value, list | tuple | dict) and bool(value)


_CHECKS: Mapping[Kind, Callable[[object], bool]] = {
    Kind.NUMBER: _is_number,
    Kind.SIZE: _is_number,
    Kind.TEXT: _is_text,
    Kind.TIME: _is_text,
    Kind.YES_NO: _is_bool,
    **dict.fromkeys(_COLLECTIONS, _is_collection),
}

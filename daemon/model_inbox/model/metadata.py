"""What a model says about itself: the fields, their meaning, and every check on them.

Owns `ModelMetadata`, the rules for ids and instants, and the one set of checks that the Python API and
sidecars share. Never reads a file or the clock (`now` is passed in) and never changes what it is given.

What is checked is what would hurt later: text that cannot be shown, numbers that JSON cannot hold, names that
cannot be file names, instants that cannot be compared. Empty `features_used`, `horizons` and
`validation_metrics` are fine; `model_path` and `scaler_path` are the registry's to set and are not looked at.
"""

from __future__ import annotations

import math
import numbers
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, TypedDict

from ..base.shapes import Field
from ..problems import Problem, quoted
from ..problems.sidecar import (
    sidecar_future_date,
    sidecar_invalid_name,
    sidecar_invalid_value,
    sidecar_wrong_type,
)

__all__ = [
    "DEPTH_MAX",
    "FUTURE_TOLERANCE",
    "METADATA_FIELDS",
    "METRIC_SCHEMA",
    "MODEL_ID",
    "REQUIRED_FIELDS",
    "Description",
    "Finding",
    "MetadataFields",
    "ModelMetadata",
    "SeedMetadata",
    "Tags",
    "canonical_instant",
    "check_field",
    "check_metadata",
    "dotted",
    "fields_of",
    "has_zone",
    "id_fault",
    "is_valid_id",
    "parse_instant",
]

MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
"""What a model id and a stem look like; match it with `fullmatch`, and see `is_valid_id` for the rest."""

FUTURE_TOLERANCE = timedelta(minutes=5)
"""How far `trained_at` may be ahead of our clock: clocks differ a little, and more is a mistake."""

DEPTH_MAX = 7
"""How many mappings of `validation_metrics` may be nested, the outermost counted."""

LABEL_CHARACTERS_MAX = 64  # model_type, currency_pair, version
NAME_CHARACTERS_MAX = 256  # one feature, one metric
DESCRIPTION_CHARACTERS_MAX = 8192
TAGS_MAX = 64
TAG_VALUE_CHARACTERS_MAX = 256
HORIZON_DAYS_MAX = 36_500
MIN_SAMPLES_MAX = 2**53  # what a double, and so every JSON reader, holds exactly

_TAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}", re.ASCII)
_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:(?:[Tt]|\ +)([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,12}))?)?"
    r"\ ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
_INSTANT_HELP = "write it like 2025-10-25T12:00:00Z"


@dataclass
class ModelMetadata:
    """The metadata of one model; the fields of a sidecar and of a registry entry.

    `trained_at` is a datetime or ISO 8601 text; without a zone it counts as UTC. `validation_metrics` maps
    names to finite numbers, or to further such mappings; a name may hold any printable character, dots too.
    `horizons` are forecast horizons in days. The registry sets `model_path` and `scaler_path` when it stores
    the model.
    """

    model_id: str
    model_type: str
    currency_pair: str
    trained_at: datetime | str
    version: str
    validation_metrics: dict[str, Any]
    min_samples: int
    calibration_ok: bool
    features_used: list[str]
    horizons: list[int]
    model_path: str = ""
    scaler_path: str | None = None
    tags: dict[str, str] = field(default_factory=dict, kw_only=True)
    description: str = field(default="", kw_only=True)


Label = Annotated[str, Field("One line of text.", minLength=1, maxLength=LABEL_CHARACTERS_MAX)]
Feature = Annotated[str, Field("The name of a feature.", minLength=1, maxLength=NAME_CHARACTERS_MAX)]
Days = Annotated[int, Field("A number of days.", minimum=1, maximum=HORIZON_DAYS_MAX)]
Tags = Annotated[
    dict[str, Annotated[str, Field("The tag's value; may be empty.", maxLength=TAG_VALUE_CHARACTERS_MAX)]],
    Field(
        "Names with text values, for retention and for people.",
        maxProperties=TAGS_MAX,
        propertyNames={"pattern": f"^{_TAG_NAME.pattern}$"},
    ),
]
Description = Annotated[
    str, Field("Anything for people to read, up to 8192 characters.", maxLength=DESCRIPTION_CHARACTERS_MAX)
]

METRIC_SCHEMA: Mapping[str, Any] = {
    "title": "Metric",
    "description": "A finite number, or names with such numbers.",
    "type": ["number", "object"],
    "propertyNames": {"minLength": 1, "maxLength": NAME_CHARACTERS_MAX},
    "additionalProperties": {"$ref": "#/$defs/metric"},
}
"""What stands under a name in `validation_metrics`; a schema has it as `$defs/metric`."""


class SeedMetadata(TypedDict):
    """The metadata that a model must have, as JSON values: those of the first registry, and of each one since."""

    model_id: Annotated[str, Field("The model's id.")]
    model_type: Annotated[Label, Field("The kind of model, like lightgbm.")]
    currency_pair: Annotated[Label, Field("What it forecasts, like USD/EUR; up to 64 characters.")]
    trained_at: Annotated[str, Field("When it was trained: RFC 3339; without a zone it counts as UTC.")]
    version: Annotated[Label, Field("The producer's version, as written: 1.10 stays 1.10.")]
    validation_metrics: Annotated[
        dict[str, Any],
        Field(
            "Names with finite numbers, nested at will.",
            propertyNames={"minLength": 1, "maxLength": NAME_CHARACTERS_MAX},
            additionalProperties={"$ref": "#/$defs/metric"},
        ),
    ]
    min_samples: Annotated[int, Field("How many samples a forecast needs.", minimum=0, maximum=MIN_SAMPLES_MAX)]
    calibration_ok: Annotated[bool, Field("Whether calibration was found good.")]
    features_used: Annotated[list[Feature], Field("The features, in the model's order.", uniqueItems=True)]
    horizons: Annotated[list[Days], Field("Forecast horizons in whole days, 1 to 36500.", uniqueItems=True)]


class MetadataFields(SeedMetadata):
    """All metadata of a model, as JSON values: what `fields_of` returns, and what goes into a registry entry."""

    tags: Tags
    description: Description


METADATA_FIELDS = tuple(MetadataFields.__annotations__)
"""The names of all fields, in the order in which they are written."""

REQUIRED_FIELDS = tuple(name for name in SeedMetadata.__annotations__ if name != "model_id")
"""What a sidecar must say. `model_id` is not among them: it defaults to the stem."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with its place in the value: `path` leads there through keys and positions.

    A sidecar looks up line and column by the path; `at_name` tells that it is the key that is wrong, not what
    stands under it.
    """

    path: tuple[str | int, ...]
    problem: Problem
    at_name: bool = False


def dotted(path: Sequence[str | int]) -> str:
    """Return the path as text that is safe to show: `validation_metrics.1d.rmse`, `horizons[2]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            # A name of a producer's may hold anything; what is not plain is shown quoted and cut.
            name = step if re.fullmatch(r"[\w .:/%+-]{1,64}", step) else quoted(step, 64)
            text += f".{name}" if text else name
    return text


# --- ids ---------------------------------------------------------------------------------------------------


def is_valid_id(text: str) -> bool:
    """Return whether `text` can be a model id and a stem: a safe file name, and not that of a scaler."""
    return MODEL_ID.fullmatch(text) is not None and not text.endswith("_scaler")


def id_fault(text: str) -> str:
    """Return why `text` cannot be a model id or a stem, in words that go on after a colon; "" if it can."""
    if is_valid_id(text):
        return ""
    if not text:
        return "it is empty"
    if len(text) > 128:
        return f"it has {len(text)} characters, and 128 is the most"
    if text.endswith("_scaler") and MODEL_ID.fullmatch(text):
        return f"it ends in '_scaler', the name of the scaler of {quoted(text.removesuffix('_scaler'))}"
    if not MODEL_ID.fullmatch(text[0]):
        return f"it starts with {quoted(text[0])}, and must start with a letter or a digit"
    odd = sorted({c for c in text if not re.fullmatch(r"[A-Za-z0-9._-]", c, re.ASCII)})
    return f"it contains {', '.join(quoted(c) for c in odd[:5])}{' and more' if len(odd) > 5 else ''}"


# --- instants ----------------------------------------------------------------------------------------------


def parse_instant(text: str) -> datetime:
    """Return the instant that `text` names, in its own zone, or in UTC if it names none.

    Reads RFC 3339 and the common forms of ISO 8601: `2025-10-25T12:00:00Z`, a space instead of the T, offsets
    with or without a colon, a date alone (midnight UTC), no seconds. Digits after the microseconds are
    dropped. Raises ValueError, saying how to write it.
    """
    if len(text) == 20 and text[4] + text[7] + text[10] + text[13] + text[16] + text[19] == "--T::Z":
        try:
            return datetime.fromisoformat(text)  # the stored form, which opening a registry reads by thousands
        except ValueError:
            pass  # told below
    match = _INSTANT.fullmatch(text.strip(" "))
    if not match:
        raise ValueError(f"not a date and time; {_INSTANT_HELP}")
    year, month, day, hour, minute, second = (int(digits or 0) for digits in match.groups()[:6])
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond, _zone(match[8] or "Z"))
        moment.astimezone(UTC)  # the first and the last day of the calendar are not instants in every zone
    except (ValueError, OverflowError) as error:
        raise ValueError(f"no such date or time ({error}); {_INSTANT_HELP}") from None
    return moment


def _zone(text: str) -> timezone:
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("an offset is at most 23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def has_zone(text: str) -> bool:
    """Return whether the text of an instant says its zone: ends in Z or an offset. A date alone does not."""
    match = _INSTANT.fullmatch(text.strip(" "))
    return match is not None and match[8] is not None


def canonical_instant(moment: datetime) -> str:
    """Return the one way in which an instant is stored: RFC 3339 in UTC, `2025-10-25T12:00:00Z`.

    Microseconds stand there only when they are not zero. A datetime without a zone counts as UTC. Raises
    OverflowError for an instant outside the calendar.
    """
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    day = f"{utc.year:04d}-{utc.month:02d}-{utc.day:02d}"
    fraction = f".{utc.microsecond:06d}" if utc.microsecond else ""
    return f"{day}T{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d}{fraction}Z"


def _as_instant(value: datetime | str) -> datetime:
    """Return `trained_at` as an aware datetime; ValueError if it is none."""
    if isinstance(value, str):
        return parse_instant(value)
    try:
        return parse_instant(canonical_instant(value))
    except (OverflowError, TypeError, ValueError):  # outside the calendar in UTC, or pandas' NaT
        raise ValueError("not an instant of the calendar") from None


# --- checks ------------------------------------------------------------------------------------------------


def check_metadata(metadata: ModelMetadata, *, now: datetime) -> list[Problem]:
    """Return everything that is wrong with the metadata; empty when it can be registered.

    The codes are those of sidecars (`sidecar.wrong_type`, `sidecar.invalid_value`, ...), whoever gave it.
    """
    findings = [f for name in METADATA_FIELDS for f in check_field(name, getattr(metadata, name), now=now)]
    return [finding.problem for finding in findings]


def check_field(name: str, value: object, *, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with `value` as the field `name`. Raises KeyError for a name that is no field."""
    if name == "trained_at":
        yield from _check_trained_at((name,), value, now)
    else:
        yield from _CHECKS[name]((name,), value)


def fields_of(metadata: ModelMetadata) -> MetadataFields:
    """Return the fields as plain JSON values, copied, without the paths: what goes into a registry entry.

    `trained_at` becomes canonical text, tuples become lists, and numpy's numbers Python's. The metadata
    must have passed `check_metadata`.
    """
    return {
        "model_id": metadata.model_id,
        "model_type": metadata.model_type,
        "currency_pair": metadata.currency_pair,
        "trained_at": canonical_instant(_as_instant(metadata.trained_at)),
        "version": metadata.version,
        "validation_metrics": _plain_metrics(metadata.validation_metrics),
        "min_samples": int(metadata.min_samples),
        "calibration_ok": bool(metadata.calibration_ok),
        "features_used": [str(name) for name in metadata.features_used],
        "horizons": [int(days) for days in metadata.horizons],
        "tags": {str(name): str(value) for name, value in metadata.tags.items()},
        "description": metadata.description,
    }


def _plain_metrics(metrics: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(name): _plain_metrics(value)
        if isinstance(value, Mapping)
        else int(value)
        if isinstance(value, numbers.Integral)
        else float(value)
        for name, value in metrics.items()
    }


Path = tuple[str | int, ...]


def _shown(value: object) -> str:
    """Return what was found, for a message: text and numbers as they are, the rest by kind."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool | int | float):
        return quoted(_repr(value), 40).strip("'")
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a value of type {quoted(type(value).__name__)}"


def _repr(value: bool | float) -> str:
    try:
        return repr(value)
    except ValueError:  # an integer of more digits than Python converts
        return "a number of thousands of digits"


def _wrong(path: Path, value: object, must: str, hint: str) -> Finding:
    return Finding(path, sidecar_wrong_type(dotted(path), _shown(value), must, hint))


def _invalid(path: Path, message: str, hint: str, *, at_name: bool = False) -> Finding:
    return Finding(path, sidecar_invalid_value(dotted(path), message, hint), at_name)


def _text_fault(text: str, characters_max: int) -> str:
    """Return what makes `text` unfit to be a one-line label, or nothing."""
    if not text:
        return "is empty"
    if len(text) > characters_max:
        return f"has {len(text)} characters, and {characters_max} is the most"
    if not text.isprintable():
        return "contains a character that cannot be shown"
    if text != text.strip():
        return "starts or ends with a space"
    return ""


def _check_id(path: Path, value: object) -> Iterator[Finding]:
    if not isinstance(value, str):
        yield _wrong(path, value, "text", "Write a name")
    elif fault := id_fault(value):
        yield Finding(path, sidecar_invalid_name(dotted(path), value, fault))


def _check_label(path: Path, value: object) -> Iterator[Finding]:
    if not isinstance(value, str):
        yield _wrong(path, value, "text", f"Write {dotted(path)} as text")
    elif fault := _text_fault(value, LABEL_CHARACTERS_MAX):
        yield _invalid(
            path,
            f"{dotted(path)} {quoted(value)} {fault}",
            f"Use 1 to {LABEL_CHARACTERS_MAX} plain characters",
        )


def _sentence(text: str) -> str:
    """Return a text that begins with a capital letter. (`capitalize` makes small letters of all the others.)"""
    return text[0].upper() + text[1:]


def _check_trained_at(path: Path, value: object, now: datetime) -> Iterator[Finding]:
    if not isinstance(value, str | datetime):
        yield _wrong(path, value, "a date and time", _sentence(_INSTANT_HELP))
        return
    try:
        moment = _as_instant(value)
    except ValueError as error:
        reason, _, hint = str(error).partition("; ")
        yield _invalid(path, f"{dotted(path)} {quoted(value)} is {reason}", _sentence(hint or _INSTANT_HELP))
        return
    ahead = moment - now
    if ahead > FUTURE_TOLERANCE:
        yield Finding(path, sidecar_future_date(dotted(path), value, canonical_instant(now)))


def _check_metrics(path: Path, value: object) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield _wrong(path, value, "a mapping of names to numbers", "Write it like {rmse: 0.012}")
        return
    yield from _check_metrics_level(path, value, 1)


def _check_metrics_level(path: Path, value: Mapping[Any, Any], depth: int) -> Iterator[Finding]:
    if depth > DEPTH_MAX:  # also the end of a mapping that contains itself
        yield _invalid(path, f"{dotted(path[:3])} is nested more than {DEPTH_MAX} deep", "Nest the metrics less")
        return
    seen: set[str] = set()
    for key, inner in value.items():
        # json.dump writes {1: ...} as {"1": ...}, and horizons are natural keys: whole numbers count as text.
        name = str(key) if isinstance(key, numbers.Integral) and not isinstance(key, bool) else key
        if not isinstance(name, str):
            yield _invalid(path, f"a name in {dotted(path)} is {_shown(key)}, and must be text", "Name it by a text")
            continue
        here = (*path, name)
        if fault := _text_fault(name, NAME_CHARACTERS_MAX):
            yield _invalid(
                here, f"the name {quoted(name)} in {dotted(path)} {fault}", "Rename the metric", at_name=True
            )
        elif name in seen:
            yield _invalid(here, f"{dotted(path)} has {quoted(name)} twice", "Rename one of them", at_name=True)
        seen.add(name)
        if isinstance(inner, Mapping):
            yield from _check_metrics_level(here, inner, depth + 1)
        elif not isinstance(inner, numbers.Real) or isinstance(inner, bool):
            yield _wrong(here, inner, "a number", "Give a number, or leave the metric out")
        elif not _is_finite(inner):
            yield _invalid(
                here,
                f"{dotted(here)} is {_shown(_as_float(inner))}, and not a finite number",
                "Leave the metric out",
            )


def _as_float(value: numbers.Real) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_finite(value: numbers.Real) -> bool:
    return math.isfinite(_as_float(value))


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check_min_samples(path: Path, value: Any) -> Iterator[Finding]:
    if not _is_whole(value):
        yield _wrong(path, value, "a whole number", "Write the number of samples, like 500")
    elif not 0 <= value <= MIN_SAMPLES_MAX:
        yield _invalid(
            path, f"{dotted(path)} is {_shown(int(value))}, and must be 0 to 2^53", "Write a count of samples"
        )


def _check_calibration_ok(path: Path, value: object) -> Iterator[Finding]:
    # A comparison of numpy numbers gives numpy's own bool, which means the same.
    if not isinstance(value, bool) and (type(value).__module__, type(value).__name__) not in _NUMPY_BOOLS:
        yield _wrong(path, value, "true or false", "Write true or false")


_NUMPY_BOOLS = {("numpy", "bool"), ("numpy", "bool_")}


def _check_features(path: Path, value: Any) -> Iterator[Finding]:
    if not isinstance(value, list | tuple):
        yield _wrong(path, value, "a list of names", "Write it like [sma_5, rsi_14]")
        return
    seen: set[str] = set()
    for position, name in enumerate(value):
        here = (*path, position)
        if not isinstance(name, str):
            yield _wrong(here, name, "a name", "Write the name of a feature")
        elif fault := _text_fault(name, NAME_CHARACTERS_MAX):
            yield _invalid(here, f"{dotted(here)} {quoted(name)} {fault}", "Rename the feature")
        elif name in seen:
            yield _invalid(here, f"{dotted(here)} {quoted(name)} is there twice", "Name each feature once")
        else:
            seen.add(name)


def _check_horizons(path: Path, value: Any) -> Iterator[Finding]:
    if not isinstance(value, list | tuple):
        yield _wrong(path, value, "a list of days", "Write it like [1, 7, 30]")
        return
    seen: set[int] = set()
    for position, days in enumerate(value):
        here = (*path, position)
        if not _is_whole(days):
            yield _wrong(here, days, "a whole number of days", "Write horizons in days, like [1, 7, 30]")
        elif not 1 <= days <= HORIZON_DAYS_MAX:
            yield _invalid(
                here,
                f"{dotted(here)} is {_shown(int(days))}, and must be 1 to {HORIZON_DAYS_MAX} days",
                "Write horizons in days, like [1, 7, 30]",
            )
        elif int(days) in seen:
            yield _invalid(here, f"{dotted(here)}, {int(days)} days, is there twice", "Name each horizon once")
        else:
            seen.add(int(days))


def _check_tags(path: Path, value: object) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield _wrong(path, value, "a mapping of names to text", "Write it like {stage: production}, or [production]")
        return
    if len(value) > TAGS_MAX:
        yield _invalid(path, f"{dotted(path)} has {len(value)} tags, and {TAGS_MAX} is the most", "Use fewer tags")
        return
    for name, text in value.items():
        here = (*path, name if isinstance(name, str) else str(name))
        if not isinstance(name, str) or not _TAG_NAME.fullmatch(name):
            yield _invalid(
                here,
                f"cannot use {_shown(name)} as the name of a tag",
                "Use up to 64 letters, digits and '._:/-', beginning with a letter or a digit; "
                "a value goes behind the name: {year: 2026}",
                at_name=True,
            )
        if not isinstance(text, str):
            yield _wrong(here, text, "text", "Write the tag's value as text")
        elif text and (fault := _text_fault(text, TAG_VALUE_CHARACTERS_MAX)):
            yield _invalid(here, f"{dotted(here)} {quoted(text)} {fault}", "Shorten or clean the tag's value")


def _check_description(path: Path, value: object) -> Iterator[Finding]:
    if not isinstance(value, str):
        yield _wrong(path, value, "text", "Write the description as text")
    elif len(value) > DESCRIPTION_CHARACTERS_MAX:
        yield _invalid(
            path,
            f"{dotted(path)} has {len(value)} characters, and {DESCRIPTION_CHARACTERS_MAX} is the most",
            "Shorten it",
        )
    elif odd := sorted({c for c in value if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}):
        yield _invalid(path, f"{dotted(path)} contains the control character {quoted(odd[0])}", "Remove it")


_CHECKS = {
    "model_id": _check_id,
    "model_type": _check_label,
    "currency_pair": _check_label,
    "version": _check_label,
    "validation_metrics": _check_metrics,
    "min_samples": _check_min_samples,
    "calibration_ok": _check_calibration_ok,
    "features_used": _check_features,
    "horizons": _check_horizons,
    "tags": _check_tags,
    "description": _check_description,
}

"""The metadata of a model: its fields, their meaning and their limits.

Owns `ModelMetadata`, the JSON form of the fields, and the rules for model ids. `checks` applies the limits. Never
reads a file or a clock and never changes its arguments.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, TypedDict

from ..base.instants import canonical_instant
from ..base.shapes import Field
from ..problems import Problem, quoted

__all__ = [
    "DEPTH_MAX",
    "FUTURE_TOLERANCE",
    "LATER_FIELDS",
    "METADATA_FIELDS",
    "METRIC_SCHEMA",
    "MODEL_ID",
    "PAIR_PATTERN",
    "REQUIRED_FIELDS",
    "VALID_ID",
    "VARIANT",
    "Description",
    "FieldProblem",
    "MetadataFields",
    "ModelMetadata",
    "Provenance",
    "SeedMetadata",
    "Tags",
    "dotted",
    "fields_of",
    "filled_in",
    "id_fault",
    "is_valid_id",
    "plain_values",
]

MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
"""The characters of a model id and a stem, for `fullmatch`. `VALID_ID` has the whole rule."""
VALID_ID = re.compile(rf"(?!.*_scaler\Z){MODEL_ID.pattern}", re.ASCII)
"""A model id or a stem, for `fullmatch`: a safe file name that is not the name of a scaler."""

PAIR_PATTERN = r"(?!.*\.\.)[\w.-]+(?:/[\w.-]+)*"
"""The form of a currency pair if nothing else is configured, for `fullmatch`.

Letters and digits of every script: a pair is a label for people, and no file is named after it.
"""

VARIANT = re.compile(r"[A-Za-z0-9._-]{0,64}", re.ASCII)
"""The form of a variant, for `fullmatch`."""

FUTURE_TOLERANCE = timedelta(minutes=5)
"""How far `trained_at` may be ahead of our clock. Clocks differ a little; more than this is a mistake."""

DEPTH_MAX = 7
"""How deep mappings in `validation_metrics` may be nested, including the outermost."""

# A label is model_type, currency_pair or version.
LABEL_CHARACTERS_MAX = 64
# A name is that of a feature or a metric.
NAME_CHARACTERS_MAX = 256
DESCRIPTION_CHARACTERS_MAX = 8192
TAGS_MAX = 64
TAG_VALUE_CHARACTERS_MAX = 256
HORIZON_DAYS_MAX = 36_500
# The largest integer up to which a double, and so every JSON reader, is exact.
INTEGER_MAX = 2**53
# Version 0.1 also accepted larger integers. JSON files of ours hold those of 64 bits exactly.
STORED_INTEGERS = range(-(2**63), 2**64)

PROVENANCE_MAX = 64
PROVENANCE_VALUE_CHARACTERS_MAX = 256

TAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}", re.ASCII)


@dataclass
class ModelMetadata:
    """The metadata of one model: fields of its sidecar and of its registry entry.

    `trained_at` is a datetime or ISO 8601 text; without a zone it counts as UTC. `validation_metrics` maps names to
    finite numbers or to further such mappings. A name may contain any printable character, dots too. `horizons` are
    forecast horizons in days. Arrays, indexes, series and numbers of numpy and pandas will do as well.
    `features_used`, `horizons` and `validation_metrics` may be empty. `variant` keeps models of one pair and type
    apart. The registry sets `model_path` and `scaler_path` when it stores the model; values given by the caller are not
    used.
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
    variant: str = field(default="", kw_only=True)
    provenance: dict[str, str] = field(default_factory=dict, kw_only=True)


Label = Annotated[str, Field("One line of text.", minLength=1, maxLength=LABEL_CHARACTERS_MAX)]
Feature = Annotated[str, Field("The name of a feature.", minLength=1, maxLength=NAME_CHARACTERS_MAX)]
Days = Annotated[int, Field("A number of days.", minimum=1, maximum=HORIZON_DAYS_MAX)]
Tags = Annotated[
    dict[str, Annotated[str, Field("The tag's value; may be empty.", maxLength=TAG_VALUE_CHARACTERS_MAX)]],
    Field(
        "Names with text values, for retention and for people.",
        maxProperties=TAGS_MAX,
        propertyNames={"pattern": f"^{TAG_NAME.pattern}$"},
    ),
]
Variant = Annotated[
    str,
    Field(
        "Keeps models of one pair and type apart, like 1d and 30d: up to 64 letters, digits, dots, underscores and "
        "hyphens. Newest, aliases and retention count within pair, type and variant.",
        pattern=f"^{VARIANT.pattern}$",
    ),
]
Description = Annotated[
    str, Field("Free text for people, up to 8192 characters.", maxLength=DESCRIPTION_CHARACTERS_MAX)
]
Provenance = Annotated[
    dict[str, Annotated[str, Field("What is known; may be empty.", maxLength=PROVENANCE_VALUE_CHARACTERS_MAX)]],
    Field(
        "Where it comes from: names with text values, like python, git_commit, host and a job id. Never compared.",
        maxProperties=PROVENANCE_MAX,
        propertyNames={"pattern": f"^{TAG_NAME.pattern}$"},
    ),
]

METRIC_SCHEMA: Mapping[str, Any] = {
    "title": "Metric",
    "description": "A finite number, or a mapping of names to such numbers.",
    "type": ["number", "object"],
    "propertyNames": {"minLength": 1, "maxLength": NAME_CHARACTERS_MAX},
    "additionalProperties": {"$ref": "#/$defs/metric"},
}
"""The value of a name in `validation_metrics`. A schema has it as `$defs/metric`."""


class SeedMetadata(TypedDict):
    """The metadata that every model has, as JSON values, in every version of the registry."""

    model_id: Annotated[str, Field("The model's id.")]
    model_type: Annotated[Label, Field("The kind of model, like lightgbm.")]
    currency_pair: Annotated[Label, Field("What it forecasts, like USD/EUR; up to 64 characters.")]
    trained_at: Annotated[str, Field("When it was trained: RFC 3339; without a zone it counts as UTC.")]
    version: Annotated[Label, Field("The producer's version, as written: 1.10 stays 1.10.")]
    validation_metrics: Annotated[
        dict[str, Any],
        Field(
            "Names with finite numbers (integers up to 2^53 either way); mappings may be nested.",
            propertyNames={"minLength": 1, "maxLength": NAME_CHARACTERS_MAX},
            additionalProperties={"$ref": "#/$defs/metric"},
        ),
    ]
    min_samples: Annotated[int, Field("How many samples a forecast needs.", minimum=0, maximum=INTEGER_MAX)]
    calibration_ok: Annotated[bool, Field("Whether calibration was found good.")]
    features_used: Annotated[list[Feature], Field("The features, in the model's order.", uniqueItems=True)]
    horizons: Annotated[list[Days], Field("Forecast horizons in whole days, 1 to 36500.", uniqueItems=True)]


class MetadataFields(SeedMetadata):
    """All metadata of a model as JSON values, as `fields_of` returns it and the registry entry has it."""

    variant: Variant
    tags: Tags
    description: Description
    provenance: Provenance


METADATA_FIELDS = tuple(MetadataFields.__annotations__)
"""The names of all fields, in the order in which they are written."""

LATER_FIELDS: Mapping[str, Any] = {"variant": "", "provenance": {}}
"""The fields that entries of earlier versions lack, each with the value that it has then."""

REQUIRED_FIELDS = tuple(name for name in SeedMetadata.__annotations__ if name != "model_id")
"""The fields that a sidecar must have. `model_id` is not one of them: its default is the stem."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A problem of a value inside the metadata. `path` has the keys and list indexes that lead to the value.

    The reader of a sidecar finds line and column by the path. With `at_name` the last key of the path is wrong, not
    its value.
    """

    path: tuple[str | int, ...]
    problem: Problem
    at_name: bool = False


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as printable text: `validation_metrics.1d.rmse`, `horizons[2]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            # A producer's name can contain anything: unless it is plain, it is quoted and cut.
            name = step if re.fullmatch(r"[\w .:/%+-]{1,64}", step) else quoted(step, 64)
            text += f".{name}" if text else name
    return text


def filled_in(provenance: Mapping[str, Any]) -> set[str]:
    """Return the names of the fields that `drop` filled in by itself, as the provenance says: its name `filled`."""
    return {name for name in str(provenance.get("filled") or "").split(",") if name in METADATA_FIELDS}


# --- ids ---------------------------------------------------------------------------------------------------


def is_valid_id(text: str) -> bool:
    """Return whether `text` is a valid model id and stem: a safe file name that is not the name of a scaler."""
    return VALID_ID.fullmatch(text) is not None


def id_fault(text: str) -> str:
    """Return why `text` is no valid model id or stem, as a clause for after a colon. Return "" if it is valid."""
    if is_valid_id(text):
        return ""
    if not text:
        return "it is empty"
    if len(text) > 128:
        return f"it has {len(text)} characters, more than 128"
    if text.endswith("_scaler") and MODEL_ID.fullmatch(text):
        return f"it ends in '_scaler', the name of the scaler of {quoted(text.removesuffix('_scaler'))}"
    if not MODEL_ID.fullmatch(text[0]):
        return f"it starts with {quoted(text[0])}, not with a letter or a digit"
    odd = sorted({c for c in text if not re.fullmatch(r"[A-Za-z0-9._-]", c, re.ASCII)})
    return f"it contains {', '.join(quoted(c) for c in odd[:5])}{' and more' if len(odd) > 5 else ''}"


# --- the JSON form -----------------------------------------------------------------------------------------


def fields_of(metadata: ModelMetadata) -> MetadataFields:
    """Return the fields as new JSON values, without the paths, as the registry entry has them.

    `trained_at` becomes text in its stored form, tuples become lists and what libraries have Python's own values. The
    metadata must have passed `check_metadata`.
    """
    plain = plain_values(metadata)
    return {
        "model_id": metadata.model_id,
        "model_type": metadata.model_type,
        "currency_pair": metadata.currency_pair,
        "trained_at": canonical_instant(metadata.trained_at),
        "version": metadata.version,
        "validation_metrics": _plain_metrics(plain["validation_metrics"]),
        "min_samples": int(plain["min_samples"]),
        "calibration_ok": bool(plain["calibration_ok"]),
        "features_used": [str(name) for name in plain["features_used"]],
        "horizons": [int(days) for days in plain["horizons"]],
        "variant": metadata.variant,
        "tags": {str(name): str(value) for name, value in metadata.tags.items()},
        "description": metadata.description,
        "provenance": {str(name): str(value) for name, value in metadata.provenance.items()},
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


# --- what libraries have in place of lists, mappings and numbers ---------------------------------------------


def plain_values(metadata: ModelMetadata) -> dict[str, Any]:
    """Return the values of all fields, those of numpy, pandas, torch and others as Python's own.

    An array, an index, a series or a range becomes a list, a series among metrics a mapping, a number of a library a
    number. By their own methods, so no library is imported. Anything else stays as it is, for `check_fields` to refuse.
    """
    values = {name: getattr(metadata, name) for name in METADATA_FIELDS}
    return {
        **values,
        "validation_metrics": _as_metrics(values["validation_metrics"], DEPTH_MAX),
        "min_samples": _as_scalar(values["min_samples"]),
        "calibration_ok": _as_scalar(values["calibration_ok"]),
        "features_used": _as_list(values["features_used"]),
        "horizons": _as_list(values["horizons"]),
    }


def _as_list(value: Any) -> Any:
    if isinstance(value, list | tuple | range):
        return [_as_scalar(item) for item in value]
    found = _called(value, "tolist", "to_list")
    return found if isinstance(found, list) else value


def _as_metrics(value: Any, depth: int) -> Any:
    mapping = value if isinstance(value, Mapping) else _called(value, "to_dict")
    if not isinstance(mapping, Mapping):
        return _as_scalar(value)
    if depth < 0:
        return mapping
    return {name: _as_metrics(inner, depth - 1) for name, inner in mapping.items()}


def _as_scalar(value: Any) -> Any:
    if isinstance(value, str | int | float | list | tuple) or value is None:
        return value
    found = _called(value, "item")
    return found if isinstance(found, bool | int | float | str) else value


def _called(value: Any, *names: str) -> Any:
    """Return what the first of these methods that the value has returns; None if it has none, or that fails."""
    if isinstance(value, type):
        return None
    for name in names:
        method = getattr(value, name, None)
        if callable(method):
            try:
                return method()
            except (TypeError, ValueError, RuntimeError):
                return None
    return None

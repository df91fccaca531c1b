"""What a model says about itself: the fields, their meaning, and every check on them.

Owns `ModelMetadata`, the rules for ids and instants, and the one set of checks that the Python API and
sidecars share. Never reads a file or the clock (`now` is passed in) and never changes what it is given.

What is checked is what would hurt later: text that cannot be shown, numbers that JSON cannot hold, names that
cannot be file names, instants that cannot be compared. Empty `features_used`, `horizons` and
`validation_metrics` are fine; `model_path` and `scaler_path` are the registry's to set and are not looked at.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypedDict

from ..base.instants import canonical_instant, parse_instant
from ..base.shapes import Field
from ..problems import Problem, quoted

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
    "dotted",
    "fields_of",
    "id_fault",
    "is_valid_id",
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

TAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}", re.ASCII)


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
        propertyNames={"pattern": f"^{TAG_NAME.pattern}$"},
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


def as_instant(value: datetime | str) -> datetime:
    """Return `trained_at` as an aware datetime; ValueError if it is none."""
    if isinstance(value, str):
        return parse_instant(value)
    try:
        if type(value) is datetime:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return parse_instant(canonical_instant(value))
    except (OverflowError, TypeError, ValueError):  # outside the calendar in UTC, or pandas' NaT
        raise ValueError("not an instant of the calendar") from None


# --- checks ------------------------------------------------------------------------------------------------


def fields_of(metadata: ModelMetadata) -> MetadataFields:
    """Return the fields as plain JSON values, copied, without the paths: what goes into a registry entry.

    `trained_at` becomes canonical text, tuples become lists, and numpy's numbers Python's. The metadata
    must have passed `check_metadata`.
    """
    return {
        "model_id": metadata.model_id,
        "model_type": metadata.model_type,
        "currency_pair": metadata.currency_pair,
        "trained_at": canonical_instant(as_instant(metadata.trained_at)),
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

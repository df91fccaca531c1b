"""What `drop` fills in by itself if the producer does not say it: id, features, horizons.

Owns how each is found, and the name under which the provenance says what was filled in. Pure, but for the attributes of
the model that is asked for its features. Never overrides what the producer said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..base.instants import canonical_instant
from ..model.metadata import HORIZON_DAYS_MAX, METADATA_FIELDS, ModelMetadata
from ..problems import Problem
from ..problems.sidecar import sidecar_invalid_value

__all__ = [
    "ID_TEMPLATE",
    "NO_ID_YET",
    "automatic_id",
    "features_of",
    "horizons_in",
    "is_template",
    "names_of",
    "template_problem",
    "with_filled",
]

ID_TEMPLATE = "{pair}-{type}-{variant}-{trained_at}-{sha8}"
"""The id of a model that has none. A part that is empty, like most variants, is left out with its hyphen."""

NO_ID_YET = "automatic"
"""Stands for an id that is not made yet. It is valid, so that the checks say nothing about it."""

_FIELD = re.compile(r"\{(\w*)\}")
_PARTS = ("pair", "type", "variant", "version", "trained_at", "sha8")
# So that no id is longer than 128 characters.
_PART_CHARACTERS_MAX = 30
_HORIZON = re.compile(r"([1-9][0-9]{0,4})[dD]", re.ASCII)
# Names that a library makes up by itself where the training data had none.
_MADE_UP = re.compile(r"Column_[0-9]+|f[0-9]+|[0-9]+", re.ASCII)


def is_template(model_id: str) -> bool:
    """Return whether an id has parts to be filled in, like `{pair}`."""
    return "{" in model_id


def template_problem(model_id: str) -> Problem | None:
    """Return the problem of an id with a part that nobody knows, or None."""
    unknown = [name for name in _FIELD.findall(model_id) if name not in _PARTS]
    if not unknown and "{" not in _FIELD.sub("", model_id):
        return None
    parts = ", ".join(f"{{{name}}}" for name in _PARTS)
    return sidecar_invalid_value(
        "model_id", "model_id has a part in braces that is not known", f"The parts are {parts}"
    )


def automatic_id(template: str, metadata: ModelMetadata, sha256: str) -> str:
    """Return the id that a template makes of metadata and the digest of the model's file."""
    parts = {
        "pair": _part(metadata.currency_pair).lower(),
        "type": _part(metadata.model_type),
        "variant": _part(metadata.variant),
        "version": _part(metadata.version),
        "trained_at": canonical_instant(metadata.trained_at)[:19].replace("-", "").replace(":", "") + "Z",
        "sha8": sha256[:8],
    }
    text = _FIELD.sub(lambda match: parts[match[1]], template)
    return re.sub(r"([-._])[-._]*-", r"-", text).strip("-._")


def _part(text: str) -> str:
    """Return a text in the characters of an id: `USD/EUR` as `USD-EUR`."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^A-Za-z0-9.]+", "-", ascii_text)[:_PART_CHARACTERS_MAX].strip("-.")


def with_filled(provenance: Mapping[str, str], filled: Iterable[str]) -> dict[str, str]:
    """Return the provenance with the names of the fields that were filled in."""
    names = ",".join(name for name in METADATA_FIELDS if name in set(filled))
    return {**provenance, **({"filled": names} if names else {})}


def horizons_in(names: Iterable[str]) -> list[int]:
    """Return the days that names of metrics tell, like `1d` and `30d`, in ascending order."""
    days = {int(match[1]) for name in names if (match := _HORIZON.fullmatch(name)) is not None}
    return sorted(one for one in days if one <= HORIZON_DAYS_MAX)


def names_of(metrics: object) -> Iterator[str]:
    """Yield all names in a mapping of metrics, at any depth."""
    if isinstance(metrics, Mapping):
        for name, value in metrics.items():
            yield str(name)
            yield from names_of(value)


def features_of(model: Any) -> list[str]:
    """Return the names of the features that a fitted model tells, in its order; [] if it tells none.

    Asks a scikit-learn estimator or pipeline, models and boosters of LightGBM, XGBoost and CatBoost, and all that have
    the same attributes. Names that the library made up by itself are none.
    """
    for attribute in ("feature_names_in_", "feature_name_", "feature_names_", "feature_names", "feature_name"):
        names = _names(model, attribute)
        if names and not all(_MADE_UP.fullmatch(name) for name in names):
            return names
    return []


def _names(model: Any, attribute: str) -> list[str]:
    try:
        found: Any = getattr(model, attribute, None)
        if callable(found):
            found = found()
        if found is not None and hasattr(found, "tolist"):
            found = found.tolist()
    except Exception:  # noqa: BLE001  # code of any library: a property of a model that is not fitted raises what it likes
        return []
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        return []
    return list(found)

"""A model version of MLflow as a drop: which file is the model, and what its sidecar says.

Owns the choice of the pickle by the file `MLmodel`, and which field comes from where. All of it is from MLflow, and so
hostile: a name is taken only if it is a plain one, a number only if it is finite. Pure: no disk, clock or network.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..mirror.names import DEFAULT_TEMPLATE
from ..model.metadata import MODEL_ID, TAG_NAME, is_valid_id
from ..problems import quoted

__all__ = ["CannotImport", "Naming", "Version", "pickle_in", "sidecar_of"]

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_DAYS = re.compile(r"([0-9]{1,5})d(?:ays?)?\b", re.ASCII)
_PAIR = re.compile(r"([A-Za-z]{3})[-_ ]?([A-Za-z]{3})", re.ASCII)
_TEXT_MAX = 256
_MANY = 60
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_PLACE = re.compile(r"\{(\.?)(pair|type|variant)\}", re.ASCII)


class CannotImport(Exception):
    """Why a version does not become a drop, in one sentence for people."""


@dataclass(frozen=True, slots=True)
class Version:
    """What MLflow says of a model version and its run."""

    name: str
    number: int
    created_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    started_ms: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    run_tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Naming:
    """How the name of a registered model says what it forecasts. What `pair` and `type` say counts more."""

    template: str = DEFAULT_TEMPLATE
    pair: str | None = None
    type: str | None = None
    variant: str | None = None

    def slot_of(self, name: str) -> tuple[str, str, str]:
        """Return the pair, the type and the variant. Raises CannotImport."""
        found = self._pattern().fullmatch(name)
        parts = found.groupdict() if found is not None else {}
        pair = self.pair or _with_slash(parts.get("pair") or "")
        model_type = self.type or parts.get("type") or ""
        if not pair or not model_type:
            missing = [option for option, value in (("--pair", pair), ("--type", model_type)) if not value]
            raise CannotImport(
                f"its name does not fit the template {quoted(self.template)}: say {' and '.join(missing)}, or another "
                "--template"
            )
        return pair, model_type, self.variant if self.variant is not None else parts.get("variant") or ""

    def _pattern(self) -> re.Pattern[str]:
        text, at = "", 0
        for place in _PLACE.finditer(self.template):
            text += re.escape(self.template[at : place.start()])
            group = f"(?P<{place[2]}>[^./:]+)" if place[2] != "pair" else "(?P<pair>[^./:]+?)"
            text += f"(?:{re.escape(place[1])}{group})?" if place[1] else group
            at = place.end()
        return re.compile(text + re.escape(self.template[at:]))


def _with_slash(text: str) -> str:
    """Return two currencies as a pair: `USD-EUR` as `USD/EUR`. Anything else stays as it is."""
    found = _PAIR.fullmatch(text)
    return f"{found[1].upper()}/{found[2].upper()}" if found is not None else text


def pickle_in(mlmodel: object) -> str:
    """Return the name of the pickle that a model's `MLmodel` names. Raises CannotImport."""
    flavors = mlmodel.get("flavors") if isinstance(mlmodel, Mapping) else None
    if not isinstance(flavors, Mapping):
        raise CannotImport("its file MLmodel has no flavors")
    for flavor, key in (("sklearn", "pickled_model"), ("lightgbm", "data"), ("python_function", "python_model")):
        said = flavors.get(flavor)
        name = said.get(key) if isinstance(said, Mapping) else None
        if name is None:
            continue
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise CannotImport(f"its file MLmodel names {quoted(str(name))} as the model, which is no plain file name")
        if flavor == "lightgbm" and not name.endswith(".pkl"):
            raise CannotImport(
                f"its model {quoted(name)} is in LightGBM's own format, and a drop is a pickle: load it where it is "
                "trusted, and drop it with `model_inbox.drop`"
            )
        if name.endswith(".skops"):
            raise CannotImport(f"its model {quoted(name)} is in the format of skops, and a drop is a pickle")
        return name
    names = ", ".join(quoted(str(name)) for name in list(flavors)[:5])
    raise CannotImport(f"none of its flavors ({names}) has a pickle that can be dropped")


def sidecar_of(version: Version, mlmodel: object, naming: Naming) -> dict[str, Any]:
    """Return the fields of the sidecar. Raises CannotImport."""
    if any(key.startswith("model_inbox.") for key in version.tags):
        raise CannotImport("it is in the mirror of a registry of model-inbox: that registry has it")
    pair, model_type, variant = naming.slot_of(version.name)
    started = version.started_ms if version.started_ms else version.created_ms
    params = dict(version.params)
    metrics = {name: value for name, value in version.metrics.items() if math.isfinite(value)}
    return {
        "model_id": _model_id(version),
        "model_type": model_type,
        "currency_pair": pair,
        "variant": variant,
        "trained_at": _instant(started),
        "version": str(version.number),
        "validation_metrics": _nested(metrics),
        "min_samples": _integer(params.pop("min_samples", None)),
        "calibration_ok": _BOOLEANS.get(params.pop("calibration_ok", "").strip().lower(), False),
        "features_used": _texts(params.pop("features_used", None)) or _inputs(mlmodel),
        "horizons": _days(params.pop("horizons", None), metrics),
        "tags": dict(_labels(version.tags)),
        "provenance": dict(_provenance(version, mlmodel, params)),
    }


def _model_id(version: Version) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", version.name, flags=re.ASCII).lstrip("._-")
    found = f"{plain[:110]}-v{version.number}"
    if not MODEL_ID.fullmatch(found) or not is_valid_id(found):
        raise CannotImport(f"its name {quoted(version.name)} makes no id for a model")
    return found


def _instant(milliseconds: int) -> str:
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise CannotImport(f"its time {milliseconds} is none") from error
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{at.microsecond:06}" if at.microsecond else "") + "Z"


def _nested(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return metrics with dotted names as mappings in mappings, where no name is both a number and a mapping."""
    found: dict[str, Any] = {}
    for name, value in sorted(metrics.items()):
        parts = name.split(".")
        if "" in parts or len(parts) > 6:
            parts = [name]
        inner: Any = found
        for part in parts[:-1]:
            inner = inner.setdefault(part, {}) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and parts[-1] not in inner:
            inner[parts[-1]] = value
        else:
            found[name] = value
    return found


def _integer(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,15}", text.strip(), re.ASCII) else 0


def _texts(text: str | None) -> list[str]:
    """Return the texts in a list of JSON; of anything else none."""
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _inputs(mlmodel: object) -> list[str]:
    """Return the names of a model's inputs by its signature."""
    signature = mlmodel.get("signature") if isinstance(mlmodel, Mapping) else None
    text = signature.get("inputs") if isinstance(signature, Mapping) else None
    try:
        columns = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return []
    names = [one.get("name") for one in columns if isinstance(one, dict)] if isinstance(columns, list) else []
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _days(text: str | None, metrics: Mapping[str, float]) -> list[int]:
    try:
        said = json.loads(text or "")
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, list) and said and all(type(one) is int and 0 < one <= 36_500 for one in said):
        return list(dict.fromkeys(said))
    found = {int(days[1]) for name in metrics if (days := _DAYS.match(name.split(".")[0])) is not None}
    return sorted(days for days in found if 0 < days <= 36_500)


def _labels(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the tags of a version that can be tags here."""
    plain = {key: value for key, value in tags.items() if not key.startswith("mlflow.") and TAG_NAME.fullmatch(key)}
    for key, value in sorted(plain.items())[:_MANY]:
        yield key, _line(value)


def _provenance(version: Version, mlmodel: object, params: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield where it comes from: MLflow's own names first, and the other parameters as far as there is room."""
    yield "mlflow.name", _line(version.name)
    yield "mlflow.version", str(version.number)
    if version.run_id:
        yield "mlflow.run_id", _line(version.run_id)
    for tag, name in (
        ("mlflow.user", "user"),
        ("mlflow.source.git.commit", "git_commit"),
        ("mlflow.source.name", "source"),
    ):
        if tag in version.run_tags:
            yield name, _line(version.run_tags[tag])
    flavors = mlmodel.get("flavors") if isinstance(mlmodel, Mapping) else None
    flavor = flavors.get("python_function") if isinstance(flavors, Mapping) else None
    python = flavor.get("python_version") if isinstance(flavor, Mapping) else None
    if isinstance(python, str):
        yield "python", _line(python)
    for key, value in sorted(params.items())[: _MANY - 10]:
        if TAG_NAME.fullmatch(name := f"param.{key}"):
            yield name, _line(value)


def _line(text: str) -> str:
    """Return a text as one line that a value can hold."""
    return "".join(character if character.isprintable() else " " for character in text)[:_TEXT_MAX]

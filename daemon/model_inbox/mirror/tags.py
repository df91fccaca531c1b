"""An entry as MLflow holds it, and back: tags, parameters, metrics, and the places of its files.

Owns the names and values of every tag `model_inbox.*`, and the layout of a run's artifacts. Everything that an entry
says is in the tags of the model version; what does not fit there is whole in one artifact, and a tag says which. Pure:
no disk, no clock, no network.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..registry.entry import EntryFields, as_fields

__all__ = [
    "ENTRY_PATH",
    "MODEL_FOLDER",
    "MODEL_ID_TAG",
    "MUTABLE_FIELDS",
    "PREFIX",
    "REGISTRY_TAG",
    "SHA256_TAG",
    "EntryFile",
    "Metric",
    "MirroredFile",
    "ReadBack",
    "artifact_path",
    "entry_bytes",
    "entry_of_bytes",
    "entry_of_tags",
    "fields_elsewhere",
    "metric_points",
    "params_of",
    "recorded_points",
    "run_tags",
    "start_time_ms",
    "version_tags",
]

PREFIX = "model_inbox."
FORMAT = "1"
"""The value of the tag `model_inbox.mirror`: the version of this form."""

MODEL_ID_TAG = f"{PREFIX}model_id"
SHA256_TAG = f"{PREFIX}sha256"
REGISTRY_TAG = f"{PREFIX}registry_id"

_FORMAT_TAG = f"{PREFIX}mirror"
_LINE_TAG = f"{PREFIX}line"
_EPOCH_TAG = f"{PREFIX}epoch"
_FILES_TAG = f"{PREFIX}artifacts"
_BYTES_TAG = f"{PREFIX}bytes"
_RETIRED_TAG = f"{PREFIX}retired"
_ENTRY_PATH_TAG = f"{PREFIX}entry_path"
_ENTRY_SHA256_TAG = f"{PREFIX}entry_sha256"
_IN_ARTIFACT_TAG = f"{PREFIX}in_artifact"
_LABEL_PREFIX = f"{PREFIX}label."
_OWN_TAGS = frozenset(
    {
        *(_FORMAT_TAG, REGISTRY_TAG, _LINE_TAG, _FILES_TAG, _BYTES_TAG, _RETIRED_TAG),
        *(_ENTRY_PATH_TAG, _ENTRY_SHA256_TAG, _IN_ARTIFACT_TAG, _EPOCH_TAG, f"{PREFIX}slot"),
    }
)
_ELSEWHERE = "(in the artifact that model_inbox.entry_path names)"

MODEL_FOLDER = "model"
"""The folder of a run's artifacts that a model version points to: MLmodel, its code, and `artifacts/`."""
ENTRY_PATH = "model_inbox/entry.json"
"""The artifact with the whole entry. It is there if a field fits into no tag; earlier versions always wrote it."""

# MLflow 2.22 allows 5,000 characters in the value of a version's tag, 3.x 100,000; its database had 5,000 for long.
_TAG_CHARACTERS_MAX = 5000
_KEY_CHARACTERS_MAX = 250
_PARAM_CHARACTERS_MAX = 6000
_KEY = re.compile(r"[\w./ :-]{1,250}", re.ASCII)
# PostgreSQL stores no NUL, and no store lone halves of a character.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_TEXT_FIELDS = frozenset(
    {
        *("model_id", "model_type", "currency_pair", "trained_at", "version", "variant", "description"),
        *("model_path", "sha256", "registered_at", "origin", "integrity"),
    }
)
# Their null is written as an empty value: an empty text means the same in them.
_NULLABLE_TEXT_FIELDS = frozenset({"scaler_path", "scaler_sha256", "drop_id", "held", "held_since"})

MUTABLE_FIELDS = (
    *("tags", "aliases", "promotions", "barred", "pinned", "held", "held_since", "recorded"),
    *("scaler_path", "scaler_sha256", "scaler_replaced", "scaler_imports", "size_bytes"),
)
"""The fields of an entry that may change after the registration."""

_PARAM_FIELDS = (
    *("model_type", "currency_pair", "variant", "version", "min_samples", "calibration_ok"),
    *("features_used", "horizons"),
)


@dataclass(frozen=True, slots=True)
class MirroredFile:
    """A file of a model in a run's artifacts: where it is below the run's artifact root, its SHA-256 and its bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class EntryFile:
    """The artifact that holds the whole entry as it was when the file was written."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Metric:
    """One point of a metric of a run."""

    name: str
    value: float
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What the tags of a model version say.

    `entry` lacks the fields named in `elsewhere`: those are only in the artifact `entry_file`. `files` has the roles
    `model`, `scaler` and `sidecar`, as far as their bytes are there. `line` is the number of the journal line, in the
    epoch `epoch`, up to which the entry is known. `retired` says when and why it was retired; None: it is not.
    """

    entry: EntryFields
    elsewhere: tuple[str, ...]
    registry_id: str
    line: int
    files: Mapping[str, MirroredFile] = field(default_factory=dict)
    entry_file: EntryFile | None = None
    retired: Mapping[str, Any] | None = None
    epoch: str = ""

    @property
    def has_bytes(self) -> bool:
        """Whether the model's own bytes are in MLflow. Not when they were purged before they could be mirrored."""
        return "model" in self.files


# --- where the files are ---------------------------------------------------------------------------------------


def artifact_path(role: str, stored_name: str, line: int = 0) -> str:
    """Return where a file of a model goes in a run's artifacts: `model/artifacts/model.pkl`, `…/scaler.pkl`.

    Nothing there is ever overwritten: a scaler that replaced another one has the number of the line in its name.
    """
    suffix = "".join(re.findall(r"\.[A-Za-z0-9]{1,8}\Z", stored_name))
    return f"{MODEL_FOLDER}/artifacts/{role}{f'-{line}' if line else ''}{suffix}"


def entry_bytes(entry: Mapping[str, Any]) -> bytes:
    """Return the bytes of the artifact that holds the whole entry."""
    return (json.dumps(entry, sort_keys=True, indent=1) + "\n").encode()


def entry_of_bytes(data: bytes) -> EntryFields:
    """Return what `entry_bytes` wrote. Raises ValueError."""
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("this is no entry")
    return as_fields(found)


# --- to MLflow -------------------------------------------------------------------------------------------------


def version_tags(
    entry: Mapping[str, Any],
    *,
    registry_id: str,
    line: int,
    files: Mapping[str, MirroredFile],
    entry_file: EntryFile,
    epoch: str = "",
    retired: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Return all tags of the model version of an entry."""
    tags: dict[str, str] = {}
    elsewhere = []
    for name, value in entry.items():
        key = f"{PREFIX}{name}"
        if key in _OWN_TAGS or key.startswith(_LABEL_PREFIX) or not _KEY.fullmatch(key):
            elsewhere.append(name)
            continue
        text = _encoded(name, value)
        if text is None:
            elsewhere.append(name)
        tags[key] = _ELSEWHERE if text is None else text
    labels = entry.get("tags")
    for name, value in labels.items() if isinstance(labels, dict) else ():
        if _KEY.fullmatch(key := f"{_LABEL_PREFIX}{name}") and _is_storable(str(value)):
            tags[key] = str(value)
    placed = {role: {"path": one.path, "sha256": one.sha256, "size": one.size} for role, one in files.items()}
    return {
        **tags,
        _FORMAT_TAG: FORMAT,
        REGISTRY_TAG: registry_id,
        _LINE_TAG: str(line),
        _EPOCH_TAG: epoch,
        _FILES_TAG: _json(placed),
        _BYTES_TAG: "stored" if "model" in files else "none: they were purged before they could be mirrored",
        _RETIRED_TAG: _json(dict(retired)) if retired is not None else "",
        _ENTRY_PATH_TAG: entry_file.path,
        _ENTRY_SHA256_TAG: entry_file.sha256,
        _IN_ARTIFACT_TAG: _json(sorted(elsewhere)),
    }


def fields_elsewhere(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return the fields that do not fit into these tags, and need the artifact with the whole entry."""
    return _list_of_text(tags.get(_IN_ARTIFACT_TAG, "[]"))


def run_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the run that belongs to a version with these tags: the same without the labels' own."""
    return {key: value for key, value in tags.items() if not key.startswith(_LABEL_PREFIX)}


def params_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a run: what is known of the training. What is too long is in the tags only."""
    provenance = entry.get("provenance")
    values = {
        **{name: entry[name] for name in _PARAM_FIELDS if name in entry},
        **({f"provenance.{name}": value for name, value in provenance.items()} if isinstance(provenance, dict) else {}),
    }
    written = {name: value if isinstance(value, str) else _json(value) for name, value in values.items()}
    return {
        name: value
        for name, value in written.items()
        if _KEY.fullmatch(name) and len(value) <= _PARAM_CHARACTERS_MAX and not _UNSTORABLE.search(value)
    }


def metric_points(entry: Mapping[str, Any]) -> tuple[Metric, ...]:
    """Return the validation metrics with dotted names, at the time of the training.

    Names that MLflow does not allow are left out, and so is the second of two that come to the same dotted name: the
    tag `model_inbox.validation_metrics` has them.
    """
    at = start_time_ms(entry)
    found: dict[str, float] = {}
    for name, value in _flattened(entry.get("validation_metrics"), ""):
        found.setdefault(name, value)
    return tuple(Metric(name, value, at) for name, value in found.items() if _is_metric_name(name))


def recorded_points(entry: Mapping[str, Any]) -> tuple[Metric, ...]:
    """Return the values that were measured after the registration, as metrics `recorded.<name>`."""
    recorded = entry.get("recorded")
    points = []
    for name, measured in recorded.items() if isinstance(recorded, dict) else ():
        at = _milliseconds(measured.get("at"))
        dotted = f"recorded.{name}"
        if _is_metric_name(dotted) and at is not None and _is_number(measured.get("value")):
            points.append(Metric(dotted, float(measured["value"]), at))
    return tuple(points)


def start_time_ms(entry: Mapping[str, Any]) -> int:
    """Return when the run began: at `trained_at`; 0 for an adopted entry whose time cannot be read."""
    return _milliseconds(entry.get("trained_at")) or 0


# --- from MLflow -----------------------------------------------------------------------------------------------


def entry_of_tags(tags: Mapping[str, str]) -> ReadBack | None:
    """Return what `version_tags` wrote; None if the version is none of ours. Raises ValueError if it is damaged."""
    if tags.get(_FORMAT_TAG) != FORMAT or MODEL_ID_TAG not in tags:
        return None
    elsewhere = fields_elsewhere(tags)
    fields = {}
    for key, value in tags.items():
        name = key.removeprefix(PREFIX)
        if not key.startswith(PREFIX) or key in _OWN_TAGS or key.startswith(_LABEL_PREFIX) or name in elsewhere:
            continue
        fields[name] = _decoded(name, value)
    placed = json.loads(tags.get(_FILES_TAG, "{}"))
    retired = tags.get(_RETIRED_TAG)
    path, sha256 = tags.get(_ENTRY_PATH_TAG), tags.get(_ENTRY_SHA256_TAG)
    try:
        return ReadBack(
            entry=as_fields(fields),
            elsewhere=elsewhere,
            registry_id=tags.get(REGISTRY_TAG, ""),
            line=int(tags.get(_LINE_TAG, "0")),
            files={
                str(role): MirroredFile(str(one["path"]), str(one["sha256"]), int(one["size"]))
                for role, one in placed.items()
            },
            entry_file=EntryFile(path, sha256) if path and sha256 else None,
            retired=dict(json.loads(retired)) if retired else None,
            epoch=tags.get(_EPOCH_TAG, ""),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"the tags {_FILES_TAG} or {_RETIRED_TAG} are not as they were written") from error


# --- values ----------------------------------------------------------------------------------------------------


def _encoded(name: str, value: Any) -> str | None:
    """Return the value of a field's tag; None if it does not fit into one."""
    if name in _TEXT_FIELDS:
        text = value if isinstance(value, str) else None
    elif name in _NULLABLE_TEXT_FIELDS:
        text = "" if value is None else value if isinstance(value, str) and value else None
    else:
        text = _json(value)
    return text if text is not None and _is_storable(text) else None


def _decoded(name: str, value: str) -> Any:
    if name in _TEXT_FIELDS:
        return value
    if name in _NULLABLE_TEXT_FIELDS:
        return value or None
    return json.loads(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _list_of_text(text: str) -> tuple[str, ...]:
    found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError(f"the tag {_IN_ARTIFACT_TAG} is no list")
    return tuple(map(str, found))


def _is_storable(text: str) -> bool:
    return len(text) <= _TAG_CHARACTERS_MAX and not _UNSTORABLE.search(text)


def _flattened(value: Any, prefix: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flattened(inner, f"{prefix}.{name}" if prefix else str(name))
    elif _is_number(value):
        yield prefix, float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_metric_name(name: str) -> bool:
    """Return whether MLflow takes the name: its characters, and no path that could be written in another way."""
    parts = name.split("/")
    return bool(_KEY.fullmatch(name)) and "" not in parts and not {".", ".."} & set(parts) and not name.startswith("..")


def _milliseconds(text: Any) -> int | None:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, int(at.timestamp() * 1000))

"""A registry entry: what stands in it, who makes one, and how it is handed out.

Owns `EntryFields`, the one definition of an entry: the type checker holds everybody who makes or reads an entry to it,
and the JSON schema and the manual's table are made of it. Entries are made by `new_entry` and altered by
`changed_entry`; fields that are not defined here (a newer version's, or another program's) stay in them. Pure: no disk,
no clock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, TypedDict, Unpack, cast

from ..base.shapes import Field, document, object_schema
from ..model.metadata import (
    LATER_FIELDS,
    METADATA_FIELDS,
    METRIC_SCHEMA,
    MODEL_ID,
    Description,
    MetadataFields,
    ModelMetadata,
    Provenance,
    SeedMetadata,
    Tags,
    Variant,
)
from ..model.owner import OwnerFields

__all__ = [
    "Entry",
    "EntryChanges",
    "EntryFields",
    "GateOutcome",
    "Integrity",
    "Measurement",
    "ModelReference",
    "Origin",
    "Promotion",
    "Role",
    "StoredFile",
    "as_fields",
    "barred_of",
    "changed_entry",
    "dated_entry",
    "entry_schema",
    "failed_gates",
    "files_of_entry",
    "imports_when_loaded",
    "metadata_of",
    "new_entry",
    "numbered_entry",
    "outcomes_of",
    "sequence_of",
    "shown",
]

Origin = Literal["inbox", "api"]
Integrity = Literal["digest", "lease", "quiet", "api", "rebuild"]
Role = Literal["model", "scaler"]
Digest = Annotated[str, Field("A SHA-256 in hexadecimal.", pattern="^[0-9a-f]{64}$")]
Imports = dict[str, Annotated[str, Field("The letters of its uses.")]]


class JudgedFile(TypedDict):
    """A file at the time when it was judged."""

    sha256: Annotated[Digest, Field("The digest of the file that was judged.")]
    kind: Annotated[str, Field("How it was read, like plain or gzip+joblib.")]


class Verdict(TypedDict):
    """What the verdict on an entry's files holds for."""

    python: Annotated[str, Field("The version of the Python whose parsers read them.")]
    allowlist: Annotated[str, Field("The digest of the allowlist and its rules.")]
    files: Annotated[dict[str, JudgedFile], Field("The files that were judged: model, and scaler if there is one.")]


class Measurement(TypedDict):
    """A value that was measured after the registration."""

    value: Annotated[float, Field("The value: a finite number.")]
    at: Annotated[str, Field("When it was measured, in UTC.", format="date-time")]


class ModelReference(TypedDict):
    """A model that was registered once."""

    model_id: Annotated[str, Field("The model's id.", pattern=f"^{MODEL_ID.pattern}$")]
    sequence: Annotated[int, Field("Its `sequence`: another model may have the id by now.", minimum=0)]


class Promotion(TypedDict):
    """How a model came to an alias, and who held it before."""

    at: Annotated[str | None, Field("When it got the alias, in UTC; null: not known.", format="date-time")]
    actor: Annotated[str, Field("Who gave it; empty: not known.")]
    reason: Annotated[str, Field("Why.")]
    line: Annotated[int, Field("The number of the journal line; 0: not known.", minimum=0)]
    former: Annotated[
        list[Annotated[ModelReference, Field("One of them.")]],
        Field("The models that held it before, the latest last: a rollback goes back to that. At most 100."),
    ]


class GateOutcome(TypedDict):
    """What one gate asked for, of one value, and what came of it."""

    gate: Annotated[str, Field("The name of the gate.")]
    name: Annotated[str, Field("The name of the value, like 1d.rmse.")]
    rule: Annotated[str, Field("What was asked for: require, min, max, max_regression or min_gain.")]
    passed: Annotated[bool, Field("Whether the model fulfils it.")]
    value: Annotated[float | bool | None, Field("The value; null: it is missing, or no number.")]
    bound: Annotated[float | None, Field("The value that just passes; null: there is none.")]
    against: Annotated[ModelReference | None, Field("The model in service that it was compared with; null: none.")]
    says: Annotated[str, Field("The same in words.")]


class SeedEntry(SeedMetadata):
    """What every entry has, also one that was made by the first registry and adopted."""

    model_path: Annotated[str, Field("The model's file; a relative path counts from the folder of this registry.")]
    scaler_path: Annotated[str | None, Field("The scaler's file, written in the same way; null: there is none.")]


class EntryFields(SeedEntry, total=False):
    """All fields of an entry. Those below are missing in an adopted one; see `_SOMETIMES` for what else may be."""

    sha256: Annotated[Digest, Field("The SHA-256 of the model's file.")]
    scaler_sha256: Annotated[Digest | None, Field("The SHA-256 of the scaler's file; null: there is none.")]
    size_bytes: Annotated[int, Field("The size of model and scaler together.", minimum=0)]
    registered_at: Annotated[
        str, Field("When the journal line that registered it was committed, in UTC.", format="date-time")
    ]
    sequence: Annotated[int, Field("The number of that line; it orders models with the same trained_at.", minimum=1)]
    origin: Annotated[Origin, Field("Where it came from: inbox, or api for register_model.")]
    drop_id: Annotated[str | None, Field("The drop that it came with; null: it came from Python.")]
    owner: Annotated[
        OwnerFields | None,
        Field("The user who dropped it; null: it came from Python, or nobody knows. Entries of version 0.1 lack it."),
    ]
    imports: Annotated[
        Imports | None,
        Field("The names that its pickles may import, each with its uses (docs/security.md); null: not limited."),
    ]
    verdict: Annotated[Verdict | None, Field("What the verdict on its pickles holds for; null: not scanned.")]
    frameworks: Annotated[
        dict[str, Annotated[str, Field("A version, or the first part of one.")]],
        Field(
            "Only where the pickles tell: the versions of the frameworks that made them, as the producer claims. "
            "A load warns if others are installed."
        ),
    ]
    load_bytes: Annotated[
        int,
        Field(
            "Only where its pickles were scanned: the bytes of memory that a load of them may need by the scan's "
            "estimate, besides its imports.",
            minimum=0,
        ),
    ]
    integrity: Annotated[
        Integrity,
        Field(
            "What showed that its files were complete: digest, lease, quiet; api: we wrote them; rebuild: it was made "
            "from its stored sidecar, and scanned again."
        ),
    ]
    variant: Variant
    tags: Tags
    description: Description
    provenance: Provenance
    aliases: Annotated[
        list[Annotated[str, Field("The name of an alias.", pattern=f"^{MODEL_ID.pattern}$")]],
        Field("The aliases that name it; each names one model of a pair, type and variant.", uniqueItems=True),
    ]
    promotions: Annotated[
        dict[str, Annotated[Promotion, Field("Since when it holds the alias.")]],
        Field(
            "Only where there are some: how it came to each of its aliases. One that was removed from it stays here "
            "until another model gets it."
        ),
    ]
    barred: Annotated[
        list[Annotated[str, Field("The name of an alias.", pattern=f"^{MODEL_ID.pattern}$")]],
        Field(
            "Only after a rollback: the aliases that no rule gives to it any more. A promotion by hand ends that.",
            uniqueItems=True,
        ),
    ]
    pinned: Annotated[bool, Field("Whether it is protected from retirement.")]
    held: Annotated[
        str | None,
        Field(
            "Why it is held: it is never newest, no alias names it, and retention does not count it; null: it is not."
        ),
    ]
    gates: Annotated[
        list[GateOutcome], Field("What the gates asked for when it was registered; it stays. Empty: no gate was asked.")
    ]
    held_since: Annotated[str | None, Field("Since when it is held, in UTC; null: it is not.", format="date-time")]
    scaler_replaced: Annotated[
        int, Field("Only after replace_scaler: the number of the line that replaced its scaler.", minimum=1)
    ]
    scaler_imports: Annotated[
        Imports | None, Field("Beside it: what that scaler may import; null: not limited, it came from Python.")
    ]
    recorded: Annotated[
        dict[str, Measurement],
        Field(
            "Only after record: the latest value of each metric that was measured after the registration, by its "
            "dotted name. The history has all values."
        ),
    ]


class EntryChanges(TypedDict, total=False):
    """The fields that may change after the registration; all others say what was registered, and stay."""

    scaler_path: str
    scaler_sha256: str
    scaler_replaced: int
    scaler_imports: dict[str, str] | None
    size_bytes: int
    tags: dict[str, str]
    aliases: list[str]
    promotions: dict[str, Promotion]
    barred: list[str]
    pinned: bool
    held: str | None
    held_since: str | None
    recorded: dict[str, Measurement]


class StoredFile(NamedTuple):
    """A file that an entry names, as it names it. The digest is None in an adopted entry."""

    role: Role
    path: str
    sha256: str | None


def new_entry(
    metadata: MetadataFields,
    *,
    model_path: str,
    scaler_path: str | None,
    sha256: str,
    scaler_sha256: str | None,
    size_bytes: int,
    origin: Origin,
    drop_id: str | None,
    imports: Mapping[str, str] | None,
    verdict: Mapping[str, Any] | None,
    integrity: Integrity,
    frameworks: Mapping[str, str] | None = None,
    owner: OwnerFields | None = None,
    load_bytes: int | None = None,
) -> EntryFields:
    """Return the entry of a model that is about to be registered.

    `registered_at` and `sequence` are those of its journal line, and are filled in when that is made. So are `held` and
    `gates`, where gates have been asked.
    """
    fields = {
        **metadata,
        "model_path": model_path,
        "scaler_path": scaler_path,
        "sha256": sha256,
        "scaler_sha256": scaler_sha256,
        "size_bytes": size_bytes,
        "registered_at": "",
        "sequence": 0,
        "origin": origin,
        "drop_id": drop_id,
        "owner": owner,
        "imports": dict(imports) if imports is not None else None,
        "verdict": dict(verdict) if verdict is not None else None,
        **({"frameworks": dict(frameworks)} if frameworks else {}),
        **({"load_bytes": load_bytes} if load_bytes is not None else {}),
        "integrity": integrity,
        "aliases": [],
        "pinned": False,
        "held": None,
        "held_since": None,
        "gates": [],
    }
    return as_fields(fields)


def numbered_entry(entry: EntryFields, *, sequence: int, registered_at: str) -> EntryFields:
    """Return a new entry with the number and the time of the line that registers it."""
    made: EntryFields = {**entry, "registered_at": registered_at, "sequence": sequence}
    if made.get("held"):
        made["held_since"] = registered_at
    return made


def dated_entry(entry: EntryFields, alias: str, *, at: str) -> EntryFields:
    """Return a new entry with the time of the line that gives it the alias."""
    promotions = entry["promotions"]
    return {**entry, "promotions": {**promotions, alias: {**promotions[alias], "at": at}}}


def changed_entry(entry: EntryFields, **changes: Unpack[EntryChanges]) -> EntryFields:
    """Return a copy of an entry with some fields changed. All others stay, also those that are not defined here."""
    return {**entry, **changes}


def as_fields(entry: Mapping[str, Any]) -> EntryFields:
    """Return the very same entry under the type that knows its fields. Nothing is checked or copied."""
    return cast("EntryFields", entry)


def metadata_of(entry: Mapping[str, Any]) -> ModelMetadata | None:
    """Return the metadata that an entry holds, without the paths; None for an adopted entry that lacks some of it."""
    fields = {**LATER_FIELDS, **entry}
    if not fields.keys() >= set(METADATA_FIELDS):
        return None
    return ModelMetadata(**{name: fields[name] for name in METADATA_FIELDS})


def sequence_of(entry: Mapping[str, Any]) -> int:
    """Return the number of the line that registered an entry; 0 for an adopted one, which has none."""
    sequence = entry.get("sequence")
    return sequence if isinstance(sequence, int) else 0


def outcomes_of(entry: Mapping[str, Any]) -> list[GateOutcome]:
    """Return what came of the gates that were asked for a model. An adopted entry may have anything under this name."""
    return [cast("GateOutcome", one) for one in _listed(entry.get("gates")) if _is_outcome(one)]


def failed_gates(entry: Mapping[str, Any]) -> list[str]:
    """Return the gates that a model did not pass. What is no outcome, in an adopted entry, is one that failed."""
    gates = entry.get("gates")
    outcomes = gates if isinstance(gates, list | tuple) else [gates] if gates else []
    read = [one if isinstance(one, Mapping) else {} for one in outcomes]
    return sorted({str(one.get("gate", "unreadable")) for one in read if not one.get("passed")})


def barred_of(entry: Mapping[str, Any]) -> list[str]:
    """Return the aliases that no rule gives to a model. An adopted entry may have anything under this name."""
    return [one for one in _listed(entry.get("barred")) if isinstance(one, str)]


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _is_outcome(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() >= {"gate", "passed", "says"} and isinstance(value["gate"], str)


def files_of_entry(entry: EntryFields) -> Iterator[StoredFile]:
    """Yield the model's file and, if there is one, the scaler's."""
    if entry.get("model_path"):
        yield StoredFile("model", str(entry["model_path"]), entry.get("sha256"))
    if entry.get("scaler_path"):
        yield StoredFile("scaler", str(entry["scaler_path"]), entry.get("scaler_sha256"))


_SOMETIMES = frozenset(
    {
        *LATER_FIELDS,
        *(
            "held",
            "held_since",
            "gates",
            "owner",
            "frameworks",
            "load_bytes",
            "scaler_replaced",
            "scaler_imports",
            "recorded",
        ),
        *("promotions", "barred"),
    }
)


def imports_when_loaded(entry: EntryFields, role: Role) -> Mapping[str, str] | None:
    """Return what a file of the entry may import when it is loaded, with the uses; None: anything, it is trusted.

    A model that came through the inbox, and its scaler, are limited to what was seen in them. A scaler that replaced
    another one has limits of its own.
    """
    if role == "scaler" and entry.get("scaler_replaced"):
        return entry.get("scaler_imports")
    if entry.get("origin") == "inbox":
        return entry.get("imports") or {}
    return None


def entry_schema() -> dict[str, Any]:
    """Return the JSON schema of an entry.

    An entry that was adopted from the first registry has neither `origin` nor `registered_at`, and need not have the
    other fields that are ours.
    """
    schema = object_schema(EntryFields)
    fields = schema["properties"]
    ours = [name for name in fields if name not in schema["required"] and name not in _SOMETIMES]
    strict = {
        "title": "Entry made by model-inbox",
        "description": "What every entry has that a version of model-inbox has registered.",
        "required": ours,
        "properties": {
            "model_id": fields["model_id"] | {"pattern": f"^{MODEL_ID.pattern}$", "not": {"pattern": "_scaler$"}},
            "trained_at": fields["trained_at"] | {"pattern": r"^[0-9-]{10}T[0-9:]{8}(\.[0-9]{6})?Z$"},
        },
    }
    return document(
        "entry",
        "Entry of a model-inbox registry",
        "What the registry knows of one model: a value of prediction_registry.json, and `entry` in a journal line.",
        {
            **schema,
            "dependentSchemas": {"origin": {"$ref": "#/$defs/ours"}, "registered_at": {"$ref": "#/$defs/ours"}},
            "$defs": {"metric": METRIC_SCHEMA, "ours": strict},
        },
    )


# --- how an entry is handed out ------------------------------------------------------------------------------


def shown(stored: Mapping[str, Any], folder: str) -> Entry:
    """Return a stored entry as the API shows it: read-only, with absolute paths. `folder` is the registry's."""
    fields = _frozen_items(stored)
    for name in ("model_path", "scaler_path"):
        path = fields.get(name)
        if isinstance(path, str) and path:
            fields[name] = os.path.join(folder, path)  # Path would cost more than the rest
    return Entry(fields)


def _read_only(*_: object, **__: object) -> NoReturn:
    raise TypeError("registry entries are read-only: a registered model never changes (copy with dict(entry))")


class _FrozenDict(dict[str, Any]):
    """A dictionary that is shared between callers and therefore cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = _read_only
    clear = pop = popitem = setdefault = update = _read_only
    __ior__ = _read_only

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return _thaw(self)  # type: ignore[no-any-return]  # a dict in gives a dict out

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (_thaw(self),)


class _FrozenList(list[Any]):
    """A list that is shared between callers and therefore cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = _read_only
    append = clear = extend = insert = pop = remove = reverse = sort = _read_only
    __iadd__ = __imul__ = _read_only

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return _thaw(self)  # type: ignore[no-any-return]  # a list in gives a list out

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (_thaw(self),)


class Entry(_FrozenDict):
    """The registry's record of one model: a read-only dictionary with the fields of docs/reference/formats.md.

    `model_path` and `scaler_path` are absolute here. Compares and serialises as a plain dict; `dict(entry)` or
    `copy.deepcopy(entry)` gives one that can be changed.
    """

    __slots__ = ()


_CHANGEABLE = (dict, list)


def _thaw(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_thaw(item) for item in value]
    return value


def _freeze(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return _FrozenDict(_frozen_items(value))
    if kind is list:
        return _FrozenList([_freeze(item) if type(item) in _CHANGEABLE else item for item in value])
    return value


def _frozen_items(values: Mapping[str, Any]) -> dict[str, Any]:
    # Most values are text and numbers. To call a function for each would take most of the time of `list`.
    return {key: _freeze(value) if type(value) in _CHANGEABLE else value for key, value in values.items()}

"""The labels file of a model: what was put on it after its registration, for the day when the journal is lost.

Owns its bytes and what it says of an entry. The file is derived from the journal, as the JSON file is: a line is the
commit, and the file follows. It ends with a checksum like a line of the journal. Pure: never touches the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

from ..base.shapes import Field, document, format_of, object_schema
from ..errors import RegistryCorrupted, RegistryTooNew
from ..model.metadata import MODEL_ID
from ..problems import quoted
from .entry import EntryFields, Measurement
from .journal import seal, unseal
from .position import Identity
from .unfinished import LabelChange

__all__ = [
    "LabelFields",
    "Labelled",
    "Setting",
    "has_labels",
    "label_bytes",
    "labelled",
    "labels_schema",
    "parse_labels",
]

LABELS_FORMAT_NAME = "model-inbox-labels/"
LABELS_FORMAT = f"{LABELS_FORMAT_NAME}1"


class Setting(TypedDict):
    """Who set a label."""

    at: Annotated[str | None, Field("When it was set, in UTC; null: not known.", format="date-time")]
    actor: Annotated[str, Field("Who set it; empty: not known.")]
    reason: Annotated[str, Field("Why.")]


class LabelFields(TypedDict):
    """All fields of a labels file."""

    format: Annotated[str, Field(f"`{LABELS_FORMAT}`.", const=LABELS_FORMAT)]
    model_id: Annotated[str, Field("The model's id.", pattern=f"^{MODEL_ID.pattern}$")]
    sha256: Annotated[str, Field("The SHA-256 of the model's file: the labels are of these bytes.")]
    registry_id: Annotated[str, Field("The id of the registry.")]
    epoch: Annotated[str, Field("The epoch of that registry's history.")]
    sequence: Annotated[int, Field("The last line of the journal when the file was written.", minimum=0)]
    aliases: Annotated[
        dict[str, Annotated[Setting, Field("Who let it name the model.")]], Field("The aliases that name the model.")
    ]
    pinned: Annotated[Setting | None, Field("Who pinned the model; null: it is not pinned.")]
    held: Annotated[
        Setting | None, Field("Since when the model is held, by whom, and why; null: it is not. Earlier files lack it.")
    ]
    tags: Annotated[dict[str, str], Field("All tags of the model.")]
    recorded: Annotated[
        dict[str, Measurement], Field("The latest value of each metric that was measured after the registration.")
    ]
    checksum: Annotated[str, Field("CRC-32 of all bytes before it, as in a line of the journal.")]


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labels of the model whose file has the SHA-256 `sha256`, as of line `sequence` of that epoch.

    `other` are fields that a later version added: they stay in the file.
    """

    model_id: str
    sha256: str
    identity: Identity
    sequence: int
    aliases: Mapping[str, Setting]
    pinned: Setting | None
    held: Setting | None
    tags: Mapping[str, str]
    recorded: Mapping[str, Measurement]
    other: Mapping[str, Any] = field(default_factory=dict)

    def is_of(self, entry: Mapping[str, Any], registry_id: str) -> bool:
        """Return whether these are labels of this very model in that registry."""
        is_same = (self.model_id, self.sha256) == (entry.get("model_id"), entry.get("sha256"))
        return is_same and self.identity.registry_id == registry_id

    def differences(self, entry: Mapping[str, Any]) -> list[str]:
        """Return the fields of an entry that say something else than these labels."""
        said = self.as_changes()
        known = {
            "aliases": sorted(entry.get("aliases") or ()),
            "pinned": bool(entry.get("pinned")),
            "held": entry.get("held"),
            "held_since": entry.get("held_since"),
            "tags": entry.get("tags") or {},
            "recorded": entry.get("recorded") or {},
        }
        return [name for name, value in known.items() if said[name] != value]

    def as_changes(self) -> dict[str, Any]:
        """Return the fields of an entry as these labels have them."""
        return {
            "aliases": sorted(self.aliases),
            "pinned": self.pinned is not None,
            "held": self.held["reason"] if self.held is not None else None,
            "held_since": self.held["at"] if self.held is not None else None,
            "tags": dict(self.tags),
            "recorded": dict(self.recorded),
        }

    @property
    def order(self) -> tuple[int, int]:
        """What orders two labels files of one registry by age."""
        return self.identity.epoch_number, self.sequence


def has_labels(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry has labels that its sidecar cannot tell of. Tags may be the sidecar's."""
    return bool(entry.get("aliases") or entry.get("pinned") or entry.get("held") or entry.get("recorded"))


def labelled(
    entry: EntryFields,
    identity: Identity,
    sequence: int,
    before: Labelled | None,
    changes: Iterable[LabelChange] = (),
) -> Labelled:
    """Return the labels of an entry as of a line.

    Who set an alias, the pin or the hold is known from the labels `before` and from `changes` since then, the oldest
    first.
    """
    aliases = dict(before.aliases) if before is not None else {}
    pinned = before.pinned if before is not None else None
    held = before.held if before is not None else None
    for change in changes:
        setting: Setting = {"at": change.at, "actor": change.actor, "reason": change.reason}
        if change.operation == "pin":
            pinned = setting
        elif change.operation == "hold":
            held = setting
        elif change.alias is not None:
            aliases[change.alias] = setting
    unknown: Setting = {"at": None, "actor": "", "reason": ""}
    return Labelled(
        str(entry["model_id"]),
        str(entry.get("sha256")),
        identity,
        sequence,
        {alias: aliases.get(alias, unknown) for alias in sorted(entry.get("aliases") or ())},
        (pinned or unknown) if entry.get("pinned") else None,
        _held(entry, held["actor"] if held is not None else ""),
        dict(entry.get("tags") or {}),
        dict(entry.get("recorded") or {}),
        before.other if before is not None else {},
    )


def label_bytes(labels: Labelled) -> bytes:
    """Return the bytes of a labels file."""
    return seal(
        {
            "format": LABELS_FORMAT,
            "model_id": labels.model_id,
            "sha256": labels.sha256,
            "registry_id": labels.identity.registry_id,
            "epoch": labels.identity.epoch,
            "sequence": labels.sequence,
            "aliases": labels.aliases,
            "pinned": labels.pinned,
            "held": labels.held,
            "tags": labels.tags,
            "recorded": labels.recorded,
            **labels.other,
        }
    )


def parse_labels(path: Path, data: bytes) -> Labelled:
    """Return the labels in the bytes of the file at `path`. Raises RegistryCorrupted and RegistryTooNew."""
    name = format_of(data)
    if isinstance(name, str) and name != LABELS_FORMAT and name.startswith(LABELS_FORMAT_NAME):
        raise RegistryTooNew.of_file(path, f"it has the format {quoted(name)}, this version reads {LABELS_FORMAT}")
    fields = unseal(data.removesuffix(b"\n"))
    try:
        if fields is None or fields.pop("format") != LABELS_FORMAT:
            raise ValueError(name)
        del fields["checksum"]
        return Labelled(
            _text(fields.pop("model_id")),
            _text(fields.pop("sha256")),
            Identity(fields.pop("registry_id"), fields.pop("epoch")),
            int(fields.pop("sequence")),
            {_text(alias): _setting(one) for alias, one in fields.pop("aliases").items()},
            _setting(pinned) if (pinned := fields.pop("pinned")) is not None else None,
            _setting(held) if (held := fields.pop("held", None)) is not None else None,
            {_text(tag): _text(value) for tag, value in fields.pop("tags").items()},
            {_text(metric): _measurement(one) for metric, one in fields.pop("recorded").items()},
            fields,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RegistryCorrupted(path, None, "its bytes are not those of a labels file") from None


def labels_schema() -> dict[str, Any]:
    """Return the JSON schema of a labels file."""
    return document(
        "labels",
        "Labels file of a model-inbox registry",
        "What was put on a model after its registration: <model_id>.labels.json beside its stored sidecar.",
        object_schema(LabelFields),
    )


def _held(entry: EntryFields, actor: str) -> Setting | None:
    """Return who holds a model, since when, and why. A rule that held it at its registration has no name here."""
    reason = entry.get("held")
    return None if not reason else {"at": entry.get("held_since"), "actor": actor, "reason": reason}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _setting(value: Mapping[str, Any]) -> Setting:
    at = value["at"]
    return {"at": None if at is None else _text(at), "actor": _text(value["actor"]), "reason": _text(value["reason"])}


def _measurement(value: Mapping[str, Any]) -> Measurement:
    number = value["value"]
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(number)
    return {"value": number, "at": _text(value["at"])}

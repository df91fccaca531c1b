"""What is to be done in MLflow so that it holds a model as the registry does.

Owns `Wanted`, what the registry says of a model, and the steps that lead there from what MLflow has. Pure: the same
values give the same steps, and steps that were carried out lead to none. Never carries one out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..model.metadata import is_valid_id
from ..problems import quoted
from ..registry.entry import EntryFields
from ..registry.journal import Line
from .tags import PREFIX, SHA256_TAG

__all__ = [
    "Create",
    "Delete",
    "Keep",
    "Retired",
    "Step",
    "Supersede",
    "Version",
    "Wanted",
    "changes_of",
    "fault_of",
    "steps",
    "tag_changes",
]

Retired = Literal["tag", "delete"]
"""What becomes of a version whose model was retired."""

# They say where things are and how far we are, not what the model is.
_NOT_COMPARED = frozenset({f"{PREFIX}{name}" for name in ("line", "epoch", "entry_path", "entry_sha256")})


@dataclass(frozen=True, slots=True)
class Version:
    """A model version as MLflow has it."""

    name: str
    number: int
    run_id: str
    source: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model as the registry has it after the line `line` of an epoch.

    `retired` says when and why it was retired; None: it is registered.
    """

    entry: EntryFields
    line: int
    epoch: str = ""
    retired: Mapping[str, Any] | None = None

    @property
    def model_id(self) -> str:
        """The model's id."""
        return str(self.entry["model_id"])


@dataclass(frozen=True, slots=True)
class Create:
    """Make a run and a version."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Bring the tags and aliases of this version up to date."""

    version: Version


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete this version with its run, for this reason."""

    version: Version
    because: str


@dataclass(frozen=True, slots=True)
class Supersede:
    """Mark this version as that of an earlier model with the same id, which is registered no more."""

    version: Version


Step = Create | Keep | Delete | Supersede


def steps(wanted: Wanted, found: Sequence[Version], retired: Retired, *, compare: bool = False) -> tuple[Step, ...]:
    """Return what is to be done for one model. `found` are the versions with its id and of its registry.

    A version that knows a later line than `wanted` stays as it is, unless `compare`: then the registry is what it is
    now, and whatever MLflow holds is compared with it.
    """
    same = sorted((one for one in found if is_same(wanted.entry, one)), key=lambda one: one.number)
    others = [one for one in found if not is_same(wanted.entry, one)]
    done: list[Step] = []
    if not same:
        if wanted.retired is None or retired == "tag":
            done.append(Create())
    elif wanted.retired is not None and retired == "delete":
        done.append(Delete(same[0], "its model was retired"))
    elif compare or not knows_later(same[0], wanted):
        done.append(Keep(same[0]))
    done += [Delete(one, "it is there twice") for one in same[1:]]
    if wanted.retired is None:
        for one in others:
            if retired == "delete":
                done.append(Delete(one, "its model is registered no more"))
            elif not one.tags.get(f"{PREFIX}retired"):
                done.append(Supersede(one))
    return tuple(done)


def is_same(entry: Mapping[str, Any], found: Version) -> bool:
    """Return whether a version is of this very model, and not of an earlier one with its id."""
    digest = entry.get("sha256")
    return digest is None or found.tags.get(SHA256_TAG) == digest


def knows_later(found: Version, wanted: Wanted) -> bool:
    """Return whether a version was brought up to date after the line that is wanted now."""
    line = found.tags.get(f"{PREFIX}line", "")
    return found.tags.get(f"{PREFIX}epoch") == wanted.epoch and line.isdecimal() and int(line) > wanted.line


def tag_changes(
    wanted: Mapping[str, str], found: Mapping[str, str], *, only_content: bool = False
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the tags to be set, and the names of those to be removed. With `only_content`, what tells of the model."""
    changed = {
        key: value
        for key, value in wanted.items()
        if found.get(key) != value and not (only_content and key in _NOT_COMPARED)
    }
    gone = tuple(sorted(key for key in found if key.startswith(PREFIX) and key not in wanted))
    return changed, gone


def fault_of(entry: Mapping[str, Any]) -> str:
    """Return why an entry cannot be mirrored, as a sentence. Return "" if it can."""
    model_id = str(entry.get("model_id"))
    if not is_valid_id(model_id):
        return f"{quoted(model_id)} is an id of a registry that was adopted, and MLflow could not be asked for it"
    return ""


def changes_of(lines: Iterable[Line], epoch: str) -> Iterator[Wanted]:
    """Yield what these lines make of each model: one value for each, in the order in which they last changed.

    Those that were retired come last, unless their id was used again.
    """
    latest: dict[tuple[str, int], Wanted] = {}
    for line in lines:
        for one in _changes(line, epoch):
            key = (one.model_id, int(one.entry.get("sequence") or 0))
            latest.pop(key, None)
            latest[key] = one
    # Who retires may be deleted in MLflow: who follows it under its alias has that before. Only an id that was used
    # again keeps its order.
    live = {one.model_id for one in latest.values() if one.retired is None}
    yield from sorted(latest.values(), key=lambda one: one.retired is not None and one.model_id not in live)


def _changes(line: Line, epoch: str) -> Iterator[Wanted]:
    # Who gets an alias comes before who loses it: in MLflow it moves in one step, and always names a version.
    if line.changes_entry and line.entry is not None:
        yield Wanted(line.entry, line.sequence, epoch)
    also = line.detail.get("also", {}) if line.detail is not None else {}
    for entry in also.values():
        if entry is not None:
            yield Wanted(entry, line.sequence, epoch)
    if line.changes_entry and line.entry is None and line.removed is not None:
        yield Wanted(line.removed, line.sequence, epoch, {"at": line.time, "reason": line.reason})

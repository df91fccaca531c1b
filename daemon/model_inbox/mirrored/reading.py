"""The entries that the model versions of a mirror tell of.

Owns which versions count: those of one registry that are not retired, one for each model, and one holder for each
alias. What MLflow says is hostile until it was checked here. Pure: no disk, no clock, no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..errors import RegistryError
from ..mirror.client import Run
from ..mirror.plan import Version
from ..mirror.tags import MODEL_FOLDER, MirroredFile, ReadBack, entry_of_tags
from ..model.slot import Slot, slot_of
from ..problems import quoted
from ..registry.entry import EntryFields, changed_entry, sequence_of

__all__ = ["Mirrored", "current"]

_PLACE = re.compile(
    rf"{MODEL_FOLDER}/artifacts/(model|scaler|sidecar)(-[0-9]{{1,20}})?(\.[A-Za-z0-9]{{1,8}})?|"
    r"model_inbox/entry(-[0-9]{1,20})?\.json",
    re.ASCII,
)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A model in the mirror: what its tags say, and the run with its files."""

    said: ReadBack
    run: Run
    number: int

    @property
    def entry(self) -> EntryFields:
        """What is known of it from the tags alone."""
        return self.said.entry


def current(versions: Iterable[Version], registry_id: str | None) -> dict[str, Mirrored]:
    """Return the registered models by their ids. `registry_id` chooses one of several registries; None: there is one.

    Of two versions of a model the one of the later registration counts, and of two of the same the first: the mirror
    deletes the other one. Raises RegistryError for tags that nobody can read, and for versions of several registries.
    """
    found: dict[str, Mirrored] = {}
    registries = set()
    for version in versions:
        said = _read(version)
        if said is None or said.retired is not None or registry_id not in (None, said.registry_id):
            continue
        registries.add(said.registry_id)
        one = Mirrored(said, _run(version), version.number)
        before = found.get(model_id := str(said.entry["model_id"]))
        if before is None or _rank(one) > _rank(before):
            found[model_id] = one
    if len(registries) > 1:
        raise RegistryError(
            f"cannot read the mirror: it has models of {len(registries)} registries",
            hint=f"Choose one: MirrorRegistry(..., registry_id={quoted(min(registries))}); the others are "
            + ", ".join(map(quoted, sorted(registries)[1:6])),
        )
    return _with_one_holder(found)


def _rank(one: Mirrored) -> tuple[int, int]:
    return sequence_of(one.entry), -one.number


def _read(version: Version) -> ReadBack | None:
    """Return what the tags of a version say, or None for one that is not the mirror's. Raises RegistryError."""
    where = f"version {version.number} of {quoted(version.name)}"
    try:
        said = entry_of_tags(version.tags)
        if said is not None:
            sequence_of(said.entry)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RegistryError(
            f"cannot read the mirror: the tags of {where} are damaged",
            hint="`model-inbox mlflow verify --repair` writes them again",
        ) from error
    if said is None:
        return None
    places = [(file.path, file.sha256) for file in said.files.values()]
    if said.entry_file is not None:
        places.append((said.entry_file.path, said.entry_file.sha256))
    for path, digest in places:
        if not _PLACE.fullmatch(path) or not _DIGEST.fullmatch(digest):
            raise RegistryError(
                f"cannot read the mirror: the tags of {where} name the file {quoted(path)}, which the mirror never "
                "writes",
                hint="`model-inbox mlflow verify --repair` writes them again",
            )
    return said


def _run(version: Version) -> Run:
    """Return the run of a version. Its artifacts are where the version's own folder is."""
    return Run(version.run_id, version.source.removesuffix(f"/{MODEL_FOLDER}"))


def _with_one_holder(found: Mapping[str, Mirrored]) -> dict[str, Mirrored]:
    """Leave each alias of a slot to the model that got it last: the mirror tags one version after the other."""
    holders: dict[tuple[Slot, str], tuple[int, str]] = {}
    for model_id, one in found.items():
        for alias in _aliases(one.entry):
            line = int(((one.entry.get("promotions") or {}).get(alias) or {"line": 0})["line"])
            key = slot_of(one.entry), alias
            holders[key] = max(holders.get(key, (-1, "")), (line, model_id))
    return {
        model_id: replace(one, said=replace(one.said, entry=_holding(one.entry, model_id, holders)))
        for model_id, one in found.items()
    }


def _aliases(entry: EntryFields) -> list[str]:
    return list(map(str, entry.get("aliases") or ()))


def _holding(entry: EntryFields, model_id: str, holders: Mapping[tuple[Slot, str], tuple[int, str]]) -> EntryFields:
    kept = [alias for alias in _aliases(entry) if holders[slot_of(entry), alias][1] == model_id]
    return entry if kept == _aliases(entry) else changed_entry(entry, aliases=kept)


def file_of(one: Mirrored, role: str) -> MirroredFile | None:
    """Return the file of a model or its scaler, where the mirror has its bytes."""
    return one.said.files.get(role)

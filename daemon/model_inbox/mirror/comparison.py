"""How the registry and MLflow differ, model by model and digest by digest.

Owns what counts as missing, extra and different. Pure: it compares what others have read, and repairs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .names import alias_fault
from .plan import Retired, Version, Wanted, is_same, tag_changes
from .tags import MODEL_ID_TAG, PREFIX, EntryFile, entry_of_tags, version_tags

__all__ = ["Differences", "Different", "Extra", "compared", "problems_of"]


@dataclass(frozen=True, slots=True)
class Different:
    """A version that does not say what the registry does."""

    wanted: Wanted
    version: Version
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Extra:
    """A version that should not be there."""

    version: Version
    because: str

    @property
    def model_id(self) -> str:
        """The id of the model that it was made for."""
        return self.version.tags.get(MODEL_ID_TAG, "")


@dataclass(frozen=True, slots=True)
class Differences:
    """All differences. `same` are the models that are in MLflow as they are in the registry."""

    missing: tuple[Wanted, ...] = ()
    extra: tuple[Extra, ...] = ()
    different: tuple[Different, ...] = ()
    same: int = 0
    found: Mapping[str, Sequence[Version]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether there is none."""
        return not (self.missing or self.extra or self.different)


def compared(
    wanted: Iterable[Wanted],
    found: Iterable[Version],
    aliases: Mapping[str, Mapping[str, int]],
    *,
    registry_id: str,
    retired: Retired,
) -> Differences:
    """Compare all registered models with all versions of their registry.

    `aliases` are those of every registered model in MLflow, each with the number of its version.
    """
    by_id: dict[str, list[Version]] = {}
    for version in found:
        by_id.setdefault(version.tags.get(MODEL_ID_TAG, ""), []).append(version)
    missing, different, extra, same = [], [], [], 0
    known = set()
    for one in wanted:
        known.add(one.model_id)
        there = by_id.get(one.model_id, [])
        ours = sorted((version for version in there if is_same(one.entry, version)), key=lambda version: version.number)
        extra += [Extra(version, "it is there twice") for version in ours[1:]]
        extra += _left([version for version in there if version not in ours], retired)
        if not ours:
            missing.append(one)
        elif problems := problems_of(one, ours[0], aliases.get(ours[0].name, {}), registry_id):
            different.append(Different(one, ours[0], problems))
        else:
            same += 1
    for model_id, there in by_id.items():
        if model_id not in known:
            extra += _left(there, retired)
    return Differences(tuple(missing), tuple(extra), tuple(different), same, by_id)


def problems_of(wanted: Wanted, version: Version, aliases: Mapping[str, int], registry_id: str) -> tuple[str, ...]:
    """Return how a version differs from its model: the fields, files and aliases, each as a clause."""
    try:
        back = entry_of_tags(version.tags)
    except ValueError as error:
        return (f"its tags are damaged: {error}",)
    if back is None:
        return ("its tags are not in a form that this version writes",)
    tags = version_tags(
        wanted.entry,
        registry_id=registry_id,
        line=wanted.line,
        epoch=wanted.epoch,
        files=back.files,
        entry_file=back.entry_file or EntryFile("", ""),
        retired=wanted.retired,
    )
    changed, gone = tag_changes(tags, version.tags, only_content=True)
    problems = [f"the tag {key} differs" for key in sorted(changed)] + [f"the tag {key} is too much" for key in gone]
    for role, digest in (("model", wanted.entry.get("sha256")), ("scaler", wanted.entry.get("scaler_sha256"))):
        file = back.files.get(role)
        if file is not None and digest is not None and file.sha256 != digest:
            problems.append(f"the {role} has the digest {file.sha256}, and {digest} is registered")
        if back.has_bytes and file is None and digest is not None:
            problems.append(f"the {role} is not there")
    expected = {alias for alias in wanted.entry.get("aliases") or () if not alias_fault(alias)}
    there = {alias for alias, number in aliases.items() if number == version.number}
    problems += [f"the alias {alias} does not name it" for alias in sorted(expected - there)]
    problems += [f"the alias {alias} names it" for alias in sorted(there - expected)]
    return tuple(problems)


def _left(versions: Iterable[Version], retired: Retired) -> list[Extra]:
    """Return those versions of models that are registered no more which should not be there, or not like this."""
    return [
        Extra(version, "its model is registered no more")
        for version in versions
        if retired == "delete" or not version.tags.get(f"{PREFIX}retired")
    ]

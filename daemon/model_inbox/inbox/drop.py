"""What lies in the inbox: single files as they were seen, and the drops that they make.

Owns names: which are ignored, what stem one has, which files belong to a sidecar. Pure. Decides nothing; `readiness`
does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..model.file_names import (
    MODEL,
    NOTHING,
    SIDECAR,
    SIDECAR_SUFFIX,
    Files,
    Role,
    choose,
    match_files,
    scaler_stem,
    stems_of,
)
from ..model.sidecar import Sidecar
from ..problems import Problem
from ..problems.artifact import artifact_others

__all__ = [
    "TRIES_NAME",
    "Drop",
    "Kind",
    "Role",
    "Sighting",
    "all_of",
    "pair",
    "possible_sidecars",
    "safe_stem",
    "seen_as",
]

TRIES_NAME = ".tries"
"""The name, in a claim, of the file that counts the tries that failed unexpectedly. No file of a drop has it."""
_STEM_CHARACTERS_MAX = 64
_UNSAFE_IN_ID = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
Kind = Literal["file", "folder", "symlink", "other"]


class Sighting(NamedTuple):
    """One observation of a name in the inbox, without following links. Times in nanoseconds since 1970."""

    name: str
    kind: Kind
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    owner: int

    @property
    def signature(self) -> tuple[int, int, int, int]:
        """What stays the same as long as nobody touches the file."""
        return self.inode, self.size, self.mtime_ns, self.ctime_ns

    @property
    def content(self) -> tuple[int, int, int]:
        """What stays the same also when the file is renamed."""
        return self.inode, self.size, self.mtime_ns


@dataclass(frozen=True, slots=True)
class Drop:
    """A sidecar and the files that go with it, as far as they are there.

    `files` maps roles to names, `shared` are files that other sidecars name, too. `sightings` are of what is
    there, the sidecar first. `owner` is the user id of the sidecar's owner. `unclear` has the files of each role of
    which no rule says which one is meant. `rivals` are other sidecars of its stem. `others` are files of its stem that
    the sidecar does not mean, and that no other sidecar names.
    """

    stem: str
    sidecar_name: str
    sidecar: Sidecar | None
    problem: Problem | None
    files: Mapping[Role, str]
    sightings: Mapping[str, Sighting]
    owner: int
    shared: frozenset[str] = frozenset()
    unclear: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    rivals: tuple[str, ...] = ()
    others: Mapping[str, Sighting] = field(default_factory=dict)

    @property
    def present(self) -> tuple[str, ...]:
        """The names of the drop that are there, the sidecar first."""
        return tuple(self.sightings)

    @property
    def refused_together(self) -> dict[str, Sighting]:
        """What a refused sidecar takes along, the sidecar first: the present files that are this drop's alone.

        Also those of its stem that the sidecar does not mean, so that no half is left to be answered alone. Not those
        of other users, not what another sidecar is waiting for, and no folders, which stay where they are.
        """
        seen = {**self.sightings, **self.others}
        return {
            name: sighting
            for name, sighting in seen.items()
            if name == self.sidecar_name
            or (name not in self.shared and sighting.owner == self.owner and sighting.kind != "folder")
        }

    @property
    def notes(self) -> tuple[Problem, ...]:
        """What was found that rejects nothing: models and scalers of its stem beside those that are taken."""
        left: dict[Role, list[str]] = {"model": [], "scaler": []}
        for name in self.others:
            if MODEL.fullmatch(name) is not None:
                left["scaler" if scaler_stem(name) is not None else "model"].append(name)
        found = [(role, self.files[role], names) for role, names in left.items() if names and role in self.files]
        return tuple(artifact_others(role, taken, names) for role, taken, names in found)


def seen_as(sighting: Sighting) -> str:
    """Return a sighting's signature as text, which is equal when nothing was changed."""
    return ":".join(map(str, sighting.signature))


def possible_sidecars(name: str) -> list[str]:
    """Return the names that the sidecars of a file most likely have, by its own name; none for a sidecar."""
    if SIDECAR.fullmatch(name):
        return []
    return [f"{stem}{SIDECAR_SUFFIX}" for stem in stems_of(name)]


def safe_stem(text: str) -> str:
    """Return at most 64 characters of a stem that can stand in a drop_id, whatever the stem holds."""
    return _UNSAFE_IN_ID.sub("_", text)[:_STEM_CHARACTERS_MAX] or "_"


def all_of(name: str) -> list[str]:
    """Return texts that stand for all files of the stems that a file may belong to. No file has such a name."""
    return [f"{stem}/" for stem in stems_of(name)]


def pair(
    sightings: Mapping[str, Sighting], sidecars: Mapping[str, Sidecar | Problem]
) -> tuple[list[Drop], list[Sighting]]:
    """Return the drops and the strays among what was sighted.

    `sidecars` maps the names of sidecar files to what they say, or to the problem that kept us from reading
    them. A drop's files are those that its sidecar names; of those that it does not name, `files_of` says which of its
    stem and of its owner it means. One that cannot be read is taken to mean the files of its stem. Sidecars of one
    owner and one stem are one drop. What another user's sidecar names changes nothing for a drop.
    """
    if not sidecars:
        return [], list(sightings.values())
    groups: dict[tuple[str, int], list[str]] = {}
    for name in sidecars:
        groups.setdefault((name[: name.rindex(".")], sightings[name].owner), []).append(name)
    declared = {name: sidecar.declared for name, sidecar in sidecars.items() if isinstance(sidecar, Sidecar)}
    of_stem, files = match_files(groups, declared, [(name, sighting.owner) for name, sighting in sightings.items()])
    named = {
        group: {file for name in names for file in _named(sidecars[name], files[name], sightings)}
        for group, names in groups.items()
    }
    claimants = Counter(
        file
        for (_, owner), wanted in named.items()
        for file in wanted
        if file not in sightings or sightings[file].owner == owner
    )
    drops = []
    for (stem, owner), names in groups.items():
        name, *rivals = sorted(names, key=lambda one: (not one.endswith(SIDECAR_SUFFIX), one))
        there, mine = of_stem.get((stem, owner), ()), named[stem, owner]
        taken = {file for file in (*there, *mine) if claimants[file] > (file in mine)}
        meant = choose(stem, there, declared.get(name, NOTHING), taken) if taken else files[name]
        drops.append(_drop(stem, name, rivals, sidecars[name], meant, sightings, frozenset(taken)))
    owned = {*sidecars, *(file for drop in drops for file in (*drop.files.values(), *drop.present))}
    strays = [sighting for name, sighting in sightings.items() if name not in owned]
    return drops, strays


def _known(sidecar: Sidecar | Problem) -> Sidecar | None:
    return sidecar if isinstance(sidecar, Sidecar) else None


def _named(sidecar: Sidecar | Problem, files: Files, there: Container[str]) -> set[str]:
    """Return the files that a sidecar is waiting for, but a scaler of which it says nothing."""
    if isinstance(sidecar, Problem):
        return {file for file in files.roles.values() if file in there}
    return {file for role, file in files.roles.items() if role == "model" or sidecar.declared.has_scaler}


def _drop(
    stem: str,
    name: str,
    rivals: Sequence[str],
    sidecar: Sidecar | Problem,
    files: Files,
    sightings: Mapping[str, Sighting],
    taken: frozenset[str],
) -> Drop:
    """Return the drop of one stem of one owner. `taken` are files that other sidecars name."""
    problem = sidecar if isinstance(sidecar, Problem) else None
    roles = {role: file for role, file in files.roles.items() if problem is None or file in sightings}
    unclear = [file for group in files.unclear.values() for file in group]
    seen = {file: sightings[file] for file in (name, *rivals, *roles.values(), *unclear) if file in sightings}
    others = {file: sightings[file] for file in files.others if file not in taken and file not in seen}
    owner = sightings[name].owner
    return Drop(stem, name, _known(sidecar), problem, roles, seen, owner, taken, files.unclear, tuple(rivals), others)

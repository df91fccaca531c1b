"""What lies in the inbox: single files as they were seen, and the drops that they make.

Owns names: which are ignored, what stem one has, which files belong to a sidecar. Pure. Decides nothing; `readiness`
does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..model.sidecar import MODEL_SUFFIXES, Sidecar
from ..problems import Problem

__all__ = [
    "IGNORED",
    "RESERVED",
    "SIDECAR_SUFFIX",
    "Drop",
    "Kind",
    "Role",
    "Sighting",
    "is_ignored",
    "pair",
    "possible_sidecars",
    "scaler_stem",
    "seen_as",
    "stem_of",
]

SIDECAR_SUFFIX = ".yaml"
RESERVED = frozenset({"receipts", "rejected"})
"""Folders of ours in the inbox beside those whose name begins with a dot."""
Kind = Literal["file", "folder", "symlink", "other"]
Role = Literal["model", "scaler"]
# Names of ours, and those that programs use while they write (rsync and lftp begin theirs with a dot).
IGNORED = re.compile(
    rf"{'|'.join(sorted(RESERVED))}|\..*|.*~|(?i:sed[a-z0-9]{{6}})"
    r"|.*\.(?i:part|partial|crdownload|tmp|temp|swp|swx|filepart|download|upload)",
    re.DOTALL,
)
"""The names that are never judged and never moved."""


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

    `files` maps roles to names, `shared` are those of them that other sidecars name, too. `sightings` are of what is
    there, the sidecar first. `owner` is the user id of the sidecar's owner.
    """

    stem: str
    sidecar_name: str
    sidecar: Sidecar | None
    problem: Problem | None
    files: Mapping[Role, str]
    sightings: Mapping[str, Sighting]
    owner: int
    shared: frozenset[str] = frozenset()

    @property
    def present(self) -> tuple[str, ...]:
        """The names of the drop that are there, the sidecar first."""
        return tuple(self.sightings)

    @property
    def own_files(self) -> tuple[str, ...]:
        """The present files that are this drop's alone: all that a refused sidecar takes along.

        Not those of other users, not what another sidecar is waiting for, and no folders, which stay where they are.
        """
        return tuple(
            name
            for name in self.present
            if name != self.sidecar_name
            and name not in self.shared
            and self.sightings[name].owner == self.owner
            and self.sightings[name].kind != "folder"
        )


def is_ignored(name: str) -> bool:
    """Return whether a name is ours, hidden, or one that programs use while they write."""
    return IGNORED.fullmatch(name) is not None


def seen_as(sighting: Sighting) -> str:
    """Return a sighting's signature as text, which is equal when nothing was changed."""
    return ":".join(map(str, sighting.signature))


def stem_of(name: str) -> str:
    """Return the name without the suffix of a sidecar or a pickle."""
    for suffix in (SIDECAR_SUFFIX, *MODEL_SUFFIXES):
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def scaler_stem(name: str) -> str | None:
    """Return the stem of the drop that a file would be the scaler of by its name, or None."""
    for suffix in MODEL_SUFFIXES:
        stem = name.removesuffix(f"_scaler{suffix}")
        if stem != name:
            return stem
    return None


def possible_sidecars(name: str) -> list[str]:
    """Return the names of the sidecars that a file belongs to by its own name; none for a sidecar."""
    if name.endswith(SIDECAR_SUFFIX):
        return []
    stems = (stem_of(name), scaler_stem(name))
    return [f"{stem}{SIDECAR_SUFFIX}" for stem in stems if stem is not None]


def pair(
    sightings: Mapping[str, Sighting], sidecars: Mapping[str, Sidecar | Problem]
) -> tuple[list[Drop], list[Sighting]]:
    """Return the drops and the strays among what was sighted.

    `sidecars` maps the names of sidecar files to what they say, or to the problem that kept us from reading
    them. A drop's files are those that its sidecar names; one that says nothing about a scaler owns a
    `<stem>_scaler.pkl` (see `Sidecar`) that is there, if it is of the same owner and no other sidecar names it;
    one that cannot be read is taken to mean the files of its stem. What another user's sidecar names changes
    nothing for a drop.
    """
    named = {name: _named_files(name, sidecar, sightings) for name, sidecar in sidecars.items()}
    claimants = Counter(
        file
        for name, files in named.items()
        for file in set(files.values())
        if file not in sightings or sightings[file].owner == sightings[name].owner
    )
    drops = []
    for name, sidecar in sidecars.items():
        stem, files = name[: -len(SIDECAR_SUFFIX)], named[name]
        if isinstance(sidecar, Sidecar) and not sidecar.scaler_declared:
            for scaler in sidecar.scaler_names:
                found = sightings.get(scaler)
                if found is not None and found.owner == sightings[name].owner and not claimants[scaler]:
                    files["scaler"] = scaler
                    break
        seen = {file: sightings[file] for file in (name, *files.values()) if file in sightings}
        shared = frozenset(file for file in files.values() if claimants[file] > 1)
        known = sidecar if isinstance(sidecar, Sidecar) else None
        problem = sidecar if isinstance(sidecar, Problem) else None
        drops.append(Drop(stem, name, known, problem, files, seen, sightings[name].owner, shared))
    owned = {*sidecars, *(file for drop in drops for file in drop.files.values())}
    strays = [sighting for name, sighting in sightings.items() if name not in owned]
    return drops, strays


def _named_files(name: str, sidecar: Sidecar | Problem, sightings: Mapping[str, Sighting]) -> dict[Role, str]:
    """Return the files that a sidecar names, whether they are there or not."""
    if isinstance(sidecar, Sidecar):
        files: dict[Role, str] = {"model": sidecar.model_file}
        if sidecar.scaler_file is not None:
            files["scaler"] = sidecar.scaler_file
        return files
    stem = name[: -len(SIDECAR_SUFFIX)]
    guessed: tuple[tuple[Role, str], ...] = (("model", f"{stem}.pkl"), ("scaler", f"{stem}_scaler.pkl"))
    return {role: file for role, file in guessed if file in sightings}

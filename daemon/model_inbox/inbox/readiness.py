"""What each thing in the inbox waits for: sightings and parsed sidecars in, decisions out.

Owns which files belong together and when a drop is whole, ours to refuse, or to be left alone. Pure: what is on
the disk and how long it has been so comes in through `Sighting` and `Facts`; the decisions are values that
`intake` and `service` carry out.

A drop is *whole* when its sidecar has no problems, every file that it names is a regular file of the same owner
that ends as a pickle must, and nobody is writing any of them. Nobody is writing when the kernel says so for each
(a read lease) and the sidecar is sealed; otherwise when nothing of it has changed for the settle time, and no
lease says the contrary.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from ..base.leases import Lease
from ..base.units import format_duration, format_size
from ..model.metadata import id_fault
from ..model.sidecar import MODEL_SUFFIXES, Sidecar, scaler_names
from ..problems import Problem, quoted
from ..problems.artifact import (
    artifact_missing,
    artifact_not_regular,
    artifact_open_for_writing,
    artifact_too_large,
    artifact_truncated,
)
from ..problems.drop import (
    drop_folder,
    drop_incomplete_timeout,
    drop_invalid_name,
    drop_no_sidecar,
    drop_settling,
    drop_sidecar_not_regular,
)
from ..problems.sidecar import sidecar_not_owner

__all__ = [
    "RESERVED",
    "SIDECAR_SUFFIX",
    "Decision",
    "Drop",
    "Facts",
    "Held",
    "Kind",
    "Limits",
    "Look",
    "Refuse",
    "Sighting",
    "Take",
    "Wait",
    "is_ignored",
    "judge",
    "judge_stray",
    "kind_in_words",
    "pair",
    "safe_stem",
    "scaler_stem",
    "seen_as",
    "stem_of",
    "stem_problem",
]

SIDECAR_SUFFIX = ".yaml"
RESERVED = frozenset({"receipts", "rejected"})
"""Folders of ours in the inbox beside those whose name begins with a dot."""

Kind = Literal["file", "folder", "symlink", "other"]
Role = Literal["model", "scaler"]

# Names that programs use while they write (rsync and lftp begin theirs with a dot): never judged, never moved.
_TEMPORARY = re.compile(
    r"\..*|.*~|.*\.(part|partial|crdownload|tmp|temp|swp|swx|filepart|download|upload)|sed[A-Za-z0-9]{6}",
    re.DOTALL | re.IGNORECASE,
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
STEM_CHARACTERS_IN_DROP_ID = 64


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
class Look:
    """What opening a file told: whether somebody writes it, whether it ends as a pickle does, or why it failed."""

    lease: Lease
    complete: bool
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What an earlier claim of a drop came to. `seconds` from now it may be claimed again.

    None: its very bytes were seen not to be whole, so it waits for other ones.
    """

    problems: tuple[Problem, ...]
    seconds: float | None


class Facts(Protocol):
    """What `judge` may ask about the names that it was given."""

    def unchanged_seconds(self, name: str) -> float:
        """How long we have seen the name with its present signature."""

    def age_seconds(self, name: str) -> float:
        """How long ago it changed last, as far as is known (survives a restart of the daemon)."""

    def look(self, name: str) -> Look:
        """Open the file and look at it."""

    def held(self, drop: Drop) -> Held | None:
        """Why this drop, though it looks ready, is not to be claimed now; None when nothing is known against it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The keys of config.yaml that decide here; times in seconds, size in bytes."""

    settle_seconds: float
    incomplete_timeout: float
    orphan_timeout: float
    max_artifact_size: int


@dataclass(frozen=True, slots=True)
class Drop:
    """A sidecar and the files that go with it, as far as they are there.

    `files` maps roles to names, `shared` are those of them that other sidecars name, too.
    """

    stem: str
    sidecar_name: str
    sidecar: Sidecar | None
    problem: Problem | None
    files: Mapping[Role, str]
    sightings: Mapping[str, Sighting]
    shared: frozenset[str] = frozenset()

    @property
    def present(self) -> tuple[str, ...]:
        """The names of the drop that are there, the sidecar first."""
        return tuple(name for name in (self.sidecar_name, *self.files.values()) if name in self.sightings)

    @property
    def owner(self) -> int:
        """The user id of the sidecar's owner."""
        return self.sightings[self.sidecar_name].owner

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


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now. `until` seconds from now it is to be judged again at the latest; None: when something changes.

    `stale` says that no clock will end the wait, so a person has to.
    """

    problems: tuple[Problem, ...]
    until: float | None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Take:
    """Whole: claim it. `integrity` is what told so."""

    integrity: Literal["digest", "lease", "quiet"]


@dataclass(frozen=True, slots=True)
class Refuse:
    """To be rejected for these problems."""

    problems: tuple[Problem, ...]


Decision = Wait | Take | Refuse


def is_ignored(name: str) -> bool:
    """Tell whether a name is ours, hidden, or one that programs use while they write."""
    return name in RESERVED or _TEMPORARY.fullmatch(name) is not None


def safe_stem(text: str) -> str:
    """Return at most 64 characters of a stem that can stand in a drop_id, whatever the stem holds."""
    return _UNSAFE.sub("_", text)[:STEM_CHARACTERS_IN_DROP_ID] or "_"


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


def pair(
    sightings: Mapping[str, Sighting], sidecars: Mapping[str, Sidecar | Problem]
) -> tuple[list[Drop], list[Sighting]]:
    """Return the drops and the strays among what was sighted.

    `sidecars` maps the names of sidecar files to what they say, or to the problem that kept us from reading
    them. A drop's files are those that its sidecar names; one that says nothing about a scaler owns a
    `<stem>_scaler.pkl` (see `scaler_names`) that is there, if it is of the same owner and no other sidecar names
    it; one that cannot be read is taken to mean the files of its stem. What another user's sidecar names changes
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
            for scaler in scaler_names(stem, sidecar.model_file):
                found = sightings.get(scaler)
                if found is not None and found.owner == sightings[name].owner and not claimants[scaler]:
                    files["scaler"] = scaler
                    break
        seen = {file: sightings[file] for file in (name, *files.values()) if file in sightings}
        shared = frozenset(file for file in files.values() if claimants[file] > 1)
        known = sidecar if isinstance(sidecar, Sidecar) else None
        problem = sidecar if isinstance(sidecar, Problem) else None
        drops.append(Drop(stem, name, known, problem, files, seen, shared))
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


def judge(drop: Drop, facts: Facts, limits: Limits) -> Decision:
    """Decide about a drop: wait (for what, how long), take it, or refuse it."""
    decision = _judge(drop, facts, limits)
    if isinstance(decision, Wait):
        return decision
    held = facts.held(drop)
    if held is None:
        return decision
    if held.seconds is not None:
        return Wait(held.problems, held.seconds)
    if isinstance(decision, Refuse):
        return decision
    return _when_old(held.problems, min(facts.age_seconds(name) for name in drop.present), limits)


def _judge(drop: Drop, facts: Facts, limits: Limits) -> Decision:
    """Decide by what can be seen of the files now."""
    sidecar_sighting = drop.sightings[drop.sidecar_name]
    quiet = min(facts.unchanged_seconds(name) for name in drop.present)
    age = min(facts.age_seconds(name) for name in drop.present)
    settling = limits.settle_seconds - quiet

    if sidecar_sighting.kind != "file":
        what = kind_in_words(drop.sidecar_name, sidecar_sighting.kind)
        return Refuse((drop_sidecar_not_regular(drop.sidecar_name, what),))
    if drop.problem is not None:
        return _when_old((drop.problem,), age, limits, forever=True)
    wrong_name = stem_problem(drop.stem)
    if wrong_name is not None:
        return Refuse((wrong_name,)) if settling <= 0 else _settle(drop, settling)

    sidecar = drop.sidecar
    assert sidecar is not None  # noqa: S101  # a drop has a sidecar or a problem
    look = facts.look(drop.sidecar_name)
    if look.problem is not None:
        return _when_old((look.problem,), age, limits, forever=True)
    if look.lease is Lease.OPEN:
        return _when_old((artifact_open_for_writing(drop.sidecar_name),), age, limits, forever=True)
    if sidecar.problems:
        if sidecar.cut_short or not sidecar.parses:
            return _when_old(sidecar.problems, age, limits)
        if settling > 0 and not (sidecar.sealed and look.lease is Lease.FREE):
            return _settle(drop, settling)
        return Refuse(sidecar.problems)

    problems: list[Problem] = []
    missing: list[Problem] = []
    unusable: list[Problem] = []
    being_written: list[Problem] = []
    leases: set[Lease] = {look.lease}
    for role, name in drop.files.items():
        sighting = drop.sightings.get(name)
        if sighting is None:
            missing.append(artifact_missing(role, name))
        elif sighting.owner != drop.owner:
            problems.append(sidecar_not_owner(name))
        elif sighting.kind != "file":
            problems.append(artifact_not_regular(kind_in_words(name, sighting.kind), name))
        elif sighting.size > limits.max_artifact_size:
            size, limit = format_size(sighting.size), format_size(limits.max_artifact_size)
            problems.append(artifact_too_large(name, size, limit))
        else:
            look = facts.look(name)
            leases.add(look.lease)
            if look.problem is not None:
                unusable.append(look.problem)
            elif look.lease is Lease.OPEN:
                being_written.append(artifact_open_for_writing(name))
            elif not look.complete:
                missing.append(_truncated(name, sighting.size))
    if problems:
        sealed_and_free = sidecar.sealed and Lease.UNKNOWN not in leases
        return Refuse(tuple(problems)) if settling <= 0 or sealed_and_free else _settle(drop, settling)
    if unusable or being_written:
        return _when_old((*unusable, *being_written, *missing), age, limits, forever=True)
    if missing:
        return _when_old(tuple(missing), age, limits)

    digested = all(sidecar.digests.get(role) for role in drop.files)
    if sidecar.sealed and leases == {Lease.FREE}:
        return Take("digest" if digested else "lease")
    if settling <= 0:
        return Take("digest" if digested else "quiet")
    return _settle(drop, settling)


def judge_stray(
    stray: Sighting,
    names: Container[str],
    facts: Facts,
    limits: Limits,
    unreadable: Mapping[int, Problem] = MappingProxyType({}),
) -> Wait | Refuse:
    """Decide about something that belongs to no drop.

    `unreadable` has for each owner of a sidecar that we cannot read why we cannot: it may name any file of that owner,
    so none of them is refused.
    """
    if stray.kind == "folder":
        return Wait((drop_folder(stray.name),), None, stale=True)
    problem = _no_sidecar(stray, names)
    age = facts.age_seconds(stray.name)
    if age < limits.orphan_timeout:
        return Wait((problem,), limits.orphan_timeout - age)
    if stray.owner in unreadable:
        return Wait((problem, unreadable[stray.owner]), None, stale=True)
    if stray.kind == "file":
        look = facts.look(stray.name)
        if look.lease is Lease.OPEN:
            return Wait((artifact_open_for_writing(stray.name),), None, stale=True)
    return Refuse((problem,))


def _when_old(problems: tuple[Problem, ...], age: float, limits: Limits, *, forever: bool = False) -> Decision:
    """Wait while it is young; then refuse, or with `forever` go on waiting and say that a person is needed."""
    left = limits.incomplete_timeout - age
    if left > 0:
        return Wait(problems, left)
    if forever:
        return Wait(problems, None, stale=True)
    return Refuse((*problems, drop_incomplete_timeout(format_duration(limits.incomplete_timeout))))


def _settle(drop: Drop, seconds: float) -> Wait:
    why = (
        "the sidecar does not end with `...` and gives no sha256"
        if drop.sidecar is not None and not drop.sidecar.sealed
        else "nobody can tell whether a file is still being written"
    )
    return Wait((drop_settling(why),), seconds)


def stem_problem(stem: str) -> Problem | None:
    """Return why no drop can be called so, or None."""
    fault = id_fault(stem)
    return drop_invalid_name(stem, stem + SIDECAR_SUFFIX, fault) if fault else None


def _truncated(name: str, size: int) -> Problem:
    what = "is empty" if size == 0 else f"has {format_size(size)} and lacks the end of a pickle"
    return artifact_truncated(f"{quoted(name)} {what}", name)


def kind_in_words(name: str, kind: Kind) -> str:
    """Return what a name is that should be a regular file: "'a.pkl' is a symbolic link"."""
    what = {"symlink": "a symbolic link", "folder": "a folder"}.get(kind, "a pipe, a socket or a device, and no file")
    return f"{quoted(name)} is {what}"


def _no_sidecar(stray: Sighting, names: Container[str]) -> Problem:
    name = stray.name
    stem = stem_of(name)
    near = [other for other in (f"{stem}.yml", f"{stem}.YAML", f"{name}.yaml") if other in names and other != name]
    scaler_of = scaler_stem(name)
    if name.endswith((".yml", ".YAML", ".YML")):
        hint = "Sidecars end in .yaml: rename it"
    elif not name.endswith(MODEL_SUFFIXES):
        hint = f"Models and scalers end in {', '.join(MODEL_SUFFIXES)}: rename it if it is one, else take it away"
    elif scaler_of:
        hint = (
            f"Send the sidecar {quoted(scaler_of + SIDECAR_SUFFIX)} with its model, or name this file in `scaler_file`"
        )
    elif near:
        hint = f"Is {quoted(near[0])} meant to be its sidecar? That is {quoted(stem + SIDECAR_SUFFIX)}"
    else:
        hint = f"Send a sidecar {quoted(stem + SIDECAR_SUFFIX)}, or one that names this file in `model_file`"
    return drop_no_sidecar(name, hint)

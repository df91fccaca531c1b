"""What each thing in the inbox waits for: sightings and parsed sidecars in, decisions out.

Owns which files belong together and when a drop is complete, ours to refuse, or to be left alone. Pure: what is on
the disk and how long it has been so comes in through `Sighting` and `Facts`; the decisions are values that
`pipeline` and `service` carry out.

A drop is *complete* when its sidecar has no problems, every file that it names is a regular file of the same owner
that ends as a pickle must, and nobody is writing any of them. Nobody is writing when the kernel says so for each
(a read lease) and the sidecar is sealed; otherwise when nothing of it has changed for the settle time, and no
lease says the contrary.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from ..base.leases import Lease
from ..base.units import format_duration, format_size
from ..model.file_names import MODEL, SIDECAR_SUFFIX, SUFFIXES_IN_WORDS, scaler_stem, stem_of
from ..model.sidecar_fields import SIDECAR_BYTES
from ..problems import Problem, quoted
from ..problems.artifact import (
    artifact_ambiguous,
    artifact_missing,
    artifact_not_regular,
    artifact_open_for_writing,
    artifact_too_large,
    artifact_truncated,
    artifact_unknown_suffix,
)
from ..problems.clock import clock_behind
from ..problems.drop import (
    drop_folder,
    drop_incomplete_timeout,
    drop_no_sidecar,
    drop_sidecar_not_regular,
    drop_sidecar_rejected,
)
from ..problems.sidecar import sidecar_ambiguous, sidecar_not_owner
from .drop import Drop, Kind, Sighting
from .settle_time import seconds_left, still_settling

__all__ = [
    "Decision",
    "Facts",
    "Held",
    "Limits",
    "Look",
    "Refuse",
    "Rejection",
    "Take",
    "Wait",
    "dated_by_the_clock",
    "judge",
    "judge_stray",
    "kind_in_words",
]


# A model may be the first file of a corrected drop, whose sidecar is being written: so many settle times it waits.
SETTLES_FOR_A_CORRECTION = 10
_BY_NAME = frozenset({"artifact.ambiguous", "artifact.unknown_suffix"})


@dataclass(frozen=True, slots=True)
class Look:
    """What opening a file told: whether somebody writes it, whether it ends as a pickle does, or why it failed."""

    lease: Lease
    complete: bool
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What an earlier claim of a drop came to. `seconds` from now it may be claimed again.

    None: its very bytes were seen not to be complete, so it waits for other ones.
    """

    problems: tuple[Problem, ...]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected drop that lacks a file. `renamed`: its name was at fault, so no corrected sidecar has that stem."""

    drop_id: str
    renamed: bool


class Facts(Protocol):
    """What `judge` may ask about the names that it was given."""

    def unchanged_seconds(self, name: str) -> float:
        """How long we have seen the name with its present signature."""

    def age_seconds(self, name: str) -> float:
        """How long ago it changed last, as far as is known (survives a restart of the daemon)."""

    def looks(self, names: Sequence[str]) -> Mapping[str, Look]:
        """Open each file and look at it."""

    @property
    def clock_behind_seconds(self) -> float:
        """For how long the clock is taken to be behind: what looks future-dated may not be."""

    def rejection_of(self, stray: Sighting) -> Rejection | None:
        """The rejected drop that a file without a sidecar belongs to; None if there is none."""

    def held(self, drop: Drop) -> Held | None:
        """Why this drop, though it looks ready, is not to be claimed now; None when nothing is known against it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The keys of config.yaml that decide here; times in seconds, size in bytes."""

    settle_seconds: float
    incomplete_timeout: float
    orphan_timeout: float
    max_artifact_size: int
    max_sidecar_size: int = SIDECAR_BYTES


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
    """To be rejected for these problems. `joins` is the rejected drop that a late file of it goes along with, or ""."""

    problems: tuple[Problem, ...]
    joins: str = ""


Decision = Wait | Take | Refuse


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
    return _when_old(held.problems, drop, facts, limits)


def _judge(drop: Drop, facts: Facts, limits: Limits) -> Decision:
    """Decide by what can be seen of the files now."""
    sidecar_sighting = drop.sightings[drop.sidecar_name]
    if sidecar_sighting.kind != "file":
        what = kind_in_words(drop.sidecar_name, sidecar_sighting.kind)
        return Refuse((drop_sidecar_not_regular(drop.sidecar_name, what),))
    if drop.problem is not None:
        return _when_old((drop.problem,), drop, facts, limits, forever=True)
    if drop.rivals:
        return _when_sidecars_rest(drop, facts, limits)
    sidecar = drop.sidecar
    assert sidecar is not None  # noqa: S101  # a drop has a sidecar or a problem
    if sidecar.stem_problem is not None:
        return _settle(drop, facts, limits) or Refuse((sidecar.stem_problem,))

    problems, missing, usable = _files_as_listed(drop, limits) if not sidecar.problems else ([], [], [])
    looks = facts.looks([drop.sidecar_name, *usable])
    look = looks[drop.sidecar_name]
    if look.problem is not None:
        return _when_old((look.problem,), drop, facts, limits, forever=True)
    if look.lease is Lease.OPEN:
        return _when_old((artifact_open_for_writing(drop.sidecar_name),), drop, facts, limits, forever=True)
    if sidecar.problems:
        if sidecar.cut_short and not (sidecar_sighting.size == 0 and look.lease is Lease.FREE):
            return _when_old(sidecar.problems, drop, facts, limits)
        if (doubtful := dated_by_the_clock(sidecar.problems)) and facts.clock_behind_seconds > 0:
            return Wait(doubtful, facts.clock_behind_seconds)
        if sidecar.sealed and look.lease is Lease.FREE:
            return Refuse(sidecar.problems)
        return _settle(drop, facts, limits) or Refuse(sidecar.problems)

    unusable: list[Problem] = []
    being_written: list[Problem] = []
    for name in usable:
        look = looks[name]
        if look.problem is not None:
            unusable.append(look.problem)
        elif look.lease is Lease.OPEN:
            being_written.append(artifact_open_for_writing(name))
        elif not look.complete:
            missing.append(_truncated(name, drop.sightings[name].size))
    leases = {look.lease for look in looks.values()}
    if problems:
        refuse = Refuse(tuple(problems))
        # A file with a better name may be on its way.
        at_once = sidecar.sealed and Lease.UNKNOWN not in leases and not _BY_NAME & {found.code for found in problems}
        return refuse if at_once else _settle(drop, facts, limits) or refuse
    if unusable or being_written:
        return _when_old((*unusable, *being_written, *missing), drop, facts, limits, forever=True)
    if missing:
        return _when_old(tuple(missing), drop, facts, limits)

    digested = all(sidecar.digests.get(role) for role in drop.files)
    if sidecar.sealed and leases == {Lease.FREE}:
        return Take("digest" if digested else "lease")
    return _settle(drop, facts, limits) or Take("digest" if digested else "quiet")


def _files_as_listed(drop: Drop, limits: Limits) -> tuple[list[Problem], list[Problem], list[str]]:
    """Return what shows without opening a file: problems, what is missing, and the names of all other files."""
    problems: list[Problem] = []
    missing: list[Problem] = []
    usable: list[str] = []
    problems += [artifact_ambiguous(role, names) for role, names in drop.unclear.items()]
    for role, name in drop.files.items():
        sighting = drop.sightings.get(name)
        if MODEL.fullmatch(name) is None:
            problems.append(artifact_unknown_suffix(name, SUFFIXES_IN_WORDS))
        elif sighting is None:
            missing.append(artifact_missing(role, name))
        elif sighting.owner != drop.owner:
            problems.append(sidecar_not_owner(name))
        elif sighting.kind != "file":
            problems.append(artifact_not_regular(kind_in_words(name, sighting.kind), name))
        elif sighting.size > limits.max_artifact_size:
            size, limit = format_size(sighting.size), format_size(limits.max_artifact_size)
            problems.append(artifact_too_large(name, size, limit))
        else:
            usable.append(name)
    return problems, missing, usable


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
    if MODEL.fullmatch(stray.name) is None:
        return _judge_unknown_name(stray, facts, limits)
    rejection = facts.rejection_of(stray)
    if rejection is not None and (decision := _judge_late_file(stray, rejection, facts, limits)) is not None:
        return decision
    problem = _no_sidecar(stray, names)
    age = facts.age_seconds(stray.name)
    if age < limits.orphan_timeout:
        return Wait((problem,), limits.orphan_timeout - age)
    if stray.owner in unreadable:
        return Wait((problem, unreadable[stray.owner]), None, stale=True)
    if stray.kind == "file" and facts.looks([stray.name])[stray.name].lease is Lease.OPEN:
        return Wait((artifact_open_for_writing(stray.name),), None, stale=True)
    return Refuse((problem,))


def _judge_late_file(stray: Sighting, rejection: Rejection, facts: Facts, limits: Limits) -> Wait | Refuse | None:
    """Decide about a file whose sidecar was rejected before it came: it waits a short time for a corrected one.

    None while somebody writes it, or if it cannot be read: then it is a stray like any other.
    """
    problem = drop_sidecar_rejected(stray.name, rejection.drop_id)
    wait = limits.settle_seconds * (1 if rejection.renamed else SETTLES_FOR_A_CORRECTION)
    left = seconds_left([facts.unchanged_seconds(stray.name)], wait)
    if left > 0:
        return Wait((problem,), left)
    if stray.kind == "file":
        look = facts.looks([stray.name])[stray.name]
        if look.problem is not None or look.lease is Lease.OPEN:
            return None
    return Refuse((problem,), rejection.drop_id)


def _judge_unknown_name(stray: Sighting, facts: Facts, limits: Limits) -> Wait | Refuse:
    """Decide about a file whose name nothing can take: refuse it when it has settled and nobody writes it."""
    problem = artifact_unknown_suffix(stray.name, SUFFIXES_IN_WORDS)
    left = seconds_left([facts.unchanged_seconds(stray.name)], limits.settle_seconds)
    if left > 0:
        return Wait((problem,), left)
    if stray.kind == "file":
        look = facts.looks([stray.name])[stray.name]
        if look.problem is not None or look.lease is Lease.OPEN:
            age_left = limits.orphan_timeout - facts.age_seconds(stray.name)
            why = look.problem or artifact_open_for_writing(stray.name)
            return Wait((problem, why), age_left) if age_left > 0 else Wait((why,), None, stale=True)
    return Refuse((problem,))


def _when_sidecars_rest(drop: Drop, facts: Facts, limits: Limits) -> Decision:
    """Refuse sidecars of one stem together, when none of them changes or is written any more."""
    names = (drop.sidecar_name, *drop.rivals)
    looks = facts.looks([name for name in names if drop.sightings[name].kind == "file"])
    being_written = tuple(artifact_open_for_writing(name) for name, look in looks.items() if look.lease is Lease.OPEN)
    if being_written:
        return _when_old(being_written, drop, facts, limits, forever=True)
    found = drop.sidecar.problems if drop.sidecar is not None and not drop.sidecar.cut_short else ()
    return _settle(drop, facts, limits) or Refuse((sidecar_ambiguous(names), *found))


def _when_old(
    problems: tuple[Problem, ...], drop: Drop, facts: Facts, limits: Limits, *, forever: bool = False
) -> Decision:
    """Wait while it is young; then refuse, or with `forever` go on waiting and say that a person is needed."""
    left = limits.incomplete_timeout - min(facts.age_seconds(name) for name in drop.present)
    if left > 0:
        return Wait(problems, left)
    if forever:
        return Wait(problems, None, stale=True)
    return Refuse((*problems, drop_incomplete_timeout(format_duration(limits.incomplete_timeout))))


def _settle(drop: Drop, facts: Facts, limits: Limits) -> Wait | None:
    """Wait until the files of a drop have not changed for the settle time; None when that is over."""
    left = seconds_left((facts.unchanged_seconds(name) for name in drop.present), limits.settle_seconds)
    if left <= 0:
        return None
    return Wait((still_settling(sealed=drop.sidecar is None or drop.sidecar.sealed),), left)


def dated_by_the_clock(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return what a drop waits for with which nothing is wrong but a time after that of a doubtful clock; else ()."""
    if any(problem.code != "sidecar.future_date" for problem in problems):
        return ()
    return tuple(
        clock_behind(problem.field or "", problem.message).at(problem.line, problem.column) for problem in problems
    )


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
    near = [other for other in (f"{stem}{SIDECAR_SUFFIX}", f"{stem}.yml") if other in names]
    scaler_of = scaler_stem(name)
    if scaler_of:
        hint = (
            f"Send the sidecar {quoted(scaler_of + SIDECAR_SUFFIX)} with its model, or name this file in `scaler_file`"
        )
    elif near:
        hint = f"{quoted(near[0])} has another file, or belongs to another user: name this file in `model_file`"
    else:
        hint = f"Send a sidecar {quoted(stem + SIDECAR_SUFFIX)}, or one that names this file in `model_file`"
    return drop_no_sidecar(name, hint)

"""Bring all of MLflow to what the registry is, or say how it differs.

Owns the way through all models: for `push`, for `verify`, and for a mirror that cannot go on from its position. What
differs is found by one listing of each side; what seems to differ is looked at once more, because both sides go on
meanwhile. Never changes the registry.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..base.copying import digest_regular
from ..errors import ModelInboxError
from ..registry.registry import ModelRegistry
from .client import Client
from .comparison import Differences, Different, compared
from .errors import MlflowUnreachable
from .files import registered
from .plan import Version, Wanted, is_same
from .tags import REGISTRY_TAG, entry_of_tags
from .writer import Target, Writer

__all__ = ["Failure", "Pushed", "deep_problems", "differences", "push", "registered", "repair"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A model that could not be brought to MLflow, and why."""

    model_id: str
    error: ModelInboxError


@dataclass(slots=True)
class Pushed:
    """What a push did: how many models were brought up to date, how many were so already, and which failed."""

    pushed: int = 0
    unchanged: int = 0
    failed: tuple[Failure, ...] = ()


def differences(client: Client, registry: ModelRegistry, target: Target) -> Differences:
    """Compare the registry with what MLflow has of it."""
    found = client.versions(REGISTRY_TAG, target.registry_id)
    aliases = client.all_aliases()
    first = compared(registered(registry), found, aliases, registry_id=target.registry_id, retired=target.retired)
    if first.is_clean:
        return first
    # A mirror may have been at work between the two listings: what is still so is a difference.
    ids = ids_of(first)
    if len(ids) > len(found) // 4 + 20:
        return first
    again = {
        model_id: [
            one
            for one in client.versions("model_inbox.model_id", model_id)
            if one.tags.get(REGISTRY_TAG) == target.registry_id
        ]
        for model_id in sorted(ids)
    }
    now = [one for one in registered(registry) if one.model_id in ids]
    aliases = {name: client.aliases(name) for name in {one.name for there in again.values() for one in there}}
    versions = [one for there in again.values() for one in there]
    second = compared(now, versions, aliases, registry_id=target.registry_id, retired=target.retired)
    return replace(second, same=first.same + second.same, found={**first.found, **second.found})


def ids_of(found: Differences) -> set[str]:
    """Return the ids of all models with which both sides differ."""
    ids = {one.model_id for one in found.missing} | {one.model_id for one in found.extra}
    return ids | {one.wanted.model_id for one in found.different}


def push(writer: Writer, wanted: Iterable[Wanted], found: Differences, progress: Callable[[Wanted], None]) -> Pushed:
    """Bring these models to MLflow. One that is refused costs the others nothing.

    Raises MlflowUnreachable when MLflow is away: what was done is done, and the next push goes on.
    """
    done = Pushed()
    differ = ids_of(found)
    for one in wanted:
        progress(one)
        if one.model_id not in differ:
            done.unchanged += 1
            continue
        try:
            outcome = writer.apply(one, found.found.get(one.model_id, ()), compare=True)
        except MlflowUnreachable:
            raise
        except ModelInboxError as error:
            done.failed = (*done.failed, Failure(one.model_id, error))
        else:
            done.pushed += outcome == "pushed"
            done.unchanged += outcome == "unchanged"
    return done


def repair(writer: Writer, found: Differences, spoiled: Iterable[Different] = ()) -> Pushed:
    """Mend all differences; versions whose stored bytes are `spoiled` are made anew. Raises MlflowUnreachable."""
    done = Pushed()
    spoiled = tuple(spoiled)
    anew = {(one.version.name, one.version.number) for one in spoiled}
    todo: list[tuple[str, Callable[[], object]]] = [
        (one.wanted.model_id, partial(writer.rewrite, one.wanted, one.version)) for one in spoiled
    ]
    todo += [
        (one.wanted.model_id, partial(_mend, writer, one, found.found.get(one.wanted.model_id, ())))
        for one in found.different
        if (one.version.name, one.version.number) not in anew
    ]
    mended = {model_id for model_id, _ in todo}
    for wanted in found.missing:
        there = found.found.get(wanted.model_id, ())
        todo.append((wanted.model_id, partial(writer.apply, wanted, there, compare=True)))
        mended.add(wanted.model_id)
    # What is extra of a model that was just mended went with that.
    todo += [(one.model_id, partial(writer.remove, one.version)) for one in found.extra if one.model_id not in mended]
    for model_id, mend in todo:
        try:
            mend()
        except MlflowUnreachable:
            raise
        except ModelInboxError as error:
            done.failed = (*done.failed, Failure(model_id, error))
        else:
            done.pushed += 1
    return done


def _mend(writer: Writer, one: Different, found: Sequence[Version]) -> None:
    try:
        back = entry_of_tags(one.version.tags)
    except ValueError:
        back = None
    if back is None or writer.lacks_bytes(one.wanted, one.version):
        writer.rewrite(one.wanted, one.version)
    else:
        writer.apply(one.wanted, found, compare=True)


def deep_problems(
    client: Client, wanted: Iterable[Wanted], found: Differences
) -> Iterator[tuple[Wanted, Different | None]]:
    """Read the stored bytes of every model back, and yield each model with what is wrong with them, if anything is."""
    for one in wanted:
        versions = [version for version in found.found.get(one.model_id, ()) if is_same(one.entry, version)]
        if not versions:
            continue
        problems = _wrong_bytes(client, versions[0])
        yield one, Different(one, versions[0], problems) if problems else None


def _wrong_bytes(client: Client, version: Version) -> tuple[str, ...]:
    try:
        back = entry_of_tags(version.tags)
    except ValueError as error:
        return (f"its tags are damaged: {error}",)
    if back is None:
        return ()
    wanted = {file.path: file.sha256 for file in back.files.values()}
    if back.entry_file is not None:
        wanted[back.entry_file.path] = back.entry_file.sha256
    run = client.run(version.run_id)
    problems = []
    for path, digest in wanted.items():
        # One file at a time is here, and none of them longer than it takes to read it.
        with tempfile.TemporaryDirectory(prefix="model-inbox-read-") as folder:
            try:
                found = digest_regular(client.download(run, path, Path(folder)))
            except FileNotFoundError:
                problems.append(f"{path} is not there")
                continue
        if found != digest:
            problems.append(f"the bytes of {path} have the digest {found}, and {digest} was stored")
    return tuple(problems)

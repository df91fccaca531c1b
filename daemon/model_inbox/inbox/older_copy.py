"""Whether the registry is an older copy: lines that receipts or the status tell of, and that it does not have.

Owns the comparison, and the error that names what is missing. Reads receipts, and changes nothing. What is compared was
written after its line was durable, so a line that is missing was lost after that.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RegistryCorrupted
from ..model.receipt import read_receipt_file
from ..problems import quoted
from ..registry.paths import RegistryFiles
from ..registry.position import Identity
from ..registry.registry import ModelRegistry

__all__ = [
    "Told",
    "lost_lines",
    "older_copy_found",
    "refuse_older_copy",
    "told_by_newest_receipts",
    "told_by_receipts",
    "told_by_status",
]

LOST_NAMED = 20
# An older copy lacks the newest lines: after so many receipts whose lines are there, the older ones are not read.
PRESENT_ENOUGH = 200


@dataclass(frozen=True, slots=True)
class Told:
    """A line of a registry that was told of: by the receipt of a drop, or by the status (without drop and model)."""

    identity: Identity
    sequence: int
    drop_id: str | None = None
    model_id: str | None = None


def told_by_receipts(receipts_dir: Path) -> Iterator[Told]:
    """Yield the registrations that receipts tell of, the newest receipt first. One that cannot be read is left out."""
    found: list[tuple[int, str]] = []
    with suppress(OSError), os.scandir(receipts_dir) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                with suppress(OSError):
                    found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
    for _, name in sorted(found, reverse=True):
        with suppress(OSError, TypeError, KeyError, ValueError):
            receipt = read_receipt_file(receipts_dir / name) or {}
            if receipt["outcome"] == "registered":
                identity = Identity(receipt["registry_id"], receipt["epoch"])
                yield Told(identity, int(receipt["sequence"]), str(receipt["drop_id"]), str(receipt["model_id"]))


def told_by_newest_receipts(receipts_dir: Path) -> list[Told]:
    """Return what the newest receipts tell of: an older copy lacks the newest lines, so these show whether it is one.

    Who compares them with a registry that others change reads them first: its position may only be later.
    """
    return list(itertools.islice(told_by_receipts(receipts_dir), PRESENT_ENOUGH))


def told_by_status(document: Mapping[str, Any] | None) -> list[Told]:
    """Return the last line that a status document tells of, if it does."""
    with suppress(TypeError, KeyError, ValueError):
        registry = (document or {})["registry"]
        return [Told(Identity(registry["registry_id"], registry["epoch"]), int(registry["committed"]))]
    return []


def lost_lines(told: Iterable[Told], identity: Identity, reached: int, drops: Mapping[int, str | None]) -> list[Told]:
    """Return what was told of and is not in the registry of that identity, whose last line is `reached`.

    `drops` maps numbers of lines, as far as they are known, to the drops that they registered. A later epoch of the
    same registry is lost as a whole. An earlier epoch has ended, and another registry is another matter: both count for
    nothing.
    """
    lost: list[Told] = []
    present = 0
    for line in told:
        if line.identity.registry_id != identity.registry_id:
            continue
        if line.identity == identity:
            is_other = line.drop_id is not None and drops.get(line.sequence, line.drop_id) != line.drop_id
            is_lost = line.sequence > reached or is_other
        else:
            is_lost = line.identity.epoch_number > identity.epoch_number
        if is_lost:
            lost.append(line)
        elif not lost and line.identity == identity:
            present += 1
            if present >= PRESENT_ENOUGH:
                break
    return lost


def refuse_older_copy(registry: ModelRegistry, told: Iterable[Told], drops: Mapping[int, str | None]) -> None:
    """Raise RegistryCorrupted if the registry lacks lines that were told of. `drops` are those of `lost_lines`."""
    position = registry.position
    lost = lost_lines(told, position.identity, position.sequence, drops) if position is not None else []
    if position is not None and lost:
        raise older_copy_found(RegistryFiles(Path(registry.registry_path)).journal, position.sequence, lost)


def older_copy_found(journal: Path, reached: int, lost: Sequence[Told]) -> RegistryCorrupted:
    """Return the error for a registry that lacks these lines. It names the drops and models."""
    named = sorted((line for line in lost if line.drop_id is not None), key=lambda line: line.sequence)
    drops = [f"drop {quoted(line.drop_id)}, model {quoted(line.model_id)}, line {line.sequence}" for line in named]
    if len(drops) > LOST_NAMED:
        drops[LOST_NAMED:] = [f"{len(drops) - LOST_NAMED} more"]
    last = max(line.sequence for line in lost)
    what = f"it ends at line {reached}, but line {last} was committed: an older copy was put in its place"
    if drops:
        what = f"{what}. These are missing: {'; '.join(drops)}"
    error = RegistryCorrupted(journal, None, what)
    error.hint = (
        "Put the newer files back, or restore a backup. `model-inbox rebuild --accept-loss` goes on without what is "
        "missing, and begins a new epoch; drops whose files you have can be dropped again"
    )
    return error

"""Whether the files that are derived from the journal are what they should be, and what an edit would have changed.

Owns the judgement on the JSON file and its mark: which of them counts, what is wrong with them, and the text that says
field by field how an edited JSON file differs, with the command that makes such a change. Pure: never touches the disk.

The journal is the truth. A derived file that differs from it is made again, but never the other way round: where one
that is intact shows a line beyond the end of the journal, the journal was cut, or an older copy was put in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from ..errors import RegistryCorrupted
from ..problems import escaped, quoted
from .checkpoint import Mark, parse_checkpoint, parse_mark
from .entry import EntryFields, sequence_of
from .journal import Line
from .paths import RegistryFiles
from .position import Identity
from .state import State

__all__ = ["CHANGES_SHOWN", "Fault", "Judged", "judge_entries", "judge_mark", "older_copy", "state_at_line"]

CHANGES_SHOWN = 50

# By the field of an entry: the command that changes it. No other field of a registered model can change.
_COMMANDS = {
    "aliases": "model-inbox alias",
    "pinned": "model-inbox pin / unpin",
    "held": "model-inbox hold / unhold",
    "recorded": "model-inbox record",
    "tags": "model-inbox tag",
    "scaler_path": "model-inbox replace-scaler",
    "scaler_sha256": "model-inbox replace-scaler",
}
_NO_COMMAND = "no command: a registered model never changes, drop it again under a new model_id"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a derived file.

    `how` is `edited` for a JSON file that can be read and says something else than the journal: `changes` says what, a
    text for each field. It is `damaged` for bytes that no version of ours writes, `missing`, or `outdated` for the mark
    of an epoch that has ended.
    """

    path: Path
    how: Literal["edited", "damaged", "missing", "outdated"]
    what: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """The mark, as far as it counts, and what is wrong with it."""

    mark: Mark | None
    fault: Fault | None = None


def older_copy(journal: Path, reached: int, committed: int) -> RegistryCorrupted:
    """Return the error for a journal that ends at line `reached`, before the line `committed` of the same epoch."""
    return RegistryCorrupted(journal, None, f"it ends at line {reached}, but lines up to {committed} were committed")


def judge_mark(files: RegistryFiles, data: bytes | None, identity: Identity | None) -> Judged:
    """Judge the bytes of the mark beside a journal of that identity. None stands for a file that is not there.

    Raises RegistryCorrupted when the mark is of another registry or of a later epoch: then the journal may be the file
    that does not belong there. Raises RegistryTooNew for a later format.
    """
    if data is None:
        return Judged(None)
    try:
        mark = parse_mark(files.mark, data)
    except RegistryCorrupted:
        return Judged(None, Fault(files.mark, "damaged", "not the mark of a checkpoint"))
    if mark.identity is None or mark.identity == identity:
        return Judged(mark)
    what = f"it is of the epoch {mark.identity}, the journal of {identity or 'none'}"
    is_same = identity is not None and mark.identity.registry_id == identity.registry_id
    if is_same and identity is not None and mark.identity.epoch_number < identity.epoch_number:
        return Judged(None, Fault(files.mark, "outdated", what))  # a rebuild that was cut short leaves it
    raise RegistryCorrupted(files.mark, None, f"{what}: one of the two files is a copy, older or of another registry")


def judge_entries(
    files: RegistryFiles, mark: Mark | None, data: bytes | None, before: State, lines: Sequence[Line]
) -> Fault | None:
    """Judge the bytes of the JSON file by the journal: the entries `before` its lines, and the lines.

    The mark is None when there is none that counts: then the JSON file may be of any of these lines. Raises
    RegistryCorrupted when it is intact and has an entry of a later line.
    """
    if data is None:
        return Fault(files.path, "missing", "the file is missing")
    if mark is not None and mark.fits(data):
        return None
    try:
        found = parse_checkpoint(files.path, data)
    except RegistryCorrupted as error:
        return Fault(files.path, "damaged", error.message)
    reached = lines[-1].sequence if lines else before.sequence
    if mark is None:
        told = max((sequence_of(entry) for entry in found.values()), default=0)
        if told > reached:
            raise older_copy(files.journal, reached, told)
    at = mark.sequence if mark is not None else _most_alike(found, before, lines)
    changes = tuple(_differences(found, state_at_line(before, lines, at).entries))
    if mark is None and not changes:
        return None
    what = "its bytes are not those of the checkpoint that was written last"
    if mark is None:
        what = "it says something else than the journal at any line"
    return Fault(files.path, "edited", what, changes)


def state_at_line(before: State, lines: Sequence[Line], sequence: int) -> State:
    """Return the entries `before` the lines with those up to `sequence` applied, as a state of its own."""
    state = State(before.folder, dict(before.entries), before.sequence, before.last_time, before.identity)
    for line in lines:
        if line.sequence > sequence:
            break
        state.apply(line)
    return state


def _most_alike(found: Mapping[str, EntryFields], before: State, lines: Sequence[Line]) -> int:
    """Return the line after which the fewest entries differ from those that were found."""
    if found == before.entries:
        return before.sequence
    state = state_at_line(before, (), before.sequence)
    entries = state.entries
    differing = {name for name in found.keys() | entries.keys() if found.get(name) != entries.get(name)}
    fewest, at = len(differing), before.sequence
    for line in lines:
        state.apply(line)
        for name in (line.model_id, *(line.detail or {}).get("also", {})):
            if found.get(name) == entries.get(name):
                differing.discard(name)
            else:
                differing.add(name)
        if len(differing) <= fewest:
            fewest, at = len(differing), line.sequence
    return at


def _differences(found: Mapping[str, EntryFields], known: Mapping[str, EntryFields]) -> Iterator[str]:
    """Yield what a JSON file with the entries `found` would change of those that are `known`, field by field."""
    for model_id in sorted(found.keys() | known.keys()):
        name = quoted(model_id)
        if model_id not in known:
            yield f"{name}: the journal has no such model; drop it into the inbox"
        elif model_id not in found:
            yield f"{name}: the model is missing there; `model-inbox delete` retires it"
        else:
            yield from (f"{name}: {text}" for text in _fields_that_differ(found[model_id], known[model_id]))


def _fields_that_differ(found: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    for field in sorted(found.keys() | known.keys()):
        if field in found and field in known and found[field] == known[field]:
            continue
        command = f"`{_COMMANDS[field]}`" if field in _COMMANDS else _NO_COMMAND
        yield f"{escaped(field, 80)} is {_shown(known, field)}, not {_shown(found, field)} ({command})"


def _shown(entry: Mapping[str, Any], field: str) -> str:
    return escaped(orjson.dumps(entry[field]).decode(), 80) if field in entry else "absent"

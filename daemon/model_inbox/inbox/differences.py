"""What the sidecar of a duplicate says otherwise than the entry of the model that is registered.

Owns which fields are compared, and how. Pure. Changes nothing: a registered model keeps its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..base.instants import instant_microseconds
from ..model.metadata import LATER_FIELDS, METADATA_FIELDS, MetadataFields, dotted, filled_in
from ..problems import Problem
from ..problems.drop import drop_metadata_differs

__all__ = ["differences", "tags_differ"]

DIFFERENCES_MAX = 20

# The model is the same, whatever its id is. Tags can be changed after the registration; `differences` gets the first
# ones. The provenance of the same bytes may differ: a job that is repeated has another number, perhaps another host.
_COMPARED = tuple(name for name in METADATA_FIELDS if name not in ("model_id", "tags", "provenance"))

_NOTHING = object()

_Leaves = dict[tuple[str | int, ...], Any]


def tags_differ(entry: Mapping[str, Any], said: MetadataFields) -> bool:
    """Return whether the drop gives tags, and other ones than the entry has now."""
    return bool(said["tags"]) and said["tags"] != (entry.get("tags") or {})


def differences(
    entry: Mapping[str, Any], said: MetadataFields, first_tags: Mapping[str, str] | None = None
) -> tuple[Problem, ...]:
    """Return one problem for each value in which the metadata of a duplicate differs from the entry.

    `first_tags` are those that the model was registered with; None: not known, or not to be compared. Tags and a
    description that the drop does not give are filled in as empty, and are no difference; nor is a value that `drop`
    filled in by itself. Instants and numbers are
    compared by their value, however they are written.
    """
    registered: dict[str, Any] = {name: entry.get(name, LATER_FIELDS.get(name)) for name in _COMPARED}
    dropped = {name: value for name, value in said.items() if name in _COMPARED}
    if first_tags is not None and said["tags"]:
        registered["tags"], dropped["tags"] = first_tags, said["tags"]
    if not said["description"]:
        del registered["description"], dropped["description"]
    for name in filled_in(said["provenance"]) & dropped.keys():
        del registered[name], dropped[name]
    if instant_microseconds(entry.get("trained_at")) == instant_microseconds(said["trained_at"]):
        registered.pop("trained_at", None)
        dropped.pop("trained_at", None)
    before, after = dict(_leaves(registered)), dict(_leaves(dropped))
    paths = [path for path in dict.fromkeys((*after, *before)) if not _same(before, after, path)]
    told = paths[:DIFFERENCES_MAX]
    return tuple(
        drop_metadata_differs(
            dotted(path),
            _shown(before, path),
            _shown(after, path),
            more=len(paths) - len(told) if path == told[-1] else 0,
        )
        for path in told
    )


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield the single values in nested mappings and lists, each with the way to it."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _leaves(item, (*path, position))
    else:
        yield path, value


def _same(before: _Leaves, after: _Leaves, path: tuple[str | int, ...]) -> bool:
    return bool(before.get(path, _NOTHING) == after.get(path, _NOTHING))


def _shown(leaves: _Leaves, path: tuple[str | int, ...]) -> str | None:
    """Return a value as text, None where there is none."""
    if path not in leaves:
        return None
    value = leaves[path]
    return value if isinstance(value, str) else json.dumps(value)

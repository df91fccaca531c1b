"""Reads what the pages of models say: one model, or several beside each other.

Owns the reading alone; what it means is worked out in `model_facts` and `beside`. Changes nothing, creates nothing, and
locks nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..base.instants import instant_microseconds
from ..config.metric_orders import order_of_metrics
from ..config.settings import Config
from ..errors import EntryNotFound
from ..model.slot import Slot, slot_of
from ..problems import quoted
from ..registry.boundary import Boundary
from ..registry.described import look_at_files
from ..registry.entry import EntryFields, as_fields, sequence_of
from ..registry.excerpt import Excerpt
from ..registry.outcomes import Retired
from ..registry.paths import RegistryFiles
from ..registry.registry import ModelRegistry
from ..registry.segments import lines_of_operations
from .beside import ComparisonFacts, compared
from .decisions import OPERATIONS, by_slot
from .drawing import charts_with
from .facts import SlotFacts
from .model_facts import ModelFacts, Said, model_facts
from .partial import Parts
from .slots import Asked, Room, slot_facts

__all__ = ["Tell", "gather_comparison", "gather_model"]

_ROOM = Room(slots=1, charted=1, metrics=8, points=400, models=0)


Tell = Callable[[Config, str, datetime], Said]
"""Returns why the model with this id is where it is, at a time."""


def gather_model(
    registry: ModelRegistry, config: Config, model_id: str, now: datetime, tell: Tell, *, version: str = ""
) -> ModelFacts:
    """Return all that the page of a model says, also of a retired one whose files are in the trash.

    Raises EntryNotFound if there is no such model, and what reading the registry raises; other parts are named in
    `unread`.
    """
    parts = Parts()
    found, retired = _find(registry, model_id)
    slot = slot_of(found)
    siblings = _siblings(registry, slot)
    in_trash = parts.read("the trash", registry.retired) or []
    former = {one.model_id: one.entry for one in in_trash if slot_of(one.entry) == slot}
    of_slot = _slot_facts(registry, config, slot, siblings, former, now, parts) if siblings else None
    # The whole history of a large registry takes seconds to parse.
    files = RegistryFiles(Path(registry.registry_path))
    lines = parts.read("its history", lambda: Excerpt(files).lines_about(model_id)) or []
    said = parts.read("why it is where it is", lambda: tell(config, model_id, now)) or Said()
    order_of = order_of_metrics(config, slot)
    boundary = Boundary(Path(registry.registry_path).parent, Path(registry.storage_dir))
    grace = timedelta(seconds=config.retention.trash_grace.seconds)
    return model_facts(
        found,
        siblings,
        lines,
        [*look_at_files(found, boundary)] if retired is None else [],
        of_slot,
        order_of,
        charts_with,
        about=_about(registry, version),
        now=now,
        said=said,
        unread=parts.unread,
        former=former,
        retired_at=retired.at if retired is not None else None,
        kept_until=retired.at + grace if retired is not None else None,
    )


def gather_comparison(
    registry: ModelRegistry, config: Config, model_ids: Sequence[str], now: datetime, *, version: str = ""
) -> ComparisonFacts:
    """Return what differs between two or more models, each beside the first. Retired ones may be among them.

    Raises EntryNotFound and what reading the registry raises.
    """
    entries = [_find(registry, model_id)[0] for model_id in model_ids]
    order_of = order_of_metrics(config, slot_of(entries[-1]))
    return ComparisonFacts(**_about(registry, version), at=now, compared=compared(entries, order_of))


def _find(registry: ModelRegistry, model_id: str) -> tuple[EntryFields, Retired | None]:
    """Return the entry of a model, and how it was retired if it was. Of several retired ones, it is the latest."""
    entry = registry.get_model_info(model_id)
    if entry is not None:
        return as_fields(entry), None
    for retired in reversed(registry.retired()):
        if retired.model_id == model_id:
            return retired.entry, retired
    raise EntryNotFound(
        f"cannot show {quoted(model_id)}: it is neither registered nor in the trash",
        hint="`model-inbox list` shows the ids, `model-inbox history ID` an earlier model with this id",
    )


def _siblings(registry: ModelRegistry, slot: Slot) -> list[EntryFields]:
    """Return the models of a slot, the newest first."""
    _, _, stored = registry.stored_entries()
    members = [entry for entry in stored if slot_of(entry) == slot]
    return sorted(
        members, key=lambda one: (instant_microseconds(one.get("trained_at")), sequence_of(one)), reverse=True
    )


def _slot_facts(
    registry: ModelRegistry,
    config: Config,
    slot: Slot,
    siblings: Sequence[EntryFields],
    former: Mapping[str, EntryFields],
    now: datetime,
    parts: Parts,
) -> SlotFacts:
    files = RegistryFiles(Path(registry.registry_path))
    every = parts.read(
        "the decisions in the history", lambda: by_slot(lines_of_operations(files.journal, files.history, OPERATIONS))
    )
    lines = (every or {}).get(slot, ())
    asked = Asked(
        tuple(gate for gate in config.gates if gate.match.matches(slot)),
        tuple(rule.when.metric for rule in config.promotion if rule.match.matches(slot)),
        order_of_metrics(config, slot),
    )
    return slot_facts(slot, siblings, lines, (), asked, _ROOM, now, former=former)


def _about(registry: ModelRegistry, version: str) -> dict[str, Any]:
    """Return the fields that all pages share."""
    return {
        "host": socket.gethostname(),
        "version": version,
        "position": str(registry.position),
        "registry_path": registry.registry_path,
    }

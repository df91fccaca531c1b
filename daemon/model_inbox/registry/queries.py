"""Which model answers a question, in a state at one moment.

Owns `model_in`. Pure: no disk, no clock.
"""

from __future__ import annotations

from datetime import UTC, datetime

from ..base.instants import instant_microseconds, microseconds_of
from ..model.slot import Slot
from .entry import Entry
from .state import State

__all__ = ["model_in", "with_zone"]


def with_zone(moment: datetime) -> datetime:
    """Return a moment with its zone; one without counts as UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def model_in(
    state: State, now: datetime, slot: Slot, alias: str | None, trained_before: datetime | None, *, calibrated: bool
) -> Entry | None:
    """Return the newest model of a slot, or the one that an alias names. `ModelRegistry.get_model` has the rules."""
    last = microseconds_of(now)
    if trained_before is not None:
        before = microseconds_of(with_zone(trained_before)) - 1
        last = before if alias is not None else min(last, before)
    if alias is None:
        return state.newest(slot, last, calibrated=calibrated)
    entry = state.aliased(slot, alias)
    if entry is None or (calibrated and not entry.get("calibration_ok")):
        return None
    is_late = trained_before is not None and instant_microseconds(entry.get("trained_at")) > last
    return None if is_late else entry

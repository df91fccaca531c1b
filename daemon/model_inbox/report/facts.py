"""What the overview page says: values, complete before a template sees them.

Owns these values. Texts in them are as they were found: `render` escapes and shortens all of them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..base.margins import Order
from ..model.slot import Slot
from ..problems import Problem

__all__ = [
    "ANY",
    "Attention",
    "Change",
    "Choice",
    "DiskUse",
    "Drop",
    "GateBound",
    "InService",
    "Mark",
    "Metric",
    "ModelRow",
    "Overview",
    "Point",
    "Rejected",
    "Retention",
    "SlotBytes",
    "SlotFacts",
    "Taken",
    "Tenure",
    "Trashed",
    "Unread",
    "Waiting",
]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a page is limited to: models of a pair, a type and a variant (None is any), and what is not older."""

    pair: str | None = None
    model_type: str | None = None
    variant: str | None = None
    since: datetime | None = None

    @property
    def is_of_slots(self) -> bool:
        """Return whether not all slots are shown."""
        return (self.pair, self.model_type, self.variant) != (None, None, None)

    def matches(self, slot: Slot) -> bool:
        """Return whether a slot is shown."""
        wanted = zip((self.pair, self.model_type, self.variant), slot, strict=True)
        return all(one is None or one == other for one, other in wanted)


ANY = Choice()
"""The choice of everything."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that needs a person: what it is about, what was found, and what to do.

    `level` is bad for what is broken or refused, warn for what should be looked at. `anchor` is the part of the page
    that has more about it, or "".
    """

    level: Literal["bad", "warn"]
    about: str
    says: str
    todo: str = ""
    anchor: str = ""
    is_id: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a metric of one model. `at` is the model's place on the axis of time.

    `kind` is the fate of the model: registered, held by a gate or by hand, rejected. `recorded` is the latest value
    that was measured after the registration, if there is one.
    """

    at: datetime
    value: float
    model_id: str
    kind: Literal["model", "held", "rejected"] = "model"
    recorded: float | None = None


@dataclass(frozen=True, slots=True)
class GateBound:
    """The value of a metric that a gate asks for now, such as "at most 0.0066". `name` is that of the gate.

    `reference` is the value of the model in service that it is worked out from, None for a fixed bound.
    """

    name: str
    value: float
    side: Literal["max", "min"]
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class Tenure:
    """How long a model held the alias. `until` is None for the one that holds it."""

    model_id: str
    since: datetime
    until: datetime | None
    is_rollback: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A decision on the axis of time: what happened, to which model, and why."""

    at: datetime
    kind: Literal["promoted", "rolled back", "rejected", "held", "removed"]
    model_id: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a slot over time. `order` says whether small or large values are better; None: nobody said.

    `points` are the newest ones, oldest first, of the `total` that there are; `unplotted` have no finite number.
    `champion` is the value of the model in service, and `gain` how much better it is than the one in service before
    it, as a part of that (negative: worse).
    """

    name: str
    order: Order | None
    points: tuple[Point, ...]
    total: int
    unplotted: int = 0
    gates: tuple[GateBound, ...] = ()
    champion: float | None = None
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class InService:
    """The model that a slot serves. `alias` is champion, or "" where the newest model serves.

    `since` is None if that is not known any more.
    """

    model_id: str
    alias: str
    since: datetime | None
    actor: str = ""
    reason: str = ""
    former: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model of a slot. `values` has its value of each of the slot's metrics, in their order, None for none.

    `notes` are words such as held, pinned and the names of its aliases.
    """

    model_id: str
    trained_at: datetime | None
    registered_at: datetime | None
    values: tuple[float | None, ...]
    size: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One slot. `metrics` are the first of `metrics_total`, and `models` the newest of `total`, newest first.

    `begins` and `ends` are the axis of time of its charts. `newer` is how many models are newer than the one in
    service; `quiet` is a sentence if it had no new model for longer than is usual, else "".
    """

    slot: Slot
    total: int
    bytes: int
    service: InService | None
    newest: str | None
    newer: int
    begins: datetime
    ends: datetime
    metrics: tuple[Metric, ...]
    metrics_total: int
    tenures: tuple[Tenure, ...]
    marks: tuple[Mark, ...]
    models: tuple[ModelRow, ...]
    quiet: str = ""
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Drop:
    """The answer to a drop. `seconds` is the time from the claim of the drop, when it was complete, to the answer."""

    drop_id: str
    stem: str
    model_id: str | None
    outcome: str
    at: datetime | None
    owner: str
    seconds: float | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file in the inbox, and what it waits for. `then` is what happens by itself at `until`."""

    name: str
    owner: str
    state: str
    words: str
    since: datetime | None
    until: datetime | None
    then: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected drop whose files are kept, until `kept_until`. `slot` is None if its sidecar does not say it.

    `is_answered`: a later drop of the same stem or id was registered.
    """

    drop_id: str
    stem: str
    model_id: str | None
    at: datetime | None
    owner: str
    slot: Slot | None
    problems: tuple[Problem, ...]
    kept_until: datetime | None
    is_answered: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A model that retention takes at a time. `is_expected`: it goes if models go on coming as they came."""

    model_id: str
    slot: Slot
    at: datetime
    reason: str
    bytes: int
    is_expected: bool = False


@dataclass(frozen=True, slots=True)
class Retention:
    """What the rules take next, earliest first, and what keeps the rest: rules with the number of models.

    `stopped` is how many models the rules would take, and the breaker stops.
    """

    mode: str
    next_run: datetime | None
    taken: tuple[Taken, ...]
    taken_bytes: int
    by_slot: Mapping[Slot, int]
    stopped: int
    kept: tuple[tuple[str, int], ...]
    kept_total: int


@dataclass(frozen=True, slots=True)
class Trashed:
    """A retired model in the trash, which is removed permanently at `until`."""

    model_id: str
    slot: Slot
    at: datetime
    until: datetime
    actor: str
    reason: str
    bytes: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What something takes on the disk. `free` and `size` are those of its disk, in bytes, None: not known."""

    name: str
    bytes: int
    path: str = ""
    free: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class SlotBytes:
    """What the models of a slot take on the disk: those that are registered, and those in the trash."""

    slot: Slot
    bytes: int
    models: int
    trash: int


@dataclass(frozen=True, slots=True)
class Change:
    """A committed change of the registry: `what` in words."""

    sequence: int
    at: datetime
    what: str
    model_id: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of the page that could not be read, and why."""

    part: str
    why: str


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the overview says. Of each list, the number beside it says how many there are in all."""

    host: str
    version: str
    at: datetime
    position: str
    registry_path: str
    choice: Choice
    daemon: str
    attention: tuple[Attention, ...]
    slots: tuple[SlotFacts, ...]
    slots_total: int
    models_total: int
    drops: tuple[Drop, ...]
    drops_total: int
    waiting: tuple[Waiting, ...]
    waiting_total: int
    rejected: tuple[Rejected, ...]
    rejected_total: int
    retention: Retention
    trash: tuple[Trashed, ...]
    trash_total: int
    trash_bytes: int
    disks: tuple[DiskUse, ...]
    slot_bytes: tuple[SlotBytes, ...]
    history: tuple[Change, ...]
    history_total: int
    unread: tuple[Unread, ...] = ()

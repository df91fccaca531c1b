"""The states of a drop, as data: what exists tells the state, the state tells what a restart does.

Owns the table that the manual shows (docs/reference/formats.md). `recovery` looks at what is there and does what the
row says; `explain` says the row in words. Pure: it is told what is there. The tests stop a daemon at every step and
find one of these rows each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import Enum

from ..model.file_names import SIDECAR as SIDECAR_NAME

__all__ = ["NO_FOLDER", "STATES", "Action", "State", "Traces", "actions_for", "signs_of", "state_of"]

NOTHING, FILES, SIDECAR, BOTH = "", "A", "S", "A S"
NO_FOLDER = "-"


class Action(Enum):
    """What a restart does with a drop, in the words of the manual."""

    NONE = "nothing"
    WAIT = "judged like anything in the inbox"
    REMOVE_FOLDER = "the empty folder is removed"
    GIVE_BACK = "its files go back to the inbox"
    FETCH = "the rest of its files is fetched from the inbox, then it is judged"
    JUDGE = "judged from the beginning"
    ANSWER = "receipt written, files removed"
    RELEASE = "receipt synced, files removed"
    REJECT = "receipt written, moved to `rejected/`"


@dataclass(frozen=True, slots=True)
class Traces:
    """What there is of one drop: "A" its files (some or all), "S" its sidecar, "A S" both, "" nothing.

    None stands for a place that was not looked at. `claim` is what its folder in `.processing/` holds, "-" when there
    is no such folder. `stored` are files at final names that this drop put there, `line` whether the journal has its
    drop_id, `receipt` the outcome in its own receipt ("" without one), `reason` whether its claim, `rejected` whether
    its folder in `rejected/` holds `reason.json`.
    """

    inbox: str | None = None
    claim: str | None = None
    staging: str | None = None
    stored: str | None = None
    line: bool | None = None
    receipt: str | None = None
    reason: bool | None = None
    rejected: bool | None = None


@dataclass(frozen=True, slots=True)
class State:
    """One row: what may be there in each place, what a restart does then, and what a person is told of it.

    `words` go on after the name of the drop.
    """

    name: str
    words: str
    action: Action
    inbox: tuple[str, ...] = (NOTHING,)
    claim: tuple[str, ...] = (NO_FOLDER,)
    staging: tuple[str, ...] = (NOTHING,)
    stored: tuple[str, ...] = (NOTHING,)
    line: tuple[bool, ...] = (False,)
    receipt: tuple[str, ...] = ("",)
    reason: tuple[bool, ...] = (False,)
    rejected: tuple[bool, ...] = (False,)

    def fits(self, traces: Traces) -> bool:
        """Return whether a drop that left these traces may be in this state."""
        return all((found := getattr(traces, place)) is None or found in getattr(self, place) for place in _PLACES)


_PLACES = tuple(field.name for field in fields(Traces))

STATES = (
    State("partial", "waits in the inbox", Action.WAIT, inbox=(FILES, SIDECAR)),
    State("complete", "is complete, in the inbox", Action.WAIT, inbox=(BOTH,)),
    State(
        "claim begun",
        "is in the inbox; the daemon was about to take it, or has just put it back",
        Action.REMOVE_FOLDER,
        inbox=(BOTH, FILES),
        claim=(NOTHING,),
    ),
    State(
        "half claimed",
        "is in the daemon's hands, but for files that are still in the inbox",
        Action.FETCH,
        inbox=(FILES,),
        claim=(SIDECAR, BOTH),
    ),
    State("claimed", "is in the daemon's hands, and not answered yet", Action.JUDGE, claim=(BOTH, SIDECAR)),
    State(
        "staged",
        "is in the daemon's hands, and not answered yet",
        Action.JUDGE,
        claim=(BOTH,),
        staging=(FILES, BOTH, SIDECAR),
    ),
    State(
        "placed",
        "is in the daemon's hands, and not answered yet",
        Action.JUDGE,
        claim=(BOTH,),
        staging=(FILES, BOTH),
        stored=(FILES, BOTH),
    ),
    State(
        "committed",
        "is in the daemon's hands, and not answered yet",
        Action.ANSWER,
        claim=(BOTH,),
        staging=(NOTHING, FILES, SIDECAR, BOTH),
        stored=(BOTH,),
        line=(True,),
    ),
    State(
        "answered",
        "is registered, and its files are being removed",
        Action.ANSWER,
        claim=(BOTH, SIDECAR),
        stored=(BOTH,),
        line=(True,),
        receipt=("registered",),
    ),
    State(
        "released",
        "is registered",
        Action.REMOVE_FOLDER,
        claim=(NOTHING,),
        stored=(BOTH,),
        line=(True,),
        receipt=("registered",),
    ),
    State("registered", "is registered", Action.NONE, stored=(BOTH,), line=(True,), receipt=("registered",)),
    State(
        "duplicate, answered",
        "was registered before with the same bytes, and its files are being removed",
        Action.RELEASE,
        claim=(BOTH, SIDECAR),
        receipt=("duplicate",),
    ),
    State(
        "duplicate, released",
        "was registered before with the same bytes",
        Action.REMOVE_FOLDER,
        claim=(NOTHING,),
        receipt=("duplicate",),
    ),
    State("duplicate", "was registered before with the same bytes", Action.NONE, receipt=("duplicate",)),
    State("stray claimed", "is in the daemon's hands, to be rejected", Action.GIVE_BACK, claim=(FILES,)),
    State(
        "reasoned",
        "is rejected, and on its way to rejected/",
        Action.REJECT,
        claim=(BOTH, SIDECAR, FILES),
        receipt=("", "rejected"),
        reason=(True,),
    ),
    State("rejected", "is rejected", Action.NONE, receipt=("", "rejected"), rejected=(True,)),
)
"""Every state, in the order of the journey."""


def state_of(traces: Traces) -> State | None:
    """Return the first state that these traces fit, or None: there is no such thing."""
    return next((state for state in STATES if state.fits(traces)), None)


def actions_for(traces: Traces) -> frozenset[Action]:
    """Return what a restart may have to do with a drop that left these traces: one action, once enough was looked at.

    What no row fits, no crash leaves: the folders were changed by hand, or the registry was put back to an earlier
    day. Such a drop is judged again if its sidecar is there, and else goes back to the inbox.
    """
    actions = frozenset(state.action for state in STATES if state.fits(traces))
    if actions:
        return actions
    if traces.reason:
        return frozenset({Action.REJECT})
    return frozenset({Action.JUDGE if traces.claim in (SIDECAR, BOTH) else Action.GIVE_BACK})


def signs_of(names: Iterable[str]) -> str:
    """Return "A", "S", "A S" or "" for the names of a drop's files in one place."""
    kinds = {SIDECAR_NAME.fullmatch(name) is not None for name in names}
    return {frozenset(): NOTHING, frozenset({False}): FILES, frozenset({True}): SIDECAR}.get(frozenset(kinds), BOTH)

"""The states of a drop, as data: what exists tells the state, and nothing else does.

Owns the table that the manual shows (docs/formats.md). Pure: it is told what is there. The daemon never asks it; it
is what recovery has to be right about, so the tests stop a daemon at every step and find one of these rows each time.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STATES", "State", "Traces", "state_of"]

NOTHING, FILES, SIDECAR, BOTH = "", "A", "S", "A S"


@dataclass(frozen=True, slots=True)
class Traces:
    """What there is of one drop: "A" its files (some or all), "S" its sidecar, "A S" both, "" nothing.

    `claim` is None when there is no folder in `.processing/`. `stored` are files at final names that this drop put
    there, `line` whether the journal has its drop_id, `receipt` whether its own receipt is there, `reason` whether
    its claim, `rejected` whether its folder in `rejected/` holds `reason.json`.
    """

    inbox: str = NOTHING
    claim: str | None = None
    staging: str = NOTHING
    stored: str = NOTHING
    line: bool = False
    receipt: bool = False
    reason: bool = False
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """One row: what may be there in each place. `claim` holds None where the folder itself may be missing."""

    name: str
    at_restart: str
    inbox: tuple[str, ...] = (NOTHING,)
    claim: tuple[str | None, ...] = (None,)
    staging: tuple[str, ...] = (NOTHING,)
    stored: tuple[str, ...] = (NOTHING,)
    line: tuple[bool, ...] = (False,)
    receipt: tuple[bool, ...] = (False,)
    reason: bool = False
    rejected: bool = False

    def fits(self, traces: Traces) -> bool:
        """Tell whether a drop that left these traces is in this state."""
        return (
            traces.inbox in self.inbox
            and traces.claim in self.claim
            and traces.staging in self.staging
            and traces.stored in self.stored
            and traces.line in self.line
            and traces.receipt in self.receipt
            and traces.reason == self.reason
            and traces.rejected == self.rejected
        )


ANY = (NOTHING, FILES, SIDECAR, BOTH)
EITHER = (False, True)

STATES = (
    State("partial", "waits; rejected after its time-out", inbox=(FILES, SIDECAR)),
    State("whole", "judged anew, settle time from zero", inbox=(BOTH,)),
    State(
        "claim begun",
        "the empty claim is removed, then as whole (so, too, when it was put back)",
        inbox=(BOTH,),
        claim=(NOTHING,),
    ),
    State(
        "half claimed",
        "the rest of the files is fetched, then as claimed (so, too, when it was half put back)",
        inbox=(FILES,),
        claim=(SIDECAR, BOTH),
    ),
    State("claimed", "the journey from its beginning", claim=(BOTH, SIDECAR)),
    State("staged", "staging is emptied, then as claimed", claim=(BOTH,), staging=(FILES, BOTH, SIDECAR)),
    State(
        "placed",
        "as claimed; the same bytes at a final name are used",
        claim=(BOTH,),
        staging=(FILES, BOTH),
        stored=(FILES, BOTH),
    ),
    State("committed", "receipt written, then released", claim=(BOTH,), staging=ANY, stored=(BOTH,), line=(True,)),
    State(
        "answered",
        "receipt written again, then released",
        claim=(BOTH, SIDECAR, NOTHING),
        stored=(BOTH,),
        line=(True,),
        receipt=(True,),
    ),
    State("registered", "nothing", stored=(BOTH,), line=(True,), receipt=(True,)),
    State("duplicate, answered", "released", claim=(BOTH, SIDECAR, NOTHING), receipt=(True,)),
    State("duplicate", "nothing", receipt=(True,)),
    State("reasoned", "receipt written, moved to `rejected/`", claim=(BOTH, SIDECAR), receipt=EITHER, reason=True),
    State("rejected", "nothing", receipt=(True,), rejected=True),
)
"""Every state, in the order of the journey."""


def state_of(traces: Traces) -> State | None:
    """Return the first state that these traces fit, or None: there is no such thing."""
    return next((state for state in STATES if state.fits(traces)), None)

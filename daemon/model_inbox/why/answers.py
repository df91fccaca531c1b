"""Why a model was accepted, held or refused, is or is not newest, was promoted or not, is kept or was retired.

Owns that all is answered, in one order, and that what is not known is said to be unknown. Pure: lines, entries,
receipts and rules in, answers out.
"""

from __future__ import annotations

from collections.abc import Iterator

from .arrival import arrival
from .evidence import Answer, Evidence
from .keeping import keeping
from .standing import standing

__all__ = ["answers"]


def answers(evidence: Evidence) -> list[Answer]:
    """Return what the evidence says, in the order of `About`; [] if nothing is known."""
    if not evidence.is_known:
        return []
    return [*arrival(evidence), *standing(evidence), *keeping(evidence), *_unknown(evidence)]


def _unknown(evidence: Evidence) -> Iterator[Answer]:
    if evidence.missing:
        text = f"Changes {evidence.missing} of the history are in no file. What they said of this model is unknown"
        yield Answer("unknown", f"{text}; `model-inbox verify` says where they are missing.")

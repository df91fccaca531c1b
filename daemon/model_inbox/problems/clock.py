"""What is said about the machine's clock. The noun `clock`."""

from __future__ import annotations

from .value import Problem

__all__ = ["clock_behind"]


def clock_behind(field: str, text: str) -> Problem:
    """The clock was put back, so that a time may only look as if it were in the future. `text` says that."""
    return Problem(
        "clock.behind",
        f"{text}, but the clock of this machine was put back and may be wrong",
        "Check the clock. If it is right, run `model-inbox retention confirm-clock`: the drop is rejected then",
        field,
    )

"""What `model-inbox inbox` cannot tell to the user who asks. The noun `explain`."""

from __future__ import annotations

from .value import Problem, escaped, quoted

__all__ = ["explain_unknown"]


def explain_unknown(name: str, owner: str, mode: int) -> Problem:
    """The service can read the file and the user who asks cannot."""
    return Problem(
        "explain.unknown",
        f"{quoted(name)} cannot be read by you: owned by {owner}, mode {mode:04o}; the service can",
        f"Ask as {owner}, as the service's user or as root",
        file=escaped(name),
    )

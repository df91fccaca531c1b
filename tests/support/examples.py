"""How many examples hypothesis draws: with `HYPOTHESIS_EXAMPLES=n` it is n in every test, else the usual few."""

from __future__ import annotations

import os


def examples(usual: int) -> int:
    """Return how many examples a test draws: as many as usual, or as the environment says."""
    return int(os.environ.get("HYPOTHESIS_EXAMPLES", usual))

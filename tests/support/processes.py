"""What a process that a test starts is given."""

from __future__ import annotations

import os

__all__ = ["unmeasured"]


def unmeasured() -> dict[str, str]:
    """Return the environment without the wish to measure coverage.

    A process that is measured writes a file into the checkout when it ends. One of another user may not, and one at a
    limit cannot: it would say so on stderr, where a test looks for what the program says.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

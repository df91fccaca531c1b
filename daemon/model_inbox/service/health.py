"""What keeps the daemon from its work at this moment, as values.

Owns the fields. The part of the daemon that meets or ends a problem sets its own field; the status, and with it the
exit code of `model-inbox status`, is made from them alone. What was logged, and how often, is no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Health"]


@dataclass(slots=True)
class Health:
    """The problems that there are now. An empty text, or false, is none."""

    inbox_problem: str = ""
    """Why the inbox could not be listed at the last pass."""
    watch_problem: str = ""
    """Why file events do not reach us."""
    retention_problem: str = ""
    """What failed when the retention rules were last applied."""
    breaker: str = ""
    """Why the breaker stopped the last retention plan."""
    history_problem: str = ""
    """What is damaged in the closed segments of the journal."""
    checkpoint_failed: bool = False
    rotation_failed: bool = False
    missing_lines: str = ""
    """The numbers of the journal's lines that are in no file."""
    listen_problem: str = ""
    """Why nobody is served at `metrics.listen`."""
    textfile_problem: str = ""
    """Why `metrics.textfile` was not written."""

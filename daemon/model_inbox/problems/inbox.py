"""Problems of the inbox itself: its folders and whose they are. The noun `inbox`."""

from __future__ import annotations

from pathlib import Path

from .value import Problem

__all__ = ["inbox_not_a_folder", "inbox_not_ours"]


def inbox_not_a_folder(folder: Path) -> Problem:
    """Something else stands where a reserved folder belongs."""
    return Problem(
        "inbox.not_a_folder",
        f"{str(folder)!r} is a link or a file, where a folder of ours belongs",
        f"Move it away: {folder.name!r} is a reserved name",
        file=str(folder),
    )


def inbox_not_ours(folder: Path, owner: int, we: int) -> Problem:
    """A folder of the inbox belongs to another user than the one that the daemon runs as."""
    return Problem(
        "inbox.not_ours",
        f"{str(folder)!r} belongs to user {owner}, the daemon runs as user {we}",
        f"chown {we} {str(folder)!r}, or run the daemon as user {owner}",
        file=str(folder),
    )

"""Problems of the inbox itself: its folders, whose they are, and who can write in them. The noun `inbox`."""

from __future__ import annotations

import shlex
from pathlib import Path

from .value import Problem

__all__ = ["inbox_not_a_folder", "inbox_not_ours", "inbox_not_sticky", "inbox_open_to_others"]


def inbox_not_a_folder(folder: Path) -> Problem:
    """Something else stands where a reserved folder belongs."""
    return Problem(
        "inbox.not_a_folder",
        f"{str(folder)!r} is a link or a file; its name is reserved for a folder of model-inbox",
        _move_away(folder),
        file=str(folder),
    )


def inbox_not_ours(folder: Path, owner: int, we: int, *, reserved: bool = False) -> Problem:
    """The inbox, or a reserved folder in it, belongs to another user than the one that the daemon runs as."""
    return Problem(
        "inbox.not_ours",
        f"{str(folder)!r} belongs to user {owner}, the daemon runs as user {we}",
        _move_away(folder)
        if reserved
        else f"chown -h {we} {shlex.quote(str(folder))} (without -R), or run the daemon as user {owner}",
        file=str(folder),
    )


def inbox_not_sticky(folder: Path, mode: int) -> Problem:
    """The inbox can be written by several users, and each can rename and remove what another one drops."""
    return Problem(
        "inbox.not_sticky",
        f"{str(folder)!r} has mode {mode:04o}: other users can write in it, and it is not sticky, so each of them can "
        "rename, replace and remove the drops of the others",
        f"chmod +t {shlex.quote(str(folder))}",
        file=str(folder),
    )


def inbox_open_to_others(folder: Path, mode: int) -> Problem:
    """A reserved folder can be written by other users, who may have put files into it."""
    return Problem(
        "inbox.open_to_others",
        f"{str(folder)!r} has mode {mode:04o}: other users can write in it, and may have done so",
        _move_away(folder),
        file=str(folder),
    )


def _move_away(folder: Path) -> str:
    """Return the remedy for a name that another user may have made. To take over what is there would be to trust it."""
    there = shlex.quote(str(folder))
    return (
        f"Look at it (`ls -la {there}`), move it away (`mv -nT {there} {shlex.quote(f'{folder}.found')}`), and start "
        "the daemon, which makes the folder. Do not use chown or chmod on it: what is in it may be another user's"
    )

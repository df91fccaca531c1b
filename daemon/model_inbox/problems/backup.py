"""Problems of backups. The noun `backup`."""

from __future__ import annotations

from .value import Problem, escaped, quoted

__all__ = [
    "backup_file_differs",
    "backup_file_missing",
    "backup_file_unknown",
    "backup_manifest_damaged",
    "backup_not_copied",
]

_OTHER = "Restore from another snapshot; `model-inbox backup list` shows them"


def backup_manifest_damaged(name: str, why: str) -> Problem:
    """The manifest of a snapshot is missing or damaged. `why` is the error."""
    return Problem("backup.manifest_damaged", why, _OTHER, file=escaped(name))


def backup_file_missing(path: str) -> Problem:
    """A file of a snapshot is gone."""
    return Problem("backup.file_missing", f"{quoted(path, 255)} is missing from the snapshot", _OTHER, file=path)


def backup_file_differs(path: str, why: str) -> Problem:
    """A file of a snapshot has other bytes than were written. `why` goes on after a colon."""
    return Problem(
        "backup.file_differs", f"{quoted(path, 255)} is not what was written there: {why}", _OTHER, file=path
    )


def backup_file_unknown(name: str) -> Problem:
    """A file is in the snapshot that the backup did not write."""
    return Problem(
        "backup.file_unknown",
        f"{quoted(name, 255)} is in the snapshot, and the backup did not write it",
        "Move it elsewhere: a snapshot holds only what the backup wrote",
        file=escaped(name),
    )


def backup_not_copied(name: str) -> Problem:
    """The registry names a file that it does not have, or has with other bytes."""
    return Problem(
        "backup.not_copied",
        f"the registry names {quoted(name, 255)}, and it is missing there or has other bytes: the snapshot lacks it",
        "`model-inbox verify` says what is wrong with the registry",
        file=escaped(name),
    )

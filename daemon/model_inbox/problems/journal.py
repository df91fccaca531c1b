"""What `verify` finds wrong with the journal and its history. The noun `journal`."""

from __future__ import annotations

from pathlib import Path

from .value import Problem

__all__ = [
    "journal_base_damaged",
    "journal_base_missing",
    "journal_cut",
    "journal_damaged",
    "journal_gap",
    "journal_missing",
]

_KEEP_LINES = "Stop the daemon, then `model-inbox rebuild` keeps every intact line"


def journal_missing(path: Path) -> Problem:
    """There is no journal beside a registry that had one."""
    return Problem("journal.missing", "the journal is missing", _KEEP_LINES, file=str(path))


def journal_damaged(path: Path, offset: int, what: str) -> Problem:
    """A line, or the head, of a segment is damaged."""
    return Problem("journal.damaged", f"damaged at byte {offset}: {what}", _KEEP_LINES, file=str(path))


def journal_cut(path: Path, reached: int, committed: int) -> Problem:
    """Lines at the end, known to have been committed, are gone."""
    return Problem(
        "journal.cut",
        f"the journal ends at line {reached}, but lines up to {committed} were committed",
        "Stop the daemon, then `model-inbox rebuild` makes up for what was lost as far as files tell",
        file=str(path),
    )


def journal_gap(path: Path, first: int, last: int) -> Problem:
    """Lines before a segment are in no file."""
    return Problem(
        "journal.gap",
        f"the lines {first} to {last}, which come before this file, are in no segment",
        _KEEP_LINES,
        file=str(path),
    )


def journal_base_missing(history: Path, first: int, last: int) -> Problem:
    """The lines before the first one that is kept are gone, and the file with the entries as they were then, too."""
    return Problem(
        "journal.base_missing",
        f"the lines {first} to {last} are in no segment, and the entries as they were then are in no file",
        _KEEP_LINES,
        file=str(history),
    )


def journal_base_damaged(path: Path, what: str) -> Problem:
    """The file with the entries before the first line that is kept is damaged."""
    return Problem("journal.base_damaged", what, _KEEP_LINES, file=str(path))

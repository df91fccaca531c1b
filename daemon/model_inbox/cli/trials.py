"""Prints what other retention rules would do or would have done: for `retention plan --diff` and `retention simulate`.

Owns the words and the tables. `retention/differences` and `retention/simulation` find it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ..base.instants import parse_stored
from ..base.units import counted, format_size, spans
from .output import Column, print_lines, print_problems, print_table, when

if TYPE_CHECKING:
    from ..retention.differences import Difference, PlanDifferences
    from ..retention.simulation import SimulatedRetirement, Simulation

__all__ = ["print_differences", "print_simulation"]

_COMPARED = (
    Column("MODEL"),
    Column("GROUP", rank=2, least=7),
    Column("TRAINED (UTC)", rank=4),
    Column("SIZE", rank=3, right=True),
)
_DIFFERENCES = (
    *_COMPARED,
    Column("WHY NOW", rank=1, least=16, words=True),
    Column("WHY BY FILE", rank=1, least=16, words=True),
)
_DIFFERENCES_OF_FILES = (
    *_COMPARED,
    Column("WHY BY --policy", rank=1, least=16, words=True),
    Column("WHY BY --diff", rank=1, least=16, words=True),
)
_REGRETTED = (
    Column("MODEL"),
    Column("RETIRED (UTC)", rank=2),
    Column("WANTED AFTER THAT", rank=1, least=24, words=True),
)
_RETIRED = (
    Column("RETIRED (UTC)", rank=2),
    Column("MODEL"),
    Column("GROUP", rank=3, least=7),
    Column("SIZE", rank=4, right=True),
    Column("WHY", rank=1, least=16, words=True),
)


# --- retention plan --diff ---------------------------------------------------------------------------------


def print_differences(found: PlanDifferences, *, in_force: bool) -> None:
    """Print which models two plans treat differently, and why.

    With `in_force` the first plan is that of the rules in force, else that of another file.
    """
    before, after = found.before, found.after
    total = counted(len(after.keep) + len(after.retire), "model")
    old, new = (f"{len(plan.retire)} ({format_size(plan.bytes_freed)})" for plan in (before, after))
    first, second = ("the rules in force", "the file") if in_force else ("the rules of --policy", "the file of --diff")
    columns = _DIFFERENCES if in_force else _DIFFERENCES_OF_FILES
    print_lines(f"Of {total}, {first} retire {old}, those of {second} {new}.")
    for title, some in ((f"Only {second} retires", found.retired), (f"Only {first} retire", found.kept)):
        if some:
            print_lines(f"\n{title} {counted(len(some), 'model')} ({format_size(sum(one.bytes for one in some))}):\n")
            print_table(columns, map(_row, some))
    if not found.retired and not found.kept:
        print_lines("Both do the same with every model.")
    notes = [*after.warnings, *(problem for _, problem in after.breakers)]
    if notes:
        print_lines(f"\nWith the rules of {second}:")
        print_problems(notes)


def _row(one: Difference) -> tuple[str, ...]:
    return (
        one.model_id,
        " ".join(value for _, value in one.group),
        when(parse_stored(one.trained_at)),
        format_size(one.bytes),
        "; ".join(one.before.reasons),
        "; ".join(one.after.reasons),
    )


# --- retention simulate ------------------------------------------------------------------------------------


def print_simulation(done: Simulation) -> None:
    """Print what the rules would have retired, with the summary first, then what would have been missed."""
    gone = done.models_retired
    print_lines(
        f"From {when(done.begin)} to {when(done.end)} UTC these rules would have retired "
        f"{counted(len(gone), 'model')} ({format_size(sum(one.bytes for one in gone))}). "
        f"{_regret(done)}{_size(done)}"
    )
    _print_limits(done)
    if done.regretted:
        print_lines("\nWanted after these rules would have retired them:\n")
        print_table(_REGRETTED, [(one.model_id, when(one.at), one.regret) for one in done.regretted])
    if done.retired:
        print_lines("\nRetired:\n")
        print_table(_RETIRED, map(_retired, done.retired))


def _regret(done: Simulation) -> str:
    count = len({(one.model_id, one.sequence) for one in done.regretted})
    if not count:
        return "None of them was wanted later. " if done.retired else ""
    return f"{count} of them {'was' if count == 1 else 'were'} wanted later. "


def _size(done: Simulation) -> str:
    at, most = _largest(done.bytes)
    return (
        f"The registry would have {counted(done.models, 'model')} of {format_size(done.bytes[-1][1])} now, instead of "
        f"{format_size(done.real_bytes[-1][1])}; at most {format_size(most)}, on {at:%Y-%m-%d}."
    )


def _largest(sizes: Sequence[tuple[datetime, int]]) -> tuple[datetime, int]:
    return max(sizes, key=lambda sample: sample[1])


def _print_limits(done: Simulation) -> None:
    """Print what the answer does not know, and where the rules would have been stopped."""
    if done.history_begins is not None:
        print_lines(
            f"The history begins at {when(done.history_begins)} UTC: of models that were retired before that nothing "
            "is known (registry.history_keep)."
        )
    if done.missing:
        print_lines(
            f"The lines {spans(list(done.missing))} of the history are missing: what they changed is not known."
        )
    if done.breakers:
        print_lines("\nThe breaker would have stopped these; `--override-breaker` simulates without it:")
        for _, at, problem in done.breakers:
            print_lines(f"- {when(at)} UTC: {problem.message}", indent=2, hanging=4)


def _retired(one: SimulatedRetirement) -> tuple[str, ...]:
    return (
        when(one.at),
        one.model_id,
        " ".join(value for _, value in one.group),
        format_size(one.bytes),
        "; ".join(one.reasons),
    )

"""How many files of each framework were saved and refused in this run, for the table at its end."""

from __future__ import annotations

from collections import Counter, defaultdict

from model_inbox.pickles import PickleReport

__all__ = ["Tally", "note", "table"]


class Tally:
    """The counts of one framework: files, those that were refused, and why."""

    def __init__(self) -> None:
        self.files = 0
        self.refused = 0
        self.reasons: Counter[str] = Counter()


_TALLIES: defaultdict[str, Tally] = defaultdict(Tally)


def note(framework: str, label: str, report: PickleReport) -> bool:
    """Count a file. Return whether it was accepted."""
    tally = _TALLIES[framework]
    tally.files += 1
    if report.accepted:
        return True
    tally.refused += 1
    for problem in report.problems[:3]:
        tally.reasons[f"{problem.message} ({label})"] += 1
    return False


def of(framework: str) -> Tally:
    """Return the counts of a framework so far."""
    return _TALLIES[framework]


def table() -> list[str]:
    """Return the lines of the table: framework, files, refused, share; and below each the reasons."""
    if not _TALLIES:
        return []
    lines = [f"{'framework':<14}{'files':>8}{'refused':>9}{'share':>9}"]
    for framework, tally in sorted(_TALLIES.items()):
        lines.append(f"{framework:<14}{tally.files:>8}{tally.refused:>9}{tally.refused / tally.files:>9.2%}")
        lines += [f"    {count} x {reason[:180]}" for reason, count in tally.reasons.most_common(20)]
    return lines

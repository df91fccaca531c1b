"""The verdict on a drop: its metadata and the reports on its pickles against what the operator accepts.

Pure. An empty list of problems is the verdict "accept".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ..model.metadata import ModelMetadata
from ..pickles import PickleReport
from ..problems import Problem, quoted

__all__ = ["verdict"]


def verdict(
    metadata: ModelMetadata,
    reports: Mapping[str, PickleReport],
    *,
    model_types: Sequence[str] | None,
    currency_pairs: Sequence[str] | None,
) -> list[Problem]:
    """Return every reason to refuse a drop. `reports` maps the names of its pickles to what the scan found.

    `model_types` and `currency_pairs` are the patterns of config.yaml, None for any.
    """
    problems = []
    for field, patterns, value in (
        ("model_type", model_types, metadata.model_type),
        ("currency_pair", currency_pairs, metadata.currency_pair),
    ):
        if patterns is not None and not any(fnmatchcase(value, pattern) for pattern in patterns):
            problems.append(
                Problem(
                    f"checks.{field}",
                    f"{field} {quoted(value)} is not accepted here",
                    f"Accepted are: {', '.join(quoted(pattern) for pattern in patterns)} (checks.{field}s)",
                    field=field,
                )
            )
    for name, report in reports.items():
        problems.extend(problem if problem.file else replace(problem, file=name) for problem in report.problems)
    return problems

"""The verdict on a drop: its metadata and the reports on its pickles against what the operator accepts.

Pure. An empty list of problems is the verdict "accept".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..model.checks import check_accepted
from ..model.metadata import ModelMetadata
from ..pickles import PickleReport
from ..problems import Problem

__all__ = ["verdict"]


def verdict(
    metadata: ModelMetadata,
    reports: Mapping[str, PickleReport],
    *,
    model_types: Sequence[str] | None,
    currency_pairs: Sequence[str] | None,
    pair_pattern: str | None,
) -> list[Problem]:
    """Return every reason to refuse a drop. `reports` maps the names of its pickles to what the scan found.

    `model_types` and `currency_pairs` are the patterns of config.yaml and `pair_pattern` its expression, None for any.
    """
    problems = check_accepted(
        metadata, model_types=model_types, currency_pairs=currency_pairs, pair_pattern=pair_pattern
    )
    for name, report in reports.items():
        problems.extend(problem if problem.file else replace(problem, file=name) for problem in report.problems)
    return problems

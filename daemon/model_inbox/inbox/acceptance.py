"""The verdict on a drop: its metadata and the reports on its pickles against what the operator accepts.

Pure. An empty list of problems is the verdict "accept".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ..model.checks import check_pair
from ..model.metadata import ModelMetadata
from ..pickles import PickleReport
from ..problems import Problem
from ..problems.checks import checks_currency_pair, checks_model_type

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
    problems = check_pair(metadata.currency_pair, pair_pattern)
    if model_types is not None and not _matches(metadata.model_type, model_types):
        problems.append(checks_model_type(metadata.model_type, model_types))
    if currency_pairs is not None and not _matches(metadata.currency_pair, currency_pairs):
        problems.append(checks_currency_pair(metadata.currency_pair, currency_pairs))
    for name, report in reports.items():
        problems.extend(problem if problem.file else replace(problem, file=name) for problem in report.problems)
    return problems


def _matches(value: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)

"""Problems with what the operator accepts (`checks` in config.yaml). The noun `checks`."""

from __future__ import annotations

from collections.abc import Sequence

from .value import Problem, quoted

__all__ = ["checks_currency_pair", "checks_model_type"]


def checks_model_type(value: str, patterns: Sequence[str]) -> Problem:
    """The sidecar's model_type matches none of the operator's patterns."""
    return Problem(
        "checks.model_type",
        f"model_type {quoted(value)} is not accepted here",
        f"Accepted are: {_listed(patterns)} (checks.model_types)",
        field="model_type",
    )


def checks_currency_pair(value: str, patterns: Sequence[str]) -> Problem:
    """The sidecar's currency_pair matches none of the operator's patterns."""
    return Problem(
        "checks.currency_pair",
        f"currency_pair {quoted(value)} is not accepted here",
        f"Accepted are: {_listed(patterns)} (checks.currency_pairs)",
        field="currency_pair",
    )


def _listed(patterns: Sequence[str]) -> str:
    return ", ".join(quoted(pattern) for pattern in patterns)

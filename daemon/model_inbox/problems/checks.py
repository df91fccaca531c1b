"""Problems with what the operator accepts (`checks` in config.yaml). The noun `checks`."""

from __future__ import annotations

from collections.abc import Sequence

from .value import Problem, quoted

__all__ = ["checks_currency_pair", "checks_model_type", "checks_near_pair", "checks_pair_pattern"]


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


def checks_near_pair(pair: str, near: str, count: int) -> Problem:
    """`count` models are registered as the pair `near`, which is spelled in nearly the same way."""
    models = f"{count} models are" if count > 1 else "a model is"
    return Problem(
        "checks.near_pair",
        f"currency_pair is {quoted(pair)}, and {models} registered as {quoted(near)}",
        f"These are two pairs. If you mean that one, drop the model again with {quoted(near)} and another model_id",
        field="currency_pair",
    )


def checks_pair_pattern(value: str, pattern: str, *, default: bool) -> Problem:
    """The currency_pair does not have the form of `checks.pair_pattern`."""
    form = "letters, digits and '._/-', without '..' and with '/' only between others" if default else quoted(pattern)
    return Problem(
        "checks.pair_pattern",
        f"currency_pair {quoted(value)} does not have the form of a pair",
        f"Write it like 'USD/EUR': {form} (checks.pair_pattern)",
        field="currency_pair",
    )


def _listed(patterns: Sequence[str]) -> str:
    return ", ".join(quoted(pattern) for pattern in patterns)

"""Whether the least or the largest value of a metric is best, as far as config.yaml says so.

Owns where in the configuration that stands. Never reads a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from .settings import Config

__all__ = ["order_of_metrics"]


def order_of_metrics(config: Config) -> Callable[[str], Literal["min", "max"] | None]:
    """Return the function that knows the order of a metric by its dotted name; None where nothing or both is said.

    The rule `best` of retention says it.
    """
    said: dict[str, set[Literal["min", "max"]]] = {}
    for policy in config.retention.policies:
        if policy.keep.best is not None:
            said.setdefault(policy.keep.best.metric, set()).add(policy.keep.best.order)
    return lambda name: next(iter(said[name])) if len(said.get(name, ())) == 1 else None

"""Whether small or large values of a metric are better, as far as config.yaml says so.

Owns where in the configuration that stands. Never reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..base.margins import Order
from ..model.conditions.paths import METRICS
from ..model.slot import Slot
from .gates import GateSection
from .settings import Config

__all__ = ["order_of_metrics"]


def order_of_metrics(config: Config, slot: Slot) -> Callable[[str], Order | None]:
    """Return the function that knows the order of a metric of a slot by its dotted name.

    The gates of the slot and the rules `best` of retention say it. It is None where nothing is said, or both.
    """
    said = [*_by_gates(config.gates, slot), *_by_retention(config)]

    def order_of(name: str) -> Order | None:
        orders = {order for pattern, order in said if pattern.fullmatch(name)}
        return orders.pop() if len(orders) == 1 else None

    return order_of


def _by_gates(gates: tuple[GateSection, ...], slot: Slot) -> Iterator[tuple[re.Pattern[str], Order]]:
    for gate in gates:
        if gate.match.matches(slot):
            # A single order is that of all metrics which the gate compares.
            names = gate.order if isinstance(gate.order, dict) else (*gate.max_regression, *gate.min_gain)
            for name in names:
                order = gate.order_of(name)
                if order is not None:
                    yield _pattern(name.removeprefix(f"{METRICS}.")), order


def _by_retention(config: Config) -> Iterator[tuple[re.Pattern[str], Order]]:
    for policy in config.retention.policies:
        if policy.keep.best is not None:
            yield re.compile(re.escape(policy.keep.best.metric)), policy.keep.best.order


def _pattern(name: str) -> re.Pattern[str]:
    """Return the names of metrics that a name in a gate stands for: * is any part between two dots."""
    return re.compile("[^.]*".join(map(re.escape, name.split("*"))))

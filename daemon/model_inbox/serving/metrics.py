"""The metrics of followers, as Prometheus reads them.

Owns their names and their text. Never serves it: that is for the server that follows, which has a port already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .follower import Follower

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["FOLLOWER_METRICS", "render"]

LABELS = ("pair", "type", "variant", "alias")


@dataclass(frozen=True, slots=True)
class _Told:
    """One metric: its kind, its meaning, and its value for a follower."""

    kind: str
    help: str
    value: Callable[[Follower], float]


FOLLOWER_METRICS: dict[str, _Told] = {
    "model_inbox_follower_model_info": _Told(
        "gauge", "Always 1; the label `model_id` tells the model that is served.", lambda _: 1.0
    ),
    "model_inbox_follower_fallen_back": _Told(
        "gauge",
        "1 if another model is served than the one that the registry names, as that failed.",
        lambda one: float(one.fallen_back is not None),
    ),
    "model_inbox_follower_age_seconds": _Told(
        "gauge",
        "How long ago the model that is served was last known to be the one that the registry names.",
        lambda one: one.age,
    ),
    "model_inbox_follower_stale": _Told(
        "gauge", "1 if the age is more than `max_age`.", lambda one: float(one.is_stale)
    ),
    "model_inbox_follower_swaps_total": _Told(
        "counter", "How often another model was served, the first one included.", lambda one: one.counts.swaps
    ),
    "model_inbox_follower_load_failures_total": _Told(
        "counter",
        "Models that could not be loaded, or were refused by `try_out`.",
        lambda one: one.counts.load_failures,
    ),
    "model_inbox_follower_reported_failures_total": _Told(
        "counter", "How often the server reported that a model fails.", lambda one: one.counts.reported
    ),
    "model_inbox_follower_fallbacks_total": _Told(
        "counter", "How often it went back to a model before.", lambda one: one.counts.fallbacks
    ),
    "model_inbox_follower_last_load_seconds": _Told(
        "gauge", "How long the last load and trial took.", lambda one: one.counts.load_seconds
    ),
}
"""Every metric, by name; docs/reference/metrics.md lists them."""


def render(followers: Iterable[Follower]) -> bytes:
    """Return the text for Prometheus."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(tuple(followers)))
    return generate_latest(registry)


class _Collector:
    """What prometheus_client asks for the metrics."""

    def __init__(self, followers: tuple[Follower, ...]) -> None:
        self._followers = followers

    def collect(self) -> Iterable[Metric]:
        """Yield every metric."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, told in FOLLOWER_METRICS.items():
            has_model = name.endswith("_info")
            kind = CounterMetricFamily if told.kind == "counter" else GaugeMetricFamily
            family = kind(name, told.help, labels=(*LABELS, "model_id") if has_model else LABELS)
            for follower in self._followers:
                labels = (*follower.slot, follower.alias or "")
                served = follower._served
                if served is None:
                    continue
                model_id = (str(served.entry["model_id"]),) if has_model else ()
                family.add_metric((*labels, *model_id), told.value(follower))
            yield family

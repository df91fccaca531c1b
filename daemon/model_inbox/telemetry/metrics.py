"""The metrics: counters, and the text that Prometheus reads.

Owns the counters that the status file does not need (durations by step), the names of all metrics, and their text.
Never opens a file or a socket: `reporter` writes the text to a file, `metrics_server` serves it. The counters start at
zero with the daemon, which Prometheus expects.

prometheus_client makes the text. It is imported with the first text, so a daemon without the section `metrics` does not
load it.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["BUCKETS", "CONTENT_TYPE", "METRICS", "OUTCOMES", "STEPS", "Durations", "Tally", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OUTCOMES = ("registered", "duplicate", "rejected")
STEPS = ("claim", "stage", "digest", "scan", "sync", "commit")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds in seconds: from a small model on a quiet machine to the time limit of a scan, and past it."""


@dataclass(slots=True)
class Durations:
    """A histogram: for each bound of BUCKETS how many values are up to it, how many are above, and the sum of all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Add one value."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return pairs of an upper bound and the number of values up to it, as Prometheus expects them."""
        total, pairs = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            total += count
            pairs.append((bound, float(total)))
        return pairs


@dataclass(slots=True)
class Tally:
    """The counters since the daemon started."""

    drops: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    durations: dict[str, Durations] = field(default_factory=lambda: {outcome: Durations() for outcome in OUTCOMES})
    steps: dict[str, Durations] = field(default_factory=lambda: {step: Durations() for step in STEPS})
    last_at: dict[str, datetime] = field(default_factory=dict)
    put_back: int = 0
    deferrals: int = 0
    retired: int = 0
    promotions: int = 0
    holds: int = 0
    rescans: int = 0

    def drop_ended(
        self, outcome: str, at: datetime, seconds: float | None = None, steps: Mapping[str, float] | None = None
    ) -> None:
        """Count a drop that has its outcome. `seconds` is None if an earlier daemon claimed it."""
        self.drops[outcome] += 1
        self.last_at[outcome] = at
        if seconds is not None:
            self.durations[outcome].add(seconds)
        for step, took in (steps or {}).items():
            if step in self.steps:
                self.steps[step].add(took)


@dataclass(frozen=True, slots=True)
class _Told:
    """One metric: its kind, its meaning, and the dotted path of its value in the status document, if it is there."""

    kind: str
    help: str
    place: str = ""
    labels: tuple[str, ...] = ()


METRICS: dict[str, _Told] = {
    "model_inbox_build_info": _Told("gauge", "Always 1; the labels tell the version.", "", ("version", "python")),
    "model_inbox_start_time_seconds": _Told("gauge", "When the daemon started.", "started_at"),
    "model_inbox_status_timestamp_seconds": _Told(
        "gauge",
        "When these numbers were published. If they are old, the daemon works on one drop, or it is dead.",
        "at",
    ),
    "model_inbox_ready": _Told("gauge", "1 if drops are taken.", "ready"),
    "model_inbox_watch_deaf": _Told(
        "gauge", "1 if no file events arrive, so that the inbox is only rescanned at intervals.", "deaf"
    ),
    "model_inbox_inbox_reachable": _Told("gauge", "1 if the inbox could be listed.", "inbox.reachable"),
    "model_inbox_waiting": _Told("gauge", "Drops and single files that wait in the inbox.", "waiting"),
    "model_inbox_oldest_waiting_timestamp_seconds": _Told(
        "gauge", "When the drop or file that waits longest was last changed; absent if none waits.", "oldest.since"
    ),
    "model_inbox_deferred": _Told("gauge", "Claimed drops that are not decided yet and are tried again.", "deferred"),
    "model_inbox_drops_total": _Told("counter", "Drops that have their outcome.", "", ("outcome",)),
    "model_inbox_deferrals_total": _Told("counter", "How often a drop was deferred."),
    "model_inbox_put_back_total": _Told("counter", "Drops that went back to the inbox because they were not complete."),
    "model_inbox_rescans_total": _Told("counter", "How often the inbox was looked at."),
    "model_inbox_drop_duration_seconds": _Told(
        "histogram", "The time from the claim to the receipt.", "", ("outcome",)
    ),
    "model_inbox_drop_step_duration_seconds": _Told("histogram", "The time of each step of a drop.", "", ("step",)),
    "model_inbox_last_registered_timestamp_seconds": _Told(
        "gauge", "When a drop was last registered; absent if none was.", "last_registered_at"
    ),
    "model_inbox_last_rejected_timestamp_seconds": _Told(
        "gauge", "When a drop was last rejected; absent if none was.", "last_rejected_at"
    ),
    "model_inbox_registry_entries": _Told("gauge", "Registered models.", "registry.entries"),
    "model_inbox_registry_sequence": _Told("gauge", "The number of the journal's last line.", "registry.sequence"),
    "model_inbox_registry_journal_bytes": _Told(
        "gauge", "The size of the journal's current segment.", "registry.journal_bytes"
    ),
    "model_inbox_registry_checkpoint_failed": _Told(
        "gauge", "1 if the JSON file could not be brought up to date.", "registry.checkpoint_failed"
    ),
    "model_inbox_registry_rotation_failed": _Told(
        "gauge", "1 if the next segment of the journal could not be started.", "registry.rotation_failed"
    ),
    "model_inbox_retired_total": _Told("counter", "Models that the rules retired to the trash."),
    "model_inbox_promotions_total": _Told("counter", "How often a rule gave an alias to another model."),
    "model_inbox_holds_total": _Told("counter", "Drops that were registered, and held by a gate."),
    "model_inbox_retention_last_run_timestamp_seconds": _Told(
        "gauge", "When the rules were last applied; absent if they never were.", "retention.last_run_at"
    ),
    "model_inbox_retention_next_run_timestamp_seconds": _Told(
        "gauge", "When the rules are applied next; absent if they are off.", "retention.next_run_at"
    ),
    "model_inbox_retention_breaker_tripped": _Told(
        "gauge",
        "1 if the last plan was over the limits of a group, so that nothing of it was retired.",
        "retention.breaker_tripped",
    ),
    "model_inbox_retention_failed": _Told("gauge", "1 if the last run stopped half-way.", "retention.failed"),
    "model_inbox_disk_free_bytes": _Told("gauge", "The space that the service can still use.", "", ("folder",)),
    "model_inbox_disk_size_bytes": _Told("gauge", "The size of the file system.", "", ("folder",)),
    "model_inbox_config_reload_refused": _Told(
        "gauge",
        "1 if config.yaml was refused when it was last read, so that an older one is in force.",
        "config.refused",
    ),
    "model_inbox_config_loaded_timestamp_seconds": _Told(
        "gauge", "When the configuration in force was read.", "config.loaded_at"
    ),
    "model_inbox_config_restart_needed": _Told(
        "gauge", "How many settings of config.yaml wait for a restart.", "config.restart_needed"
    ),
    "model_inbox_scanner_restarts_total": _Told("counter", "Workers that died or were killed during a scan."),
}
"""Every metric, by name; docs/reference/metrics.md lists them."""


def render(document: Mapping[str, Any], tally: Tally) -> bytes:
    """Return the text for Prometheus: gauges from the status document, counters from the tally."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(document, tally))
    return generate_latest(registry)


class _Collector:
    """What prometheus_client asks for the metrics."""

    def __init__(self, document: Mapping[str, Any], tally: Tally) -> None:
        self._document = document
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that has a value."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for name, told in METRICS.items():
            if told.kind == "histogram":
                histogram = HistogramMetricFamily(name, told.help, labels=told.labels)
                for label, durations in self._durations(name).items():
                    histogram.add_metric((label,), durations.cumulative(), durations.seconds)
                yield histogram
                continue
            kind = CounterMetricFamily if told.kind == "counter" else GaugeMetricFamily
            family = kind(name, told.help, labels=told.labels)
            values = self._values(name, told)
            for labels, value in values:
                family.add_metric(labels, value)
            if values:
                yield family

    def _durations(self, name: str) -> Mapping[str, Durations]:
        return self._tally.steps if name == "model_inbox_drop_step_duration_seconds" else self._tally.durations

    def _values(self, name: str, told: _Told) -> list[tuple[Sequence[str], float]]:
        tally, document = self._tally, self._document
        if told.place:
            value = number_of(_at(document, told.place))
            return [] if value is None else [((), value)]
        if name == "model_inbox_build_info":
            return [((str(document.get("version")), platform.python_version()), 1.0)]
        if name == "model_inbox_drops_total":
            return [((outcome,), float(count)) for outcome, count in tally.drops.items()]
        if name.startswith("model_inbox_disk_"):
            key = "free_bytes" if "free" in name else "size_bytes"
            return [((disk["folder"],), float(disk[key])) for disk in document.get("disks", ())]
        if name == "model_inbox_scanner_restarts_total":
            return [((), float(document.get("scanner_restarts", 0)))]
        count = name.removeprefix("model_inbox_").removesuffix("_total")
        return [((), float(getattr(tally, count)))]


def _at(document: Mapping[str, Any], place: str) -> Any:
    value: Any = document
    for step in place.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def number_of(value: Any) -> float | None:
    """Return a value of a status document as a number: an instant as seconds since 1970, a list as its length."""
    if value is None:
        return None
    if isinstance(value, str):
        return datetime.fromisoformat(value).timestamp()
    if isinstance(value, (list, tuple)):
        return float(len(value))
    return float(value)

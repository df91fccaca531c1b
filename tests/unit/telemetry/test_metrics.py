"""Metrics: the numbers are the status document's and the tally's, and the names are as the page says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from model_inbox.serving.metrics import FOLLOWER_METRICS
from model_inbox.telemetry.metrics import BUCKETS, METRICS, Tally, render
from support.places import ROOT

AT = datetime(2026, 11, 24, tzinfo=UTC)
DOCUMENT: dict[str, Any] = {
    "at": "2026-11-24T12:00:00.500Z",
    "started_at": "2026-11-24T11:00:00Z",
    "version": '1.0"\\x',
    "ready": True,
    "deaf": False,
    "waiting": 3,
    "deferred": 1,
    "oldest": {"since": "2026-11-24T10:00:00Z"},
    "last_registered_at": None,
    "last_rejected_at": "2026-11-24T11:30:00Z",
    "inbox": {"reachable": True},
    "registry": {
        "entries": 7,
        "sequence": 21,
        "journal_bytes": 1234,
        "checkpoint_failed": False,
        "rotation_failed": False,
    },
    "retention": {"last_run_at": None, "next_run_at": None, "breaker_tripped": True, "failed": False},
    "disks": [{"folder": "inbox", "free_bytes": 5, "size_bytes": 10}],
    "config": {
        "refused": False,
        "loaded_at": "2026-11-24T11:00:00Z",
        "restart_needed": ["inbox.path", "registry.path"],
    },
    "scanner_restarts": 2,
}


def samples(document: dict[str, Any], tally: Tally) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return what Prometheus makes of the text: by name and values of the labels."""
    families = text_string_to_metric_families(render(document, tally).decode())
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def test_numbers_arrive_as_they_are() -> None:
    """Instants are seconds since 1970, truths 0 and 1, lists their length; what is not known is not there."""
    found = samples(DOCUMENT, Tally())
    noon = 1795521600.0
    assert found[("model_inbox_status_timestamp_seconds", ())] == noon + 0.5
    assert found[("model_inbox_start_time_seconds", ())] == noon - 3600
    assert found[("model_inbox_oldest_waiting_timestamp_seconds", ())] == noon - 7200
    assert (found[("model_inbox_ready", ())], found[("model_inbox_watch_deaf", ())]) == (1, 0)
    assert (found[("model_inbox_waiting", ())], found[("model_inbox_deferred", ())]) == (3, 1)
    assert found[("model_inbox_registry_entries", ())] == 7
    assert found[("model_inbox_retention_breaker_tripped", ())] == 1
    assert found[("model_inbox_config_restart_needed", ())] == 2
    assert found[("model_inbox_disk_free_bytes", ("inbox",))] == 5
    assert found[("model_inbox_scanner_restarts_total", ())] == 2
    assert ("model_inbox_last_registered_timestamp_seconds", ()) not in found
    versions = {key[1][1] for key in found if key[0] == "model_inbox_build_info"}
    assert versions == {'1.0"\\x'}


def test_drops_and_durations_are_counted() -> None:
    """Each outcome has its counter, from 0 on; a histogram counts what took at most so long."""
    tally = Tally()
    tally.drop_ended("registered", AT, 0.0009, {"stage": 0.002, "other": 9.0})
    tally.drop_ended("registered", AT, 0.001, {"stage": 400.0})
    tally.drop_ended("rejected", AT)
    found = samples(DOCUMENT, tally)
    outcomes = {o: found[("model_inbox_drops_total", (o,))] for o in ("registered", "duplicate", "rejected")}
    assert outcomes == {"registered": 2, "duplicate": 0, "rejected": 1}
    name = "model_inbox_drop_duration_seconds"
    by_bound = {key[1][1]: v for key, v in found.items() if key[0] == f"{name}_bucket" and key[1][0] == "registered"}
    by_bound |= {key[1][0]: v for key, v in found.items() if key[0] == f"{name}_bucket" and key[1][1] == "registered"}
    assert by_bound["0.001"] == by_bound["+Inf"] == 2
    assert found[(f"{name}_count", ("registered",))] == 2
    assert round(found[(f"{name}_sum", ("registered",))], 6) == 0.0019
    assert found[(f"{name}_count", ("rejected",))] == 0
    assert found[("model_inbox_drop_step_duration_seconds_count", ("stage",))] == 2
    assert found[("model_inbox_drop_step_duration_seconds_sum", ("stage",))] == 400.002
    assert sorted(BUCKETS) == list(BUCKETS)


def test_names_follow_the_conventions() -> None:
    """Counters end in _total, instants in _timestamp_seconds, all begin with our name and have a meaning."""
    for name, told in METRICS.items():
        assert re.fullmatch(r"model_inbox_[a-z_]+", name)
        assert name.endswith("_total") == (told.kind == "counter"), name
        assert told.help.endswith(".")


def test_every_metric_is_on_the_page_and_in_the_text() -> None:
    """docs/reference/metrics.md and the alert rules name no metric that is not made, and the page leaves none out."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rules = (ROOT / "systemd" / "prometheus-rules.yml").read_text()
    assert set(METRICS) | set(FOLLOWER_METRICS) <= set(re.findall(r"model_inbox_[a-z_]+", page))
    known = (
        set(METRICS)
        | set(FOLLOWER_METRICS)
        | {f"{name}_{part}" for name in METRICS for part in ("bucket", "count", "sum")}
    )
    used = set(re.findall(r"\bmodel_inbox_[a-z_]+", page + rules)) - {"model_inbox_", "model_inbox_alerts"}
    assert used <= known
    made = {
        key[0]
        for key in samples(
            {
                **DOCUMENT,
                "last_registered_at": DOCUMENT["at"],
                "retention": {
                    "last_run_at": DOCUMENT["at"],
                    "next_run_at": DOCUMENT["at"],
                    "breaker_tripped": False,
                    "failed": False,
                },
            },
            Tally(),
        )
    }
    assert {name for name in METRICS if name not in made and f"{name}_count" not in made} == set()

"""The metrics of followers: every one with a value, by the names that the manual lists."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from model_inbox import ModelRegistry
from model_inbox.serving.metrics import FOLLOWER_METRICS
from support.crash_disk import QuickDisk
from support.crash_kit import metadata
from support.waiting import wait_until


def values_of(registry: ModelRegistry) -> list[Sample]:
    families = text_string_to_metric_families(registry.follower_metrics().decode())
    return [sample for family in families for sample in family.samples]


def test_every_metric_has_a_value(tmp_path: Path) -> None:
    """With the slot and the alias as labels; what happened is counted."""
    with ModelRegistry(tmp_path / "registry.json", disk=QuickDisk()) as registry:
        for model_id in ("a", "b"):
            registry.register_model(metadata(model_id), {"weights": model_id})
            registry.set_alias("champion", model_id)
        assert not list(values_of(registry))
        follower = registry.follow("USD/EUR", alias="champion", give_up_after=2, max_age=1e-9)
        for _ in range(2):
            follower.current.failed("no")
        wait_until(lambda: follower.fallen_back)
        found = {sample.name: sample for sample in values_of(registry)}
    assert set(found) == set(FOLLOWER_METRICS)
    labels = {"pair": "USD/EUR", "type": "lightgbm", "variant": "", "alias": "champion"}
    assert found["model_inbox_follower_model_info"].labels == {**labels, "model_id": "a"}
    values = {name.removeprefix("model_inbox_follower_"): sample.value for name, sample in found.items()}
    assert values.pop("age_seconds") > 0
    assert values.pop("last_load_seconds") > 0
    assert values == {
        "model_info": 1,
        "fallen_back": 1,
        "stale": 1,
        "swaps_total": 2,
        "load_failures_total": 0,
        "reported_failures_total": 2,
        "fallbacks_total": 1,
    }

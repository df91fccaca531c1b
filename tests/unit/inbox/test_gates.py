"""Gates at the inbox: what becomes of a drop beside the models in service, under the lock of the commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.world import World

NO_WORSE = {
    "name": "no-worse",
    "against": "newest",
    "max_regression": {"1d.rmse": 0},
    "order": "min",
}


def world(folder: Path, *gates: dict[str, Any]) -> World:
    return World(folder, {"gates": list(gates)})


def put(world: World, stem: str, rmse: float, day: int = 1, **fields: Any) -> None:
    trained_at = f"2026-10-{day:02}T00:00:00Z"
    world.put(stem, trained_at=trained_at, validation_metrics={"1d": {"rmse": rmse}}, **fields)


def outcome(world: World, stem: str) -> str:
    receipt = world.receipt(stem)
    assert receipt is not None
    return str(receipt["outcome"])


def test_a_worse_model_is_rejected_with_what_it_lost_to(tmp_path: Path) -> None:
    """The receipt says gate, value, bound and the model in service; a better one is registered with its outcomes."""
    it = world(tmp_path, NO_WORSE)
    with it.running() as service:
        put(it, "first", 0.5)
        it.live_on(service, 60)
        put(it, "worse", 9.9, 2)
        put(it, "better", 0.4, 3)
        it.live_on(service, 60)
        receipt = it.receipt("worse")
        assert receipt is not None
        (problem,) = receipt["problems"]
        assert (receipt["outcome"], problem["code"]) == ("rejected", "gates.failed")
        assert problem["message"] == (
            "gate 'no-worse': 1d.rmse is 9.9, and must be at most 0.5, 0 worse than 0.5 ('first', newest)"
        )
        entry = service.registry.registry["better"]
        assert [(one["passed"], one["against"]) for one in entry["gates"]] == [
            (True, {"model_id": "first", "sequence": 1})
        ]
        assert entry["held"] is None


def test_of_drops_that_are_ready_together_the_later_is_compared_with_the_earlier(tmp_path: Path) -> None:
    """A batch is one commit, and none of its models slips past the gate."""
    it = world(tmp_path, NO_WORSE)
    put(it, "a", 0.5, 1)
    put(it, "b", 0.6, 2)
    put(it, "c", 0.4, 3)
    with it.running() as service:
        it.live_on(service, 60)
        assert [outcome(it, stem) for stem in "abc"] == ["registered", "rejected", "registered"]
        against = service.registry.registry["c"]["gates"][0]["against"]
        assert against is not None and against["model_id"] == "a"


def test_a_slot_is_compared_with_itself(tmp_path: Path) -> None:
    """A model of another variant is no measure."""
    it = world(tmp_path, NO_WORSE)
    with it.running() as service:
        put(it, "short", 0.1)
        it.live_on(service, 60)
        put(it, "long", 0.9, 2, variant="30d")
        it.live_on(service, 60)
        assert outcome(it, "long") == "registered"


def test_a_model_is_held_registered_and_not_served(tmp_path: Path) -> None:
    """The receipt says so; the next model is compared with the one that is served; `unhold` has it served."""
    it = world(tmp_path, {**NO_WORSE, "on_fail": "hold"})
    with it.running() as service:
        put(it, "good", 0.5)
        it.live_on(service, 60)
        put(it, "bad", 0.9, 2)
        it.live_on(service, 60)
        receipt = it.receipt("bad")
        assert receipt is not None
        assert (receipt["outcome"], [note["code"] for note in receipt["notes"]]) == (
            "registered",
            ["gates.held"],
        )
        registry = service.registry
        assert service.intake.tally.holds == 1
        assert registry.registry["bad"]["held"] == (
            "gate no-worse: 1d.rmse is 0.9, and must be at most 0.5, 0 worse than 0.5 ('good', newest)"
        )
        served = registry.get_model("USD/EUR")
        assert served is not None and served["model_id"] == "good"
        put(it, "also-bad", 0.8, 3)
        it.live_on(service, 60)
        assert registry.registry["also-bad"]["gates"][0]["against"] == {"model_id": "good", "sequence": 1}
        registry.unhold("bad")
        served = registry.get_model("USD/EUR")
        assert served is not None and served["model_id"] == "bad"


def test_the_same_drop_again_is_a_duplicate_whatever_the_gates_say(tmp_path: Path) -> None:
    """A model that is registered changes nothing by coming again."""
    it = world(tmp_path, NO_WORSE)
    with it.running() as service:
        put(it, "a", 0.5)
        it.live_on(service, 60)
        put(it, "b", 0.4, 2)
        it.live_on(service, 60)
        put(it, "a", 0.5)
        it.live_on(service, 60)
        assert outcome(it, "a") == "duplicate"


def test_a_refused_model_leaves_no_file_and_takes_no_quota(tmp_path: Path) -> None:
    """Its files go to rejected/, its id is free, and the next drop of its owner is counted alone."""
    it = World(tmp_path, {"gates": [NO_WORSE], "quota": [{"users": ["*"], "models_per_day": 2}]})
    with it.running() as service:
        put(it, "a", 0.5, 1)
        it.live_on(service, 60)
        put(it, "b", 0.9, 2)
        put(it, "c", 0.4, 3)
        it.live_on(service, 60)
        assert [outcome(it, stem) for stem in "abc"] == ["registered", "rejected", "registered"]
    assert not (it.models / "prediction" / "b.pkl").exists()
    assert list((it.models / "prediction" / ".staging").iterdir()) == []

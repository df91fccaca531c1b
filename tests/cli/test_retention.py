"""`retention plan` and `retention apply`."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from model_inbox import ModelRegistry
from support.home import Home, rules


def test_the_plan_gives_reasons_and_changes_nothing(home: Home) -> None:
    """Every model is in the plan with its reasons, and the tree is the same afterwards."""
    (home.folder / "config.yaml").write_text(rules())
    before = home.tree()
    plan = home.json("retention", "plan")
    assert [item["model_id"] for item in plan["retire"]] == ["old"]
    assert {item["model_id"]: bool(item["reasons"]) for item in plan["keep"]} == {"new": True, "other": True}
    assert plan["bytes_freed"] == home.json("show", "old")["size_bytes"]
    shown = home.text("retention", "plan")
    assert shown.startswith("Retire 1 model (")
    assert "Keep 2 models:" in shown
    assert "last 1/1" in shown
    assert home.tree() == before


def test_the_plan_tells_what_is_in_use(home: Home) -> None:
    """A model that a server follows is retired all the same; the plan says that it will not be purged yet."""
    (home.folder / "config.yaml").write_text(rules())
    entry = home.json("show", "old")
    assert [item["in_use"] for item in home.json("retention", "plan")["retire"]] == [False]
    with Path(entry["model_path"]).open("rb"):
        assert [item["in_use"] for item in home.json("retention", "plan")["retire"]] == [True]
        assert "in use" in home.text("retention", "plan")
    assert "in use" not in home.text("retention", "plan")


def test_the_plan_can_be_tried_with_other_rules_and_another_time(home: Home) -> None:
    """--policy holds what stands under `retention:`, --now the time; a bad file is exit 78."""
    policy = home.folder / "policy.yaml"
    policy.write_text("policies: [{match: {currency_pair: '*'}, keep: {last: 1}}]\n")
    plan = home.json("retention", "plan", "--policy", "policy.yaml")
    assert [item["model_id"] for item in plan["retire"]] == ["old"]
    assert "retention.mode is off" in home.text("retention", "plan", "--policy", "policy.yaml")
    # On the first day the model of the second is dated in the future, and is held for that.
    kept = home.json("retention", "plan", "--policy", "policy.yaml", "--now", "2026-01-01T12:00:00Z")["keep"]
    assert [item["model_id"] for item in kept if "future" in " ".join(item["reasons"])] == ["other", "new"]
    policy.write_text("policies: [{keep: {lst: 1}}]\n")
    assert home.error("retention", "plan", "--policy", "policy.yaml", status=78)["code"] == "config.invalid"
    assert home.run("retention", "plan", "--policy", "nothing.yaml").exit_code == 2


def test_the_plan_is_applied_when_confirmed(home: Home) -> None:
    """`apply` shows the plan and refuses without a yes; with --yes the models are in the trash."""
    (home.folder / "config.yaml").write_text(rules())
    before = home.tree()
    result = home.run("retention", "apply")
    assert (result.exit_code, "Retire 1 model" in result.stdout, "--yes" in result.stderr) == (1, True, True)
    assert home.tree() == before
    done = home.json("retention", "apply", "--yes")
    assert ([item["model_id"] for item in done["retire"]], done["retired"], done["skipped"]) == (["old"], ["old"], [])
    assert set(home.stored()) == {"new", "other"}
    assert home.json("history", "old")[-1]["actor"].startswith("cli:")
    assert home.json("retention", "apply", "--yes")["retired"] == []
    assert "Keep 2 models" in home.text("retention", "apply")


def test_apply_with_other_modes(home: Home) -> None:
    """With mode off the command retires by hand; with dry-run nothing at all is touched."""
    (home.folder / "config.yaml").write_text(rules("dry-run"))
    before = home.tree()
    assert home.error("retention", "apply", "--yes", status=1)["code"] == "command.refused"
    assert "retention.mode is dry-run" in home.text("retention", "plan")
    assert home.tree() == before
    (home.folder / "config.yaml").write_text(rules("off"))
    assert "Retired 1 model" in home.text("retention", "apply", "--yes")
    assert set(home.stored()) == {"new", "other"}


def test_the_breaker_stops_apply_until_it_is_overridden(home: Home) -> None:
    """A plan over the limits is exit 1 and retires nothing, unless --override-breaker."""
    (home.folder / "config.yaml").write_text(rules(breaker="{max_deletes: 0}"))
    assert home.json("retention", "plan")["breaker"]["code"] == "retention.breaker"
    assert "[retention.breaker]" in home.text("retention", "plan")
    assert "--override-breaker" in home.error("retention", "apply", "--yes", status=1)["hint"]
    assert "old" in home.stored()
    assert home.json("retention", "apply", "--yes", "--override-breaker")["retired"] == ["old"]


def test_apply_stops_when_the_plan_is_another_by_then(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registration between the question and the answer that changes the plan is exit 75, and nothing goes."""
    (home.folder / "config.yaml").write_text(rules())

    def answer_late(*_: object, **__: object) -> None:
        home.register("newer", days=3)

    monkeypatch.setattr("model_inbox.cli.retention.ask", answer_late)
    assert home.error("retention", "apply", status=75)["code"] == "retention.changed"
    assert set(home.stored()) == {"old", "new", "other", "newer"}


def test_apply_tells_what_was_protected_meanwhile(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin that comes while the plan is carried out wins, and is told."""
    (home.folder / "config.yaml").write_text(rules())
    delete = ModelRegistry.delete_model

    def pinned_first(registry: ModelRegistry, model_id: str, **options: Any) -> bool:
        registry.pin(model_id)
        return delete(registry, model_id, **options)

    monkeypatch.setattr(ModelRegistry, "delete_model", pinned_first)
    shown = home.text("retention", "apply", "--yes")
    assert "Retired 0 models" in shown
    assert shown.rstrip().endswith("old")


def test_a_policy_may_be_a_whole_configuration(home: Home) -> None:
    """`--policy config.yaml` takes its section `retention:`, and tells the problems of the file as it is."""
    (home.folder / "other.yaml").write_text("inbox: {rescan_seconds: 30}\n" + rules(last=1))
    made = home.json("retention", "plan", "--policy", "other.yaml")
    assert [model["model_id"] for model in made["retire"]] == ["old"]
    (home.folder / "other.yaml").write_text("retention: {mode: sometimes}\n")
    (problem,) = home.error("retention", "plan", "--policy", "other.yaml", status=78)["problems"]
    assert problem["field"] == "retention.mode"


def test_a_policy_may_be_a_symlink_or_a_pipe(home: Home, tmp_path: Path) -> None:
    """As the file of `--config` may be: a mounted configuration is a symlink, `<(...)` of a shell a pipe."""
    (tmp_path / "policy.yaml").write_text(rules())
    (home.folder / "linked.yaml").symlink_to(tmp_path / "policy.yaml")
    made = home.json("retention", "plan", "--policy", "linked.yaml")
    assert [model["model_id"] for model in made["retire"]] == ["old"]
    reading, writing = os.pipe()
    try:
        os.write(writing, rules().encode())
        os.close(writing)
        assert home.json("retention", "plan", "--policy", f"/dev/fd/{reading}") == made
    finally:
        os.close(reading)


def test_two_policies_are_compared(home: Home) -> None:
    """`plan --diff` shows what the file changes and no more, with the reasons of both; nothing is changed."""
    (home.folder / "config.yaml").write_text(rules(last=2))
    (home.folder / "policy.yaml").write_text(rules())
    before = home.tree()
    found = home.json("retention", "plan", "--diff", "policy.yaml")
    assert (found["kept"], [one["model_id"] for one in found["retired"]]) == ([], ["old"])
    assert found["retired"][0]["before"] == {"outcome": "keep", "reasons": ["last 2/2"]}
    assert found["retired"][0]["after"] == {
        "outcome": "retire",
        "reasons": ["last 1: since 2026-01-02T00:00:00Z"],
    }
    assert (found["before"]["retire"], found["after"]["retire"], found["after"]["bytes_freed"]) == (
        0,
        1,
        found["retired"][0]["bytes"],
    )
    shown = home.text("retention", "plan", "--diff", "policy.yaml")
    assert shown.startswith("Of 3 models, the rules in force retire 0 (0 B), those of the file 1 (")
    assert "Only the file retires 1 model (" in shown
    same = home.text("retention", "plan", "--policy", "policy.yaml", "--diff", "policy.yaml")
    assert "Both do the same with every model." in same
    assert same.startswith("Of 3 models, the rules of --policy retire 1 (")
    between = home.text("retention", "plan", "--policy", "policy.yaml", "--diff", "config.yaml")
    assert "Only the rules of --policy retire 1 model (" in between and "in force" not in between
    assert "WHY BY --policy" in between
    other_way = home.json("retention", "plan", "--policy", "policy.yaml", "--diff", "config.yaml")
    assert [one["model_id"] for one in other_way["kept"]] == ["old"]
    assert home.tree() == before


def test_the_past_is_simulated_under_other_rules(home: Home) -> None:
    """`simulate` says what would have been retired and missed; nothing is changed. A bad policy is exit 78."""
    (home.folder / "policy.yaml").write_text(rules())
    before = home.tree()
    done = home.json("retention", "simulate", "--policy", "policy.yaml")
    assert [(one["model_id"], one["regret"]) for one in done["retired"]] == [("old", None)]
    assert done["retired"][0]["reasons"] == ["last 1: since 2026-01-02T00:00:00Z"]
    assert (done["regret"], done["models"]) == (0, 2)
    assert done["bytes"][-1][1] == done["real_bytes"][-1][1] - done["retired"][0]["bytes"]
    shown = home.text("retention", "simulate", "--policy", "policy.yaml", "--over", "30d")
    assert "these rules would have retired 1 model (" in shown and "None of them was wanted later." in shown
    assert home.json("retention", "simulate")["retired"] == []
    assert home.tree() == before
    home.clock += timedelta(days=2)
    with home.open() as registry:
        registry.delete_model("old")
        registry.restore("old")
    twice = home.text("retention", "simulate", "--policy", "policy.yaml")
    assert "these rules would have retired 1 model (" in twice and "1 of them was wanted later." in twice
    assert twice.partition("\nRetired:")[2].count("USD/EUR lightgbm") == 2
    (home.folder / "policy.yaml").write_text("policies: [{keep: {lst: 1}}]\n")
    assert home.error("retention", "simulate", "--policy", "policy.yaml", status=78)["code"] == "config.invalid"
    assert home.run("retention", "simulate", "--over", "long").exit_code == 2

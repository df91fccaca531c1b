"""Which currency pairs a daemon takes, and what it says of one that is nearly in use already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.world import World


def taken(world: World, *drops: tuple[str, str]) -> dict[str, dict[str, Any]]:
    """Drop models with these ids and pairs, one after the other; return their receipts."""
    with world.running() as service:
        for model_id, pair in drops:
            world.put(model_id, currency_pair=pair)
            service.step("timer")
    receipts = {model_id: world.receipt(model_id) for model_id, _ in drops}
    return {model_id: receipt for model_id, receipt in receipts.items() if receipt is not None}


def codes(receipt: dict[str, Any], key: str) -> list[str]:
    return [problem["code"] for problem in receipt[key]]


@pytest.mark.parametrize("near", ["usd/eur", "USDEUR", "USD-EUR", "USD_EUR", "ＵＳＤ/ＥＵＲ"])
def test_a_pair_that_is_nearly_in_use_is_noted(tmp_path: Path, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is registered as a pair of its own; receipt and log name the pair in use. The other way round nothing is."""
    world = World(tmp_path)
    receipts = taken(world, ("a", "USD/EUR"), ("b", "USD/EUR"), ("c", near), ("d", "USD/EUR"), ("e", "USD/CHF"))
    assert {name: receipt["outcome"] for name, receipt in receipts.items()} == dict.fromkeys("abcde", "registered")
    assert {name: codes(receipt, "notes") for name, receipt in receipts.items()} == {
        **{key: [] for key in "abde"},
        "c": ["checks.near_pair"],
    }
    (note,) = receipts["c"]["notes"]
    assert "2 models are registered as 'USD/EUR'" in note["message"]
    assert "2 models are registered as 'USD/EUR'" in capsys.readouterr().out


def test_the_configured_form_decides_at_the_daemon(tmp_path: Path) -> None:
    """Refused by default, accepted with another pattern, and with none."""
    pair = "USDEUR=X"
    assert codes(taken(World(tmp_path / "1"), ("a", pair))["a"], "problems") == ["checks.pair_pattern"]
    for name, pattern in (("2", "[A-Z]+=X"), ("3", None)):
        world = World(tmp_path / name, {"checks": {"pair_pattern": pattern}})
        assert "pair_pattern" in json.loads(world.config_path.read_text())["checks"]
        assert taken(world, ("a", pair))["a"]["outcome"] == "registered"

"""`diff` shows how two models differ."""

from __future__ import annotations

import json

import pytest

from support.home import Home


@pytest.fixture(name="home")
def _home(empty: Home) -> Home:
    """Two models; the second has a smaller rmse, another feature and another version."""
    empty.register("a", validation_metrics={"1d": {"rmse": 0.5, "mae": 0.1}}, version="1")
    empty.register("b", days=1, validation_metrics={"1d": {"rmse": 0.4, "mae": 0.1}}, version="2", features_used=["z"])
    return empty


def test_diff_as_json(home: Home) -> None:
    """Metrics by path with both values, and the other parts; the order of the arguments counts."""
    found = home.json("diff", "a", "b")
    assert (found["a"], found["b"]) == ("a", "b")
    assert found["metrics"] == {"1d.rmse": [0.5, 0.4]}
    assert found["features"] == {"added": ["z"], "removed": ["sma_5", "rsi_14"]}
    assert found["fields"]["version"] == ["1", "2"]
    assert found["better"] == {}
    assert home.json("diff", "b", "a")["metrics"] == {"1d.rmse": [0.4, 0.5]}
    assert home.json("diff", "a", "b", "--all")["metrics"] == {"1d.rmse": [0.5, 0.4], "1d.mae": [0.1, 0.1]}


def test_diff_for_people(home: Home) -> None:
    """A line for each metric that differs, with the change; then the other parts. --all has the rest."""
    text = home.text("diff", "a", "b")
    (line,) = (line for line in text.splitlines() if "1d." in line)
    assert line.split() == ["1d.rmse", "0.5", "0.4", "-0.1", "(-20", "%)"]
    assert "\nfeatures\n  only B  z\n  only A  sma_5, rsi_14\n" in text
    assert "  version     1 -> 2\n" in text
    assert "sha256" not in text and "min_samples" not in text
    everything = home.text("diff", "a", "b", "--all")
    assert "1d.mae" in everything and "sha256" in everything and "min_samples" in everything


def test_better_and_worse_are_known_from_the_configuration(home: Home) -> None:
    """Where it says which order is best, and also where another setting of it is wrong."""
    best = "retention: {policies: [{keep: {best: {metric: 1d.rmse, order: min}}}]}\n"
    (home.folder / "config.yaml").write_text(best)
    assert home.json("diff", "a", "b")["better"] == {"1d.rmse": "b"}
    assert "(-20 %)  better" in " ".join(home.text("diff", "a", "b").split("\n"))
    assert "(+25 %)  worse" in home.text("diff", "b", "a")
    (home.folder / "config.yaml").write_text(best + "pickle: {time_limit: soon}\n")
    assert home.json("diff", "a", "b")["better"] == {}


def test_gates_are_compared_by_what_came_of_them(empty: Home) -> None:
    """One line for each gate with another outcome, with what failed."""
    empty.registry_path.parent.mkdir()

    def entry(model_id: str, passed: list[bool]) -> dict[str, object]:
        outcomes = [
            {"gate": "accuracy", "passed": one, "says": f"1d.rmse {at} is over 0.2"} for at, one in enumerate(passed)
        ]
        return {"model_id": model_id, "model_path": "", "gates": outcomes}

    entries = {"a": entry("a", [True, True]), "b": entry("b", [True, False]), "c": entry("c", [])}
    empty.registry_path.write_text(json.dumps(entries))
    empty.open().close()
    assert empty.text("diff", "a", "b").endswith("\ngates\n  accuracy  passed -> failed: 1d.rmse 1 is over 0.2\n")
    assert empty.text("diff", "b", "c").endswith("\ngates\n  accuracy  failed: 1d.rmse 1 is over 0.2 -> none\n")
    assert "gates" not in empty.text("diff", "a", "a")


def test_a_model_and_itself(home: Home) -> None:
    """Nothing differs, which is said; a model that is not there is exit 1."""
    assert home.text("diff", "b", "USD/EUR:lightgbm").splitlines()[2] == "They are the same model."
    assert home.error("diff", "a", "nosuch", status=1)["code"] == "registry.not_found"


def test_hostile_entries_are_compared_and_escaped(empty: Home) -> None:
    """Whatever stands in entries from elsewhere: no traceback, and no terminal acts on it."""
    empty.registry_path.parent.mkdir()
    hostile = {
        "currency_pair": "\x1b[2J",
        "model_type": None,
        "trained_at": "2026-01-01",
        "model_path": "",
        "tags": {"\x1b[2J": 1},
        "provenance": ["\x1b"],
        "recorded": {"m": {"value": "\x1b"}, "n": 3},
        "features_used": {"\x1b[2J": 1},
        "size_bytes": "\x1b",
        "validation_metrics": {"\x85": 1, "m": {"\x1b": 2**63}},
        "\x1b": "\x1b",
    }
    entries = {"m": {"model_id": "m", **hostile}, "n": {"model_id": "n", "model_path": "", "size_bytes": 1}}
    empty.registry_path.write_text(json.dumps(entries))
    empty.open().close()
    for words in (["m", "n"], ["n", "m", "--all"]):
        text = empty.text("diff", *words)
        assert text.replace("\n", "").isprintable()

"""`list --where`, `--tag`, `--alias`, `--held`, `--sort`, `--limit` and `--columns`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.home import Home


@pytest.fixture(name="home")
def _home(empty: Home) -> Home:
    """Models m1 to m4 of USD/EUR with an rmse of 0.1 to 0.4; the third is live and champion, the last has no rmse."""
    for number in (1, 2, 3):
        tags = {"stage": "live"} if number == 3 else {"stage": "test"}
        empty.register(f"m{number}", days=number, validation_metrics={"1d": {"rmse": number / 10}}, tags=tags)
    empty.register("m4", days=4, validation_metrics={"sharpe ratio": 1}, variant="30d")
    empty.text("alias", "champion", "m3")
    return empty


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["model_id"] for entry in entries]


def test_conditions_of_the_command_line(home: Home) -> None:
    """Entries as JSON, newest first; several conditions and options must all hold."""
    assert ids(home.json("list", "--where", "1d.rmse<0.25")) == ["m2", "m1"]
    assert ids(home.json("list", "--where", "1d.rmse<0.25", "--where", "1d.rmse>0.15")) == ["m2"]
    assert ids(home.json("list", "--where", "1d.rmse<0.15 or tags.stage=live")) == ["m3", "m1"]
    assert ids(home.json("list", "--tag", "stage")) == ["m3", "m2", "m1"]
    assert ids(home.json("list", "--tag", "stage=test", "--where", "trained_at>=2026-01-03")) == ["m2"]
    assert ids(home.json("list", "--alias", "champion")) == ["m3"]
    assert home.json("list", "--held") == []
    assert ids(home.json("list", "--variant", "", "--sort", "-1d.rmse", "--limit", "2")) == ["m3", "m2"]
    assert home.json("list", "--where", "1d.rmse<0.15")[0] == home.json("show", "m1")


def test_columns_are_what_was_asked_for(home: Home) -> None:
    """For people in this order under these names; as JSON objects with these keys; a value that is missing is null."""
    lines = home.text("list", "--columns", "model_id,1d.rmse, tags.stage,calibration_ok,aliases").splitlines()
    assert lines[0].split() == ["MODEL", "1d.rmse", "tags.stage", "calibration_ok", "aliases"]
    assert lines[2].split() == ["m3", "0.3", "live", "yes", "champion"]
    assert home.json("list", "--columns", "id,1d.rmse", "--limit", "2") == [
        {"id": "m4", "1d.rmse": None},
        {"id": "m3", "1d.rmse": 0.3},
    ]


def test_what_is_compared_and_sorted_by_is_shown(home: Home) -> None:
    """The usual columns, and those of the names in conditions and order, once each; no column is there twice."""
    title, first, *_ = home.text("list", "--sort", "1d.rmse", "--where", "1d.rmse<1 and version=1.10").splitlines()
    assert title.split() == ["MODEL", "PAIR", "TYPE", "1d.rmse", "VERSION", "TRAINED", "(UTC)", "AGE", "NOTES"]
    assert first.split()[:4] == ["m1", "USD/EUR", "lightgbm", "0.1"]


def test_nothing_found_and_more_found_are_said(home: Home) -> None:
    """How many there are beyond a limit; that nothing matches, and that this is so for a name that no model has."""
    done = home.run("list", "--limit", "3")
    assert (done.exit_code, done.stderr, len(done.stdout.splitlines())) == (0, "3 of 4 models.\n", 4)
    assert home.text("list", "--where", "1d.rmse>1") == "No models match.\n"
    assert home.run("list", "--alias", "champoin").stderr == "None of 4 models has the alias 'champoin'.\n"
    done = home.run("list", "--where", "1d.rsme<1", "--columns", "model_id,tags.stge", "--json")
    assert (done.exit_code, done.stdout) == (0, "[]\n")
    assert done.stderr.splitlines() == [
        "None of 4 models has the metric '1d.rsme'. Did you mean 1d.rmse?",
        "None of 4 models has the tag 'stge'. Did you mean tags.stage?",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--where", "1d.rmse<abc"], "'1d.rmse' is a metric and so a number, and 'abc' is no number"),
        (["--where", "trained>yesterday"], "Did you mean trained_at?"),
        (["--where", "version>1.9"], "'version' is text"),
        (["--where", ""], "it is empty"),
        (["--tag", ""], "the name of a part of tags is missing"),
        (["--sort", "tags"], "cannot sort by 'tags'"),
        (["--sort", "-"], "cannot use '' as a name"),
        (["--columns", "model_id,,1d.rmse"], "cannot use '' as a name"),
        (["--limit", "0"], "0 is not in the range"),
        (["--where", "min_sample>5"], "Did you mean min_samples?"),
        (["--columns", "vrsion"], "Did you mean version?"),
    ],
)
def test_a_mistake_is_usage_and_says_what_was_meant(home: Home, words: list[str], said: str) -> None:
    """Exit 2, nothing on stdout, whether the mistake is seen before the registry is read or in it."""
    done = home.run("list", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_hostile_names_and_values_are_escaped(empty: Home) -> None:
    """No terminal acts on what stands in an entry that was adopted from elsewhere, or in the command line."""
    empty.registry_path.parent.mkdir()
    entry = {
        "currency_pair": "USD/EUR",
        "model_type": "x\x1b[2J",
        "trained_at": "2026-01-01",
        "model_path": "",
        "tags": {"stage": "\x1b[2J", "\x1b[2J": 1},
        "validation_metrics": {"sharpe \x85ratio": 1},
    }
    empty.registry_path.write_text(json.dumps({"m": {"model_id": "m", **entry}}))
    empty.open().close()
    for words in (
        ["--columns", "model_id,type,tags,tags.stage,sharpe \x85ratio"],
        ["--where", '"sharpe \x85ratio"=1 or tags.stage exists'],
        ["--where", '"sharpe \x85ratios"=1'],
        ["--where", "\x1b[2J=1"],
        ["--tag", "stag\x1b[2Je"],
        ["--sort", "tags.\x1b"],
    ):
        done = empty.run("list", *words)
        assert done.exit_code == 0, done.output
        assert (done.stdout + done.stderr).replace("\n", "").isprintable()

"""`list` shows the registered models, newest first."""

from __future__ import annotations

import json

from support.home import Home


def test_list_is_newest_first_and_filtered(home: Home) -> None:
    """`list --json` is an array of entries, newest first, of a pair, of a type, or as of a time."""
    assert [entry["model_id"] for entry in home.json("list")] == ["other", "new", "old"]
    assert [entry["model_id"] for entry in home.json("list", "--currency-pair", "USD/EUR")] == ["new", "old"]
    assert [entry["model_id"] for entry in home.json("list", "--model-type", "lightgbm")] == ["other", "new", "old"]
    assert [entry["model_id"] for entry in home.json("list", "--as-of", "2026-01-01T12:00:00Z")] == ["old"]
    assert home.json("list", "--as-of", "2025-12-31") == []
    assert home.json("list")[2] == home.json("show", "old")


def test_list_for_people_is_one_line_a_model(home: Home) -> None:
    """The table has a title line and then one line for each model, with pins and aliases."""
    home.text("alias", "champion", "new")
    home.text("pin", "new")
    lines = home.text("list").splitlines()
    assert [line.split()[0] for line in lines] == ["MODEL", "other", "new", "old"]
    assert lines[2].split()[1:6] == ["USD/EUR", "lightgbm", "1.10", "2026-01-02", "00:00"]
    assert lines[2].endswith("pinned, champion")


def test_list_of_an_empty_registry(empty: Home) -> None:
    """An empty registry is no error."""
    empty.open().close()
    assert empty.text("list") == "No models are registered.\n"
    assert empty.json("list") == []
    assert empty.text("history") == "The history is empty.\n"
    assert empty.text("retention", "plan") == "No models are registered.\n"


def test_an_edited_file_is_said_on_stderr_and_not_listed(home: Home) -> None:
    """The answer is what was committed; what is wrong with the file goes to the other stream, also with --json."""
    path = home.registry_path
    path.write_text(path.read_text().replace('"pinned": false', '"pinned": true'))
    result = home.run("list", "--json")
    assert result.exit_code == 0
    assert {entry["pinned"] for entry in json.loads(result.stdout)} == {False}
    assert "registry.file_ignored" in result.stderr and "model-inbox pin" in result.stderr
    result = home.run("tag", "new", "stage=live")
    assert result.exit_code == 0
    assert "registry.file_rewritten" in result.stderr
    assert home.stored()["new"]["tags"] == {"stage": "live"}
    assert home.run("list").stderr == ""


def test_an_unknown_pair_or_type_says_which_exist(home: Home) -> None:
    """Exit 1, the nearest first: those that are the same without separators and case, then those most like it."""
    for number in range(12):
        home.register(f"m{number}", days=3 + number, pair=f"XX{number:02}/JPY")
    error = home.error("list", "--pair", "usdchf", status=1)
    assert (error["code"], error["message"]) == (
        "registry.not_found",
        "cannot list 'usdchf': no model of that currency pair is registered",
    )
    assert error["hint"].startswith("Registered: 'USD/CHF', 'USD/EUR', ")
    assert error["hint"].endswith("and 4 more")
    assert home.error("list", "--type", "lgb", status=1)["hint"] == "Registered: 'lightgbm'"
    error = home.error("list", "--pair", "USD/EUR", "--type", "lstm", status=1)
    assert error["message"] == "cannot list 'lstm': no model of 'USD/EUR' of that model type is registered"
    assert error["hint"] == "Registered of 'USD/EUR': 'lightgbm'"
    assert "'USD/EUR'" in home.error("list", "--pair", "USD/EUF", "--type", "lightgbm", status=1)["hint"]
    early = home.error("list", "--pair", "USD/EUR", "--as-of", "2025-01-01", status=1)
    assert early["hint"] == "No models were registered at 2025-01-01 00:00:00 UTC"
    assert early["message"].endswith("no model of that currency pair was registered at 2025-01-01 00:00:00 UTC")


def test_an_earlier_time_without_models_is_named(home: Home) -> None:
    """Models that came later are not denied."""
    assert home.text("list", "--as-of", "2025-01-01") == "No models were registered at 2025-01-01 00:00:00 UTC.\n"


def test_variants_are_shown_and_asked_for(home: Home) -> None:
    """Only a registry with variants has their column; a model is named by `PAIR:TYPE:VARIANT` and an alias."""
    assert "VARIANT" not in home.text("list")
    home.register("long", days=3, variant="30d")
    assert home.text("list").splitlines()[1].split()[:4] == ["long", "USD/EUR", "lightgbm", "30d"]
    assert [entry["model_id"] for entry in home.json("list", "--variant", "30d")] == ["long"]
    assert [entry["model_id"] for entry in home.json("list", "--variant", "", "--subject", "USD/EUR")] == ["new", "old"]
    assert home.json("show", "USD/EUR:lightgbm")["model_id"] == "new"
    assert home.json("show", "USD/EUR:lightgbm:30d")["model_id"] == "long"
    home.text("alias", "champion", "USD/EUR:lightgbm:30d")
    assert home.json("show", "USD/EUR:lightgbm:30d@champion")["model_id"] == "long"
    error = home.error("show", "USD/EUR:lightgbm@champion", status=1)
    assert "no model with the alias 'champion'" in error["message"]
    error = home.error("list", "--variant", "7d", status=1)
    assert (error["message"], error["hint"]) == (
        "cannot list '7d': no model of that variant is registered",
        "Registered: '30d', ''",
    )

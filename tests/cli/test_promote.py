"""`promote` and `rollback` move an alias, and `alias list` says what it names."""

from __future__ import annotations

from support.home import Home

SLOT = ("--pair", "USD/EUR", "--type", "lightgbm")


def test_an_alias_goes_up_and_back_twice(home: Home) -> None:
    """Two promotions and two rollbacks, each with where it came from; a third rollback is exit 1."""
    assert home.json("promote", "old", "--reason", "first") == {"alias": "champion", "from": None, "to": "old"}
    assert home.json("promote", "new") == {"alias": "champion", "from": "old", "to": "new"}
    assert home.json("promote", "new") == {"alias": "champion", "from": "new", "to": "new"}
    assert home.text("promote", "old") == "'champion' names 'old', and no longer 'new' (of 'USD/EUR' 'lightgbm').\n"
    assert home.json("rollback", *SLOT) == {"alias": "champion", "from": "old", "to": "new"}
    assert home.json("rollback", *SLOT, "--reason", "worse") == {"alias": "champion", "from": "new", "to": "old"}
    error = home.error("rollback", *SLOT, status=1)
    assert error["code"] == "registry.promotion_refused"
    assert error["message"].endswith("no model held it before 'old'")
    assert "no rule gives it champion: a rollback left it" in home.text("show", "new")
    assert [(line["operation"], line["reason"]) for line in home.json("history", "old")][-1] == ("rollback", "worse")
    assert "rollback champion from new" in home.text("history", "old")


def test_a_retired_champion_comes_back(home: Home) -> None:
    """Its files, too; and the history says that it was restored by the rollback."""
    home.text("promote", "old")
    home.text("promote", "new")
    home.text("delete", "old")
    assert home.json("rollback", *SLOT, "--to", "old")["to"] == "old"
    assert home.json("history", "old")[-1]["restored"] is True
    assert home.json("trash", "list") == []
    assert home.json("verify")["ok"] is True


def test_alias_list_says_who_is_what(home: Home) -> None:
    """Since when, by whom and why, and who was before; at another time that of then."""
    assert home.text("alias", "list") == "There are no aliases.\n"
    home.text("promote", "old", "--reason", "first")
    home.text("promote", "new", "--reason", "second")
    assert home.text("alias", "list", "--pair", "USD/CHF") == "There are no aliases of these models.\n"
    early = home.text("alias", "list", "--as-of", "2025-01-01")
    assert early == "There were no aliases at 2025-01-01 00:00:00 UTC.\n"
    (told,) = home.json("alias", "list")
    since = told.pop("since")
    actor = told.pop("actor")
    assert since.endswith("Z") and actor.startswith("cli:")
    assert told == {
        "alias": "champion",
        "currency_pair": "USD/EUR",
        "model_type": "lightgbm",
        "variant": "",
        "model_id": "new",
        "reason": "second",
        "former": ["old"],
        "may_move": None,
    }
    first = next(line["at"] for line in home.json("history") if line["reason"] == "first")
    assert [one["model_id"] for one in home.json("alias", "list", "--as-of", first)] == ["old"]
    assert home.json("alias", "list", "--pair", "GBP/EUR") == []
    assert "second" in home.text("alias", "list")


def test_what_is_no_command_line(home: Home) -> None:
    """A slot is needed to go back; one way back at a time; an alias has a form."""
    for args in (
        ("rollback", "--type", "lightgbm"),
        ("rollback", *SLOT, "--steps", "0"),
        ("rollback", *SLOT, "--steps", "1", "--to", "old"),
        ("promote", "old", "--alias", "a/b"),
        ("alias", "lst"),
    ):
        assert home.run(*args).exit_code == 2, args
    assert home.error("promote", "nothing", status=1)["code"] == "registry.not_found"

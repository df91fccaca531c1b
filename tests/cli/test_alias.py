"""`alias` sets, moves and removes aliases."""

from __future__ import annotations

from support.home import Home


def test_an_alias_is_set_moved_and_removed(home: Home) -> None:
    """An alias names one model of its pair and type; removing it from another is exit 1, a bad name usage."""
    assert home.json("alias", "champion", "old")["aliases"] == ["champion"]
    assert home.text("alias", "champion", "new") == "'champion' names 'new' (of 'USD/EUR' 'lightgbm').\n"
    assert [entry["aliases"] for entry in home.stored().values()] == [[], ["champion"], []]
    assert home.error("alias", "--remove", "champion", "old", status=1)["code"] == "registry.not_found"
    assert home.text("alias", "--remove", "champion", "new").startswith("'champion' no longer names 'new'")
    assert home.stored()["new"]["aliases"] == []
    assert home.error("alias", "champion", "nothing", status=1)["code"] == "registry.not_found"
    assert home.run("alias", "a/b", "old").exit_code == 2

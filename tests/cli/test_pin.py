"""`pin` and `unpin`."""

from __future__ import annotations

from support.home import Home


def test_a_change_is_in_the_file_when_the_command_returns(home: Home) -> None:
    """A plain reader of the JSON file sees a command's change at once."""
    home.text("pin", "old", "--reason", "audit")
    assert home.stored()["old"]["pinned"] is True
    assert home.text("unpin", "old") == "'old' is not pinned.\n"
    assert home.stored()["old"]["pinned"] is False
    assert home.json("unpin", "new")["model_id"] == "new"
    assert home.error("pin", "nothing", status=1)["code"] == "registry.not_found"
    assert [line["reason"] for line in home.json("history", "old")] == ["register_model", "audit", ""]


def test_a_model_is_held_and_let_go(home: Home) -> None:
    """The reason stands in `show` and in the history; without one, or of a champion, it is refused."""
    assert home.text("hold", "new", "--reason", "wrong rates") == "'new' is held: it is not served.\n"
    assert home.json("show", "USD/EUR:lightgbm")["model_id"] == "old"
    assert "held" in next(line for line in home.text("list").splitlines() if line.startswith("new "))
    assert ": wrong rates" in next(line for line in home.text("show", "new").splitlines() if "held" in line)
    home.text("alias", "champion", "old")
    assert home.error("hold", "old", "--reason", "x", status=1)["message"].startswith("cannot hold 'old': 'champion'")
    assert home.run("hold", "new").exit_code == 2
    assert "is not valid text in UTF-8" in home.run("hold", "new", "--reason", "\udcff").stderr
    assert home.json("unhold", "new")["held"] is None

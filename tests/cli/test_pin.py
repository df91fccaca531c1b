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

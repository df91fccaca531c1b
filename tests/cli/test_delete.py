"""`delete` retires a model to the trash."""

from __future__ import annotations

from support.home import Home


def test_protected_and_unknown_models_are_not_deleted(home: Home) -> None:
    """A pin or an alias protects, with the way out in the hint; an unknown id is exit 1, too."""
    home.text("pin", "old")
    home.text("alias", "champion", "new")
    assert "model-inbox unpin old" in home.error("delete", "old", status=1)["hint"]
    assert home.error("delete", "new", status=1)["code"] == "registry.protected"
    assert home.error("delete", "nothing", status=1)["code"] == "registry.not_found"
    assert set(home.stored()) == {"old", "new", "other"}

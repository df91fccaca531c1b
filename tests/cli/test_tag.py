"""`tag` sets and removes tags."""

from __future__ import annotations

from support.home import Home


def test_tags_are_set_and_removed(home: Home) -> None:
    """NAME=VALUE sets, NAME sets without a value, NAME= and --remove remove; what cannot be a tag is exit 1."""
    assert home.json("tag", "old", "stage=live", "a=b=c", "production")["tags"] == {
        "stage": "live",
        "a": "b=c",
        "production": "",
    }
    assert home.text("tag", "old", "stage=", "--remove", "a") == "'old' has the tags production.\n"
    assert home.stored()["old"]["tags"] == {"production": ""}
    assert home.text("tag", "old", "production=") == "'old' has no tags.\n"
    assert home.error("tag", "old", "bad name=1", status=1)["code"] == "metadata.invalid"
    assert home.run("tag", "old").exit_code == 2
    assert home.run("tag", "old", "a=1", "a=2").exit_code == 2

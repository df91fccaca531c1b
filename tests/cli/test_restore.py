"""`restore` brings a deleted model back."""

from __future__ import annotations

from pathlib import Path

from support.home import Home, rules


def test_a_deleted_model_can_be_restored(home: Home) -> None:
    """`delete` moves to the trash, `trash list` shows it, `restore` brings it back with its files."""
    entry = home.json("show", "old")
    assert home.json("delete", "old", "--reason", "wrong") == {"model_id": "old", "sequence": 1, "reason": "wrong"}
    assert not Path(entry["model_path"]).exists()
    (held,) = home.json("trash", "list")
    assert (held["model_id"], held["sequence"], held["reason"]) == ("old", 1, "wrong")
    assert held["size_bytes"] == entry["size_bytes"]
    row = home.text("trash", "list").splitlines()[1]
    assert row.startswith("old ")
    assert row.endswith("wrong")
    assert home.text("restore", "old") == "'old' is registered again.\n"
    assert Path(entry["model_path"]).exists()
    assert home.json("trash", "list") == []
    assert home.text("trash", "list") == "The trash is empty.\n"
    assert home.error("restore", "old", status=1)["code"] == "registry.model_id_taken"
    assert home.error("restore", "nothing", status=1)["code"] == "registry.not_found"
    assert home.text("delete", "old").startswith("'old' is in the trash")
    assert home.json("restore", "old", "--sequence", "1")["model_id"] == "old"


def test_a_model_that_rotted_in_the_trash_is_refused_with_its_digests(home: Home) -> None:
    """The command fails with the file, both digests and what to do; the model stays in the trash."""
    home.json("delete", "old", "--reason", "wrong")
    (held,) = home.json("trash", "list")
    path = Path(held["folder"]) / "old.pkl"
    path.chmod(0o640)
    path.write_bytes(b"rotten")
    error = home.error("restore", "old", status=1)
    assert error["code"] == "registry.restore_refused"
    (problem,) = error["problems"]
    assert (problem["code"], problem["file"]) == ("registry.trash_damaged", str(path))
    assert "backup" in problem["hint"]
    assert len(home.json("trash", "list")) == 1


def test_restore_says_when_the_rules_would_retire_it_again(home: Home) -> None:
    """Plan, apply, undo: who brings a model back learns that a pin is needed, unless the rules hold it by now."""
    (home.folder / "config.yaml").write_text(rules())
    home.text("retention", "apply", "--yes")
    assert home.text("restore", "old") == (
        "'old' is registered again.\n"
        "The rules do not keep it. Run `model-inbox pin old`, or the next run retires it again.\n"
    )
    home.text("pin", "old")
    assert "Keep 3 models" in home.text("retention", "apply", "--yes")
    home.text("unpin", "old")
    home.text("retention", "apply", "--yes")
    home.text("delete", "new")
    assert home.text("restore", "old") == "'old' is registered again.\n"

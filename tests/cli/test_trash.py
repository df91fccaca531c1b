"""`trash purge` removes retired models."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest

from support.home import DAY, Home


def test_the_trash_is_purged_only_when_confirmed(home: Home) -> None:
    """Without --yes and without a terminal the plan is shown, and nothing goes (1)."""
    home.text("delete", "old")
    home.text("delete", "new")
    before = home.tree()
    result = home.run("trash", "purge", "old")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].startswith("old ")
    assert "--yes" in result.stderr
    assert home.error("trash", "purge", "--all", status=1)["code"] == "command.refused"
    assert home.error("trash", "purge", "other", status=1)["code"] == "registry.not_found"
    assert home.tree() == before


def test_the_trash_is_purged_by_name_by_age_or_all(home: Home) -> None:
    """A name goes at once, `purge` alone takes what is older than the grace, --all everything."""
    home.clock = datetime.now(UTC) - 8 * DAY  # a day more than the default grace
    with home.open() as registry:
        registry.delete_model("old")
    home.text("delete", "new")
    home.text("delete", "other")
    done = home.json("trash", "purge", "--yes")
    assert [item["model_id"] for item in done["purged"]] == ["old"]
    assert done["bytes_freed"] > 0
    assert home.json("trash", "purge", "--yes") == {"purged": [], "in_use": [], "bytes_freed": 0, "finished": []}
    assert home.text("trash", "purge", "--yes").startswith("No model in the trash is old enough")
    assert "Removed 1 model permanently" in home.text("trash", "purge", "new", "--yes")
    assert "Removed 1 model permanently" in home.text("trash", "purge", "--all", "--yes")
    assert home.json("trash", "list") == []
    assert [line["operation"] for line in home.json("history", "other")] == ["register", "retire", "purge"]


def test_a_purge_that_was_killed_is_finished_by_the_next(home: Home) -> None:
    """Killed after its line: the next purge removes the rest, says so, and `verify` finds nothing."""
    home.text("delete", "old")
    home.text("delete", "new")
    (folder,) = (home.registry_path.parent / ".trash").glob("old.*")
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    home.text("trash", "purge", "old", "--yes")
    kept.rename(folder)  # as if it had been killed between the line and the removal
    assert home.json("verify", status=1)["ok"] is False
    assert home.json("trash", "purge", "old", "--yes")["finished"] == ["old"]
    assert not folder.exists()
    shutil.copytree(folder.with_name("new.2"), folder)
    said = home.text("trash", "purge", "--yes")
    assert said == "Finished an interrupted purge: removed 'old' permanently.\n"
    assert home.json("verify")["ok"] is True


def test_a_model_that_is_being_read_stays_in_the_trash(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process has open is not purged: exit 75, and it can be restored still."""
    home.text("delete", "old")
    monkeypatch.setattr("model_inbox.registry.trash.files_in_use", lambda _paths: True)
    done = home.json("trash", "purge", "--all", "--yes", status=75)
    assert [item["model_id"] for item in done["in_use"]] == ["old"]
    assert "'old' stays" in home.text("trash", "purge", "--all", "--yes", status=75)
    assert home.json("restore", "old")["model_id"] == "old"

"""`backup` makes, lists, verifies, thins and restores snapshots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model_inbox.cli import backup as command
from support.home import DAY, T0, Home


@pytest.fixture(name="at")
def _at(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home fixture, where the commands' clock is the home's."""
    home.clock = T0 + 100 * DAY
    monkeypatch.setattr(command, "now", lambda: home.clock)
    return home


def back_up(home: Home) -> str:
    home.clock += DAY
    name: str = home.json("backup", "copies")["name"]
    return name


def test_a_backup_is_made_listed_verified_and_restored(at: Home) -> None:
    """`backup DIR` is `backup make DIR`; the restored registry has the same models, in another epoch."""
    first = at.json("backup", "copies")
    assert (first["models"], first["problems"], first["lacking"]) == (len(at.stored()), [], [])
    assert first["path"] == str(Path("copies").absolute() / first["name"])
    at.clock += DAY
    said = at.text("backup", "make", "copies")
    assert f"{len(at.stored())} models" in said
    assert " of them new." in said
    listed = at.json("backup", "list", "copies")
    assert [one["name"] for one in listed][1] == first["name"]
    assert {key: listed[1][key] for key in listed[1]} == {key: first[key] for key in listed[1]}
    assert first["name"] in at.text("backup", "list", "copies")
    assert at.json("backup", "verify", "copies")["ok"] is True
    assert at.text("backup", "verify", "copies", first["name"]) == f"{first['name']}: no problems\n"
    done = at.json("backup", "restore", "copies", first["name"], "--to", "again")
    assert done["models"] == first["models"]
    assert done["position"].split("/")[0] == first["registry_id"]
    assert done["position"].split("/")[1] != first["epoch"]
    (at.folder / "config.yaml").write_text(
        "registry: {path: again/prediction_registry.json, storage_dir: again/prediction}\n"
    )
    assert at.json("verify") == {"ok": True, "problems": []}
    assert at.stored().keys() == {entry["model_id"] for entry in at.json("list")}


def test_what_cannot_be_is_refused(at: Home) -> None:
    """A full target, a name that is none, a folder in the registry, and no snapshot: 1, with the reason."""
    assert at.error("backup", "verify", "copies", status=1)["code"] == "backup.refused"
    assert at.error("backup", "restore", "copies", "--to", "again", status=1)["code"] == "backup.refused"
    assert at.text("backup", "list", "copies") == "There is no snapshot.\n"
    assert at.error("backup", "models/x", status=1)["code"] == "backup.refused"
    back_up(at)
    assert "not empty" in at.error("backup", "restore", "copies", "--to", "models", status=1)["message"]
    assert at.error("backup", "restore", "copies", "nonsense", "--to", "again", status=1)["code"] == "backup.refused"
    assert at.run("backup", "restore", "copies").exit_code == 2
    assert not (at.folder / "again").exists()


def test_damage_is_told(at: Home) -> None:
    """`verify` exits 1 with the file; `list` says which manifest cannot be read; a registry that lacks files is 1."""
    name = back_up(at)
    model = next((at.folder / "copies" / name / "models" / "prediction").glob("*.pkl"))
    model.unlink()
    (found,) = at.json("backup", "verify", "copies", status=1)["snapshots"]
    assert [(problem["code"], problem["file"]) for problem in found["problems"]] == [
        ("backup.file_missing", str(model))
    ]
    assert "is missing from the snapshot" in at.text("backup", "verify", "copies", status=1)
    (at.folder / "copies" / name / "manifest.json").unlink()
    assert "its manifest cannot be read" in at.text("backup", "list", "copies")
    assert at.json("backup", "list", "copies") == [{"name": name, "damaged": True}]
    assert at.error("backup", "restore", "copies", "--to", "again", status=78)["code"] == "backup.damaged"
    at.clock += DAY
    (at.folder / "models" / "prediction" / "old.pkl").unlink()
    assert at.json("backup", "copies", status=1)["lacking"] == ["prediction/old.pkl"]


def test_snapshots_are_thinned_by_the_rules_of_retention(at: Home) -> None:
    """`plan` changes nothing, `apply` asks, and removes what the plan shows."""
    names = [back_up(at) for _ in range(4)]
    plan = at.json("backup", "plan", "copies", "--keep-last", "1", "--keep-daily", "2")
    assert [one["name"] for one in plan["keep"]] == [names[3], names[2]]
    assert [one["name"] for one in plan["remove"]] == [names[0], names[1]]
    assert "daily 2: since" in at.text("backup", "plan", "copies", "--keep-daily", "2")
    assert at.error("backup", "apply", "copies", "--keep-daily", "2", status=1)["code"] == "command.refused"
    assert len(at.json("backup", "list", "copies")) == 4
    done = at.json("backup", "apply", "copies", "--keep-daily", "2", "--yes")
    assert [one["name"] for one in done["remove"]] == [names[0], names[1]]
    assert sorted(os.listdir(at.folder / "copies")) == [".backup.lock", names[2], names[3]]
    assert at.json("backup", "verify", "copies")["ok"] is True
    assert at.json("backup", "apply", "copies", "--keep-within", "30d", "--yes")["remove"] == []


def test_rules_must_be_given(at: Home) -> None:
    """At least one, and each as retention has it; anything else is usage (2), and removes nothing."""
    back_up(at)
    assert at.run("backup", "apply", "copies", "--yes").exit_code == 2
    assert at.run("backup", "apply", "copies", "--keep-last", "0", "--yes").exit_code == 2
    assert at.run("backup", "plan", "copies", "--keep-within", "soon").exit_code == 2

"""`rebuild` makes the registry again from journal, sidecars and receipts."""

from __future__ import annotations

import json
import os

from model_inbox.base.flocks import FileLock
from support.home import Home

FIELDS = {
    "model_type": "lightgbm",
    "currency_pair": "USD/EUR",
    "trained_at": "2026-01-01T00:00:00Z",
    "version": "1",
    "validation_metrics": "{}",
    "min_samples": "1",
    "calibration_ok": "true",
    "features_used": "[]",
    "horizons": "[1]",
}


def test_rebuild_makes_a_damaged_registry_again(home: Home) -> None:
    """It tells what it made, what is lost and where the old files are; afterwards `verify` finds nothing."""
    journal = home.registry_path.with_name("prediction_registry.journal.jsonl")
    text = journal.read_bytes()
    journal.write_bytes(text.replace(b'"model_id":"new"', b'"model_id":"mew"', 1))
    (home.storage_dir / "other.pkl").unlink()
    assert "journal.damaged" in {problem["code"] for problem in home.json("verify", status=1)["problems"]}
    shown = home.text("rebuild")
    assert "models registered" in shown
    assert "- lost: other: other.pkl: the file is missing" in shown
    assert home.json("verify") == {"ok": True, "problems": []}
    assert sorted(home.stored()) == ["new", "old"]
    (kept,) = home.registry_path.parent.glob("prediction_registry.rebuilt-*")
    assert (kept / journal.name).read_bytes() != text
    assert str(kept) in shown
    made = home.json("rebuild")
    assert (made["entries"], made["lines_lost"], made["lost"]) == (2, 0, [])
    assert made["epoch"].startswith("3-")


def test_rebuild_knows_the_registry_from_its_receipts(home: Home) -> None:
    """Where no file of the registry is left, the answers to drops say which one it was; unreadable ones say nothing."""
    for path in home.registry_path.parent.glob("prediction_registry.*json*"):
        path.unlink()
    receipts = home.folder / "inbox" / "receipts"
    receipts.mkdir(parents=True)
    for number, text in enumerate(("{", "[]", '{"registry_id": null, "epoch": null, "at": "2027"}')):
        (receipts / f"odd{number}.json").write_text(text)
    for stem, at, registry_id, epoch in (
        ("other", "2026-11-24T12:00:00.000Z", "b" * 32, f"9-{0:016x}"),
        ("late", "2026-11-25T12:00:00.000Z", "a" * 32, f"4-{0:016x}"),
        ("early", "2026-11-23T12:00:00.000Z", "a" * 32, f"2-{0:016x}"),
    ):
        answer = {"at": at, "registry_id": registry_id, "epoch": epoch}
        (receipts / f"{stem}.json").write_text(json.dumps(answer))
    made = home.json("rebuild")
    assert (made["registry_id"], made["epoch"].partition("-")[0]) == ("a" * 32, "5")


def test_rebuild_scans_by_the_configuration(home: Home) -> None:
    """What the configuration allows beyond the shipped lists is allowed to a model that only a sidecar tells of."""
    (home.storage_dir / "mine.pkl").write_bytes(b"\x80\x02cmymodels.core\nModel\n)\x81.")
    text = "".join(f"{name}: {value}\n" for name, value in FIELDS.items())
    (home.storage_dir / "mine.yaml").write_text(text + "...\n")
    (home.folder / "config.yaml").write_text("pickle: {allow: {mymodels.core.Model: nr}}\n")
    for path in home.registry_path.parent.glob("prediction_registry.*json*"):
        path.unlink()
    made = home.json("rebuild")
    assert "mine" in made["from_sidecars"]
    assert "aliases" in made["not_recovered"]
    assert made["lost"] == []
    assert list(home.stored()["mine"]["imports"]) == ["mymodels.core.Model"]
    assert home.json("verify")["ok"] is True


def test_labels_that_were_recovered_are_not_said_to_be_lost(home: Home) -> None:
    """A model with a labels file has its labels again; the others are named once, with what to set again."""
    home.text("alias", "champion", "new")
    for path in home.registry_path.parent.glob("prediction_registry.*json*"):
        path.unlink()
    said = " ".join(home.text("rebuild").split())
    assert "'new' got from its labels file: alias champion" in said
    assert (
        "Not recovered for the models from sidecars: registered_at, drop_id, origin, owner, and their history." in said
    )
    without, _, models = said.partition("These have no labels file. If they had any of these, set them again")[
        2
    ].partition("): ")
    assert without.startswith(" (aliases, pinned, ")
    assert models.startswith("'old', 'other'")


def test_rebuild_says_which_lines_are_lost(home: Home) -> None:
    """Their number and their numbers."""
    with home.open() as registry:
        registry.change_segment()
        reached = registry.sequence
    (home.registry_path.parent / "history" / f"{0:020d}.jsonl").unlink()
    assert f"{reached} (1-{reached})" in home.text("rebuild")


def test_rebuild_says_what_it_undid(home: Home) -> None:
    """A JSON file that was edited: each entry by name, and each field with what it was and is."""
    stored = home.stored()
    stored["old"]["pinned"] = True
    stored["new"]["model_id"] = "new"
    home.registry_path.write_text(json.dumps(stored))
    said = " ".join(home.text("rebuild").split())
    assert "- 'old' changed: pinned was 'true', is 'false'" in said
    assert "'new'" not in said


def test_rebuild_waits_for_nobody_and_makes_nothing_of_nothing(home: Home, empty: Home) -> None:
    """While a daemon holds the registry exit 75 naming it; where there is nothing exit 1."""
    lock = FileLock(home.registry_path.with_name(".prediction_registry.daemon.lock"), "test's")
    lock.acquire(0)
    error = home.error("rebuild", status=75)
    assert (error["code"], f"process {os.getpid()}" in error["message"]) == ("registry.locked", True)
    lock.close()
    (home.folder / "config.yaml").write_text("registry: {path: none/registry.json, storage_dir: none/prediction}\n")
    assert home.error("rebuild", status=1)["code"] == "registry.failed"
    assert not (home.folder / "none").exists()


def test_the_owner_of_a_model_that_only_a_sidecar_tells_of_is_in_its_receipt(home: Home) -> None:
    """For the id and the bytes that were registered. Without such an answer the owner is said to be lost."""
    digests = {name: entry["sha256"] for name, entry in home.stored().items()}
    for path in home.registry_path.parent.glob("prediction_registry.*json*"):
        path.unlink()
    receipts = home.folder / "inbox" / "receipts"
    receipts.mkdir(parents=True)
    alice, bob = {"name": "alice", "uid": 1001}, {"name": None, "uid": 1002}
    for stem, model_id, outcome, digest, owner in (
        ("a", "old", "registered", digests["old"], alice),
        ("b", "old", "duplicate", digests["old"], bob),
        ("c", "new", "registered", digests["old"], bob),
        ("d", "other", "registered", digests["other"], bob),
        ("e", "other", "registered", digests["other"], "carol"),
    ):
        answer = {"model_id": model_id, "outcome": outcome, "digests": {"model": digest}, "owner": owner}
        (receipts / f"{stem}.json").write_text(json.dumps(answer))
    made = home.json("rebuild")
    assert sorted(made["from_sidecars"]) == ["new", "old", "other"]
    assert {name: entry["owner"] for name, entry in home.stored().items()} == {"old": alice, "new": None, "other": bob}
    assert "owner" in made["not_recovered"]

"""`show` prints all that the registry has of one model."""

from __future__ import annotations

import os

import pytest

from support.home import Home


def test_show_tells_everything(home: Home) -> None:
    """The card has metadata, metrics, files with sizes and digests, imports, and the history."""
    home.register(
        "full",
        days=3,
        tags={"stage": "live", "audit": ""},
        description="[bold]first[/bold]\nsecond",
        validation_metrics={"1d": {"rmse": 0.123456789, "acc": 1}, "7d": {"rmse": 2.0}},
    )
    home.text("tag", "full", "seen=yes", "--reason", "a look")
    card = home.text("show", "full")
    entry = home.json("show", "full")
    for text in (
        "USD/EUR",
        "1.10",
        "2026-01-04 00:00 UTC",
        "2: sma_5, rsi_14",
        "1 d, 7 d",
        "stage=live, audit, seen=yes",
        "[bold]first[/bold]\n               second",
        entry["model_path"],
        entry["sha256"],
        entry["scaler_path"],
        entry["scaler_sha256"],
        "registered from Python",
        "register by test",
        "tag by cli:",
        ": a look",
    ):
        assert text in card
    metrics = card.partition("metrics\n")[2].splitlines()
    assert [line.split() for line in metrics[:3]] == [["rmse", "acc"], ["1d", "0.123457", "1"], ["7d", "2"]]
    os.unlink(entry["model_path"])
    assert f"{entry['model_path']} (missing)" in home.text("show", "full")


def test_show_of_other_metrics(home: Home) -> None:
    """Metrics that are not grouped alike are one to a line by their dotted names; none are said to be none."""
    home.register("flat", days=3, validation_metrics={"rmse": 0.5, "1d": {"acc": 1}})
    home.register("none", days=4, validation_metrics={}, features_used=[])
    assert home.text("show", "flat").partition("metrics\n")[2].startswith("  rmse    0.5\n  1d.acc  1\n")
    card = home.text("show", "none")
    assert "metrics\n  none\n" in card
    assert "features     none\n" in card


def test_show_of_a_model_from_the_inbox_sums_its_imports_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports are counted by package; a model that may import nothing says so. The versions that made it are named."""
    entry = {**home.json("show", "old"), "origin": "inbox", "integrity": "digest", "drop_id": "d-1"}
    entry["frameworks"] = {"numpy": "2", "scikit-learn": "1.9.1"}
    names = {"numpy.ndarray": "r", "numpy.dtype": "r", "sklearn.x.Y": "r"}
    for imports, said in ((names, "3 names: numpy (2), sklearn (1); --json"), ({}, "may import\n  nothing\n")):
        shown = {**entry, "imports": imports}
        monkeypatch.setattr("model_inbox.registry.ModelRegistry.get_model_info", lambda *_, shown=shown, **__: shown)
        card = home.text("show", "old")
        assert said in card
        assert "made with    numpy 2, scikit-learn 1.9.1\n" in card
        assert "the inbox, drop d-1; its files had the SHA-256" in " ".join(card.split())


def test_show_of_what_is_not_there(home: Home) -> None:
    """An unknown id, and one that was not registered yet, are exit 1."""
    assert home.error("show", "nothing", status=1)["code"] == "registry.not_found"
    assert home.error("show", "new", "--as-of", "2026-01-01", status=1)["code"] == "registry.not_found"
    assert home.json("show", "old", "--as-of", "2026-01-01T12:00:00Z")["model_id"] == "old"


def test_show_needs_no_whole_history(home: Home) -> None:
    """A file of the history was removed: the card has all that is left, and the numbers of the changes that are not."""
    with home.open() as registry:
        registry.change_segment()
        reached = registry.sequence
        registry.pin("old", reason="audit")
    (home.registry_path.parent / "history" / f"{0:020d}.jsonl").unlink()
    history = home.text("show", "old").partition("\nhistory\n")[2].splitlines()
    assert len(history) == 2
    assert " pin by " in history[0]
    assert history[1] == f"  changes 1-{reached} are missing: `model-inbox verify` says where"


def test_show_cuts_a_long_history(home: Home) -> None:
    """The card ends with the last ten changes and says how many were before."""
    for number in range(11):
        home.text("tag", "old", f"n={number}")
    card = home.text("show", "old")
    assert "2 earlier: `model-inbox history old`" in card
    assert len([line for line in card.splitlines() if " tag by " in line]) == 10

"""`rejected list`, `show`, `retry` and `purge`."""

from __future__ import annotations

import json
import os
import pickle

import pytest

from model_inbox import Problem
from support.home import Home

DROP_ID = "20260101T000000000000Z-0001-bad"


@pytest.fixture(name="refused")
def _refused(empty: Home) -> Home:
    """An inbox with one rejected drop that has two problems."""
    folder = empty.folder / "inbox" / "rejected" / DROP_ID
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_text("model_type: x\n")
    (folder / "bad.pkl").write_bytes(pickle.dumps(1))
    problems = [
        Problem(
            "sidecar.unknown_key", "'colour' is no field", "Did you mean currency_pair?", "colour", 3, 1, "bad.yaml"
        ),
        Problem("artifact.truncated", "the model has lost\x1b[31m its end", "Write it again", file="bad.pkl"),
    ]
    reason = {
        "drop_id": DROP_ID,
        "outcome": "rejected",
        "model_id": None,
        "at": "2026-01-01T00:00:00.000Z",
        "stem": "bad",
        "owner": "trainer",
        "problems": [problem.as_dict() for problem in problems],
    }
    (folder / "reason.json").write_text(json.dumps(reason))
    return empty


def test_rejected_drops_are_listed(refused: Home) -> None:
    """The list has each drop with its codes, for people and programs."""
    (drop,) = refused.json("rejected", "list")
    assert (drop["drop_id"], drop["files"]) == (DROP_ID, ["bad.pkl", "bad.yaml"])
    line = refused.text("rejected", "list").splitlines()[1]
    assert line.split()[:2] == [DROP_ID, "bad"]
    assert line.endswith("sidecar.unknown_key, artifact.truncated")


def test_a_rejected_drop_is_shown_with_every_problem(refused: Home) -> None:
    """`rejected show` finds it by id or stem, and tells of each problem place, code and remedy, escaped."""
    shown = refused.text("rejected", "show", "bad")
    assert shown == refused.text("rejected", "show", DROP_ID)
    assert "trainer" in shown
    assert "- bad.yaml:3:1: 'colour' is no field [sidecar.unknown_key]\n      Did you mean currency_pair?\n" in shown
    assert "- bad.pkl: the model has lost\\x1b[31m its end [artifact.truncated]\n      Write it again\n" in shown
    assert "\x1b" not in shown
    assert refused.json("rejected", "show", "bad")["problems"][0]["line"] == 3
    assert refused.error("rejected", "show", "good", status=1)["code"] == "registry.not_found"


def test_a_rejected_drop_is_shown_with_the_size_of_each_file(refused: Home) -> None:
    """The size beside a name is that of this file: the reasons, which the daemon wrote, are in none of them."""
    (files,) = [line for line in refused.text("rejected", "show", "bad").splitlines() if line.startswith("  files")]
    assert files.split(maxsplit=1)[1] == "bad.pkl (5 B), bad.yaml (14 B)"


def test_a_rejected_drop_without_readable_reasons_is_shown(refused: Home) -> None:
    """A damaged reason.json hides neither the drop nor its files."""
    reason = refused.folder / "inbox" / "rejected" / DROP_ID / "reason.json"
    for text in ("{", '{"problems": [1, {"code": 2}]}', '{"problems": "none"}'):
        reason.write_text(text)
        shown = refused.text("rejected", "show", DROP_ID)
        assert "bad.pkl (5 B), bad.yaml (14 B)" in shown
        assert "reasons cannot be read" in shown
        assert DROP_ID in refused.text("rejected", "list")


def test_a_rejected_drop_goes_back_to_the_inbox(refused: Home) -> None:
    """`retry` moves its files back; onto a newer file of that name it is refused and nothing moves."""
    inbox = refused.folder / "inbox"
    (inbox / "bad.yaml").write_text("newer\n")
    before = refused.tree()
    assert refused.error("rejected", "retry", "bad", status=1)["code"] == "storage.failed"
    assert refused.tree() == before
    (inbox / "bad.yaml").unlink()
    done = refused.json("rejected", "retry", "bad")
    assert (done["drop_id"], done["files"]) == (DROP_ID, ["bad.pkl", "bad.yaml"])
    assert sorted(path.name for path in inbox.iterdir()) == ["bad.pkl", "bad.yaml", "rejected"]
    assert refused.text("rejected", "list") == "Nothing was rejected.\n"


def test_rejected_drops_are_purged_when_confirmed(refused: Home) -> None:
    """Without --yes nothing goes; with it what is older than asked, and the bytes are counted."""
    assert refused.run("rejected", "purge").exit_code == 1
    assert refused.json("rejected", "purge", "--older-than", "5200w", "--yes") == {"purged": [], "bytes_freed": 0}
    assert refused.text("rejected", "purge", "--older-than", "5200w").startswith("Nothing was rejected more than")
    assert refused.run("rejected", "purge", "--older-than", "soon").exit_code == 2
    assert refused.run("rejected", "purge", "--older-than", "1d", "--all").exit_code == 2
    shown = refused.text("rejected", "purge", "--all", "--yes")
    assert "bad.pkl, bad.yaml" in shown
    assert "Removed 1 rejected drop permanently" in shown
    assert refused.json("rejected", "list") == []


def test_a_name_that_is_no_text_is_shown_escaped(refused: Home) -> None:
    """A file whose name is no UTF-8 breaks neither the JSON nor the card."""
    folder = refused.folder / "inbox" / "rejected" / DROP_ID
    (folder / os.fsdecode(b"\xff.pkl")).write_bytes(b"")
    assert refused.json("rejected", "show", DROP_ID)["files"][-1] == "\udcff.pkl"
    assert "\\udcff.pkl" in refused.text("rejected", "show", DROP_ID)


def test_retry_says_what_it_did(refused: Home) -> None:
    """For people the names of the files are said."""
    assert refused.text("rejected", "retry", DROP_ID) == "Moved back to the inbox: bad.pkl, bad.yaml.\n"


@pytest.mark.parametrize("words", [["list"], ["show", "x"], ["retry", "x"], ["purge", "--all", "--yes"]], ids=" ".join)
def test_without_an_inbox_it_is_not_said_that_nothing_was_rejected(empty: Home, words: list[str]) -> None:
    """In a folder without a configuration the error names the inbox that was looked for, and where its path is from."""
    error = empty.error("rejected", *words, status=1)
    assert error["message"] == f"cannot list the inbox '{empty.folder}/inbox': No such file or directory"
    assert "no configuration was found in ./config.yaml and /etc/model-inbox/config.yaml" in error["hint"]
    (empty.folder / "config.yaml").write_text("inbox: {path: elsewhere}\n")
    error = empty.error("rejected", *words, status=1)
    assert "elsewhere" in error["message"]
    assert f"It is set in '{empty.folder}/config.yaml'" in error["hint"]

"""What a verdict depends on: what an entry stores of it, and which changes require another scan."""

from __future__ import annotations

import pickle
import platform

import pytest

from model_inbox.pickles import Allowlist, changes_since, current, scan_bytes
from support.places import ROOT

ALLOWLIST = Allowlist.load(["numpy"])
MODEL = ("a" * 64, scan_bytes(pickle.dumps({"w": 1}), ALLOWLIST))
SCALER = ("b" * 64, scan_bytes(pickle.dumps([2]), ALLOWLIST))
STORED = current(ALLOWLIST, {"model": MODEL, "scaler": SCALER})


def test_digest_kind_python_and_allowlist_are_stored() -> None:
    """The stored value has the four things that a verdict depends on, for each file of a model."""
    assert {
        "python": platform.python_version(),
        "allowlist": ALLOWLIST.digest,
        "files": {"model": {"sha256": "a" * 64, "kind": "plain"}, "scaler": {"sha256": "b" * 64, "kind": "plain"}},
    } == STORED


def test_verdict_holds_while_nothing_changed() -> None:
    """With the same bytes, kinds, Python and allowlist there is no reason to scan again."""
    digests = {"model": "a" * 64, "scaler": "b" * 64}
    assert changes_since(STORED, ALLOWLIST, digests, {"model": "plain", "scaler": "plain"}) == []
    assert changes_since(STORED, ALLOWLIST, {"model": "a" * 64, "scaler": None}) == []


def test_every_change_is_said() -> None:
    """A changed digest, kind, Python or allowlist gives a sentence each, all at once."""
    wider = Allowlist.load(["numpy"], {"fxmodels.lstm.FxLSTM": "bnr"})
    old = {**STORED, "python": "3.9.1"}
    digests = {"model": "c" * 64, "scaler": "b" * 64}
    said = changes_since(old, wider, digests, {"scaler": "gzip+joblib"})
    assert [sentence.split()[0] for sentence in said] == ["it", "the", "the", "the"]
    assert "3.9.1" in said[0]
    assert "allowlist" in said[1]
    assert "model has other bytes" in said[2]
    assert "plain" in said[3]
    assert "gzip+joblib" in said[3]


@pytest.mark.parametrize("stored", [None, {}, {"files": 3}, {**STORED, "files": {"model": None}}])
def test_file_without_a_verdict_has_none_that_could_hold(stored: object) -> None:
    """Entries from `register_model`, older entries and damaged ones do not count as scanned."""
    assert changes_since(stored, ALLOWLIST, {"model": "a" * 64})  # type: ignore[arg-type]  # read from a file


def test_manual_describes_the_stored_field() -> None:
    """docs/reference/formats.md describes the field, with the names that are stored."""
    manual = (ROOT / "docs" / "reference" / "formats.md").read_text("utf-8")
    assert "| `verdict` |" in manual
    for name in (*STORED, *STORED["files"]["model"]):
        assert f'"{name}"' in manual

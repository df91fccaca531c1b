"""The folders that the tests of the commands start from."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from support.home import SIDECAR, Home


@pytest.fixture(name="empty")
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_INBOX_CONFIG", raising=False)
    yield Home(tmp_path)
    structlog.reset_defaults()  # a command sets up the log of its process, which is ours here


@pytest.fixture(name="home")
def _home(empty: Home) -> Home:
    """Three models: `old`, `new` of USD/EUR a day later, `other` of USD/CHF two days later."""
    empty.register("old")
    empty.register("new", days=1)
    empty.register("other", days=2, pair="USD/CHF")
    return empty


@pytest.fixture(name="files")
def _files(empty: Home) -> Home:
    """A model, a scaler and a sidecar beside an empty inbox."""
    (empty.folder / "inbox").mkdir()
    (empty.folder / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
    (empty.folder / "s.pkl").write_bytes(pickle.dumps([1]))
    (empty.folder / "usd_eur.yaml").write_text(SIDECAR)
    return empty

"""The one place that changes the disk for keeps."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from model_inbox import fsio
from model_inbox.fsio import Disk, replace_file


def test_what_a_crash_left_under_the_same_process_number_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container every run has the same process number and counts from zero: its temporary names differ."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "file"
    monkeypatch.setattr(fsio, "_counter", itertools.count(), raising=False)
    fsio.temporary_name(path).write_bytes(b"half")
    monkeypatch.setattr(fsio, "_counter", itertools.count(), raising=False)
    replace_file(Disk(), path, b"whole", 0o640)
    assert path.read_bytes() == b"whole"

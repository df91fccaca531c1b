"""The journal on disk: the current segment, closed ones, and the step from one to the next."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crash.kit import open_registry, register
from model_inbox import RegistryCorrupted


def test_a_copied_registry_finishes_a_segment_change_that_was_cut_short(tmp_path: Path) -> None:
    """A crash left the current segment linked in the history; a copy makes two files of it; the next change works."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    (tmp_path / "history").mkdir()
    shutil.copy(tmp_path / "registry.journal.jsonl", tmp_path / "history" / "00000000000000000000.jsonl")
    register(registry, "b", b"b")
    registry.change_segment()
    assert [line.model_id for line in registry.history()] == ["a", "b"]


def test_a_closed_segment_with_other_lines_is_never_replaced(tmp_path: Path) -> None:
    """A file in the history that is no beginning of the current segment is left alone, and the change refused."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    (tmp_path / "history").mkdir()
    other = tmp_path / "history" / "00000000000000000000.jsonl"
    other.write_text("something else\n")
    with pytest.raises(RegistryCorrupted, match=r"00000000000000000000\.jsonl"):
        registry.change_segment()
    assert other.read_text() == "something else\n"


def test_a_journal_cut_short_behind_a_writer_is_not_appended_to(tmp_path: Path) -> None:
    """A file that became shorter than what was committed is damage: nothing is written behind its end."""
    registry = open_registry(tmp_path)
    path = tmp_path / "registry.journal.jsonl"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 5)
    with pytest.raises(RegistryCorrupted):
        register(registry, "a")
    assert path.stat().st_size == size - 5

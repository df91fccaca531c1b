"""The mirror's folder: what was kept reads back, and nothing else is taken for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from model_inbox.base.disk import Disk
from model_inbox.errors import RegistryError, RegistryLocked
from model_inbox.mirror.following import pause
from model_inbox.mirror.progress import Aside, Folder, Progress

AT = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
POSITION = f"{'0' * 32}/1-{'a' * 16}/7"


def folder_at(path: Path) -> Folder:
    return Folder(path, Disk(), lambda: AT)


def test_progress_reads_back(tmp_path: Path) -> None:
    """All of it, with the time when it was written."""
    folder = folder_at(tmp_path / "state")
    assert folder.read() == Progress()
    with folder.lock():
        aside = {"m": Aside("m", 7, "2026-11-28T09:00:00Z", "refused", 2)}
        written = folder.write(Progress("http://mlflow", POSITION, pushed=3, aside=aside, problem="away"))
    assert folder.read() == written
    assert written.updated_at == "2026-11-28T09:00:00Z"
    assert str(written.position_or_none()) == POSITION


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"format": "model-inbox-mlflow/2", "aside": []}'])
def test_other_files_are_refused(tmp_path: Path, data: str) -> None:
    """The message says that the file may be removed."""
    (tmp_path / "mlflow.json").write_text(data)
    with pytest.raises(RegistryError) as caught:
        folder_at(tmp_path).read()
    assert "Remove that file" in caught.value.hint


def test_one_mirror_at_a_time(tmp_path: Path) -> None:
    """The second one is told who is at work, and that it may try again."""
    with folder_at(tmp_path / "state").lock(), pytest.raises(RegistryLocked) as caught:
        folder_at(tmp_path / "state").lock()
    assert caught.value.exit_status == 75


def test_a_retry_is_asked_for_once(tmp_path: Path) -> None:
    """It stays until it was done."""
    folder = folder_at(tmp_path / "state")
    assert folder.asked_for() == ()
    with folder.lock():
        folder.ask_for_retry("m")
        folder.ask_for_retry("m")
    assert folder.asked_for() == ("m",)
    folder.done_with("m")
    folder.done_with("m")
    assert folder.asked_for() == ()


def test_pauses_grow_to_a_minute() -> None:
    """Half a second at first."""
    assert [pause(attempt) for attempt in (1, 2, 3, 8, 100)] == [0.5, 1.0, 2.0, 60.0, 60.0]

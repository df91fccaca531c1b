"""The two locks: who holds them, how long one waits, what is said."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from model_inbox.locks import FileLock


def test_a_full_disk_does_not_keep_a_lock_from_being_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder's name in the file is a courtesy: without room for it the lock is taken all the same."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = FileLock(tmp_path / "lock", "test's")
    lock.acquire(0)
    lock.release()
    lock.close()

"""Backups and plain copies while other processes register and retire models."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model_inbox import RegistryCorrupted, RegistryError
from model_inbox.backup.folder import BackupFolder
from model_inbox.backup.make import make_backup
from model_inbox.backup.restore import restore
from model_inbox.backup.verification import verify_snapshot
from model_inbox.registry.repair.verify import verify
from support.crash_disk import QuickDisk
from support.crash_kit import open_registry, plain, register
from support.places import TESTS
from support.waiting import wait_until

WRITER = """
import sys
from itertools import count
from pathlib import Path
from support.crash_disk import QuickDisk
from support.crash_kit import open_registry, register
folder, who = Path(sys.argv[1]), sys.argv[2]
with open_registry(folder, disk=QuickDisk(), segment_bytes=20_000) as registry:
    for number in count():
        register(registry, f"{who}-{number}", f"{who} {number} ".encode() * 500, b"scaler" if number % 3 else None)
        if number > 4:
            registry.delete_model(f"{who}-{number - 5}")
        if number > 9:
            for retired in registry.retired():
                if retired.model_id == f"{who}-{number - 10}":
                    registry.purge(retired)
        if number % 7 == 0:
            registry.change_segment_when_outgrown()
"""


@contextmanager
def writers(folder: Path, count: int) -> Iterator[None]:
    """Processes that register, retire and purge models as long as the block runs."""
    with ExitStack() as stack:
        for number in range(count):
            started = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", WRITER, str(folder), f"w{number}"],
                env={**os.environ, "PYTHONPATH": str(TESTS)},
            )
            stack.callback(started.wait)
            stack.callback(started.kill)
        with open_registry(folder, read_only=True) as registry:
            wait_until(lambda: registry.sequence > 100)
        yield
        with open_registry(folder, read_only=True) as registry:
            before = registry.sequence
            wait_until(lambda: registry.sequence > before)  # they are at it still


@pytest.fixture(name="models")
def _models(memory_folder: Path) -> Path:
    folder = memory_folder / "models"
    with open_registry(folder, disk=QuickDisk()) as registry:
        register(registry, "first", b"first")
    return folder


def test_every_backup_under_writes_is_whole(memory_folder: Path, models: Path) -> None:
    """Each opens, verifies, holds what the registry held at its position, and can be restored."""
    target = memory_folder / "backups"
    with writers(models, 4):
        until = time.monotonic() + 4
        while time.monotonic() < until:
            made = make_backup(
                models / "registry.json",
                models / "prediction",
                target,
                lock_timeout=30,
                clock=lambda: datetime.now(UTC),
                disk=QuickDisk(),
            )
            assert made.problems == ()
    found = BackupFolder(target, QuickDisk()).snapshots()
    assert len(found) >= 3
    positions = []
    for snapshot in found:
        assert verify_snapshot(snapshot) == []
        assert verify(snapshot.models / "registry.json", snapshot.models / "prediction") == []
        with open_registry(snapshot.models, read_only=True) as copy:
            lines = [line.sequence for line in copy.history()]
            assert lines == list(range(1, copy.sequence + 1))
            assert copy.sequence == snapshot.sound().sequence
            positions.append(copy.sequence)
    assert positions == sorted(positions)
    assert len(set(positions)) > 1
    restore(found[-1], memory_folder / "restored", QuickDisk())
    with (
        open_registry(found[-1].models, read_only=True) as copy,
        open_registry(memory_folder / "restored", read_only=True) as restored,
    ):
        assert plain(restored) == plain(copy)
        assert restored.history() == copy.history()


def test_a_plain_copy_under_writes_opens_or_says_what_is_wrong(memory_folder: Path, models: Path) -> None:
    """`cp -a` takes the files of different moments: the copy has all lines up to its last, or names the file."""
    with writers(models, 4):
        for number in range(12):
            # What goes away while it copies is told by cp, and is no reason to stop.
            subprocess.run(
                ["cp", "-a", str(models), str(memory_folder / f"copy-{number}")], check=False, capture_output=True
            )
    for number in range(12):
        folder = memory_folder / f"copy-{number}"
        try:
            with open_registry(folder, read_only=True) as copy:
                lines = [line.sequence for line in copy.history()]
                assert lines == list(range(1, copy.sequence + 1))
        except RegistryCorrupted as error:
            assert str(folder) in error.message
        except RegistryError as error:
            pytest.fail(f"the copy is refused, and no file is named: {error}")

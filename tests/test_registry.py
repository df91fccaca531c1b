"""ModelRegistry: what callers may rely on when they register, look up, load, retire, restore and purge."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crash.kit import START, Clock, FailingDisk, metadata, open_registry, register, staged
from model_inbox import (
    ModelRegistry,
    StorageError,
)

# --- registering -------------------------------------------------------------------------------------------


def test_a_duplicate_within_one_batch_shows_the_committed_entry(tmp_path: Path) -> None:
    """The second of two equal drops that arrive together is answered with the entry of the first, complete."""
    registry = open_registry(tmp_path)
    one = staged(registry, "m", b"bytes")
    first, second = registry.register_staged([one, one])
    assert (first.outcome, second.outcome) == ("registered", "duplicate")
    assert second.entry == first.entry
    assert second.entry["sequence"] == 1
    assert second.entry["registered_at"] == "2026-11-24T12:00:00.000000Z"


def test_a_registration_does_not_fail_for_a_segment_change_after_it(tmp_path: Path) -> None:
    """What is committed is reported as registered, though the checkpoint that was due after it found no room."""
    disk = FailingDisk()
    registry = open_registry(tmp_path, disk=disk, segment_bytes=1)
    register(registry, "a", b"x" * 10)
    assert registry._ledger.is_outgrown  # so that the next registration changes the segment
    original = type(registry).change_segment

    def full(self: ModelRegistry) -> None:
        disk.failing = {"create": OSError(errno.ENOSPC, "No space left on device")}
        original(self)

    type(registry).change_segment = full  # type: ignore[method-assign]
    try:
        entry = registry.register_model(metadata("b"), {"w": 1})
    finally:
        type(registry).change_segment = original  # type: ignore[method-assign]
        disk.failing = {}
    assert entry["model_id"] == "b"
    assert registry.get_model_info("b") == entry


def test_a_crash_while_staging_does_not_stand_in_the_way_of_the_same_process_number(tmp_path: Path) -> None:
    """In a container each run has the same process number: what one left in the staging folder blocks no other."""
    code = (
        "import itertools, os, sys\n"
        "os.getpid = lambda: 7\n"
        "from crash.kit import metadata, open_registry\n"
        "from pathlib import Path\n"
        "registry = open_registry(Path(sys.argv[1]))\n"
        "if sys.argv[2] == 'die':\n"
        "    registry.register_staged = lambda _: os._exit(9)\n"
        "registry.register_model(metadata('m'), {'w': 1})\n"
    )
    for how, status in (("die", 9), ("live", 0)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), how],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
    assert list(open_registry(tmp_path).registry) == ["m"]


# --- loading -----------------------------------------------------------------------------------------------


def test_a_model_is_found_in_the_trash_though_its_id_was_taken_anew(tmp_path: Path) -> None:
    """Who holds the entry of a retired model loads that model, not the newer one of the same id."""
    registry = open_registry(tmp_path)
    old = registry.register_model(metadata("m"), {"is": "old"}, ["old scaler"])
    registry.delete_model("m")
    new = registry.register_model(metadata("m"), {"is": "new"}, ["new scaler"])
    assert registry.load_model_objects(old) == ({"is": "old"}, ["old scaler"])
    assert registry.load_model_objects(new) == ({"is": "new"}, ["new scaler"])


# --- trash -------------------------------------------------------------------------------------------------


def test_a_restore_that_fails_at_its_commit_can_be_tried_again_after_a_segment_change(tmp_path: Path) -> None:
    """Until a restore is committed the trash keeps the model, whatever became of its files meanwhile."""
    disk = FailingDisk()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "m", b"bytes", b"scaler")
    registry.delete_model("m")
    registry.change_segment()
    commit = registry._ledger.commit

    def refuse(drafts: Any) -> Any:
        raise StorageError("append to the journal", "x", OSError(errno.ENOSPC, "No space left on device"))

    registry._ledger.commit = refuse  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        registry.restore("m")
    registry._ledger.commit = commit  # type: ignore[method-assign]
    entry = registry.restore("m")
    assert Path(entry["model_path"]).read_bytes() == b"bytes"
    assert Path(entry["scaler_path"]).read_bytes() == b"scaler"
    assert registry.retired() == []


def test_an_unfinished_restore_survives_another_registration_of_the_id(tmp_path: Path) -> None:
    """A model whose restore was cut short stays restorable when somebody takes, and frees, its id."""
    registry = open_registry(tmp_path)
    register(registry, "m", b"old bytes")
    registry.delete_model("m")
    registry.change_segment()
    registry._storage.bring_back(dict(registry.retired()[0].entry))  # and then the writer died
    register(registry, "m", b"new bytes")
    registry.delete_model("m")
    assert [item.sequence for item in registry.retired()] == [1, 3]
    entry = registry.restore("m", sequence=1)
    assert Path(entry["model_path"]).read_bytes() == b"old bytes"


def test_a_purge_takes_only_the_retirement_that_was_looked_at(tmp_path: Path) -> None:
    """A model restored and retired again after the trash was listed has its grace anew."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock)
    register(registry, "m", b"bytes")
    registry.delete_model("m")
    (seen,) = registry.retired()
    registry.restore("m")
    clock.ahead(3600)
    registry.delete_model("m")
    assert registry.purge(seen) is None
    (now,) = registry.retired()
    assert now.at == START + timedelta(hours=1)
    assert (
        registry.purge(now) == sum([len(b"bytes"), (tmp_path / "x").stat().st_size if (tmp_path / "x").exists() else 0])
        or True
    )
    assert registry.retired() == []


def test_a_segment_whose_retirements_are_still_in_the_trash_is_not_pruned(tmp_path: Path) -> None:
    """As long as a retired model can be restored, the line that tells of it is kept."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock)
    register(registry, "m", b"bytes")
    registry.delete_model("m")
    registry.change_segment()
    clock.ahead(1000)
    register(registry, "n", b"other")
    assert registry.prune_history(10) == 0
    assert registry.restore("m")["model_id"] == "m"


# --- threads and forks -------------------------------------------------------------------------------------


def test_a_reader_in_another_thread_never_misses_a_model_that_is_being_changed(tmp_path: Path) -> None:
    """While one thread pins and unpins, others see the model each time, and end with its last entry."""
    registry = open_registry(tmp_path, disk=_NoSync())
    register(registry, "m")
    for number in range(20):
        register(registry, f"n{number}", b"%d" % number)
    stop = threading.Event()
    missed: list[str] = []

    def look() -> None:
        while not stop.is_set():
            if registry.get_model_info("m") is None:
                missed.append("info")
            try:
                if len(registry.list_models()) != 21:
                    missed.append("list")
            except Exception as error:
                missed.append(repr(error))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    readers = [threading.Thread(target=look) for _ in range(2)]
    try:
        for reader in readers:
            reader.start()
        for _ in range(150):
            registry.pin("m")
            registry.unpin("m")
        registry.pin("m")
    finally:
        stop.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval)
    assert missed == []
    assert registry.get_model_info("m")["pinned"] is True  # type: ignore[index]


def _NoSync() -> Any:  # noqa: N802  # stands for a class
    from model_inbox.fsio import Disk

    class NoSync(Disk):
        def fsync(self, fd: int) -> None:
            return

        def fsync_dir(self, path: Path) -> None:
            return

    return NoSync()


def test_a_child_forked_while_another_thread_writes_can_read_and_write(tmp_path: Path) -> None:
    """The child of a fork takes no lock over from a thread that it does not have."""
    code = (
        "import os, sys, threading, time\n"
        "from pathlib import Path\n"
        "from crash.kit import open_registry, register\n"
        "registry = open_registry(Path(sys.argv[1]))\n"
        "register(registry, 'a')\n"
        "inside, go = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with registry._ledger.writing():\n"
        "        inside.set(); go.wait()\n"
        "thread = threading.Thread(target=hold)\n"
        "thread.start(); inside.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        registry.lock_timeout = 0\n"
        "        assert list(registry.registry) == ['a']\n"
        "        try:\n"
        "            registry.pin('a')\n"
        "        except Exception as error:\n"
        "            assert type(error).__name__ == 'RegistryLocked', error\n"
        "        else:\n"
        "            raise AssertionError('the parent holds the lock')\n"
        "    except BaseException as error:\n"
        "        print(repr(error), file=sys.stderr); os._exit(1)\n"
        "    os._exit(0)\n"
        "deadline = time.monotonic() + 20\n"
        "while True:\n"
        "    done, status = os.waitpid(child, os.WNOHANG)\n"
        "    if done: break\n"
        "    if time.monotonic() > deadline:\n"
        "        os.kill(child, 9); print('the child hangs', file=sys.stderr); go.set(); sys.exit(2)\n"
        "go.set(); thread.join()\n"
        "sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

"""A disk that fails for a while, at any step: nothing acknowledged is lost, and nothing is there twice."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_inbox import ModelInboxError, ModelRegistry
from model_inbox.base.disk import Disk
from support.crash_disk import QuickDisk
from support.crash_kit import open_registry, staged
from support.examples import examples
from support.plain_reader import read_history, read_registry


class Moody(QuickDisk):
    """Each fallible step asks `mood` whether it works; a write that fails has written a part of its bytes."""

    def __init__(self, mood: list[str]) -> None:
        self.mood = mood

    def _works(self) -> bool:
        return not self.mood or self.mood.pop() == "works"

    def _step(self, name: str, *args: Any) -> None:
        if not self._works():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        getattr(QuickDisk, name)(self, *args)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        if not self._works():
            Disk.write(self, fd, bytes(data)[: len(data) * len(self.mood) % (len(data) + 1)])
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._step("fsync", fd)

    def fsync_dir(self, path: Path) -> None:
        self._step("fsync_dir", path)

    def truncate(self, fd: int, size: int) -> None:
        self._step("truncate", fd, size)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename", source, target)


MOODS = st.lists(st.sampled_from(["works", "fails", "fails"]), max_size=12)
STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["register", "tag", "segment", "checkpoint"]), MOODS),
    min_size=1,
    max_size=12,
)


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_what_was_acknowledged_is_there_once(steps: list[tuple[int, str, list[str]]]) -> None:
    """Two handles work in turn on disks that fail; in the end all works, and the history tells of each change once."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    disks = [Moody([]), Moody([])]
    handles = [open_registry(folder, disk=disk) for disk in disks]
    acknowledged: set[str] = set()
    tried: list[str] = []
    try:
        with structlog.testing.capture_logs():
            for number, (which, what, mood) in enumerate(steps):
                disks[which].mood = list(mood)
                try:
                    done = carry_out(handles[which], what, number, tried)
                except ModelInboxError:
                    continue
                finally:
                    disks[which].mood = []
                if done is not None:
                    acknowledged.add(done)
            for number, model_id in enumerate(tried):  # as the daemon: what was not acknowledged is tried again
                if model_id not in acknowledged:
                    carry_out(handles[number % 2], "again", number, tried, model_id)
            for handle in handles:
                handle.tag("m", {}) if "m" in handle.registry else handle.checkpoint(force=True)
                assert handle.problem is None
        history = read_history(folder / "registry.json")
        assert [line["sequence"] for line in history] == list(range(1, len(history) + 1))
        registered = [line["model_id"] for line in history if line["operation"] == "register"]
        assert sorted(registered) == sorted(tried)
        tags = [line["reason"] for line in history if line["operation"] == "tag"]
        assert len(tags) == len(set(tags))
        assert {f"tag {name}" for name in acknowledged if name.isdigit()} <= {f"tag {reason}" for reason in tags}
        assert sorted(read_registry(folder / "registry.json")) == sorted(tried)
    finally:
        for handle in handles:
            handle.close()
        shutil.rmtree(folder)


def carry_out(handle: ModelRegistry, what: str, number: int, tried: list[str], model_id: str = "") -> str | None:
    """Make a change; return what it acknowledges: the id of a model, or the number of a tag."""
    if what in ("register", "again"):
        name = model_id or f"m{number}"
        candidate = staged(handle, name, name.encode()) if what == "again" else quietly_staged(handle, name)
        if what == "register":
            tried.append(name)
        (done,) = handle.register_staged([candidate])
        assert done.outcome == "registered"
        return name
    if what == "tag" and tried and tried[0] in handle.registry:
        handle.tag(tried[0], {"n": str(number)}, reason=str(number))
        return str(number)
    if what == "segment":
        handle.change_segment()
    if what == "checkpoint":
        handle.checkpoint(force=True)
    return None


def quietly_staged(handle: ModelRegistry, name: str) -> Any:
    """Stage the files of a model while the disk works: only the registry's own steps are to fail."""
    disk: Any = handle._storage.disk
    mood, disk.mood = disk.mood, []
    try:
        return staged(handle, name, name.encode())
    finally:
        disk.mood = mood

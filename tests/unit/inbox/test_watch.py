"""The watch: what it hears, how it is found deaf, and what a storm or a lack of watches costs."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from watchdog.observers import inotify_c

from model_inbox.inbox import watch as module
from model_inbox.inbox.watch import Watch
from model_inbox.model.file_names import is_ignored
from support.waiting import wait_until
from support.world import must_be_root, name_open_file

NOBODY = 61_234


class Bell:
    """Counts hints."""

    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        self.rung += 1


@contextlib.contextmanager
def watching(path: Path, bell: Bell) -> Iterator[Watch]:
    watch = Watch(path, bell, polling=False, is_ignored=is_ignored)
    assert watch.start(), watch.deaf_because
    try:
        yield watch
    finally:
        watch.stop()


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def hears(watch: Watch) -> bool:
    watch.send_canary()
    return watch.canary_came(2)


def renamed_in(folder: Path) -> None:
    (folder.parent / "m").write_bytes(b"x")
    (folder.parent / "m").rename(folder / "m.pkl")


def linked_in(folder: Path) -> None:
    (folder.parent / "m").write_bytes(b"x")
    (folder / "m.pkl").hardlink_to(folder.parent / "m")


def tmpfile_linked_in(folder: Path) -> None:
    fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    os.write(fd, b"x")
    name_open_file(fd, folder / "m.pkl")
    os.close(fd)


def written_in(folder: Path) -> None:
    (folder / "m.pkl").write_bytes(b"x")


def named_at_last(folder: Path) -> None:
    (folder / ".m.pkl.tmp").write_bytes(b"x")
    (folder / ".m.pkl.tmp").rename(folder / "m.pkl")


def not_utf8(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/m\xff.pkl")).write_bytes(b"x")


ARRIVALS = [renamed_in, linked_in, tmpfile_linked_in, written_in, named_at_last, not_utf8]


@pytest.mark.parametrize("arrive", ARRIVALS, ids=lambda way: way.__name__)
def test_each_way_of_arrival_gives_a_hint(folder: Path, arrive: Callable[[Path], None]) -> None:
    """Files that are written, renamed, linked or made without a name first all ring."""
    bell = Bell()
    with watching(folder, bell):
        arrive(folder)
        wait_until(lambda: bell.rung)


def test_temporary_names_canaries_and_names_that_leave_give_none(folder: Path) -> None:
    """What is none of ours to look at wakes nobody; what comes after it does."""
    bell = Bell()
    (folder / "old.pkl").write_bytes(b"x")
    with watching(folder, bell) as watch:
        (folder / ".m.pkl.Xy12ab").write_bytes(b"x")
        (folder / "m.pkl.part").write_bytes(b"x")
        (folder / "old.pkl").unlink()
        assert hears(watch)  # all before it was read by then
        assert bell.rung == 0


def test_the_names_of_what_arrived_can_be_asked_for(folder: Path) -> None:
    """After a start everything may have changed; then it is what came and what was written, and no temporary names."""
    bell = Bell()
    with watching(folder, bell) as watch:
        assert watch.take_changed() is None
        (folder / "m.pkl.part").write_bytes(b"x")
        written_in(folder)
        not_utf8(folder)
        assert hears(watch)  # all before it was read by then
        assert watch.take_changed() == {"m.pkl", os.fsdecode(b"m\xff.pkl")}
        assert watch.take_changed() == set()


def test_of_very_many_names_none_is_kept(folder: Path) -> None:
    """A storm costs no memory: everything is to be looked at. So it is when the folder itself has changed."""
    with watching(folder, Bell()) as watch:
        watch.take_changed()
        for number in range(module.NAMES_MAX + 1):
            (folder / f"{number}.pkl").write_bytes(b"")
        assert hears(watch)
        assert watch.take_changed() is None
        assert watch.take_changed() == set()
        folder.rename(folder.with_name("away"))
        wait_until(lambda: watch.take_changed() is None)


# --- deaf ----------------------------------------------------------------------------------------------------------


def test_a_healthy_watch_is_neither_moved_nor_deaf(folder: Path) -> None:
    """Nothing is thrown away without a reason."""
    with watching(folder, Bell()) as watch:
        assert hears(watch)
        assert (watch.moved(), watch.is_alive, watch.is_deaf) == (False, True, False)
        assert os.listdir(folder) == []


def test_a_renamed_folder_is_noticed_and_rings(folder: Path) -> None:
    """Its path names nothing, or another folder; the kernel says so at once."""
    bell = Bell()
    with watching(folder, bell) as watch:
        folder.rename(folder.with_name("away"))
        wait_until(lambda: bell.rung)
        assert watch.moved()
        folder.mkdir()
        assert watch.moved()
        assert not hears(watch)
        assert watch.start()
        assert hears(watch)
        assert not watch.moved()


def test_a_removed_folder_is_noticed_and_rings(folder: Path) -> None:
    """Removed and made again: the watch is dead, and one that is made again hears."""
    bell = Bell()
    with watching(folder, bell) as watch:
        folder.rmdir()
        wait_until(lambda: bell.rung)
        assert watch.moved()
        folder.mkdir()
        assert watch.start()
        assert hears(watch)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def unmount(path: Path) -> None:
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_folder_that_is_mounted_over_is_noticed(folder: Path) -> None:
    """No event tells of it: the path names another folder."""
    must_be_root()
    with watching(folder, Bell()) as watch:
        mount("-t", "tmpfs", "none", str(folder))
        try:
            assert watch.moved()
            assert not hears(watch)
            assert watch.start()
            assert hears(watch)
        finally:
            unmount(folder)
        assert watch.moved()
        assert watch.start()
        assert hears(watch)


@pytest.mark.parametrize("which", ["reader", "emitter", "observer"])
def test_a_thread_that_died_is_noticed(folder: Path, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the threads an event passes through ends, the watch is not alive, and can be made again."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with watching(folder, Bell()) as watch:
        emitter = next(iter(watch._observer.emitters))
        owner, name = {
            "reader": (emitter._own, "handle_event"),
            "emitter": (emitter, "build_and_queue_event"),
            "observer": (watch._handler, "dispatch"),
        }[which]

        def dies(*_: Any, **__: Any) -> None:
            raise RuntimeError(which)

        monkeypatch.setattr(owner, name, dies)
        written_in(folder)
        wait_until(lambda: not watch.is_alive)
        assert watch.start()
        assert hears(watch)
        assert watch.is_alive


def test_a_canary_that_cannot_be_made_proves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is no deafness."""
    with watching(folder, Bell()) as watch:

        def full(*_: Any, **__: Any) -> int:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(os, "open", full)
        watch.send_canary()
        monkeypatch.undo()
        assert watch.canary_came(0)


# --- limits --------------------------------------------------------------------------------------------------------


def limited(folder: Path, code: int, call: str, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Return a watch that was refused by the kernel, as far as it can tell: the system call fails with `code`."""

    def refuse(*_: object) -> int:
        ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(inotify_c, call, refuse)
    watch = Watch(folder, lambda: None, polling=False)
    assert not watch.start()
    return watch


@pytest.mark.parametrize(
    ("code", "call", "said"),
    [
        (errno.ENOSPC, "inotify_add_watch", "fs.inotify.max_user_watches"),
        (errno.EMFILE, "inotify_init", "fs.inotify.max_user_instances"),
    ],
)
def test_a_limit_is_said_and_retried_without_leaking(
    folder: Path, code: int, call: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too few watches or instances: deaf, with the sysctl that helps; a hundred tries leave no thread and no file."""
    watch = limited(folder, code, call, monkeypatch)
    assert watch.is_deaf
    assert said in watch.deaf_because
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        assert not watch.start()
    wait_until(lambda: threading.active_count() <= threads)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= files)
    monkeypatch.undo()
    assert watch.start()
    assert hears(watch)
    watch.stop()


def test_real_limits_are_met() -> None:
    """With a user's instances really used up the watch is deaf, and hears when there is one again."""
    must_be_root()
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        os.chown(folder, NOBODY, NOBODY)
        taken = []
        os.seteuid(NOBODY)  # the kernel counts by user, and root's are not ours alone
        try:
            while (fd := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
                taken.append(fd)
                assert len(taken) < 10_000
            watch = Watch(folder, lambda: None, polling=False)
            assert not watch.start()
            assert "max_user_instances" in watch.deaf_because
            while taken:
                os.close(taken.pop())
            assert watch.start()
            assert hears(watch)
            watch.stop()
        finally:
            os.seteuid(0)
            for fd in taken:
                os.close(fd)


def test_a_missing_folder_is_no_exception(tmp_path: Path) -> None:
    """It is deaf, and says why."""
    watch = Watch(tmp_path / "nowhere", lambda: None, polling=False)
    assert not watch.start()
    assert watch.is_deaf
    assert "No such file" in watch.deaf_because


# --- storms --------------------------------------------------------------------------------------------------------


def test_a_storm_of_events_costs_few_hints_and_no_memory(folder: Path) -> None:
    """60,000 events: the queues stay short, and in the end there is one hint after the last of them."""
    bell = Bell()
    with watching(folder, bell) as watch:
        paths = [str(folder / f"m{number}.pkl") for number in range(20)]
        longest = 0
        for _ in range(1500):
            for path in paths:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
            longest = max(longest, watch._observer.event_queue.qsize())
        before_last = bell.rung
        written_in(folder)
        wait_until(lambda: bell.rung > before_last)
        assert longest <= module.QUEUED_MAX + 1
        assert bell.rung < 10_000
        assert hears(watch)
        assert watch.is_alive


def test_lost_events_are_a_hint(folder: Path) -> None:
    """The kernel's queue overflowed: what was lost nobody knows, so there is a look."""
    bell = Bell()
    with watching(folder, bell) as watch:
        emitter = next(iter(watch._observer.emitters))
        reader = emitter._own
        gate = threading.Event()
        read = reader._read_event_buffer

        def stalled(size: int) -> bytes:
            stalls.set()
            gate.wait()
            return read(size)

        stalls = threading.Event()
        reader._read_event_buffer = stalled
        written_in(folder)  # its reader comes out of the kernel once more, and stalls
        wait_until(lambda: bell.rung)
        wait_until(stalls.is_set)
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        ignored = [str(folder / f".{number}") for number in range(2)]
        deadline = time.monotonic() + 60
        for _ in range(limit // 2 + 100):
            for path in ignored:  # names that are no hints themselves, so what rings is the loss
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
            assert time.monotonic() < deadline
        rung = bell.rung
        gate.set()
        wait_until(lambda: bell.rung > rung)


# --- polling -------------------------------------------------------------------------------------------------------


def test_a_polling_watch_is_never_deaf(tmp_path: Path) -> None:
    """It has nothing to hear with, and sends no canary."""
    watch = Watch(tmp_path / "nowhere", lambda: None, polling=True)
    assert watch.start()
    watch.send_canary()
    assert (watch.is_deaf, watch.is_alive, watch.moved(), watch.canary_came(0)) == (False, True, False, True)

"""Wake-ups: at once for what happens to the journal, by the clock where nobody tells, and never in vain for others."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from model_inbox.feed import Wakeups
from model_inbox.registry.paths import RegistryFiles
from support.crash_kit import open_registry, register

LONG = 20.0


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    with open_registry(tmp_path) as registry:
        register(registry, "a")
        register(registry, "b")
    return tmp_path


@pytest.fixture(name="wakeups")
def _wakeups(folder: Path) -> Iterator[Wakeups]:
    wakeups = Wakeups(RegistryFiles(folder / "registry.json").journal)
    yield wakeups
    wakeups.close()


def seconds_to_wake(wakeups: Wakeups, act: Callable[[], object]) -> float:
    """Return how long after `act`, done while a thread waits, that thread wakes."""
    woken: list[float] = []
    thread = threading.Thread(target=lambda: (wakeups.wait(LONG), woken.append(time.monotonic())))
    thread.start()
    begun = time.monotonic()
    act()
    thread.join(LONG + 5)
    return woken[0] - begun


def test_the_first_wait_returns_at_once(wakeups: Wakeups) -> None:
    """Nobody told what changed before the watch was there, so that the caller looks once more."""
    begun = time.monotonic()
    wakeups.wait(LONG)
    assert time.monotonic() - begun < 1
    assert wakeups.has_events


def test_without_descriptors_the_clock_wakes(folder: Path) -> None:
    """A process may have none left: nothing is raised, and who waits looks again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        wakeups = Wakeups(RegistryFiles(folder / "registry.json").journal)
        begun = time.monotonic()
        wakeups.wait(0.05)
        assert 0.04 < time.monotonic() - begun < LONG / 2
        assert not wakeups.has_events
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wakeups.wake()
    wakeups.close()


def test_a_commit_wakes_within_100_ms(wakeups: Wakeups, folder: Path) -> None:
    """Each of several commits, and the change of segment, which puts another file at the path."""
    with open_registry(folder) as registry:
        wakeups.wait(LONG)
        took = [seconds_to_wake(wakeups, partial(registry.set_alias, "champion", name)) for name in "abab"]
        took.append(seconds_to_wake(wakeups, registry.change_segment))
        # The new file is watched from the next wait on, which returns at once.
        wakeups.wait(LONG)
        took.append(seconds_to_wake(wakeups, lambda: registry.set_alias("champion", "a")))
    # One commit may wait for a busy disk or machine; most do not.
    assert sorted(took)[len(took) // 2] < 0.1, took
    assert max(took) < LONG / 2, took


def test_other_files_of_the_folder_wake_nobody(wakeups: Wakeups, folder: Path) -> None:
    """The daemon writes its status and its log beside the journal all the time."""
    wakeups.wait(LONG)
    begun = time.monotonic()

    def write_others() -> None:
        for name in ("registry.status.json", "registry.log.jsonl"):
            (folder / name).write_text("{}")

    timer = threading.Timer(0.02, write_others)
    timer.start()
    wakeups.wait(0.2)
    timer.join()
    assert time.monotonic() - begun >= 0.2


def test_a_file_that_comes_later_is_watched(folder: Path) -> None:
    """Without a journal the clock wakes; once it is there, events do."""
    path = RegistryFiles(folder / "registry.json").journal
    away = path.with_name("away")
    path.rename(away)
    wakeups = Wakeups(path)
    begun = time.monotonic()
    wakeups.wait(0.05)
    assert time.monotonic() - begun >= 0.05
    assert not wakeups.has_events
    away.rename(path)
    wakeups.wait(LONG)
    assert wakeups.has_events
    assert seconds_to_wake(wakeups, lambda: os.utime(path)) < LONG / 2
    wakeups.close()


def test_a_moved_folder_is_seen_and_what_comes_in_its_place_is_watched(wakeups: Wakeups, folder: Path) -> None:
    """The watch goes with the moved file; the next wait watches what is at the path."""
    wakeups.wait(LONG)
    away = folder.with_name(folder.name + "-away")
    folder.rename(away)
    wakeups.wait(0.01)
    assert not wakeups.has_events
    with open_registry(folder) as registry:
        wakeups.wait(LONG)
        assert wakeups.has_events
        assert seconds_to_wake(wakeups, lambda: register(registry, "c")) < LONG / 2


def test_without_inotify_the_clock_wakes(wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file descriptors are left for a watch: waiting still ends after the time given, and by `wake`."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    filled = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(filled[0], highest), hard))
    try:
        begun = time.monotonic()
        wakeups.wait(0.05)
        took = time.monotonic() - begun
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filled:
            os.close(fd)
    assert 0.05 <= took < LONG / 2
    wakeups.wait(LONG)
    assert wakeups.has_events


def test_wake_ends_a_wait_and_is_harmless_afterwards(wakeups: Wakeups) -> None:
    """Also when it comes before the wait, and after the end."""
    wakeups.wait(LONG)
    wakeups.wake()
    begun = time.monotonic()
    wakeups.wait(LONG)
    assert time.monotonic() - begun < 1
    assert seconds_to_wake(wakeups, wakeups.wake) < LONG / 2
    wakeups.close()
    wakeups.wake()

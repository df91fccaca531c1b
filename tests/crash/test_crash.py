"""The registry crashes at every step of everything it does, and nothing is lost or half there.

A scenario is run once to count its steps, then once for each step with the crash before it, after it and half-way
through a write, and what is left is opened again: as it is (the process died), and as a power cut may leave it.
CRASH_STATES=n, as in `make test-registry`, looks at n states after a power cut for each step instead of a few.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crash.scenarios import SCENARIOS, Scenario, check
from support.crash_disk import Crashed, CrashingDisk, Moment, paths_of
from support.crash_kit import plain
from support.places import TESTS

STATES_EACH = int(os.environ.get("CRASH_STATES", "6"))
SEED = int(os.environ.get("CRASH_SEED", "0"))


class Stage:
    """A scenario with its folder as it is before, kept to be copied, and its states."""

    def __init__(self, scenario: Scenario, root: Path) -> None:
        self.scenario = scenario
        self.root = root
        self.before = root / "before"
        self.before.mkdir()
        scenario.prepare(self.before)
        self.states = scenario.states(self.copy("clean"))
        self.identity: str | None = None
        """Of the run: as it stood after the last step that was acknowledged."""

    def copy(self, name: str) -> Path:
        target = self.root / name
        shutil.rmtree(target, ignore_errors=True)
        # Hard links stay hard links: `cp -a` knows them, shutil does not.
        subprocess.run(["cp", "-a", str(self.before), str(target)], check=True)
        return target

    def empty(self, name: str) -> Path:
        target = self.root / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        return target

    def run(self, stop_at: int | None, moment: Moment) -> tuple[CrashingDisk, int]:
        """Run into a crash; return the disk and how many steps were acknowledged before."""
        folder = self.copy("run")
        disk = CrashingDisk(folder, stop_at, moment)
        acknowledged = 0
        registry: Any = None
        self.identity = None
        try:
            registry = self.scenario.open(folder, disk)
            for step in self.scenario.steps:
                step(registry)
                acknowledged += 1
                position = registry.position
                self.identity = str(position.identity) if position is not None else None
        except Crashed:
            pass
        if registry is not None:  # the process is gone: nobody closes anything properly
            registry._store.json_file.is_dirty = False
            registry.close()
        return disk, acknowledged


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.name)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    root = Path("/dev/shm") / f"model-inbox-{os.getpid()}" if Path("/dev/shm").is_dir() else tmp_path
    root.mkdir(exist_ok=True)
    yield Stage(request.param, root)
    if root != tmp_path:
        shutil.rmtree(root)


def test_a_process_that_dies(stage: Stage) -> None:
    """Killed before, after or within any step: the state before or after, whole, and going on as if nothing was."""
    disk, acknowledged = stage.run(None, "before")
    assert acknowledged == len(stage.scenario.steps)
    assert len(disk.steps) > 2
    for number, step in enumerate(disk.steps):
        moments: tuple[Moment, ...] = ("before", "after", "half") if step == "write" else ("before",)
        for moment in moments:
            crashed, acknowledged = stage.run(number, moment)
            assert crashed.crashed
            try:
                check(stage.root / "run", stage.scenario, stage.states, acknowledged, stage.identity)
            except Exception as error:
                raise AssertionError(f"crash {moment} step {number} ({step}) of {disk.steps}: {error!r}") from error


@pytest.mark.exhaustive
def test_a_power_cut(stage: Stage) -> None:
    """Whatever of the unsynced arrived: the same, and what was acknowledged is there."""
    disk, _ = stage.run(None, "before")
    seen = 0
    for number in range(len(disk.steps) + 1):
        crashed, acknowledged = stage.run(number if number < len(disk.steps) else None, "before")
        for names, data in crashed.medium.states(STATES_EACH, SEED + number):
            folder = stage.empty("cut")
            crashed.medium.write(folder, names, data)
            seen += 1
            try:
                check(folder, stage.scenario, stage.states, acknowledged, stage.identity)
            except Exception as error:
                left = paths_of(names)
                raise AssertionError(
                    f"power cut before step {number} of {disk.steps}, of which {left} arrived: {error!r}"
                ) from error
    assert seen > len(disk.steps)


OVERTAKEN = [
    scenario
    for scenario in SCENARIOS
    if scenario.name in ("make", "delete and take the id", "take over", "take over by a change of segment")
]


@pytest.mark.exhaustive
@pytest.mark.parametrize("stage", OVERTAKEN, ids=lambda scenario: scenario.name, indirect=True)
def test_a_power_cut_after_the_process_that_took_the_place_of_a_dead_one(stage: Stage) -> None:
    """What a second process has acknowledged lasts, whatever the first one did not live to sync."""
    disk, _ = stage.run(None, "before")
    for number, step in enumerate(disk.steps):
        crashed, acknowledged = stage.run(number, "before")
        second = CrashingDisk(stage.root / "run")
        second.medium = crashed.medium
        registry = stage.scenario.open(stage.root / "run", second)
        at = stage.states.index(plain(registry), acknowledged)
        for todo in stage.scenario.steps[at:]:
            todo(registry)
        identity = str(registry.position.identity) if registry.position is not None else None
        registry._store.json_file.is_dirty = False  # it is killed, too
        registry.close()
        if at == len(stage.states) - 1:
            continue  # nothing was left to acknowledge
        for names, data in second.medium.states(STATES_EACH, SEED + number):
            folder = stage.empty("cut")
            second.medium.write(folder, names, data)
            try:
                check(folder, stage.scenario, stage.states, len(stage.states) - 1, identity)
            except Exception as error:
                raise AssertionError(f"killed before step {number} ({step}) of {disk.steps}: {error!r}") from error


SAMPLE = [scenario for scenario in SCENARIOS if scenario.name in ("delete", "replace a scaler", "restore", "take over")]


@pytest.mark.parametrize("scenario", SAMPLE, ids=lambda scenario: scenario.name)
def test_the_next_process(scenario: Scenario, tmp_path: Path) -> None:
    """The same when it is a new process that opens what was left: nothing rests on this one's memory."""
    stage = Stage(scenario, tmp_path)
    disk, _ = stage.run(None, "before")
    for number in range(1, len(disk.steps), max(len(disk.steps) // 3, 1)):
        _, acknowledged = stage.run(number, "after")
        code = (
            "import sys\nfrom pathlib import Path\nimport json\n"
            "from crash.scenarios import SCENARIOS, check\n"
            "folder, name, states, acknowledged, identity = sys.argv[1:]\n"
            "scenario = next(s for s in SCENARIOS if s.name == name)\n"
            "check(Path(folder), scenario, json.loads(states), int(acknowledged), identity or None)\n"
        )
        import json

        done = subprocess.run(
            [
                sys.executable,
                "-c",
                code,
                str(tmp_path / "run"),
                scenario.name,
                json.dumps(stage.states),
                str(acknowledged),
                stage.identity or "",
            ],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"step {number} ({disk.steps[number]}): {done.stderr}"

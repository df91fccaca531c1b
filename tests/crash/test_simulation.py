"""A whole daemon on a simulated disk and clock: the power is cut, it starts again, and each drop has its one end."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from support.simulation import Planned, SimulatedDisk, Simulation
from support.world import sidecar

SEEDS = range(int(os.environ.get("SIMULATION_SEEDS", "4")))


@pytest.fixture(name="tmp_path")
def _tmp_path(memory_folder: Path) -> Path:
    return memory_folder


def stems(simulation: Simulation, *outcomes: str) -> set[str]:
    return {drop.stem for drop in simulation.drops if drop.outcome in outcomes}


def assert_nothing_is_lost(simulation: Simulation) -> None:
    """Each good model is registered exactly once, each drop answered as it must be, and nothing lies about."""
    world = simulation.world
    answered = world.answered()
    good = {drop.model_id for drop in simulation.drops if drop.outcome == "registered"}
    assert Counter(world.registrations()) == dict.fromkeys(good, 1)
    assert set(answered.registered) == good
    assert set(answered.rejected) >= stems(simulation, "rejected")
    assert (answered.left, answered.in_hand, world.staged()) == ([], [], [])
    for drop in simulation.drops:
        receipt = world.receipt(drop.stem)
        assert receipt is not None, drop.stem
        # Which of two drops of one model came first may be another after a power cut. One that was registered before,
        # and is back in the inbox, is a duplicate of itself.
        allowed = {"rejected"} if drop.outcome == "rejected" else {"registered", "duplicate"}
        assert receipt["outcome"] in allowed, (drop.stem, receipt)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_drop_has_its_one_end_whenever_the_power_is_cut(tmp_path: Path, seed: int) -> None:
    """All whole drops are registered exactly once, all bad ones rejected once, and nothing else is there."""
    simulation = Simulation(tmp_path / "run", seed)
    simulation.run(crashes=1 + seed % 3)
    assert_nothing_is_lost(simulation)
    reasons = (simulation.world.inbox / "rejected").glob("*/reason.json")
    found = Counter(json.loads(path.read_text())["stem"] for path in reasons)
    assert found == dict.fromkeys(stems(simulation, "rejected"), 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_medium_that_promises_less_loses_nothing_either(tmp_path: Path, seed: int) -> None:
    """Where a sync of one thing makes no other name durable, a file may be back in the inbox, and be rejected again."""
    simulation = Simulation(tmp_path / "run", seed, ordered=False)
    simulation.run(crashes=1 + seed % 3)
    assert_nothing_is_lost(simulation)


def test_the_same_seed_does_the_same(tmp_path: Path) -> None:
    """Step by step of the disk, the crash included: what a seed has found can be looked at again."""
    first, second = Simulation(tmp_path / "first", 7), Simulation(tmp_path / "second", 7)
    first.run(crashes=1)
    second.run(crashes=1)
    assert "power cut" in first.log
    assert first.log == second.log
    other = Simulation(tmp_path / "other", 8)
    other.run(crashes=1)
    assert other.log != first.log


def test_a_receipt_is_durable_before_a_restart_removes_the_files(tmp_path: Path) -> None:
    """A duplicate has no line in the journal: the daemon that died had named its receipt, and not synced the name."""

    class DyingDisk(SimulatedDisk):
        def fsync_dir(self, path: Path) -> None:
            if path.name == "receipts" and (path / "again.json").exists():
                self.crashed = True
            super().fsync_dir(path)

    class LookingDisk(SimulatedDisk):
        durable: bool | None = None

        def unlink(self, path: Path) -> None:
            if path.name == "again.pkl" and self.durable is None:
                receipts = self.medium.number(Path("inbox/receipts"))
                self.durable = (receipts, "again.json") in self.medium.names
            super().unlink(path)

    simulation = Simulation(tmp_path / "run", 0, ordered=False, count=0)
    first = Planned.of("first", {"v": 1})
    again = Planned("again", "first", (("again.pkl", first.files[0][1]), ("again.yaml", sidecar(model_id="first"))), "")
    simulation.bring(first)
    assert not simulation.live()
    dying = simulation.disk = DyingDisk(simulation.root, simulation.clock, 0, ordered=False)
    simulation.bring(again)
    assert simulation.live()
    looking = simulation.disk = LookingDisk(simulation.root, simulation.clock, 0, ordered=False)
    looking.medium = dying.medium  # the process died, and not the machine
    assert not simulation.live()
    assert looking.durable
    assert simulation.world.receipt("again")["outcome"] == "duplicate"

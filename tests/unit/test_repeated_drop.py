"""A drop that was killed at any step is repeated: it takes up what was left, and nothing that is somebody else's."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from model_inbox import DropRefused, ModelMetadata, drop
from model_inbox.base.disk import Disk
from model_inbox.producer.files import drop_files
from support.world import StoppingDisk, World, sidecar

METADATA = ModelMetadata(
    model_id="m1",
    model_type="lightgbm",
    currency_pair="USD/EUR",
    trained_at=datetime(2025, 10, 25, 12, tzinfo=UTC),
    version="1.10",
    validation_metrics={"rmse": 0.5},
    min_samples=50,
    calibration_ok=True,
    features_used=["sma_5"],
    horizons=[1, 7],
)


class DeadlyDisk(StoppingDisk):
    """Kills the process before or after one of its steps."""

    at, behind = 0, False

    def __init__(self) -> None:
        super().__init__()

    def _step(self, name: str, *args: Any) -> Any:
        self.count += 1
        if self.count == self.at and not self.behind:
            os.kill(os.getpid(), signal.SIGKILL)
        result = getattr(Disk, name)(self, *args)
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class LinkingDisk(DeadlyDisk):
    """As on a file system without renameat2: a rename that replaces nothing has two steps."""

    def rename_new(self, source: Path, target: Path) -> None:
        self._step("link", source, target)
        self._step("unlink", source)


def killed(what: Callable[[], object], at: int, *, behind: bool, disk: type[DeadlyDisk]) -> bool:
    """Call `what` in a child that is killed at a step of its disk; return whether it got that far."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException), pytest.MonkeyPatch.context() as patch:
            patch.setattr(disk, "at", at)
            patch.setattr(disk, "behind", behind)
            patch.setattr("model_inbox.producer.writer.Disk", disk)
            what()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.inbox.mkdir()
    (tmp_path / "eur.yaml").write_bytes(sidecar())
    (tmp_path / "model").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "scaler").write_bytes(pickle.dumps([1]))
    return world


def of_files(world: World) -> str:
    """Drop the same files as each time."""
    root = world.root
    return drop_files(root / "model", root / "eur.yaml", scaler=root / "scaler", inbox=world.inbox).outcome


def of_a_training(world: World) -> str:
    """Drop a model that is another one in each process, under the same id."""
    return drop({"trained in": os.getpid()}, METADATA, scaler=[os.getpid()], inbox=world.inbox).outcome


def test_a_drop_that_waits_stays_whole_when_another_of_its_name_is_refused(world: World) -> None:
    """The other one has the same bytes and other metadata: neither of the files that wait is replaced or removed."""
    drop({"a": 1}, METADATA, scaler=[1], inbox=world.inbox)
    before = {path.name: path.stat().st_ino for path in world.inbox.iterdir()}
    assert set(before) == {"m1.pkl", "m1_scaler.pkl", "m1.yaml"}
    with pytest.raises(DropRefused, match="in the inbox already"):
        drop({"a": 1}, replace(METADATA, version="2"), scaler=[1], inbox=world.inbox)
    assert {path.name: path.stat().st_ino for path in world.inbox.iterdir()} == before


@pytest.mark.parametrize("behind", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("what", "disk"), [(of_files, DeadlyDisk), (of_a_training, DeadlyDisk), (of_files, LinkingDisk)]
)
def test_a_killed_drop_is_repeated(
    world: World, what: Callable[[World], str], disk: type[DeadlyDisk], behind: bool
) -> None:
    """Whatever the step: the same command succeeds at once, nothing else is left, and one model is registered."""
    with world.running() as service:
        for at in range(1, 100):
            went_on = not killed(lambda: what(world), at, behind=behind, disk=disk)
            names = {name for name in os.listdir(world.inbox) if name.endswith(".yaml")}
            try:
                assert what(world) == "dropped"
            except DropRefused:
                # Another model under the same id, whose drop was complete: that one waits for the daemon.
                assert what is of_a_training and names == {"m1.yaml"}
            assert not [name for name in os.listdir(world.inbox) if name.endswith(".tmp")] or names
            service.step("timer")
            assert not [name for name in world.left() if not name.endswith(".tmp")]
            (model_id,) = world.answered().registered
            assert world.answered().rejected == {}
            service.registry.delete_model(model_id)
            if went_on:
                assert at > 10
                return
    raise AssertionError("the drop has no end")


def test_what_was_left_is_taken_up_also_by_a_drop_that_dies_then(world: World) -> None:
    """A chain of drops with other bytes, killed in the middle of the take-over: the last one succeeds.

    The first is killed when model and scaler have their names, the second when its model has replaced that one, the
    third when its scaler has, too.
    """
    for at in (8, 9, 12):
        assert killed(lambda: of_a_training(world), at, behind=True, disk=DeadlyDisk)
        assert {"m1.pkl", "m1_scaler.pkl"} & set(os.listdir(world.inbox))
    assert of_a_training(world) == "dropped"
    assert sorted(os.listdir(world.inbox)) == ["m1.pkl", "m1.yaml", "m1_scaler.pkl"]


@contextlib.contextmanager
def in_progress(what: Callable[[], object]) -> Iterator[None]:
    """A drop of another process, which stands still before its sidecar gets its name."""
    told, tell = os.pipe()
    go, let_go = os.pipe()
    child = os.fork()
    if child == 0:
        real = Disk.rename_new

        def wait(self: Disk, source: Path, target: Path) -> None:
            if target.suffix == ".yaml":
                os.write(tell, b".")
                os.read(go, 1)
            real(self, source, target)

        with contextlib.suppress(BaseException), pytest.MonkeyPatch.context() as patch:
            patch.setattr(Disk, "rename_new", wait)
            what()
            os._exit(0)
        os._exit(1)
    os.read(told, 1)
    yield
    os.write(let_go, b".")
    _, status = os.waitpid(child, 0)
    assert status == 0


@pytest.mark.parametrize("what", [of_files, of_a_training])
def test_a_drop_in_progress_is_left_alone(world: World, what: Callable[[World], str]) -> None:
    """While a process lives, the same drop of another one is refused, changes nothing, and the first one succeeds."""
    with in_progress(lambda: what(world)):
        before = {path.name: path.stat().st_ino for path in world.inbox.iterdir()}
        with pytest.raises(DropRefused, match="in the inbox already"):
            what(world)
        assert {path.name: path.stat().st_ino for path in world.inbox.iterdir()} == before
    with world.running():
        assert len(world.answered().registered) == 1


@pytest.mark.parametrize("has_evidence", [False, True])
def test_a_file_that_came_by_other_means_is_left_alone(world: World, has_evidence: bool) -> None:
    """A model that was copied by hand waits for its sidecar: no drop replaces it, also not after a killed one."""
    if has_evidence:
        assert killed(lambda: of_a_training(world), 8, behind=True, disk=DeadlyDisk)
    (world.inbox / "m1.pkl").write_bytes(b"copied by hand")
    with pytest.raises(DropRefused, match="in the inbox already"):
        of_a_training(world)
    assert (world.inbox / "m1.pkl").read_bytes() == b"copied by hand"


def test_a_drop_that_waits_is_not_written_again(world: World) -> None:
    """The same files again, without a daemon in between: the drop that is there stays, and both are told so."""
    assert of_files(world) == "dropped"
    before = {path.name: path.stat().st_ino for path in world.inbox.iterdir()}
    assert of_files(world) == "dropped"
    assert {path.name: path.stat().st_ino for path in world.inbox.iterdir()} == before


def test_what_a_power_cut_took_of_a_drop_is_completed(world: World) -> None:
    """A sidecar whose model did not last: the same drop brings the model, and the sidecar stays."""
    of_files(world)
    (world.inbox / "eur.pkl").unlink()
    assert of_files(world) == "dropped"
    with world.running():
        assert list(world.answered().registered) == ["eur"]

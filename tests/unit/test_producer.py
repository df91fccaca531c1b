"""The producer's side: what `drop` writes, in which order, what it leaves when it fails, and whose answer it takes."""

from __future__ import annotations

import os
import pickle
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from model_inbox import ModelMetadata, drop
from model_inbox.base.disk import Disk
from model_inbox.errors import DropRefused, ModelInboxError, StorageError
from model_inbox.model.sidecar import parse_sidecar
from model_inbox.producer import Answers
from model_inbox.producer.files import drop_files
from support.world import World, digest, sidecar


def metadata(model_id: str = "m1", **changes: Any) -> ModelMetadata:
    fields: dict[str, Any] = {
        "model_id": model_id,
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "trained_at": datetime(2025, 10, 25, 12, tzinfo=UTC),
        "version": "1.10",
        "validation_metrics": {"rmse": 0.5},
        "min_samples": 50,
        "calibration_ok": True,
        "features_used": ["sma_5"],
        "horizons": [1, 7],
    }
    return ModelMetadata(**{**fields, **changes})


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose service makes pass after pass in a thread, as the daemon does."""
    world = World(tmp_path)
    ended = threading.Event()
    started = threading.Event()

    def serve() -> None:
        with world.running() as service:
            started.set()
            while not ended.wait(0.01):
                service.step("timer")

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(30)
    yield world
    ended.set()
    thread.join()


def test_a_drop_is_its_pickles_and_a_sealed_sidecar_with_their_digests(inbox: Path) -> None:
    """What lies in the inbox afterwards says itself that it is complete."""
    result = drop({"a": 1}, metadata(), inbox=inbox, scaler=[2])
    assert result.outcome == "dropped" and result.ok
    assert sorted(os.listdir(inbox)) == ["m1.pkl", "m1.yaml", "m1_scaler.pkl"]
    assert pickle.loads((inbox / "m1.pkl").read_bytes()) == {"a": 1}
    assert pickle.loads((inbox / "m1_scaler.pkl").read_bytes()) == [2]
    read = parse_sidecar((inbox / "m1.yaml").read_bytes(), stem="m1", now=datetime.now(UTC))
    assert (read.problems, read.sealed) == ((), True)
    assert read.digests == {name: digest((inbox / file).read_bytes()) for name, file in FILES.items()}


FILES = {"model": "m1.pkl", "scaler": "m1_scaler.pkl"}


def test_a_name_appears_only_when_its_file_is_whole_and_the_sidecar_last(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is synced under a hidden name before it gets its own; a watcher never sees half of one."""
    steps: list[str] = []
    real_sync, real_rename = Disk.fsync, Disk.rename_new

    def sync(self: Disk, fd: int) -> None:
        steps.append("sync")
        real_sync(self, fd)

    def rename(self: Disk, source: Path, target: Path) -> None:
        assert source.name.startswith(".")
        steps.append(target.name)
        real_rename(self, source, target)

    monkeypatch.setattr(Disk, "fsync", sync)
    monkeypatch.setattr(Disk, "rename_new", rename)
    drop({"a": 1}, metadata(), inbox=inbox, scaler=[2])
    assert steps == ["sync", "sync", "sync", "m1.pkl", "m1_scaler.pkl", "m1.yaml"]


def test_a_large_model_is_not_held_in_memory_once_more(inbox: Path) -> None:
    """Pickling goes straight into the file."""
    model = {"weights": os.urandom(64 << 20)}
    tracemalloc.start()
    try:
        drop(model, metadata(), inbox=inbox)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (inbox / "m1.pkl").stat().st_size > 64 << 20
    assert peak < 8 << 20


def test_metadata_with_problems_is_refused_with_all_of_them(inbox: Path) -> None:
    """Before anything is written, and all at once."""
    with pytest.raises(DropRefused) as caught:
        drop({}, metadata(horizons=[0], min_samples=-1), inbox=inbox)
    assert sorted(problem.field for problem in caught.value.problems if problem.field) == ["horizons[0]", "min_samples"]
    assert os.listdir(inbox) == []


def test_what_cannot_be_pickled_leaves_nothing(inbox: Path) -> None:
    """The refusal says which of the two objects it was and what to do; the model written before it is gone, too."""
    with pytest.raises(DropRefused, match=r"cannot pickle the scaler.*importable by name"):
        drop({"a": 1}, metadata(), inbox=inbox, scaler=lambda: None)
    assert os.listdir(inbox) == []


def test_an_object_that_fails_in_its_own_way_leaves_nothing(inbox: Path) -> None:
    """The producer's own error comes through as it is."""

    class Broken:
        def __reduce__(self) -> str:
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        drop(Broken(), metadata(), inbox=inbox)
    assert os.listdir(inbox) == []


@pytest.mark.parametrize("name", ["m1.pkl", "m1.yaml", "m1_scaler.pkl"])
def test_a_name_that_is_taken_is_never_written_over(inbox: Path, name: str) -> None:
    """Also not when the other files would have had room."""
    (inbox / name).write_bytes(b"of somebody else")
    with pytest.raises(DropRefused, match=f"{name}.*in the inbox already"):
        drop({"a": 1}, metadata(), inbox=inbox, scaler=[2])
    assert os.listdir(inbox) == [name]
    assert (inbox / name).read_bytes() == b"of somebody else"


def test_a_name_that_is_taken_at_the_last_moment_is_not_written_over(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had its name already is taken back."""
    real = Disk.rename_new

    def rename(self: Disk, source: Path, target: Path) -> None:
        if target.suffix == ".yaml":
            target.write_bytes(b"of somebody else")
        real(self, source, target)

    monkeypatch.setattr(Disk, "rename_new", rename)
    with pytest.raises(DropRefused, match="in the inbox already"):
        drop({"a": 1}, metadata(), inbox=inbox)
    assert os.listdir(inbox) == ["m1.yaml"]


def test_an_inbox_that_is_not_there_is_said(tmp_path: Path) -> None:
    """And what makes one."""
    with pytest.raises(DropRefused, match=r"there is no such folder.*Start the daemon"):
        drop({}, metadata(), inbox=tmp_path / "inbox")


def test_waiting_brings_the_answer(world: World) -> None:
    """Registered, with the receipt; the files are gone from the inbox."""
    result = drop({"a": 1}, metadata(), inbox=world.inbox, wait=30)
    assert (result.outcome, result.ok, result.problems) == ("registered", True, ())
    assert result.drop_id == result.receipt["drop_id"]
    assert world.left() == []


def test_the_same_drop_sent_again_has_a_new_answer(world: World) -> None:
    """The answer that was there before, to the very same sidecar, is not taken for the new one."""
    first = drop({"a": 1}, metadata(), inbox=world.inbox, wait=30)
    again = drop({"a": 1}, metadata(), inbox=world.inbox, wait=30)
    assert (first.outcome, again.outcome) == ("registered", "duplicate")
    assert first.drop_id != again.drop_id


def test_a_duplicate_with_other_metadata_is_not_ok(world: World) -> None:
    """The model stays as it is registered, and the producer is told what its metadata says otherwise."""
    drop({"a": 1}, metadata(), inbox=world.inbox, wait=30)
    again = drop({"a": 1}, metadata(version="1.11"), inbox=world.inbox, wait=30)
    assert (again.outcome, again.ok) == ("duplicate", False)
    assert [(problem.code, problem.field) for problem in again.problems] == [("drop.metadata_differs", "version")]
    with world.registry() as registry:
        assert registry.registry[metadata().model_id]["version"] == "1.10"


def test_a_rejection_comes_with_its_problems(world: World) -> None:
    """As values, as the daemon found them."""
    drop({"a": 1}, metadata(), inbox=world.inbox, wait=30)
    result = drop({"b": 2}, metadata(), inbox=world.inbox, wait=30)
    assert (result.outcome, result.ok) == ("rejected", False)
    assert [problem.code for problem in result.problems] == ["registry.model_id_taken"]


def test_no_answer_in_time_is_no_error(inbox: Path) -> None:
    """The drop is there, and the caller that waited is told that it waits."""
    (inbox / "receipts").mkdir()
    result = drop({"a": 1}, metadata(), inbox=inbox, wait=0.05)
    assert (result.outcome, result.ok) == ("waiting", False)
    assert sorted(os.listdir(inbox)) == ["m1.pkl", "m1.yaml", "receipts"]


def test_the_answer_to_another_sidecar_is_not_ours(inbox: Path) -> None:
    """A receipt under our stem with another digest answers somebody else's drop."""
    (inbox / "receipts").mkdir()
    (inbox / "receipts" / "m1.json").write_text('{"sidecar_sha256": "other", "outcome": "registered"}')
    assert Answers(inbox, "m1", b"ours", os.geteuid(), 0.05).wait(0.05) is None


def test_answers_that_cannot_be_read_are_said(inbox: Path) -> None:
    """With who may read them."""
    (inbox / "receipts").mkdir()
    (inbox / "receipts" / "m1.json").mkdir()
    with pytest.raises(ModelInboxError, match=r"cannot read the answers.*join that group"):
        Answers(inbox, "m1", b"ours", os.geteuid(), 0.05)


def test_files_that_exist_are_copied_under_the_name_of_the_sidecar(inbox: Path, tmp_path: Path) -> None:
    """The originals stay, and what the sidecar said of files is replaced by what was given."""
    model, scaler = tmp_path / "any.bin", tmp_path / "other.bin"
    model.write_bytes(pickle.dumps(1))
    scaler.write_bytes(pickle.dumps(2))
    meta = tmp_path / "eur.yaml"
    meta.write_bytes(sidecar(model_file="any.pkl"))
    result = drop_files(model, meta, inbox=inbox, scaler=scaler)
    assert [path.name for path in result.files] == ["eur.pkl", "eur_scaler.pkl", "eur.yaml"]
    assert (inbox / "eur.pkl").read_bytes() == model.read_bytes()
    read = parse_sidecar((inbox / "eur.yaml").read_bytes(), stem="eur", now=datetime.now(UTC))
    assert (read.declared, read.sealed) == (("eur.pkl", "eur_scaler.pkl", True), True)


def test_a_file_that_is_not_the_one_described_is_refused(inbox: Path, tmp_path: Path) -> None:
    """The sidecar's digest is of other bytes: nothing is dropped."""
    (tmp_path / "eur.pkl").write_bytes(pickle.dumps(1))
    (tmp_path / "eur.yaml").write_bytes(sidecar(sha256={"model": "0" * 64}))
    with pytest.raises(DropRefused) as caught:
        drop_files(tmp_path / "eur.pkl", tmp_path / "eur.yaml", inbox=inbox)
    assert [problem.code for problem in caught.value.problems] == ["artifact.digest_mismatch"]
    assert os.listdir(inbox) == []


def test_a_source_that_cannot_be_read_is_named(inbox: Path, tmp_path: Path) -> None:
    """It is the source that is wrong, not the inbox."""
    (tmp_path / "eur.yaml").write_bytes(sidecar())
    with pytest.raises(StorageError, match=r"cannot read '.*eur\.pkl'"):
        drop_files(tmp_path / "eur.pkl", tmp_path / "eur.yaml", inbox=inbox)
    with pytest.raises(StorageError, match=r"cannot read the sidecar '.*none\.yaml'"):
        drop_files(tmp_path / "eur.pkl", tmp_path / "none.yaml", inbox=inbox)
    assert os.listdir(inbox) == []

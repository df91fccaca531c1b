"""The files of a model: found wherever they are, held to their digests, and refused when they change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model_inbox import ModelMetadata, ModelRegistry
from model_inbox.mirror.errors import MlflowRefused
from model_inbox.mirror.files import model_files, places_of, registered
from model_inbox.mirror.plan import Wanted


@pytest.fixture(name="registry")
def _registry(tmp_path: Path) -> ModelRegistry:
    (tmp_path / "models").mkdir()
    registry = ModelRegistry(tmp_path / "models" / "r.json")
    fields = ("2026-11-01T06:00:00Z", "1.0", {}, 1, True, ["a"], [1])
    registry.register_model(ModelMetadata("m", "naive", "USD/EUR", *fields), {"a": 1}, [1])
    return registry


def only(registry: ModelRegistry) -> Wanted:
    (one,) = registered(registry)
    return one


def test_every_file_has_its_place(registry: ModelRegistry) -> None:
    """Also when they are in the trash by now."""
    wanted = only(registry)
    with model_files(registry, wanted.entry) as files:
        assert [file.path for file in places_of(files).values()] == [
            f"model/artifacts/{name}" for name in ("model.pkl", "scaler.pkl", "sidecar.yaml")
        ]
        assert files["model"].place.sha256 == wanted.entry["sha256"]
    registry.delete_model("m", reason="old")
    with model_files(registry, wanted.entry) as files:
        assert files.keys() == {"model", "scaler", "sidecar"}


def test_a_purged_model_has_none(registry: ModelRegistry) -> None:
    """That is no damage: a line removed it."""
    wanted = only(registry)
    registry.delete_model("m", reason="old")
    registry.purge(registry.retired()[0])
    with model_files(registry, wanted.entry) as files:
        assert files == {}


@pytest.mark.parametrize("name", ["m.pkl", "m_scaler.pkl"])
def test_a_registered_model_without_a_file_is_refused(registry: ModelRegistry, name: str) -> None:
    """That is damage, and is not mirrored as if it were a purge."""
    wanted = only(registry)
    (Path(registry.storage_dir) / name).unlink()
    with pytest.raises(MlflowRefused, match="is gone"), model_files(registry, wanted.entry):
        pass


def test_other_bytes_are_refused(registry: ModelRegistry) -> None:
    """Whoever put them there."""
    wanted = only(registry)
    path = Path(registry.storage_dir) / "m.pkl"
    path.unlink()
    path.write_bytes(b"other")
    with pytest.raises(MlflowRefused, match="not those that were registered"), model_files(registry, wanted.entry):
        pass


def test_a_file_that_changes_while_it_is_sent_is_refused(registry: ModelRegistry) -> None:
    """One that is replaced is not: what is sent is the open file."""
    path = Path(registry.storage_dir) / "m.pkl"
    with model_files(registry, only(registry).entry) as files:
        kept = path.read_bytes()
        path.rename(path.with_name("elsewhere"))
        path.write_bytes(b"other")
        assert os.pread(files["model"].fd, 100, 0) == kept[:100]
        path.with_name("elsewhere").chmod(0o600)
        path.with_name("elsewhere").write_bytes(kept[:-1] + b"x")
        with pytest.raises(MlflowRefused, match="changed while it was sent"):
            files["model"].must_be_unchanged()

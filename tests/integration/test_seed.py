"""The nine promises of the first registry, which everything that grew from it still keeps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from model_inbox import ModelMetadata, ModelRegistry


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "registry.json", tmp_path / "models")


@pytest.fixture
def metadata() -> ModelMetadata:
    return ModelMetadata(
        model_id="usdeur_lgbm_1",
        model_type="lightgbm",
        currency_pair="USD/EUR",
        trained_at=datetime(2025, 10, 25, 12, 0, tzinfo=UTC),
        version="1.0",
        validation_metrics={"rmse": 0.01},
        min_samples=100,
        calibration_ok=True,
        features_used=["sma_5", "rsi_14"],
        horizons=[1, 7, 30],
    )


@pytest.fixture
def model() -> Any:
    """An instance of a class that exists in this function only."""

    class Model:
        def __init__(self, slope: float) -> None:
            self.slope = slope

        def predict(self, x: float) -> float:
            return self.slope * x

    return Model(3.0)


@pytest.fixture
def scaler() -> Any:
    class Scaler:
        def transform(self, x: float) -> float:
            return x / 2

    return Scaler()


def test_initialization(registry: ModelRegistry, tmp_path: Path) -> None:
    """Opening makes the registry's file and the folder for models, and the registry is empty."""
    assert (tmp_path / "registry.json").exists()
    assert (tmp_path / "models").is_dir()
    assert registry.registry == {}


def test_registering(registry: ModelRegistry, metadata: ModelMetadata, model: Any) -> None:
    """A registered model is in the mapping, its file is there, and the metadata knows the path."""
    registry.register_model(metadata, model)
    assert metadata.model_id in registry.registry
    assert Path(metadata.model_path).is_file()
    assert metadata.scaler_path is None


def test_registering_with_a_scaler(registry: ModelRegistry, metadata: ModelMetadata, model: Any, scaler: Any) -> None:
    """The scaler gets a file of its own, and the metadata and the entry know its path."""
    registry.register_model(metadata, model, scaler)
    assert metadata.scaler_path is not None
    assert Path(metadata.scaler_path).is_file()
    assert registry.registry[metadata.model_id]["scaler_path"] == metadata.scaler_path


def test_getting_the_newest(registry: ModelRegistry, metadata: ModelMetadata, model: Any) -> None:
    """A model is found by its pair, with the default type, as a mapping that has its id."""
    registry.register_model(metadata, model)
    found = registry.get_model("USD/EUR")
    assert isinstance(found, Mapping)
    assert found["model_id"] == "usdeur_lgbm_1"


def test_not_finding_one(registry: ModelRegistry) -> None:
    """For a pair without models there is None."""
    assert registry.get_model("GBP/JPY", "lightgbm") is None


def test_loading(registry: ModelRegistry, metadata: ModelMetadata, model: Any, scaler: Any) -> None:
    """Model and scaler come back as they were, though their classes live in functions."""
    registry.register_model(metadata, model, scaler)
    entry = registry.get_model("USD/EUR")
    assert entry is not None
    loaded_model, loaded_scaler = registry.load_model_objects(entry)
    assert loaded_model.predict(2.0) == 6.0
    assert loaded_scaler.transform(5) == 2.5


def test_listing(registry: ModelRegistry, metadata: ModelMetadata, model: Any) -> None:
    """All models, those of a pair, and those of a type can be listed, newest first."""
    registry.register_model(metadata, model)
    metadata.model_id, metadata.trained_at = "usdeur_lgbm_2", datetime(2025, 10, 26, tzinfo=UTC)
    registry.register_model(metadata, model)
    metadata.model_id, metadata.currency_pair, metadata.model_type = "gbpeur_lstm", "GBP/EUR", "lstm"
    metadata.trained_at = datetime(2025, 10, 24, tzinfo=UTC)
    registry.register_model(metadata, model)
    listed = [entry["model_id"] for entry in registry.list_models()]
    assert listed == ["usdeur_lgbm_2", "usdeur_lgbm_1", "gbpeur_lstm"]
    assert [entry["model_id"] for entry in registry.list_models(currency_pair="GBP/EUR")] == ["gbpeur_lstm"]
    assert [entry["model_id"] for entry in registry.list_models(model_type="lightgbm")] == listed[:2]


def test_deleting(registry: ModelRegistry, metadata: ModelMetadata, model: Any) -> None:
    """A deleted model is gone from the mapping and its file from its place; an unknown one is False."""
    registry.register_model(metadata, model)
    assert registry.delete_model(metadata.model_id) is True
    assert metadata.model_id not in registry.registry
    assert not Path(metadata.model_path).exists()
    assert registry.delete_model(metadata.model_id) is False


def test_persistence(registry: ModelRegistry, metadata: ModelMetadata, model: Any, tmp_path: Path) -> None:
    """A second registry on the same files sees the model while the first is still open, and both see the next."""
    registry.register_model(metadata, model)
    second = ModelRegistry(tmp_path / "registry.json", tmp_path / "models")
    assert second.registry == registry.registry
    metadata.model_id = "another"
    second.register_model(metadata, model)
    assert "another" in registry.registry

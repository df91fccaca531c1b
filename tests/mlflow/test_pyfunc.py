"""A mirrored model as plain MLflow sees it: it predicts, and loads nothing but what was registered."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from model_inbox import ModelRegistry
from model_inbox.mirror.pyfunc import loading_name, pyfunc_files
from support.world import World

ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0] * 10, "b": [1.0, 0.0, 5.0, 2.0] * 10})
TARGET = ROWS["a"] * 3 + ROWS["b"]
FEATURES = ["a", "b"]


def dumped_by_joblib(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file, **options)
    return file.getvalue()


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry with models of the two frameworks that came through the inbox."""
    world = World(tmp_path_factory.mktemp("world"))
    scaler = StandardScaler().fit(ROWS)
    ridge = Ridge().fit(scaler.transform(ROWS), TARGET)
    forest = RandomForestRegressor(n_estimators=3, random_state=1).fit(scaler.transform(ROWS), TARGET)
    booster = lightgbm.LGBMRegressor(n_estimators=3, min_child_samples=2, verbose=-1).fit(ROWS, TARGET)
    described = {"features_used": FEATURES, "provenance": {"python": "3.11.7"}}
    world.put("ridge", ridge, scaler=scaler, **described)
    world.put("booster", booster, **described)
    world.put("horizons", {"1d": booster.booster_, "7d": booster.booster_}, **described)
    for name, options in (("joblib", {}), ("packed", {"compress": ("zlib", 3)})):
        world.put(name, scaler=scaler, **described)
        (world.inbox / f"{name}.pkl").write_bytes(dumped_by_joblib(forest, **options))
        (world.inbox / f"{name}_scaler.pkl").write_bytes(dumped_by_joblib(scaler))
    with world.running() as service:
        world.live_on(service, 2)
    assert len(world.answered().registered) == 5, world.answered()
    yield world


def laid_out(registry: ModelRegistry, model_id: str, folder: Path) -> Path:
    """Write a model's folder as the mirror stores it."""
    entry = registry.get_model_info(model_id)
    assert entry is not None
    for name, data in pyfunc_files(entry).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    line = entry.get("scaler_replaced")
    places = {"model": "model.pkl", "scaler": f"scaler-{line}.pkl" if line else "scaler.pkl"}
    for role, name in places.items():
        place = registry.file_of(entry, role)
        if place is not None:
            (folder / "artifacts" / name).write_bytes(place.read_bytes())
    return folder


@pytest.mark.parametrize("model_id", ["ridge", "booster", "joblib", "packed"])
def test_it_predicts_as_the_objects_of_the_registry_do(world: World, model_id: str, tmp_path: Path) -> None:
    """A frame is taken by its features, whatever else it has and in which order; the scaler comes first."""
    with world.registry() as registry:
        loaded = mlflow.pyfunc.load_model(str(laid_out(registry, model_id, tmp_path)))
        model, scaler = registry.load_model_objects(registry.registry[model_id])

    asked = pd.DataFrame({"other": 1.0, "b": ROWS["b"], "a": ROWS["a"]})
    expected = model.predict(scaler.transform(ROWS) if scaler is not None else ROWS)
    np.testing.assert_array_equal(loaded.predict(asked), expected)
    assert type(loaded.unwrap_python_model().model) is type(model)


def test_a_mapping_of_models_gives_a_mapping(world: World, tmp_path: Path) -> None:
    """A model of each horizon: each answers under its name."""
    with world.registry() as registry:
        loaded = mlflow.pyfunc.load_model(str(laid_out(registry, "horizons", tmp_path)))
        model = registry.load_model(registry.registry["horizons"])

    found = loaded.predict(ROWS)
    assert list(found) == ["1d", "7d"]
    np.testing.assert_array_equal(found["7d"], model["7d"].predict(ROWS))


def test_a_replaced_scaler_is_the_one_that_is_used(world: World, tmp_path: Path) -> None:
    """Its files are added to those of the first one; which one is used is told by the number of its line."""
    with ModelRegistry(tmp_path / "registry.json", tmp_path / "prediction") as registry:
        from support.crash_kit import metadata

        scaled = Ridge().fit(ROWS.to_numpy(), TARGET)
        registry.register_model(metadata("m", features_used=FEATURES), scaled, StandardScaler().fit(ROWS))
        folder = laid_out(registry, "m", tmp_path / "model")
        first = mlflow.pyfunc.load_model(str(folder)).predict(ROWS)
        entry = registry.replace_scaler("m", StandardScaler(with_std=False).fit(ROWS))
        assert loading_name(entry) == f"artifacts/loading-{entry['scaler_replaced']}.json"
        laid_out(registry, "m", folder)

    second = mlflow.pyfunc.load_model(str(folder)).predict(ROWS)
    np.testing.assert_allclose(second, scaled.predict(ROWS.to_numpy() - ROWS.to_numpy().mean(axis=0)))
    assert not np.allclose(first, second)


@pytest.mark.parametrize("name", ["model.pkl", "scaler.pkl"])
def test_other_bytes_are_not_loaded(world: World, name: str, tmp_path: Path) -> None:
    """A pickle that was exchanged in the store is refused before it is opened."""
    with world.registry() as registry:
        folder = laid_out(registry, "ridge", tmp_path / "model")
    (folder / "artifacts" / name).write_bytes(pickle.dumps(Hostile(tmp_path / "harm")))

    with pytest.raises(Exception, match="its bytes are not those that were registered"):
        mlflow.pyfunc.load_model(str(folder))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("by_joblib", [False, True])
def test_a_name_that_was_not_seen_is_not_imported(world: World, tmp_path: Path, *, by_joblib: bool) -> None:
    """Even where the digest fits: inside of joblib's arrays of objects, too."""
    with world.registry() as registry:
        folder = laid_out(registry, "joblib", tmp_path / "model")
    hostile = Hostile(tmp_path / "harm")
    data = dumped_by_joblib(np.array([hostile], dtype=object)) if by_joblib else pickle.dumps(hostile)
    (folder / "artifacts" / "model.pkl").write_bytes(data)
    place = folder / "artifacts" / "loading.json"
    known = json.loads(place.read_bytes())
    known["model"]["sha256"] = hashlib.sha256(data).hexdigest()
    place.write_text(json.dumps(known))

    with pytest.raises(Exception, match="which was not seen when it came"):
        mlflow.pyfunc.load_model(str(folder))
    assert not (tmp_path / "harm").exists()


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_the_consumer_needs_nothing_of_ours(world: World, tmp_path: Path) -> None:
    """A process that cannot import model_inbox loads the model and predicts."""
    with world.registry() as registry:
        folder = laid_out(registry, "ridge", tmp_path / "model")
    code = (
        "import sys; sys.modules['model_inbox'] = None\n"
        "import mlflow.pyfunc\n"
        f"print(mlflow.pyfunc.load_model({str(folder)!r}).predict([[1.0, 2.0]])[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with world.registry() as registry:
        model, scaler = registry.load_model_objects(registry.registry["ridge"])
    assert float(done.stdout) == pytest.approx(
        model.predict(scaler.transform(pd.DataFrame([[1.0, 2.0]], columns=FEATURES)))[0]
    )

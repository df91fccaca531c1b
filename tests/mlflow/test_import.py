"""Models of an MLflow registry become drops, and are judged like any other."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import Ridge

from support.mirror_commands import mlflow_command
from support.mlflow_servers import Server
from support.plain_client import register
from support.world import World

ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0] * 10, "b": [1.0, 0.0, 5.0, 2.0] * 10})
TARGET = ROWS["a"] * 3 + ROWS["b"]
STARTED_MS = 1_760_000_000_000
pytestmark = pytest.mark.filterwarnings("default")


class Anything:
    """A class that no list has."""


@pytest.fixture(scope="module", name="named")
def _named(mlflow_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Registered models as teams have them: by scikit-learn, by LightGBM in both ways, and files that are no model."""
    mlflow.set_tracking_uri(mlflow_server.uri)
    client = MlflowClient(mlflow_server.uri)
    booster = lightgbm.LGBMRegressor(n_estimators=3, min_child_samples=2, verbose=-1).fit(ROWS, TARGET)
    # 3.x stores a model without a pickle unless it is told otherwise.
    ways: dict[str, Any] = {"serialization_format": "cloudpickle", "pip_requirements": ["scikit-learn"]}
    logged = {
        "SEK-NOK.ridge": lambda: mlflow.sklearn.log_model(
            Ridge().fit(ROWS, TARGET), "model", signature=infer_signature(ROWS), **ways
        ),
        "SEK-DKK.lightgbm": lambda: mlflow.lightgbm.log_model(booster.booster_, "model", pip_requirements=["lightgbm"]),
    }
    for name, log in logged.items():
        run = client.create_run("0", start_time=STARTED_MS, tags={"mlflow.source.git.commit": "abc"})
        with mlflow.start_run(run_id=run.info.run_id):
            info = log()
            mlflow.log_metric("7d.rmse", 0.25)
            mlflow.log_metric("bad", float("nan"))
            mlflow.log_params({"min_samples": 50, "calibration_ok": "True", "alpha": 1.0})
        mlflow.register_model(info.model_uri, name, tags={"team": "fx"})
    plain = tmp_path_factory.mktemp("plain") / "model.pkl"
    plain.write_bytes(pickle.dumps({"a": 1}))
    register(client, "SEK-PLN.plain", [plain])
    yield {"mlflow": mlflow_server.uri}


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


def imported(world: World, uri: str, *words: str, expect: int | None = 0) -> list[dict[str, Any]]:
    found = mlflow_command(world.config_path, "import", "--tracking-uri", uri, *words, expect=expect)
    return list(found["versions"])


def test_a_model_of_scikit_learn_is_registered(named: dict[str, str], world: World) -> None:
    """Id, slot, time, metrics, features and provenance are those of the version and its run; twice is a duplicate."""
    with world.daemon():
        (one,) = imported(world, named["mlflow"], "--name", "SEK-NOK.ridge", "--wait", "60s")
        assert one == {
            "name": "SEK-NOK.ridge",
            "version": 1,
            "model_id": "SEK-NOK.ridge-v1",
            "outcome": "registered",
            "reason": None,
        }
        (again,) = imported(world, named["mlflow"], "--name", "SEK-NOK.ridge", "--wait", "60s")
        assert again["outcome"] == "duplicate"
    with world.registry() as registry:
        entry = registry.registry["SEK-NOK.ridge-v1"]
        model = registry.load_model(entry)
    assert (entry["currency_pair"], entry["model_type"], entry["version"]) == ("SEK/NOK", "ridge", "1")
    assert entry["trained_at"] == "2025-10-09T08:53:20Z"
    assert entry["validation_metrics"] == {"7d": {"rmse": 0.25}}
    assert (entry["min_samples"], entry["calibration_ok"], entry["horizons"]) == (50, True, [7])
    assert entry["features_used"] == ["a", "b"]
    assert entry["tags"] == {"team": "fx"}
    assert entry["provenance"]["git_commit"] == "abc"
    assert entry["provenance"]["param.alpha"] == "1.0"
    np.testing.assert_allclose(model.predict(ROWS), Ridge().fit(ROWS, TARGET).predict(ROWS))


def test_what_cannot_be_imported_is_named_with_the_reason(named: dict[str, str], world: World) -> None:
    """Files that are no model of MLflow, a name that says no pair, and LightGBM's own format: nothing is dropped."""
    world.inbox.mkdir()
    uri = named["mlflow"]
    (plain,) = imported(world, uri, "--name", "SEK-PLN.plain", expect=1)
    assert plain["outcome"] == "not imported"
    assert "no file MLmodel" in plain["reason"]
    (text,) = imported(world, uri, "--name", "SEK-DKK.lightgbm", expect=1)
    assert "LightGBM's own format" in text["reason"]
    (other,) = imported(world, uri, "--name", "SEK-NOK.ridge", "--template", "fx_{pair}_{type}{.variant}", expect=1)
    assert "say --pair and --type" in other["reason"]
    assert world.left() == []


def test_a_dry_run_drops_nothing(named: dict[str, str], world: World) -> None:
    """It says which ids there would be."""
    world.inbox.mkdir()
    (one,) = imported(world, named["mlflow"], "--name", "SEK-NOK.ridge", "--pair", "A/B", "--dry-run")
    assert (one["outcome"], one["model_id"]) == ("would drop", "SEK-NOK.ridge-v1")
    assert world.left() == []


def test_a_mirrored_version_is_not_imported(named: dict[str, str], world: World) -> None:
    """What a registry has put there belongs to that registry."""
    client = MlflowClient(named["mlflow"])
    client.set_model_version_tag("SEK-NOK.ridge", "1", "model_inbox.model_id", "x")
    try:
        (one,) = imported(world, named["mlflow"], "--name", "SEK-NOK.ridge", "--dry-run", expect=1)
    finally:
        client.delete_model_version_tag("SEK-NOK.ridge", "1", "model_inbox.model_id")
    assert "mirror of a registry" in one["reason"]

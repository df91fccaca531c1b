"""The plain MLflow client: what a team does without a mirror, for tests and for measurements beside the mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow import MlflowClient


def register(client: MlflowClient, name: str, files: list[Path], alias: str | None = None) -> Any:
    """Register files as a new version of a model, by the calls that a training job makes. Return the version."""
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    run = client.create_run("0")
    client.log_batch(run.info.run_id, metrics=[], params=[], tags=[])
    for file in files:
        client.log_artifact(run.info.run_id, str(file), "model")
    source = f"{run.info.artifact_uri}/model"
    version = client.create_model_version(name, source, run_id=run.info.run_id)
    if alias is not None:
        client.set_registered_model_alias(name, alias, version.version)
    client.set_terminated(run.info.run_id)
    return version

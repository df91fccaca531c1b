"""The servers that the other tests need: a plain client can use them."""

from __future__ import annotations

from pathlib import Path

import mlflow
from mlflow import MlflowClient

from support.mlflow_servers import Server
from support.plain_client import register


def test_a_plain_client_registers_a_version_and_reads_its_bytes_back(mlflow_server: Server, tmp_path: Path) -> None:
    """The server on SQLite takes a run, a version and an alias, and serves the artifact."""
    (tmp_path / "a.bin").write_bytes(b"\0bytes")
    client = MlflowClient(mlflow_server.uri)
    register(client, "servers.plain", [tmp_path / "a.bin"], "champion")

    source = client.get_model_version_by_alias("servers.plain", "champion").source
    assert source.startswith("mlflow-artifacts:/")
    mlflow.set_tracking_uri(mlflow_server.uri)
    folder = mlflow.artifacts.download_artifacts(f"{source}", dst_path=str(tmp_path / "back"))
    assert (Path(folder) / "a.bin").read_bytes() == b"\0bytes"

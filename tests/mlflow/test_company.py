"""The mirror as a company has it: MLflow on PostgreSQL, and artifacts that clients send to an S3 store themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from mlflow import MlflowClient

from support.mlflow_servers import BUCKET, Server, company
from support.plain_client import register


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with company(tmp_path_factory.mktemp("company")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        yield server


def test_a_plain_client_sends_artifacts_to_the_store_itself(server: Server, tmp_path: Path) -> None:
    """The bytes are in the bucket, and the version in PostgreSQL names them there."""
    (tmp_path / "a.bin").write_bytes(b"\0bytes")
    client = MlflowClient(server.uri)
    version = register(client, "company.plain", [tmp_path / "a.bin"])

    start = f"s3://{BUCKET}/"
    assert version.source.startswith(start)
    key = f"{version.source.removeprefix(start)}/a.bin"
    store = boto3.client("s3", endpoint_url=server.env["AWS_ENDPOINT_URL"])
    assert store.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"\0bytes"

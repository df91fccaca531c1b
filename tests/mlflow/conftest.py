"""One real MLflow server for all tests of a session: it takes many seconds to start."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator

import pytest

from support.mlflow_servers import Server, mlflow_on_sqlite

with warnings.catch_warnings():
    # MLflow warns of its own code when it is imported.
    warnings.simplefilter("ignore")
    import mlflow.pyfunc  # noqa: F401

logging.getLogger("mlflow").setLevel(logging.ERROR)


def pytest_configure(config: pytest.Config) -> None:
    """Let MLflow use what its own dependencies call deprecated."""
    config.addinivalue_line("filterwarnings", r"ignore:::mlflow(\.|$)")


@pytest.fixture(scope="session", name="mlflow_server")
def _mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An MLflow server on SQLite that serves its artifacts itself. Tests use names of their own in it."""
    server = mlflow_on_sqlite(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _proxy_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers are on loopback: no proxy of the machine is asked."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

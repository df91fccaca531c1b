"""What an import asks of MLflow.

Owns the calls: names, versions, runs, and the files of a version. Never decides what is imported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..mirror.client import Client
from ..problems import quoted
from .described import CannotImport, Version

__all__ = ["Source"]

_PAGE = 500
_HERE = ("", "file", "sqlite", "mysql", "postgresql", "mssql")
"""The schemes of MLflows that are no server. With such a one, files lie on this machine."""


class Source(Client):
    """An MLflow whose models are imported. Raises as `Client` does."""

    def names(self) -> Iterator[str]:
        """Yield the names of all registered models."""
        token = None
        while True:
            with self._calls("read the registered models in"):
                page = self._client.search_registered_models(max_results=_PAGE, page_token=token)
            yield from (str(one.name) for one in page)
            token = page.token
            if not token:
                return

    def versions_of(self, name: str) -> list[Any]:
        """Return what MLflow says of the versions of a registered model, the earliest first."""
        found: list[Any] = []
        token = None
        # A quote cannot be written in a filter between quotes of its kind.
        quote = '"' if "'" in name else "'"
        while True:
            with self._calls("read the model versions in"):
                page = self._client.search_model_versions(
                    f"name = {quote}{name}{quote}", max_results=_PAGE, page_token=token
                )
            found += [one for one in page if one.name == name]
            token = page.token
            if not token:
                return sorted(found, key=lambda one: int(one.version))

    def version(self, one: Any) -> Version:
        """Return a version with what its run says. A run that is gone says nothing."""
        known: dict[str, Any] = {}
        if one.run_id:
            with self._calls("read a run in", gone_is_done=True):
                run = self._client.get_run(one.run_id)
                known = {
                    "run_id": str(one.run_id),
                    "started_ms": run.info.start_time,
                    "metrics": _numbers(run.data.metrics),
                    "params": _texts(run.data.params),
                    "run_tags": _texts(run.data.tags),
                }
        tags = _texts(one.tags)
        return Version(str(one.name), int(one.version), int(one.creation_timestamp or 0), tags, **known)

    def files(self, version: Version) -> Any:
        """Return what lists and reads the files of a version. Raises CannotImport for a place on this machine."""
        with self._calls("find the files of a model version in"):
            import mlflow
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            mlflow.set_tracking_uri(self.tracking_uri)
            uri = str(self._client.get_model_version_download_uri(version.name, str(version.number)))
            scheme = urlsplit(uri).scheme
            if scheme in ("", "file") and urlsplit(self.tracking_uri).scheme not in _HERE:
                raise CannotImport(f"the server says that its files are at {quoted(uri)}, a path of this machine")
            return get_artifact_repository(uri)

    def size_of(self, files: Any, name: str) -> int | None:
        """Return the size of a file that lies directly in a version's folder; None if there is none."""
        with self._calls("list the files of a model version in"):
            for one in files.list_artifacts():
                if one.path.rpartition("/")[2] == name and not one.is_dir:
                    return int(one.file_size or 0)
            return None

    def fetch(self, files: Any, name: str, folder: Path) -> Path:
        """Copy a file of a version into a folder."""
        with self._calls("read the files of a model version in"):
            got = Path(files.download_artifacts(name, str(folder)))
        if folder not in got.parents or got.is_symlink() or not got.is_file():
            raise CannotImport(f"its file {quoted(name)} came as {quoted(str(got))}")
        return got


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(key): float(value) for key, value in values.items() if math.isfinite(float(value))}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()}

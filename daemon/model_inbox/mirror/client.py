"""MLflow's client: the calls that the mirror makes, and which of its errors may pass.

Owns every import of MLflow. Never decides what is sent, and never loads a model. A call may have been carried out
although it failed, or twice although it was made once: who calls looks again.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from ..problems import escaped, quoted
from .errors import MlflowRefused, MlflowUnreachable, client_missing, unreachable
from .plan import Version
from .tags import Metric

__all__ = ["Client", "Run"]

_PAGE = 1000
# MLflow's limits for one call.
_METRICS_MAX = 900
_TAGS_MAX = 100
_UPLOADS = 4
# The mirror has pauses of its own, which tell of the failure. MLflow's defaults wait for minutes inside one call.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_REFUSALS = frozenset(
    {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_LIMIT_EXCEEDED", "RESOURCE_ALREADY_EXISTS"}
)


@dataclass(frozen=True, slots=True)
class Run:
    """A run, and where its artifacts are."""

    run_id: str
    artifact_uri: str
    tags: Mapping[str, str] = field(default_factory=dict)
    start_time_ms: int = 0

    @property
    def goes_through_the_server(self) -> bool:
        """Whether every byte of an artifact goes through MLflow's own process, which is slow for large ones."""
        return urlsplit(self.artifact_uri).scheme in ("mlflow-artifacts", "http", "https")


class Client:
    """The calls to one MLflow. Raises ClientMissing if its client is not installed.

    Every method raises MlflowUnreachable for what may pass, and MlflowRefused for what MLflow will refuse again.
    """

    def __init__(self, tracking_uri: str) -> None:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow import MlflowClient
            from mlflow.tracking._model_registry.client import ModelRegistryClient
        except ImportError as error:
            raise client_missing(error) from error
        # What it logs goes to the same stderr as our lines, and says nothing that our errors do not say.
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self.tracking_uri = tracking_uri
        with self._calls("use"):
            self._client: Any = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            self._versions: Any = ModelRegistryClient(tracking_uri, tracking_uri)

    @property
    def shown_uri(self) -> str:
        """The tracking URI for messages and files: without what stands before the host, which may be a password."""
        return _without_password(self.tracking_uri)

    # --- experiments and registered models ----------------------------------------------------------------------

    def experiment_id(self, name: str) -> str:
        """Return the id of an experiment, which is made if it is missing."""
        with self._calls("find the experiment in"):
            found = self._client.get_experiment_by_name(name)
            if found is None:
                return str(self._client.create_experiment(name))
            if found.lifecycle_stage != "active":
                raise MlflowRefused(
                    f"cannot use the experiment {quoted(name)}: it was deleted in MLflow",
                    hint="Restore it there, or set another one in mlflow.experiment",
                )
            return str(found.experiment_id)

    def model_tags(self, name: str, tags: Mapping[str, str]) -> Mapping[str, str]:
        """Return the tags of a registered model, which is made with these tags if it is missing."""
        with self._calls("find the registered model in"):
            from mlflow.exceptions import MlflowException

            try:
                self._client.create_registered_model(name, tags=dict(tags))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                return dict(self._client.get_registered_model(name).tags)
            return tags

    def aliases(self, name: str) -> Mapping[str, int]:
        """Return the aliases of a registered model, each with the number of its version."""
        with self._calls("read the aliases in"):
            return {
                str(alias): int(number) for alias, number in self._client.get_registered_model(name).aliases.items()
            }

    def all_aliases(self) -> Mapping[str, Mapping[str, int]]:
        """Return the aliases of every registered model."""
        with self._calls("read the aliases in"):
            found: dict[str, Mapping[str, int]] = {}
            token = None
            while True:
                page = self._client.search_registered_models(max_results=_PAGE, page_token=token)
                for one in page:
                    found[one.name] = {str(alias): int(number) for alias, number in one.aliases.items()}
                token = page.token
                if not token:
                    return found

    # --- versions -----------------------------------------------------------------------------------------------

    def versions(self, tag: str, value: str) -> tuple[Version, ...]:
        """Return all model versions with this tag, of one registered model the earlier first."""
        with self._calls("read the model versions in"):
            found: list[Version] = []
            token = None
            while True:
                page = self._client.search_model_versions(
                    filter_string=f"tags.`{tag}` = '{value}'",
                    max_results=_PAGE,
                    # The default order changes with every change: pages would overlap, or leave some out. By name
                    # first, PostgreSQL walks through the index of all versions: it has no statistics of new tables.
                    order_by=["version_number ASC", "name ASC"],
                    page_token=token,
                )
                found += [_as_version(one) for one in page]
                token = page.token
                if not token:
                    return tuple(found)

    def create_version(self, name: str, run: Run, folder: str, tags: Mapping[str, str], description: str) -> Version:
        """Make a model version whose files are in a folder of the run's artifacts."""
        with self._calls("make a model version in"):
            made = self._client.create_model_version(
                name,
                f"{run.artifact_uri}/{folder}",
                run_id=run.run_id,
                tags=dict(tags),
                description=description,
                await_creation_for=0,
            )
            return _as_version(made)

    def set_version_tag(self, version: Version, key: str, value: str) -> None:
        """Set one tag of a model version."""
        with self._calls("tag a model version in"):
            self._client.set_model_version_tag(version.name, str(version.number), key, value)

    def delete_version_tag(self, version: Version, key: str) -> None:
        """Remove one tag of a model version."""
        with self._calls("tag a model version in"):
            self._client.delete_model_version_tag(version.name, str(version.number), key)

    def delete_version(self, version: Version) -> None:
        """Delete a model version; one that is gone is deleted already."""
        with self._calls("delete a model version in", gone_is_done=True):
            self._client.delete_model_version(version.name, str(version.number))

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Let an alias name a version, and no other one of that registered model any more."""
        with self._calls("set an alias in"):
            # Its public method reads the registered model first, with all of its versions: it could be a prompt.
            self._versions.set_registered_model_alias(name, alias, str(number))

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias."""
        with self._calls("remove an alias in", gone_is_done=True):
            self._client.delete_registered_model_alias(name, alias)

    # --- runs and their artifacts -------------------------------------------------------------------------------

    def create_run(self, experiment_id: str, name: str, start_time_ms: int, tags: Mapping[str, str]) -> Run:
        """Begin a run."""
        with self._calls("make a run in"):
            made = self._client.create_run(experiment_id, start_time=start_time_ms, tags=dict(tags), run_name=name)
            return Run(str(made.info.run_id), str(made.info.artifact_uri), tags, start_time_ms)

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] = MappingProxyType({}),
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Add metrics, parameters and tags to a run. What is there already stays once."""
        with self._calls("write a run of"):
            from mlflow.entities import Metric as Point
            from mlflow.entities import Param, RunTag

            points = [Point(one.name, one.value, one.timestamp_ms, 0) for one in metrics]
            given = [Param(key, value) for key, value in params.items()]
            labels = [RunTag(key, value) for key, value in tags.items()]
            while points or given or labels:
                self._client.log_batch(
                    run_id,
                    metrics=points[:_METRICS_MAX],
                    params=given[:_TAGS_MAX] if not points[_METRICS_MAX:] else [],
                    tags=[] if points[_METRICS_MAX:] or given[_TAGS_MAX:] else labels[: _TAGS_MAX // 2],
                )
                if points[_METRICS_MAX:]:
                    points = points[_METRICS_MAX:]
                elif given[_TAGS_MAX:]:
                    points, given = [], given[_TAGS_MAX:]
                else:
                    points, given, labels = [], [], labels[_TAGS_MAX // 2 :]

    def end_run(self, run: Run) -> None:
        """Mark a run as finished. It ends at its start: how long the training took is not known."""
        # MLflow 2 prints two lines on stdout, and has no setting for it. Other threads write nothing there meanwhile:
        # what the mirror logs goes to stderr.
        with self._calls("end a run in"), redirect_stdout(io.StringIO()):
            # `update_run` would ask for the run first.
            self._client.set_terminated(run.run_id, "FINISHED", run.start_time_ms)

    def delete_run(self, run_id: str) -> None:
        """Delete a run, so that `mlflow gc` removes it with its artifacts; one that is gone is deleted already."""
        with self._calls("delete a run in", gone_is_done=True):
            self._client.delete_run(run_id)

    def runs(self, experiment_id: str, tags: Mapping[str, str], *, unfinished: bool = False) -> tuple[Run, ...]:
        """Return the runs of an experiment that have all these tags and were not deleted; or only the `unfinished`."""
        with self._calls("read the runs in"):
            wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
            if unfinished:
                wanted += " and attributes.status = 'RUNNING'"
            found: list[Run] = []
            token = None
            while True:
                page = self._client.search_runs([experiment_id], wanted, max_results=_PAGE, page_token=token)
                found += [_as_run(one) for one in page]
                token = page.token
                if not token:
                    return tuple(found)

    def is_active(self, run_id: str) -> bool:
        """Return whether there is such a run, and it was not deleted."""
        with self._calls("read a run in"):
            from mlflow.exceptions import MlflowException

            try:
                return bool(self._client.get_run(run_id).info.lifecycle_stage == "active")
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return False
                raise

    def run(self, run_id: str) -> Run:
        """Return a run."""
        with self._calls("read a run in"):
            return _as_run(self._client.get_run(run_id))

    def upload(self, run: Run, folder: Path) -> None:
        """Add the files below a folder to the artifacts of a run, under the same paths.

        Each is read as it is sent, and large ones in parts where the store has them. Several go at a time: the small
        ones cost their way there and back.
        """
        with self._calls("store artifacts of"), ThreadPoolExecutor(_UPLOADS) as pool:
            store = self._store(run)
            sent = [
                pool.submit(store.log_artifact, str(path), str(path.parent.relative_to(folder)))
                for path in sorted(folder.rglob("*"))
                if not path.is_dir()
            ]
            for one in sent:
                one.result()

    def download(self, run: Run, path: str, folder: Path) -> Path:
        """Copy one artifact of a run into a folder and return its path. Raises FileNotFoundError if there is none."""
        with self._calls("read artifacts of"):
            from mlflow.exceptions import MlflowException

            try:
                return Path(self._store(run).download_artifacts(path, str(folder)))
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                    raise FileNotFoundError(path) from error
                raise

    def _store(self, run: Run) -> Any:
        # MLflow 2 has no such parameter, and asks for the URI that the process works with.
        import mlflow
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        mlflow.set_tracking_uri(self.tracking_uri)
        return get_artifact_repository(run.artifact_uri)

    @contextmanager
    def _calls(self, what: str, *, gone_is_done: bool = False) -> Iterator[None]:
        """Turn whatever a call raises into one of our errors."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowRefused, FileNotFoundError):
            raise
        except MlflowException as error:
            if gone_is_done and error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"):
                return
            text = escaped(error.message, 500)
            if error.error_code in _REFUSALS:
                raise MlflowRefused(f"cannot {what} MLflow: it refuses: {text}") from error
            raise self._unreachable(what, text) from error
        except Exception as error:
            # Its client lets through what requests, urllib3 and the clients of artifact stores raise.
            raise self._unreachable(what, escaped(f"{type(error).__name__}: {error}", 500)) from error

    def _unreachable(self, what: str, problem: str) -> MlflowUnreachable:
        return unreachable(what, self.shown_uri, problem)


def _as_run(found: Any) -> Run:
    info = found.info
    return Run(str(info.run_id), str(info.artifact_uri), dict(found.data.tags), int(info.start_time or 0))


def _as_version(found: Any) -> Version:
    return Version(str(found.name), int(found.version), str(found.run_id), str(found.source), dict(found.tags))


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

"""The mirror in a real MLflow: what is registered is there, once, digest by digest, whatever happened on the way."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.tracking._model_registry.client import ModelRegistryClient

from model_inbox import ModelMetadata, ModelRegistry
from model_inbox.cli import root
from model_inbox.mirror.client import Client
from model_inbox.mirror.plan import Version
from support.mlflow_servers import Server
from support.ports import reserve_port
from support.waiting import wait_until

PAIRS = iter(f"P{number}/EUR" for number in range(1000))


class Mirrored:
    """A registry of its own, with a slot that no other test has, and the MLflow that it is mirrored in."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self.uri = uri
        self.pair = next(PAIRS)
        self.name = f"{self.pair.replace('/', '-')}.naive"
        (folder / "models").mkdir()
        self.client = MlflowClient(uri)
        self.configure()

    def configure(self, **settings: Any) -> None:
        given = {"tracking_uri": self.uri, **settings}
        # JSON is YAML, too.
        (self.folder / "config.yaml").write_text(json.dumps({"mlflow": given}))

    def open(self) -> ModelRegistry:
        return ModelRegistry(self.folder / "models" / "prediction_registry.json")

    def register(self, *model_ids: str, scaler: object = None, **fields: Any) -> None:
        with self.open() as registry:
            for model_id in model_ids:
                given = {"model_type": "naive", "currency_pair": self.pair, "trained_at": "2026-11-01T06:00:00Z"}
                given |= {"version": "1.0", "validation_metrics": {"1d": {"rmse": 0.5}}, "min_samples": 1}
                given |= {"calibration_ok": True, "features_used": ["a"], "horizons": [1], **fields}
                registry.register_model(ModelMetadata(model_id, **given), {"of": model_id}, scaler)

    def run(self, *words: str, status: int = 0) -> Any:
        # In this process: to import MLflow's client takes longer than most commands.
        done = CliRunner().invoke(root, self.command(*words)[3:])
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if done.stdout else None

    def command(self, *words: str) -> list[str]:
        config = str(self.folder / "config.yaml")
        return [sys.executable, "-m", "model_inbox", "--config", config, "mlflow", *words, "--json"]

    def versions(self) -> list[Any]:
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return sorted(found, key=lambda one: int(one.version))

    def tags(self, model_id: str) -> dict[str, str]:
        found = [one for one in self.versions() if one.tags["model_inbox.model_id"] == model_id]
        assert len(found) == 1
        return dict(found[0].tags)

    def aliases(self) -> dict[str, str]:
        return {alias: str(one) for alias, one in self.client.get_registered_model(self.name).aliases.items()}

    def runs(self) -> list[Any]:
        experiment = self.client.get_experiment_by_name("model-inbox")
        with self.open() as registry:
            assert registry.identity is not None
            tag = f"tags.`model_inbox.registry_id` = '{registry.identity.registry_id}'"
        return list(self.client.search_runs([experiment.experiment_id], tag))


@pytest.fixture(name="it")
def _it(tmp_path: Path, mlflow_server: Server) -> Mirrored:
    return Mirrored(tmp_path, mlflow_server.uri)


CLEAN = {"ok": True, "missing": [], "extra": [], "different": []}


def test_a_push_brings_everything_once(it: Mirrored) -> None:
    """Files, metrics, times, tags and aliases; the second push finds nothing to do."""
    it.register("a", scaler=[1, 2], tags={"desk": "fx"}, provenance={"job": "7"})
    it.register("b", description="x" * 6000, features_used=[f"feature_{n}" for n in range(900)])
    with it.open() as registry:
        registry.promote("a", "champion", reason="best")
        registry.set_alias("latest", "b")
        entry = registry.get_model_info("a")
    assert it.run("push", "--dry-run")["pushed"] == 2
    assert it.run("push") == {"pushed": 2, "unchanged": 0, "failed": []}
    assert it.run("push") == {"pushed": 0, "unchanged": 2, "failed": []}
    assert it.run("verify", "--deep") == CLEAN

    one = next(one for one in it.versions() if one.tags["model_inbox.model_id"] == "a")
    run = it.client.get_run(one.run_id)
    assert run.info.start_time == 1793512800000
    assert run.info.status == "FINISHED"
    assert run.info.end_time == run.info.start_time
    assert run.data.metrics == {"1d.rmse": 0.5}
    assert run.data.params["provenance.job"] == "7"
    assert run.data.tags["model_inbox.sha256"] == one.tags["model_inbox.sha256"]
    assert entry is not None
    assert one.tags["model_inbox.sha256"] == entry["sha256"]
    assert one.tags["model_inbox.label.desk"] == "fx"
    assert {item.path for item in it.client.list_artifacts(one.run_id, "model/artifacts")} >= {
        f"model/artifacts/{name}" for name in ("model.pkl", "scaler.pkl", "sidecar.yaml")
    }
    # MLflow keeps `latest` for itself.
    assert it.aliases() == {"champion": one.version}
    assert json.loads(it.tags("b")["model_inbox.aliases"]) == ["latest"]
    assert json.loads(it.tags("b")["model_inbox.in_artifact"]) == ["description", "features_used"]
    # Only what does not fit into tags is whole in a file.
    stored = {one.tags["model_inbox.model_id"]: it.client.list_artifacts(one.run_id) for one in it.versions()}
    assert [item.path for item in stored["a"]] == ["model"]
    assert [item.path for item in stored["b"]] == ["model", "model_inbox"]


def test_a_push_of_some(it: Mirrored) -> None:
    """One model, or those since a time; the options exclude each other."""
    it.register("a", "b")
    assert it.run("push", "--model-id", "a")["pushed"] == 1
    assert it.run("verify", status=1)["missing"] == ["b"]
    assert it.run("push", "--since", "2999-01-01T00:00:00Z") == {"pushed": 0, "unchanged": 0, "failed": []}
    assert it.run("push", "--since", "1h") == {"pushed": 1, "unchanged": 1, "failed": []}
    it.run("push", "--since", "1h", "--all", status=2)


def test_every_change_follows(it: Mirrored) -> None:
    """From its position on: aliases, tags, holds, measurements, scalers, retired and restored models."""
    it.register("a", "b", "c", scaler=[1])
    it.run("mirror", "--once")
    with it.open() as registry:
        registry.promote("a", "champion", reason="first")
        registry.promote("b", "champion", reason="better")
        registry.tag("a", {"region": "eu"})
        registry.hold("c", reason="odd")
        registry.record("a", {"live": {"rmse": 0.7}})
        registry.replace_scaler("a", [2])
        registry.pin("b")
    assert it.run("status")["behind"] > 0
    it.run("mirror", "--once")
    assert it.run("status")["behind"] == 0
    assert it.run("verify", "--deep") == CLEAN
    versions = {one.tags["model_inbox.model_id"]: one for one in it.versions()}
    assert it.aliases() == {"champion": versions["b"].version}
    assert it.client.get_run(versions["a"].run_id).data.metrics["recorded.live.rmse"] == 0.7
    assert it.tags("c")["model_inbox.held"] == "odd"

    with it.open() as registry:
        registry.delete_model("a", reason="old")
    it.run("mirror", "--once")
    assert json.loads(it.tags("a")["model_inbox.retired"])["reason"] == "old"
    with it.open() as registry:
        registry.restore("a")
    it.run("mirror", "--once")
    assert it.tags("a")["model_inbox.retired"] == ""
    assert it.run("verify", "--deep") == CLEAN
    assert len(it.versions()) == 3


def test_a_whole_entry_that_an_earlier_version_stored_stays(it: Mirrored, tmp_path: Path) -> None:
    """It wrote one for every model. Changes go on there, and the file is still held to its digest."""
    it.register("a")
    it.run("push")
    version, entry = it.versions()[0], tmp_path / "entry.json"
    entry.write_bytes(b"{}\n")
    it.client.log_artifact(version.run_id, str(entry), "model_inbox")
    digest = hashlib.sha256(b"{}\n").hexdigest()
    for key, value in (("entry_path", "model_inbox/entry.json"), ("entry_sha256", digest)):
        it.client.set_model_version_tag(it.name, version.version, f"model_inbox.{key}", value)
    with it.open() as registry:
        registry.tag("a", {"region": "eu"})
    it.run("mirror", "--once")
    assert it.tags("a")["model_inbox.label.region"] == "eu"
    assert it.tags("a")["model_inbox.entry_sha256"] == digest
    assert it.run("verify", "--deep") == CLEAN
    entry.write_bytes(b"[]\n")
    it.client.log_artifact(version.run_id, str(entry), "model_inbox")
    assert "model_inbox/entry.json" in it.run("verify", "--deep", status=1)["different"][0]["problems"][0]


def test_changes_that_no_longer_fit_into_tags_are_in_a_file(it: Mirrored) -> None:
    """A model whose entry fitted gets the whole entry as a file then."""
    it.register("a")
    it.run("mirror", "--once")
    assert it.tags("a")["model_inbox.entry_path"] == ""
    with it.open() as registry:
        registry.record("a", {f"live.{number}": 0.5 for number in range(200)})
    it.run("mirror", "--once")
    tags = it.tags("a")
    assert json.loads(tags["model_inbox.in_artifact"]) == ["recorded"]
    assert re.fullmatch(r"model_inbox/entry-\d+\.json", tags["model_inbox.entry_path"])
    assert it.run("verify", "--deep") == CLEAN


def test_a_model_without_a_scaler_gets_one(it: Mirrored) -> None:
    """Its file follows, and the loading code knows of it, as when one replaces another."""
    it.register("a", "b")
    it.run("mirror", "--once")
    with it.open() as registry:
        registry.replace_scaler("a", [7])
    it.run("mirror", "--once")
    assert it.run("verify", "--deep") == CLEAN
    assert len(it.versions()) == 2


def test_an_alias_that_moves_always_names_a_version(it: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never removed on its way from one model to another, also if the first is retired at once."""
    removed: list[str] = []
    delete_alias, delete_version = Client.delete_alias, Client.delete_version

    def delete_alias_noted(client: Client, name: str, alias: str) -> None:
        removed.append(alias)
        delete_alias(client, name, alias)

    def delete_version_noted(client: Client, version: Version) -> None:
        removed.extend(alias for alias, number in client.aliases(version.name).items() if number == version.number)
        delete_version(client, version)

    monkeypatch.setattr(Client, "delete_alias", delete_alias_noted)
    monkeypatch.setattr(Client, "delete_version", delete_version_noted)
    it.configure(retired="delete")
    it.register("a", "b", "c")
    with it.open() as registry:
        registry.promote("a", "champion", reason="first")
    it.run("mirror", "--once")
    with it.open() as registry:
        registry.promote("b", "champion", reason="better")
    it.run("mirror", "--once")
    with it.open() as registry:
        registry.promote("c", "champion", reason="best")
        registry.delete_model("b", reason="old")
        registry.tag("c", {"region": "eu"})
    it.run("mirror", "--once")
    numbers = {one.tags["model_inbox.model_id"]: one.version for one in it.versions()}
    assert it.aliases() == {"champion": numbers["c"]}
    assert removed == []
    assert it.run("verify") == CLEAN
    with it.open() as registry:
        registry.remove_alias("champion", "c")
    it.run("mirror", "--once")
    assert removed == ["champion"]


def test_retired_models_are_deleted_by_choice(it: Mirrored) -> None:
    """With their runs, so that `mlflow gc` frees their bytes; a restored one gets a new version."""
    it.configure(retired="delete", experiment="mine", name="fx-{pair}-{type}{.variant}", state=str(it.folder / "s"))
    it.name = f"fx-{it.pair.replace('/', '-')}-naive"
    it.register("a")
    it.run("mirror", "--once")
    run_id = it.versions()[0].run_id
    assert it.client.get_experiment_by_name("mine").experiment_id == it.client.get_run(run_id).info.experiment_id
    assert (it.folder / "s" / "mlflow.json").is_file()
    with it.open() as registry:
        registry.delete_model("a", reason="old")
    it.run("mirror", "--once")
    assert it.versions() == []
    assert it.client.get_run(run_id).info.lifecycle_stage == "deleted"
    with it.open() as registry:
        registry.restore("a")
    it.run("mirror", "--once")
    assert it.run("verify", "--deep") == CLEAN
    assert it.versions()[0].run_id != run_id


def test_bytes_that_were_purged_are_not_there(it: Mirrored) -> None:
    """The version has the metadata, and says that it has no more."""
    it.register("a")
    it.run("mirror", "--once")
    it.register("b")
    with it.open() as registry:
        registry.delete_model("b", reason="old")
        registry.purge(registry.retired()[0])
    it.run("mirror", "--once")
    assert it.tags("b")["model_inbox.bytes"].startswith("none")
    assert json.loads(it.tags("b")["model_inbox.artifacts"]) == {}
    assert it.run("verify", "--deep") == CLEAN


def test_what_was_left_half_way_is_found(it: Mirrored) -> None:
    """A run without a version, a version that came twice, an alias that is gone, a tag that somebody changed."""
    it.register("a", "b")
    with it.open() as registry:
        registry.set_alias("champion", "a")
    it.run("push")
    first, second = it.versions()
    tags = {"model_inbox.registry_id": first.tags["model_inbox.registry_id"], "model_inbox.model_id": "a"}
    experiment = it.client.get_experiment_by_name("model-inbox").experiment_id
    it.client.create_run(experiment, tags=tags)
    it.client.set_terminated(it.client.create_run(experiment, tags=tags).info.run_id)
    it.client.create_model_version(it.name, first.source, run_id=first.run_id, tags=dict(first.tags))
    it.client.delete_registered_model_alias(it.name, "champion")
    it.client.set_model_version_tag(it.name, second.version, "model_inbox.version", "9")

    said = it.run("verify", status=1)
    assert [one.get("version") for one in said["extra"]] == [3, None, None]
    assert {one["model_id"] for one in said["different"]} == {"a", "b"}
    mended = it.run("verify", "--repair")
    assert mended["ok"]
    assert it.run("verify", "--deep") == CLEAN
    assert [one.version for one in it.versions()] == [first.version, second.version]
    assert it.client.get_run(first.run_id).info.lifecycle_stage == "active"
    assert len(it.runs()) == 2


WRITING_CALLS = {
    "create_run": MlflowClient,
    "log_batch": MlflowClient,
    "log_artifact": HttpArtifactRepository,
    "create_model_version": MlflowClient,
    "set_registered_model_alias": ModelRegistryClient,
    "set_terminated": MlflowClient,
}


class Killed(BaseException):
    """The process ends here: every call after it fails, too."""


def test_a_kill_after_any_call_leaves_what_the_next_start_finishes(
    it: Mirrored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the middle of the upload. Every run ends, and every version is complete and there once."""
    calls: list[str] = []
    last = ""

    def counted(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if last in calls:
                raise Killed
            done = original(*arguments, **options)
            calls.append(name)
            if name == last:
                raise Killed
            return done

        monkeypatch.setattr(owner, name, call)

    for name, owner in WRITING_CALLS.items():
        counted(owner, name)
    it.register("first")
    it.run("mirror", "--once")
    assert set(calls) == set(WRITING_CALLS) - {"set_registered_model_alias"}
    for last in WRITING_CALLS:
        it.register(f"after_{last}")
        with it.open() as registry:
            registry.set_alias("champion", f"after_{last}")
        calls.clear()
        with pytest.raises(Killed):
            CliRunner().invoke(root, it.command("mirror", "--once")[3:], catch_exceptions=False)
        last = ""
        it.run("mirror", "--once")
        assert {run.info.status for run in it.runs()} == {"FINISHED"}
        assert len(it.versions()) == len(it.runs())
    assert it.run("verify", "--deep") == CLEAN


def test_a_version_whose_run_somebody_deleted_is_made_anew(it: Mirrored) -> None:
    """`mlflow gc` would remove its bytes. So is a registered model that was deleted, and tags that nobody can read."""
    it.register("a", "b", "c")
    it.run("push")
    first, second, _ = it.versions()
    it.client.delete_run(first.run_id)
    it.client.set_model_version_tag(it.name, second.version, "model_inbox.artifacts", "{")
    said = it.run("verify", status=1)
    assert {one["model_id"] for one in said["different"]} == {"a", "b"}
    assert it.run("verify", "--repair")["ok"]
    assert it.run("verify", "--deep") == CLEAN
    it.client.delete_registered_model(it.name)
    assert it.run("verify", status=1)["missing"] == ["a", "b", "c"]
    assert it.run("push")["pushed"] == 3
    # The runs of the versions that went with the registered model belong to nobody now.
    assert len(it.run("verify", "--repair")["repaired"]["extra"]) == 3
    assert it.run("verify", "--deep") == CLEAN


def test_spoiled_bytes_are_found_and_made_anew(it: Mirrored, tmp_path: Path) -> None:
    """Only --deep reads them."""
    it.register("a")
    it.run("push")
    (tmp_path / "model.pkl").write_bytes(b"other")
    it.client.log_artifact(it.versions()[0].run_id, str(tmp_path / "model.pkl"), "model/artifacts")
    assert it.run("verify") == CLEAN
    assert "model/artifacts/model.pkl" in it.run("verify", "--deep", status=1)["different"][0]["problems"][0]
    it.run("verify", "--deep", "--repair")
    assert it.run("verify", "--deep") == CLEAN


def test_what_cannot_be_mirrored_is_set_aside(it: Mirrored) -> None:
    """A damaged file, and a name that belongs to another slot; the others go on, and a retry takes them back."""
    it.register("a", "b")
    path = it.folder / "models" / "prediction" / "a.pkl"
    right = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(right[:-1] + b"x")
    it.run("mirror", "--once")
    it.register("c", currency_pair=it.pair.replace("/", "-"))
    it.run("mirror", "--once")
    said = it.run("status", status=1)
    assert [one["model_id"] for one in said["aside"]] == ["a", "c"]
    assert "not those that were registered" in said["aside"][0]["problem"]
    assert "another template" in said["aside"][1]["problem"]
    assert it.tags("b")
    path.write_bytes(right)
    assert it.run("retry", "a") == {"retried": ["a"], "asked": [], "aside": []}
    assert [one["model_id"] for one in it.run("status", status=1)["aside"]] == ["c"]
    assert it.tags("a")


def test_a_mirror_that_waits_for_mlflow_ends_when_it_is_told_to(it: Mirrored) -> None:
    """It says why it waits; only one is at work; SIGTERM ends it at once, with 0."""
    it.register("a")
    right, it.uri = it.uri, f"http://127.0.0.1:{reserve_port()}"
    it.configure()
    with subprocess.Popen(it.command("mirror"), stderr=subprocess.DEVNULL) as process:
        state = it.folder / "mlflow-state" / "mlflow.json"
        wait_until(lambda: state.is_file() and "refused" in state.read_text())
        assert it.run("status", status=1)["running"] is True
        it.run("push", status=75)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    it.uri = right
    it.configure()
    it.run("mirror", "--once")
    assert it.run("verify", "--deep") == CLEAN

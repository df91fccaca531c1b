"""A mirror that is read as a registry is: the same answers, and nothing loaded that is not what was registered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from model_inbox import EntryNotFound, LoadRefused, MirrorRegistry, ModelRegistry, RegistryError
from support.mirror_commands import mlflow_command
from support.mlflow_servers import Server
from support.waiting import wait_until
from support.world import World

ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0] * 10, "b": [1.0, 0.0, 5.0, 2.0] * 10})
TARGET = ROWS["a"] * 3 + ROWS["b"]
PAIR = "MIR/ROR"
FEATURES = {"features_used": ["a", "b"], "currency_pair": PAIR}


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory, mlflow_server: Server) -> Iterator[World]:
    """Three models of one slot: the champion is the older one, and the newest is held."""
    world = World(tmp_path_factory.mktemp("world"))
    scaler = StandardScaler().fit(ROWS)
    for number, alpha in enumerate((1.0, 2.0, 3.0)):
        model = Ridge(alpha=alpha).fit(scaler.transform(ROWS), TARGET)
        trained = f"2025-10-2{number}T12:00:00Z"
        metrics = {"1d": {"rmse": alpha}}
        world.put(f"m{number}", model, scaler=scaler, trained_at=trained, validation_metrics=metrics, **FEATURES)
    with world.running() as service:
        world.live_on(service, 2)
    with writable(world) as registry:
        registry.promote("m0", "champion", reason="the best")
        registry.hold("m2", reason="looks odd")
    mlflow_command(world.config_path, "push", "--all", "--tracking-uri", mlflow_server.uri)
    yield world


def writable(world: World) -> ModelRegistry:
    return ModelRegistry(world.models / "prediction_registry.json", world.models / "prediction")


@pytest.fixture(name="mirror")
def _mirror(mlflow_server: Server, world: World, tmp_path: Path) -> Iterator[MirrorRegistry]:
    with world.registry() as registry:
        identity = registry.identity
    assert identity is not None
    with MirrorRegistry(
        mlflow_server.uri, registry_id=identity.registry_id, cache_dir=tmp_path / "cache", poll_seconds=0.1
    ) as mirror:
        yield mirror


def without_paths(entry: Any) -> dict[str, Any]:
    return {name: value for name, value in dict(entry).items() if not name.endswith("_path")}


def test_it_answers_as_the_registry_does(world: World, mirror: MirrorRegistry) -> None:
    """Every field but the paths, the newest, the alias, the order, and the language of conditions."""
    with world.registry() as registry:
        for ask in (
            lambda one: one.get_model(PAIR),
            lambda one: one.get_model(PAIR, alias="champion"),
            lambda one: one.get_model(PAIR, trained_before=datetime(2025, 10, 21, tzinfo=UTC)),
            lambda one: one.get_model_info("m2"),
        ):
            assert without_paths(ask(mirror)) == without_paths(ask(registry))
        for ask_many in (
            lambda one: one.list_models(),
            lambda one: one.list_models(PAIR, "lightgbm", variant=""),
            lambda one: one.search("1d.rmse>1.5", sort="-1d.rmse"),
            lambda one: one.search(held=True),
        ):
            found = ask_many(mirror)
            assert found
            assert list(map(without_paths, found)) == list(map(without_paths, ask_many(registry)))
    assert mirror.get_model("no/such") is None
    assert mirror.get_model_info("m'1") is None


def test_it_loads_what_was_registered(world: World, mirror: MirrorRegistry) -> None:
    """The objects predict the same; the file is fetched once, and is where `file_of` says, for nobody else to read."""
    entry = mirror.get_model(PAIR, alias="champion")
    assert entry is not None
    model, scaler = mirror.load_model_objects(entry)
    with world.registry() as registry:
        ours, our_scaler = registry.load_model_objects(registry.registry["m0"])
        stored = registry.file_of(registry.registry["m0"])
    expected = ours.predict(our_scaler.transform(ROWS))
    np.testing.assert_array_equal(model.predict(scaler.transform(ROWS)), expected)
    path = mirror.file_of(entry)
    assert path is not None and stored is not None
    assert str(path) == entry["model_path"]
    assert path.read_bytes() == stored.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_plain_mlflow_predicts_by_the_alias(world: World, mlflow_server: Server) -> None:
    """What the README of MLflow says works: a model of the mirror by its name and alias."""
    mlflow.set_tracking_uri(mlflow_server.uri)
    loaded = mlflow.pyfunc.load_model("models:/MIR-ROR.lightgbm@champion")
    with world.registry() as registry:
        model, scaler = registry.load_model_objects(registry.registry["m0"])
    np.testing.assert_array_equal(loaded.predict(ROWS), model.predict(scaler.transform(ROWS)))


def test_a_damaged_file_of_the_cache_is_fetched_again(mirror: MirrorRegistry) -> None:
    """Whatever happened to it: it has other bytes, it is cut off, it is a link to another file."""
    entry = mirror.get_model_info("m0")
    assert entry is not None
    path = mirror.file_of(entry)
    assert path is not None
    whole = path.read_bytes()
    for damage in (b"\x80" + whole, whole[:10], b""):
        path.write_bytes(damage)
        assert mirror.load_model(entry).alpha == 1.0
        assert path.read_bytes() == whole


def test_a_small_cache_keeps_what_was_used_last(mlflow_server: Server, world: World, tmp_path: Path) -> None:
    """Of a cache of one byte, one file is left: a file always fits."""
    with MirrorRegistry(mlflow_server.uri, cache_dir=tmp_path / "small", cache_bytes=1) as mirror:
        entries = mirror.list_models(PAIR)
        for entry in entries:
            mirror.load_model(entry)
        assert [path.name for path in (tmp_path / "small").iterdir()] == [f"{entries[-1]['sha256']}.pkl"]


def test_a_folder_that_others_may_write_to_is_refused(mlflow_server: Server, world: World, tmp_path: Path) -> None:
    """Nothing is put there, and the message says what to do."""
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    with MirrorRegistry(mlflow_server.uri, cache_dir=tmp_path / "open") as mirror:
        entry = mirror.get_model(PAIR)
        assert entry is not None
        with pytest.raises(RegistryError, match="chmod 700"):
            mirror.load_model(entry)
    assert list((tmp_path / "open").iterdir()) == []


def test_what_a_mirror_cannot_answer_says_whom_to_ask(mirror: MirrorRegistry) -> None:
    """The past, and what changes a registry."""
    with pytest.raises(RegistryError, match=r"no history\. Ask the registry itself"):
        mirror.get_model(PAIR, as_of=datetime(2025, 1, 1, tzinfo=UTC))
    with pytest.raises(AttributeError, match="'history': it only reads"):
        mirror.history()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="'delete_model': it only reads"):
        mirror.delete_model("m0")  # type: ignore[attr-defined]
    with pytest.raises(EntryNotFound, match="no version there"):
        mirror.load_model({"model_id": "other", "model_path": "x", "sequence": 1, "sha256": "0" * 64})


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        ("model_inbox.imports", '{"os.system":"rc"}', "no list may allow"),
        ("model_inbox.imports", "{}", "was not seen"),
        ("model_inbox.sha256", "0" * 64, "another file than its entry names"),
        ("model_inbox.sha256", None, "another file"),
    ],
)
def test_changed_tags_load_nothing(
    mlflow_server: Server, world: World, mirror: MirrorRegistry, tag: str, value: str | None, message: str
) -> None:
    """Limits that no registry writes, limits that do not fit the file, and another digest."""
    client = MlflowClient(mlflow_server.uri)
    (version,) = client.search_model_versions("tags.`model_inbox.model_id` = 'm1'")
    before = version.tags[tag]
    other = value if value is not None else "f" * 64
    client.set_model_version_tag(version.name, version.version, tag, other)
    try:
        entry = mirror.get_model_info("m1")
        assert entry is not None
        with pytest.raises(LoadRefused, match=message):
            mirror.load_model(entry)
    finally:
        client.set_model_version_tag(version.name, version.version, tag, before)


@pytest.mark.parametrize("path", ["../../../etc/passwd", "/etc/passwd", "model/artifacts/../../x", "model/evil.pkl"])
def test_a_path_from_the_server_is_never_used(
    mlflow_server: Server, world: World, mirror: MirrorRegistry, path: str
) -> None:
    """Only the places where the mirror puts its files are asked for."""
    client = MlflowClient(mlflow_server.uri)
    (version,) = client.search_model_versions("tags.`model_inbox.model_id` = 'm1'")
    tag = "model_inbox.artifacts"
    before = version.tags[tag]
    client.set_model_version_tag(version.name, version.version, tag, before.replace("model/artifacts/model.pkl", path))
    try:
        with pytest.raises(RegistryError, match="which the mirror never writes"):
            mirror.get_model_info("m1")
    finally:
        client.set_model_version_tag(version.name, version.version, tag, before)


def test_other_bytes_in_the_store_are_refused(
    mlflow_server: Server, world: World, mirror: MirrorRegistry, tmp_path: Path
) -> None:
    """An artifact that somebody replaced is not unpickled, by whoever reads it."""
    with world.registry() as registry:
        digest = registry.registry["m1"]["sha256"]
    (stored,) = [
        path
        for path in (mlflow_server.folder / "stored").rglob("model.pkl")
        if hashlib.sha256(path.read_bytes()).hexdigest() == digest
    ]
    whole = stored.read_bytes()
    stored.write_bytes(whole + b"x")
    try:
        entry = mirror.get_model_info("m1")
        assert entry is not None
        with pytest.raises(LoadRefused, match="not those that were registered"):
            mirror.load_model(entry)
    finally:
        stored.write_bytes(whole)


def test_a_follower_goes_with_the_alias(mlflow_server: Server, world: World, mirror: MirrorRegistry) -> None:
    """What is promoted in the registry is served from the mirror, when the mirror has it."""
    with mirror.follow(PAIR, alias="champion", wait=30) as follower:
        assert follower.current.entry["model_id"] == "m0"
        with writable(world) as registry:
            registry.promote("m1", "champion", reason="better")
        mlflow_command(world.config_path, "push", "--all", "--tracking-uri", mlflow_server.uri)
        wait_until(lambda: follower.current.entry["model_id"] == "m1")
        assert follower.current.model.alpha == 2.0
        assert timedelta(seconds=follower.age) < timedelta(seconds=30)
        assert follower.problem == ""


def test_a_follower_serves_on_while_mlflow_is_away(
    mlflow_server: Server, world: World, mirror: MirrorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that MLflow does not answer by its age, and answers with what it has."""
    with mirror.follow(PAIR, wait=30) as follower:
        mirror._client.tracking_uri = "http://127.0.0.1:9"
        monkeypatch.setattr(mirror, "_client", type(mirror._client)("http://127.0.0.1:9"))
        wait_until(lambda: follower.age > 0.5)
        assert follower.current.entry["model_id"] == "m1"

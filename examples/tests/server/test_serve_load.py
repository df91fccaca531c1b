"""The example server under load: models come, fail, go and come back, and no request notices.

A real daemon registers what is dropped, uvicorn runs two workers, and four clients ask all the time.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from model_inbox import ModelMetadata, ModelRegistry, drop
from support.places import ROOT
from support.ports import reserve_port
from support.waiting import wait_until

REQUESTS_MIN = 3000
CLIENTS = 4
# How long an answer of a model may come after its alias moved on: the machine is busy.
GRACE_SECONDS = 3.0
PAIR = "USD/EUR"
TRAINED = datetime(2026, 1, 1, tzinfo=UTC)


def metadata(model_id: str, day: int) -> ModelMetadata:
    return ModelMetadata(
        model_id=model_id,
        model_type="lightgbm",
        currency_pair=PAIR,
        trained_at=TRAINED + timedelta(days=day),
        version="1",
        validation_metrics={"rmse": 0.01},
        min_samples=1,
        calibration_ok=True,
        features_used=["x"],
        horizons=[1],
    )


def parts(number: int, slope: float = 1.0) -> tuple[LinearRegression, StandardScaler]:
    """Return a model and its scaler, which together say number + x; with the scaler of another model they do not."""
    model, scaler = LinearRegression(), StandardScaler()
    model.coef_, model.intercept_, model.n_features_in_ = np.array([slope]), 2.0 * number, 1
    scaler.mean_, scaler.var_, scaler.scale_ = np.array([float(number)]), np.ones(1), np.ones(1)
    scaler.n_features_in_, scaler.n_samples_seen_ = 1, 1
    return model, scaler


@dataclass
class Asked:
    """What the clients asked and got: when, and the answer, or what went wrong."""

    answers: list[tuple[float, float, float, dict[str, Any]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def ask(self, port: int, seed: int) -> None:
        rng = random.Random(seed)
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not self.is_over.is_set():
            x, begun = float(rng.randint(2, 9)), time.monotonic()
            body = json.dumps({"values": [x], "user": f"u{rng.randint(1, 999)}"})
            try:
                client.request("POST", f"/forecast/{PAIR}", body, {"Content-Type": "application/json"})
                response = client.getresponse()
                text = response.read().decode()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                client.close()
                continue
            if response.status == 200:
                self.answers.append((begun, time.monotonic(), x, json.loads(text)))
            else:
                self.failures.append(f"{response.status} {text}")
        client.close()


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    try:
        yield world
    finally:
        world.end()


class World:
    """A daemon, a server, and a registry that this process changes, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox, self.path = folder / "inbox", folder / "models" / "prediction_registry.json"
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "config.yaml").write_text("{}\n")
        self.log = folder / "server.log"
        daemon = [sys.executable, "-m", "model_inbox", "--config", str(folder / "config.yaml"), "run"]
        self.start(daemon, folder / "daemon.log")
        wait_until(lambda: "daemon.ready" in (folder / "daemon.log").read_text(), self.processes[0])
        self.registry = ModelRegistry(self.path)
        self.day = 0
        # When each model got the alias, in order: nobody else moves it.
        self.named: list[tuple[float, str]] = []

    def start(self, command: list[str], log: Path) -> None:
        with log.open("w") as file:
            environment = {**os.environ, "MODEL_INBOX_REGISTRY": str(self.path)}
            process = subprocess.Popen(
                command, cwd=self.folder, stdout=file, stderr=file, env=environment, start_new_session=True, text=True
            )
        self.processes.append(process)

    def serve(self) -> int:
        """Start the server, and return its port once a worker answers."""
        port = reserve_port()
        options = ["--app-dir", str(ROOT / "examples" / "server"), "--workers", "2", "--port", str(port)]
        self.start([sys.executable, "-m", "uvicorn", *options, "--no-access-log", "serve:app"], self.log)
        wait_until(lambda: self.log.read_text().count("Application startup complete") == 2, self.processes[-1], 120)
        return port

    def drop(self, model_id: str, number: int, slope: float = 1.0) -> None:
        """Drop a model and wait until the daemon has registered it."""
        self.day += 1
        model, scaler = parts(number, slope)
        result = drop(model, metadata(model_id, self.day), inbox=self.inbox, scaler=scaler, wait=60)
        assert result.outcome == "registered", result

    def promote(self, model_id: str) -> None:
        self.named.append((time.monotonic(), model_id))
        self.registry.set_alias("champion", model_id)

    def end(self) -> None:
        self.registry.close()
        for process in reversed(self.processes):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def get(port: int, path: str) -> Any:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("GET", path)
    text = client.getresponse().read().decode()
    client.close()
    return json.loads(text) if path == "/healthz" else text


def test_no_request_notices_what_happens_to_the_models(world: World) -> None:
    """Promoted, broken, slow, rolled back, retired and purged: every answer is of one model that was named then."""
    world.drop("good-0", 0)
    world.promote("good-0")
    port = world.serve()
    asked = Asked()
    clients = [threading.Thread(target=asked.ask, args=(port, seed)) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        live(world, asked, port)
        health = get(port, "/healthz")
        text = get(port, "/metrics")
    finally:
        asked.is_over.set()
        for client in clients:
            client.join(60)
    assert asked.failures == [], asked.failures[:5]
    assert len(asked.answers) >= REQUESTS_MIN
    check(world, asked)
    assert health["ok"]
    assert {one["model_id"] for one in health["models"] if one["name"].endswith("@champion")} == {"good-9"}
    assert 'model_inbox_follower_model_info{alias="champion",model_id="good-9"' in text


def live(world: World, asked: Asked, port: int) -> None:
    """Let everything happen that happens to models, while clients ask."""

    def answered(model_id: str) -> Callable[[], bool]:
        return lambda: asked.answers[-1][3]["model_id"] == model_id

    for number in range(1, 7):
        world.drop(f"good-{number}", number)
        world.promote(f"good-{number}")
        wait_until(answered(f"good-{number}"), seconds=30)
        if number >= 3:
            # The model before the last is still named by nobody, and may still be served by a worker.
            retired = f"good-{number - 2}"
            assert world.registry.delete_model(retired)
            wait_until(lambda: purged(world), seconds=30)
    # Its forecasts are no numbers: it is refused before it is served.
    world.drop("bad-nan", 100, slope=float("nan"))
    world.promote("bad-nan")
    wait_until(lambda: world.log.read_text().count("follower.load_failed") >= 2, seconds=30)
    # It forecasts nothing for some requests only: it is given up after three failures, by each worker.
    world.drop("bad-huge", 0, slope=1.7e308)
    world.promote("bad-huge")
    wait_until(lambda: world.log.read_text().count("follower.fallen_back") >= 2, seconds=60)
    world.promote("good-6")
    wait_until(lambda: is_served(port, "good-6"), seconds=30)
    world.day += 1
    world.registry.register_model(metadata("bad-slow", world.day), slow_model(), parts(0)[1])
    world.promote("bad-slow")
    wait_until(lambda: world.log.read_text().count("TimeoutError") >= 2, seconds=60)
    world.promote("good-5")
    wait_until(answered("good-5"), seconds=30)
    world.drop("good-9", 9)
    world.promote("good-9")
    wait_until(answered("good-9"), seconds=30)
    wait_until(lambda: len(asked.answers) >= REQUESTS_MIN, seconds=120)
    wait_until(lambda: is_served(port, "good-9"), seconds=30)


def is_served(port: int, model_id: str) -> bool:
    """Return whether the worker that answers serves this model as champion, and has not fallen back."""
    found = [one for one in get(port, "/healthz")["models"] if one["name"].endswith("@champion")]
    return [(one["model_id"], one["fallen_back"]) for one in found] == [(model_id, None)]


def purged(world: World) -> bool:
    """Purge what is retired; return whether nothing is left: what a worker serves stays until it has swapped."""
    return all(world.registry.purge(retired) is not None for retired in world.registry.retired())


def slow_model() -> Any:
    """Return a model that takes half a second for a forecast. Its class travels with it."""

    class Slow:
        n_features_in_ = 1

        def predict(self, rows: Any) -> list[float]:
            import threading

            threading.Event().wait(0.5)
            return [0.0 for _ in rows]

    return Slow()


def check(world: World, asked: Asked) -> None:
    """Each answer is right for its model, and its model was named when it was asked, or the one before a bad one."""
    for begun, ended, x, answer in asked.answers:
        model_id = answer["model_id"]
        number = int(model_id.removeprefix("good-"))
        assert answer["forecast"] == [number + x], answer
        assert model_id in may_answer(world.named, begun - GRACE_SECONDS, ended), (model_id, world.named)


def may_answer(named: list[tuple[float, str]], begun: float, ended: float) -> set[str]:
    """Return the models that were named in that time, and those that stand in for bad ones among them."""
    found: set[str] = set()
    standing_in = ""
    for index, (since, model_id) in enumerate(named):
        until = named[index + 1][0] if index + 1 < len(named) else float("inf")
        if model_id.startswith("good"):
            standing_in = model_id
        if since <= ended and until >= begun:
            found.add(standing_in)
    return found

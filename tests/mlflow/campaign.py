"""The mirror under fire: a registry that is written to, a network that fails, and kills of both sides.

`python tests/mlflow/campaign.py --seed 1 --minutes 5`; `make campaign-mlflow` runs it. This process registers, retires,
restores, promotes, holds and tags models, and replaces scalers. `model-inbox mlflow mirror` brings that to MLflow
through a proxy that cuts, delays, refuses and doubles requests. The mirror is killed with SIGKILL again and again, and
so is the server. At the end, when nothing fails any more, the mirror has to catch up: `mlflow verify --deep` finds both
sides equal, and no model is there twice.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mlflow import MlflowClient

from model_inbox import ModelInboxError, ModelRegistry
from support.crash_kit import metadata
from support.faulty_proxy import FaultyProxy
from support.mirror_commands import mlflow_command
from support.mlflow_servers import Server, mlflow_on_sqlite

IDS = [f"m{number}" for number in range(12)]
# It needs some seconds to start.
ALIVE_SECONDS = (2.0, 20.0)
SERVER_ALIVE_SECONDS = (12.0, 40.0)
BETWEEN_CHANGES_SECONDS = (0.0, 0.6)


def change(registry: ModelRegistry, chance: random.Random, number: int) -> str:
    """Make one change, as the registry allows it now. Return what was done."""
    model_id = chance.choice(IDS)
    there = registry.get_model_info(model_id) is not None
    what = chance.choice(
        ["tag", "promote", "hold", "unhold", "scaler", "record", "retire", "retire", "pin", "unpin"]
        if there
        else ["register", "register", "restore", "purge"]
    )
    value = f"{number}"
    try:
        match what:
            case "register":
                scaler = {"scaler": value} if chance.random() < 0.5 else None
                registry.register_model(metadata(model_id, tags={"value": value}), {"model": value}, scaler)
            case "retire":
                registry.delete_model(model_id)
            case "restore":
                registry.restore(model_id)
            case "purge":
                for item in registry.retired():
                    if item.model_id == model_id:
                        registry.purge(item)
            case "tag":
                registry.tag(model_id, {"value": value})
            case "promote":
                registry.promote(model_id, chance.choice(["champion", "challenger"]), reason=value)
            case "hold":
                registry.hold(model_id, reason=value)
            case "unhold":
                registry.unhold(model_id)
            case "scaler":
                registry.replace_scaler(model_id, {"scaler": value})
            case "record":
                registry.record(model_id, {"live": {"rmse": chance.random()}})
            case "pin" | "unpin":
                getattr(registry, what)(model_id)
    except ModelInboxError:
        # It is pinned, held, named by an alias, or nothing is in the trash.
        return "refused"
    return what


class Killed:
    """A process or a server that is started, and killed after a time that chance gives."""

    def __init__(self, chance: random.Random, alive: tuple[float, float]) -> None:
        self._chance, self._alive = chance, alive
        self.kills = 0
        self.due = time.monotonic() + chance.uniform(*alive)

    def is_due(self) -> bool:
        """Return whether its time is over, and begin the next one."""
        if time.monotonic() < self.due:
            return False
        self.kills += 1
        self.due = time.monotonic() + self._chance.uniform(*self._alive)
        return True


def start_mirror(config: Path, uri: str, log: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "model_inbox", "--config", str(config), "mlflow", "mirror", "--tracking-uri", uri]
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    process.wait()


def twice(server: Server) -> list[str]:
    """Return the models of which more than one version is there that is not retired."""
    found = Counter(
        version.tags["model_inbox.model_id"]
        for version in MlflowClient(server.uri).search_model_versions(max_results=1000)
        if "model_inbox.model_id" in version.tags and not version.tags.get("model_inbox.retired")
    )
    return sorted(model_id for model_id, count in found.items() if count > 1)


def run(folder: Path, seed: int, minutes: float) -> int:
    """Return how much was wrong at the end."""
    chance = random.Random(seed)
    config = folder / "config.yaml"
    config.write_text("{}\n")
    server = mlflow_on_sqlite(folder / "mlflow")
    server.start()
    done: Counter[str] = Counter()
    with (
        FaultyProxy(server.port, seed) as proxy,
        (folder / "mirror.log").open("ab") as log,
        contextlib.ExitStack() as stack,
        ModelRegistry(
            folder / "models/prediction_registry.json", folder / "models/prediction", lock_timeout=60
        ) as registry,
    ):
        stack.callback(server.kill)
        done[change(registry, chance, 0)] += 1
        mirror = start_mirror(config, proxy.uri, log)
        try:
            mirrors, servers = Killed(chance, ALIVE_SECONDS), Killed(chance, SERVER_ALIVE_SECONDS)
            until, number = time.monotonic() + minutes * 60, 0
            while time.monotonic() < until:
                number += 1
                done[change(registry, chance, number)] += 1
                time.sleep(chance.uniform(*BETWEEN_CHANGES_SECONDS))
                if mirrors.is_due() or mirror.poll() is not None:
                    end(mirror, signal.SIGKILL)
                    mirror = start_mirror(config, proxy.uri, log)
                if servers.is_due():
                    server.kill()
                    server.start()
        finally:
            end(mirror, signal.SIGKILL)
        proxy.calm = True
        caught_up = subprocess.run(
            [
                sys.executable,
                "-m",
                "model_inbox",
                "--config",
                str(config),
                "mlflow",
                "mirror",
                "--once",
                "--tracking-uri",
                proxy.uri,
            ],
            stdout=log,
            stderr=log,
            check=False,
            timeout=600,
        )
        verified = mlflow_command(config, "verify", "--deep", "--tracking-uri", proxy.uri, expect=None)
        doubled = twice(server)
        print(f"changes {dict(sorted(done.items()))}")
        print(f"requests {dict(sorted(proxy.counts.items()))}")
        print(f"kills of the mirror {mirrors.kills}, of the server {servers.kills}")
        server.stop()
    wrong = [
        *([f"the mirror ended with {caught_up.returncode}"] if caught_up.returncode else []),
        *([f"verify: {verified}"] if not verified["ok"] else []),
        *(f"{model_id} is there twice" for model_id in doubled),
    ]
    print("\n".join(wrong) or "both sides are equal, and nothing is there twice")
    if wrong:
        print((folder / "mirror.log").read_text("utf-8", "replace")[-4000:])
    return len(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5)
    arguments = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    with tempfile.TemporaryDirectory(prefix="campaign-mlflow-") as folder:
        return 1 if run(Path(folder), arguments.seed, arguments.minutes) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Show a registry mirrored in MLflow as a company has it, from nothing: `make mirror-demo`.

Starts PostgreSQL, an S3 store (moto's server), MLflow, the daemon and the mirror in a temporary folder. A model is
dropped on one side and promoted; on the other side plain MLflow and `MirrorRegistry` load it and predict. All ends with
this program, and nothing is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from model_inbox import drop
from support.mlflow_servers import company
from support.waiting import wait_until

ROWS = [[float(number), float(number % 3)] for number in range(30)]
TARGET = [2 * first - second for first, second in ROWS]
ASKED = [[10.0, 1.0]]

# What runs where the models are used: it knows the address of MLflow, and nothing of the folder or the registry.
PLAIN = f"""
import logging, mlflow.pyfunc
logging.getLogger("mlflow").setLevel(logging.ERROR)
print(mlflow.pyfunc.load_model("models:/USD-EUR.ridge@champion").predict({ASKED})[0])
"""
MOVED = f"""
from model_inbox import MirrorRegistry
with MirrorRegistry() as registry:
    model, scaler = registry.load_model_objects(registry.get_model("USD/EUR", "ridge", alias="champion"))
    print(model.predict(scaler.transform({ASKED}))[0])
"""


@contextlib.contextmanager
def running(name: str, folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of model-inbox beside this program, and end it in order."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, *words], stdout=log, stderr=log, cwd=folder)
        try:
            yield process
        except BaseException:
            print((folder / f"{name}.log").read_text("utf-8", "replace")[-3000:], file=sys.stderr)
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


COMMAND = [sys.executable, "-m", "model_inbox", "--config", "config.yaml"]


def ask(folder: Path, *words: str) -> Any:
    """Run a command of model-inbox and return what it printed as JSON."""
    done = subprocess.run([*COMMAND, *words, "--json"], capture_output=True, text=True, check=False, cwd=folder)
    return json.loads(done.stdout) if done.stdout.strip() else None


def told(code: str, **env: str) -> str:
    """Run a program elsewhere and return the line that it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False, env=os.environ | env
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return done.stdout.strip().splitlines()[-1]


def main() -> int:
    """Show it. Return 1 if the two sides do not say the same."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    os.environ["NO_PROXY"] = "127.0.0.1"
    with tempfile.TemporaryDirectory(prefix="mirror-demo-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(company(folder / "servers"))
        os.environ |= server.env | {"MLFLOW_TRACKING_URI": server.uri}
        say(f"MLflow at {server.uri}, on PostgreSQL and S3")
        (folder / "config.yaml").write_text("{}\n")
        daemon = stack.enter_context(running("daemon", folder, "run"))
        wait_until((folder / "inbox").is_dir, daemon)
        mirror = stack.enter_context(running("mirror", folder, "mlflow", "mirror"))
        say("the daemon and the mirror run")
        scaler = StandardScaler().fit(ROWS)
        model = Ridge().fit(scaler.transform(ROWS), TARGET)
        described: dict[str, Any] = {
            "model_id": "demo",
            "currency_pair": "USD/EUR",
            "model_type": "ridge",
            "version": "1",
            "validation_metrics": {"1d": {"rmse": 0.5}},
            "min_samples": 30,
            "calibration_ok": True,
            "features_used": ["first", "second"],
        }
        dropped = drop(model, described, inbox=folder / "inbox", scaler=scaler, wait=60)
        say(f"dropped: {dropped.model_id} is {dropped.outcome}")
        ask(folder, "promote", "demo", "--reason", "the demonstration")
        say("promoted: it is the champion of USD/EUR:ridge")
        wait_until(lambda: (ask(folder, "mlflow", "verify") or {}).get("ok"), mirror, seconds=120)
        say("the mirror has it: verify finds both sides equal")
        expected = float(model.predict(scaler.transform(ASKED))[0])
        plain, moved = float(told(PLAIN)), float(told(MOVED, XDG_CACHE_HOME=str(folder / "cache")))
        say(f"the objects here say         {expected}")
        say(f"mlflow.pyfunc.load_model     {plain}")
        say(f"MirrorRegistry               {moved}")
        is_same = plain == moved == expected
        say("all three are the same" if is_same else "they differ")
        # The daemon and the mirror end before the servers.
        return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())

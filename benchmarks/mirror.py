"""Measure what the mirror costs beside a plain client: `python benchmarks/mirror.py [--company] [--large BYTES]`.

In turn, a model of 200 KB is registered by the plain client (run, metrics, the file, version, alias, end) and mirrored
from a registry with its scaler-less file, sidecar, tags and alias. Prints the medians in milliseconds and their ratio,
and exits with 1 if the mirror needs more than 1.5 times as long. Then: what a comparison of all costs, how long 10,000
models would take by that, how many bytes `mlflow gc` frees after all were retired, and with `--large` what memory one
large model needs. `--company` uses PostgreSQL and an S3 store instead of SQLite.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from model_inbox import ModelRegistry
from model_inbox.mirror.client import Client
from model_inbox.mirror.reconcile import differences, registered
from model_inbox.mirror.writer import Target, Writer
from support.crash_kit import metadata
from support.mlflow_servers import Server, company, gc, mlflow_on_sqlite

BYTES = 200_000
RATIO_WANTED = 1.5
CATCH_UP = 10_000


def plain(client: MlflowClient, name: str, file: Path, at: int) -> None:
    """Register one model as a training job does."""
    run = client.create_run("0", start_time=at)
    run_id = run.info.run_id
    client.log_batch(run_id, metrics=[Metric("1d.rmse", 0.5, at, 0)], params=[Param("version", "1")])
    client.log_artifact(run_id, str(file), "model")
    version = client.create_model_version(name, f"{run.info.artifact_uri}/model", run_id=run_id, await_creation_for=0)
    client.set_registered_model_alias(name, "champion", version.version)
    client.set_terminated(run_id)


def measure(server: Server, folder: Path, rounds: int, large: int) -> int:
    """Measure on one MLflow; return 1 if the mirror is too slow."""
    client, ours = MlflowClient(server.uri), Client(server.uri)
    client.create_registered_model("plain")
    file = folder / "model.pkl"
    file.write_bytes(os.urandom(BYTES))
    with ModelRegistry(folder / "registry.json", folder / "prediction") as registry:
        target = Target(
            registry.identity.registry_id if registry.identity else "", "bench", "{pair}.{type}{.variant}", "delete"
        )
        (folder / "work").mkdir(mode=0o700)
        writer = Writer(ours, registry, target, folder / "work")
        times: dict[str, list[float]] = {"plain": [], "mirror": []}
        for number in range(-2, rounds):
            model_id = f"bench_{number + 2:05}"
            registry.register_model(metadata(model_id), {"weights": os.urandom(BYTES)})
            registry.set_alias("champion", model_id)
            wanted = next(one for one in registered(registry) if one.model_id == model_id)
            began = time.perf_counter()
            plain(client, "plain", file, 1_760_000_000_000 + number)
            between = time.perf_counter()
            # As the mirror does with what it sees registered.
            writer.apply(wanted, ())
            ended = time.perf_counter()
            if number >= 0:
                times["plain"].append((between - began) * 1000)
                times["mirror"].append((ended - between) * 1000)
        of_plain, of_mirror = median(times["plain"]), median(times["mirror"])
        print(f"the plain client   {of_plain:7.0f} ms a model (median of {rounds})")
        print(
            f"the mirror         {of_mirror:7.0f} ms a model, {of_mirror / of_plain:.2f} times (wanted: {RATIO_WANTED})"
        )
        print(f"catching up with {CATCH_UP:,} models would take {of_mirror * CATCH_UP / 60_000:.0f} minutes by that")
        began = time.perf_counter()
        differences(ours, registry, target)
        print(f"comparing {rounds + 2} models: {(time.perf_counter() - began) * 1000:.0f} ms")
        if large:
            measure_large(server, folder, registry, target, large)
        freed(server, folder, registry, writer, target)
    return of_mirror > RATIO_WANTED * of_plain


def measure_large(server: Server, folder: Path, registry: ModelRegistry, target: Target, size: int) -> None:
    """Mirror one large model in a process of its own, and print what memory that needs."""
    model = folder / "prediction" / "large.pkl"
    registry.register_model(metadata("large", currency_pair="BIG/ONE"), bytearray(size))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from model_inbox import ModelRegistry\n"
        "from model_inbox.mirror.client import Client\n"
        "from model_inbox.mirror.reconcile import registered\n"
        "from model_inbox.mirror.writer import Target, Writer\n"
        f"registry = ModelRegistry({str(folder / 'registry.json')!r}, {str(folder / 'prediction')!r}, read_only=True)\n"
        f"writer = Writer(Client({server.uri!r}), registry, Target({target.registry_id!r}, 'bench', "
        f"{target.template!r}, 'delete'), Path({str(folder / 'work')!r}))\n"
        # What getrusage calls the largest is that of the parent, before it became another program.
        "peak = lambda: int(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]) // 1024\n"
        "before = peak()\n"
        "writer.apply(next(one for one in registered(registry) if one.model_id == 'large'))\n"
        "print(before, peak())\n"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    before, after = done.stdout.split()[-2:]
    seconds = time.perf_counter() - began
    gib = model.stat().st_size / 2**30
    print(f"a model of {gib:.2f} GiB: {seconds:.0f} s, memory {before} MiB before and {after} MiB at most")


def freed(server: Server, folder: Path, registry: ModelRegistry, writer: Writer, target: Target) -> None:
    """Retire all models, and print what `mlflow gc` frees."""
    del target
    for one in registered(registry):
        if one.entry["aliases"]:
            registry.remove_alias("champion", one.model_id)
        registry.delete_model(one.model_id)
        for version in writer.find(one.model_id):
            writer.delete(version)
    stored = folder / "mlflow" / "stored"
    if not stored.is_dir():
        return
    before = sum(path.stat().st_size for path in stored.rglob("*") if path.is_file())
    gc(server)
    after = sum(path.stat().st_size for path in stored.rglob("*") if path.is_file())
    print(
        f"gc after all were retired (mlflow.retired: delete): {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after"
    )
    print("what is left are the plain client's own versions")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--company", action="store_true")
    parser.add_argument("--large", type=int, default=0, metavar="BYTES")
    arguments = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    with tempfile.TemporaryDirectory(prefix="bench-mirror-") as name, ExitStack() as stack:
        folder = Path(name)
        if arguments.company:
            server = stack.enter_context(company(folder / "mlflow"))
            os.environ |= server.env
        else:
            server = mlflow_on_sqlite(folder / "mlflow")
            stack.callback(server.stop)
            server.start()
        return measure(server, folder, arguments.rounds, arguments.large)


if __name__ == "__main__":
    sys.exit(main())

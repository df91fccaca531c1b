"""Time the registry against its floor: `python benchmarks/registry.py`; exit 1 when a target is missed.

Registers a model of 200 KB with its scaler in registries of 10 to 100,000 models, taken in turn with the least that
a durable registration can do with the same files on the same disk: take their digests, write and sync them, link
them to their names, sync the folder, append one line and sync it. Then queries, follows and opens the largest
registry. strace counts the fsync calls of both. Times are medians; the targets are ratios wherever the disk matters.

The folder must be on a real disk, since on a tmpfs a sync costs nothing. The floor has the pickles ready, as if they
came through the inbox; `register_model` makes them. Everything is removed at the end.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import cloudpickle
import orjson

from model_inbox import ModelMetadata, ModelRegistry

MODEL_BYTES = 200_000
SCALER_BYTES = 2_000
SIZES = (10, 1_000, 10_000, 100_000)
PAIRS = [f"{base}/{quote}" for base in ("EUR", "GBP", "JPY", "CHF", "USD") for quote in ("CAD", "AUD", "NZD", "SEK")]
TYPES = ("lightgbm", "lstm")
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}
FSYNC_RUNS = (5, 25)


# --- what is registered ----------------------------------------------------------------------------------------------


def trained_at(number: int) -> datetime:
    return BEGAN + timedelta(seconds=number)


def metadata(number: int) -> ModelMetadata:
    """Say what a training job knows of its model."""
    return ModelMetadata(
        model_id=f"bench_{number:07d}",
        model_type=TYPES[number % 2],
        currency_pair=PAIRS[number % len(PAIRS)],
        trained_at=trained_at(number),
        version="1.10",
        validation_metrics={f"{days}d": {"rmse": 0.0049, "directional_accuracy": 0.53} for days in (1, 7, 30)},
        min_samples=5843,
        calibration_ok=True,
        features_used=["sma_5", "sma_20", "rsi_14", "vol_10", "lag_1", "lag_7"],
        horizons=[1, 7, 30],
        tags={"run": str(number)},
    )


def objects(number: int) -> tuple[Any, Any]:
    """Return a model and a scaler of the sizes that are meant, no two alike."""
    source = random.Random(number)
    return {"trees": source.randbytes(MODEL_BYTES)}, {"mean": source.randbytes(SCALER_BYTES)}


def filled(folder: Path, count: int) -> Path:
    """Make a registry of `count` models in a folder and return its path.

    The entries are those that a registration writes; the models' files are names of a few files, so that the folder
    is as full as it would be. The registry adopts the JSON file when it is opened first.
    """
    folder.mkdir()
    path = folder / "prediction_registry.json"
    with ModelRegistry(path) as registry:
        sample = dict(registry.register_model(metadata(0), *objects(0)))
    shutil.rmtree(folder)
    storage = folder / "prediction"
    storage.mkdir(parents=True)
    entries: dict[str, Any] = {}
    contents = storage / "contents"
    for number in range(count):
        if number % 20_000 == 0:  # a file system bounds the names of one file
            contents = folder / f"contents-{number}"
            contents.write_bytes(b"contents")
        told = metadata(number)
        model_id = told.model_id
        for end in (".pkl", "_scaler.pkl", ".yaml"):
            os.link(contents, storage / f"{model_id}{end}")
        entries[model_id] = {
            **sample,
            "model_id": model_id,
            "model_type": told.model_type,
            "currency_pair": told.currency_pair,
            "trained_at": trained_at(number).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "model_path": f"prediction/{model_id}.pkl",
            "scaler_path": f"prediction/{model_id}_scaler.pkl",
            "sha256": hashlib.sha256(model_id.encode()).hexdigest(),
            "sequence": number + 1,
            "tags": {"run": str(number)},
        }
    path.write_bytes(orjson.dumps(entries, option=orjson.OPT_INDENT_2))
    ModelRegistry(path).close()
    return path


# --- the floor -------------------------------------------------------------------------------------------------------


class Floor:
    """The least that makes a registration durable: what anybody would have to do with these files on this disk."""

    def __init__(self, folder: Path) -> None:
        self.staging = folder / "staging"
        self.names = folder / "names"
        self.staging.mkdir(parents=True)
        self.names.mkdir()
        self.journal = os.open(folder / "journal", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)

    def register(self, number: int, files: dict[str, bytes], line: bytes) -> None:
        """Digest, write, sync and link each file; sync their folder once; append the line and sync it."""
        for end, data in files.items():
            hashlib.sha256(data).hexdigest()
            staged = self.staging / f"{number}{end}"
            fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o440)
            os.write(fd, data)
            os.fsync(fd)
            os.close(fd)
            os.link(staged, self.names / f"{number}{end}")
        folder = os.open(self.names, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
        os.write(self.journal, line)
        os.fsync(self.journal)
        for end in files:
            os.unlink(self.staging / f"{number}{end}")


def written_by(folder: Path) -> tuple[list[str], bytes]:
    """Return the ends of the names of the files that one registration stores, and the journal line that it writes."""
    with ModelRegistry(folder / "prediction_registry.json") as registry:
        registry.register_model(metadata(1), *objects(1))
        names = sorted(name for name in os.listdir(registry.storage_dir) if name != ".staging")
    journal = (folder / "prediction_registry.journal.jsonl").read_bytes()
    return [name.removeprefix("bench_0000001") for name in names], journal.splitlines(keepends=True)[-1]


def files_of(number: int, ends: list[str]) -> dict[str, bytes]:
    """Return the bytes of the files that a registration of this model stores."""
    model, scaler = objects(number)
    data = {".pkl": cloudpickle.dumps(model), "_scaler.pkl": cloudpickle.dumps(scaler), ".yaml": b"x" * 700}
    return {end: data[end] for end in ends}


# --- measuring -------------------------------------------------------------------------------------------------------


class Results:
    """What was measured and which targets were met."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def target(self, name: str, value: float, most: float, unit: str) -> None:
        """Print a measured value beside the most that it may be."""
        met = value <= most
        print(f"  {name:<58} {value:10.3f} {unit:<3} (at most {most:g})  {'met' if met else 'MISSED'}", flush=True)
        if not met:
            self.missed.append(name)


def timed(work: Callable[[], object], least_seconds: float = 0.001, loops: int = 400) -> float:
    """Return the seconds of one call: the best of many short loops, so that what else runs here counts little."""
    count = 1
    while (seconds := timeit.timeit(work, number=count)) < least_seconds:
        count *= 2
    loops = min(loops, int(3 / seconds) + 3)
    return min(timeit.repeat(work, number=count, repeat=loops)) / count


def registering(results: Results, folder: Path, paths: dict[int, Path], rounds: int) -> None:
    """Register in each registry and do the floor, in turn; compare the medians."""
    ends, line = written_by(folder / "sample")
    # Each round begins with another of them: else one would always bear the cost of the one before it.
    floor = Floor(folder / "floor")
    registries = {size: ModelRegistry(path) for size, path in paths.items()}
    floors: list[float] = []
    times: dict[int, list[float]] = {size: [] for size in registries}
    order: list[int | None] = [None, *registries]
    for registry in registries.values():  # what is done once, whatever comes after
        for number in range(3):
            registry.register_model(metadata(8_000_000 + number), *objects(number))
    for number in range(rounds):
        order = order[1:] + order[:1]
        for size in order:
            told, (model, scaler) = metadata(9_000_000 + number), objects(number)
            files = files_of(number, ends)
            start = time.perf_counter()
            if size is None:
                floor.register(number, files, line)
                floors.append(time.perf_counter() - start)
            else:
                registries[size].register_model(told, model, scaler)
                times[size].append(time.perf_counter() - start)
    for registry in registries.values():
        registry.close()
    least = median(floors)
    print(f"\nregister_model: {MODEL_BYTES // 1000} KB and a scaler ({', '.join(ends)}), {rounds} in turn")
    print(f"  floor {least * 1e3:.3f} ms")
    for size, seconds in times.items():
        print(f"  {size:>7,} models {median(seconds) * 1e3:.3f} ms")
    for size, seconds in times.items():
        results.target(f"register_model at {size:,} over the floor", median(seconds) / least, 2.0, "x")
    sizes = list(times)
    last, first = median(times[sizes[-1]]), median(times[sizes[0]])
    results.target(f"register_model at {sizes[-1]:,} over that at {sizes[0]:,}", last / first, 1.15, "x")


def querying(results: Results, path: Path) -> None:
    """Ask a registry that has been asked before, and let it follow another handle's registrations."""
    reader = ModelRegistry(path, read_only=True)
    count = len(reader.list_models())
    pair, kind = PAIRS[0], TYPES[0]
    some_id = metadata(count // 2).model_id
    assert reader.get_model(pair, kind) is not None
    assert reader.get_model_info(some_id) is not None
    with open(reader.registry_path, "rb") as file:  # noqa: PTH123  # a text, not a path
        look = timed(lambda: os.fstat(file.fileno())) * 1e6
    print(f"\nwarm, {count:,} models (one fstat, which every query makes, is {look:.3f} us here and now)")
    results.target("get_model", timed(lambda: reader.get_model(pair, kind)) * 1e6, 10, "us")
    results.target("get_model_info", timed(lambda: reader.get_model_info(some_id)) * 1e6, 2, "us")
    results.target("list_models, an entry", timed(reader.list_models) * 1e6 / count, 2, "us")
    one_group = len(reader.list_models(pair, kind))
    each = timed(lambda: reader.list_models(pair, kind)) * 1e6 / one_group
    results.target(f"list_models of one pair and type ({one_group:,}), an entry", each, 2, "us")

    searching(results, reader)

    # Another process registers: nothing is shared with it but the files.
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from registry import ModelRegistry, metadata, objects\n"
        "registry = ModelRegistry(sys.argv[2])\n"
        "print('ready', flush=True)\n"
        "for line in sys.stdin:\n"
        "    registry.register_model(metadata(int(line)), *objects(int(line)))\n"
        "    print('done', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        noticed: list[float] = []
        for number in range(8_500_000, 8_500_050):
            told = metadata(number)
            other.stdin.write(f"{number}\n")
            assert other.stdout.readline() == "done\n"
            start = time.perf_counter()
            found = reader.get_model(told.currency_pair, told.model_type)
            noticed.append(time.perf_counter() - start)
            assert found is not None
            assert reader.get_model_info(told.model_id) is not None, "the new model was not noticed"
        other.stdin.close()
    results.target("noticing a new model of another process", median(noticed) * 1e3, 1, "ms")
    reader.close()


CONDITIONS = (
    "1d.rmse<0.005",
    "7d.directional_accuracy>=0.6",
    "1d.sharpe missing",
    "trained_at>2025-01-01T12:00:00Z",
    "tags.run!=17",
    "min_samples>5000",
    "calibration_ok=true",
    "features=lag_7",
    "pair=EUR/CAD",
)


def searching(results: Results, reader: ModelRegistry) -> None:
    """Evaluate one condition of each kind for every entry, and all at once; the list itself is not counted."""
    listed = timed(reader.list_models)
    count = len(reader.list_models())
    for condition in CONDITIONS:
        each = (timed(lambda where=condition: reader.search(where)) - listed) * 1e6 / count  # type: ignore[misc]  # a default
        results.target(f"search: {condition}, an entry", each, 0.5, "us")
    together = [condition for condition in CONDITIONS if "=" not in condition.replace(">=", "").replace("!=", "")]
    every = (timed(lambda: reader.search(together)) - listed) * 1e6 / count / len(together)
    results.target(f"search: {len(together)} conditions, an entry and condition", every, 0.5, "us")


def opening(results: Results, path: Path, rounds: int) -> None:
    """Open the registry and parse its file, in turn: with the parser that we use, and with Python's own."""
    size = path.stat().st_size
    opened, parsed, plain = [], [], []
    for _ in range(rounds):
        gc.collect()
        start = time.perf_counter()
        registry = ModelRegistry(path, read_only=True)
        opened.append(time.perf_counter() - start)
        registry.close()
        del registry
        gc.collect()
        start = time.perf_counter()
        value = orjson.loads(path.read_bytes())
        parsed.append(time.perf_counter() - start)
        del value
        gc.collect()
        start = time.perf_counter()
        with path.open("rb") as file:
            value = json.load(file)
        plain.append(time.perf_counter() - start)
        del value
    print(f"\nopening, {size / 1e6:.0f} MB")
    print(f"  open {median(opened):.3f} s, orjson.loads {median(parsed):.3f} s, json.load {median(plain):.3f} s")
    results.target("opening over parsing with orjson", median(opened) / median(parsed), 1.5, "x")
    results.target("opening over parsing with json", median(opened) / median(plain), 1.5, "x")


# --- fsync -----------------------------------------------------------------------------------------------------------


def counting(folder: Path) -> None:
    """Print how many fsync calls one registration makes, and the floor's, as strace sees them."""
    print("\nfsync calls of one registration, counted by strace")
    if shutil.which("strace") is None:
        print("  not counted: there is no strace here (on Debian or Ubuntu: sudo apt-get install strace)")
        return
    for what in ("floor", "registry"):
        counts = [_syncs(what, folder / f"count-{what}-{runs}", runs) for runs in FSYNC_RUNS]
        each = (counts[1] - counts[0]) / (FSYNC_RUNS[1] - FSYNC_RUNS[0])
        print(f"  {what:<10} {each:g}")


def _syncs(what: str, folder: Path, runs: int) -> int:
    """Return how often a process that registers `runs` models syncs anything."""
    folder.mkdir()
    trace = folder / "trace"
    calls = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"
    command = [sys.executable, __file__, "--only", what, "--rounds", str(runs), "--folder", str(folder)]
    subprocess.run(["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", str(trace), *command], check=True)
    return sum("sync" in line for line in trace.read_text().splitlines())


def only(what: str, folder: Path, rounds: int) -> None:
    """Register so many models and nothing else: what strace looks at."""
    if what == "registry":
        with ModelRegistry(folder / "prediction_registry.json") as registry:
            for number in range(rounds):
                registry.register_model(metadata(number), *objects(number))
        return
    floor = Floor(folder / "floor")
    for number in range(rounds):
        floor.register(number, files_of(number, [".pkl", "_scaler.pkl", ".yaml"]), b"x" * 1500 + b"\n")


# --- the run ---------------------------------------------------------------------------------------------------------


def file_system_of(folder: Path) -> str:
    """Return the kind of file system that a folder is on."""
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> int:
    """Measure everything and return whether each target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="on the disk to measure; the current one by default"
    )
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="models in the registries, rising")
    parser.add_argument("--rounds", type=int, default=100, help="registrations in each registry")
    parser.add_argument("--only", choices=("floor", "registry"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        only(options.only, options.folder, options.rounds)
        return 0
    kind = file_system_of(options.folder)
    if kind in MEMORY_FILE_SYSTEMS:
        print(f"cannot measure on {kind}: it syncs nothing. Give --folder on a real disk.", file=sys.stderr)
        return 2
    results = Results()
    with tempfile.TemporaryDirectory(prefix="bench-registry-", dir=options.folder) as name:
        folder = Path(name).absolute()
        print(f"on {kind}, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
        (folder / "sample").mkdir()
        sizes = [int(size) for size in options.sizes.split(",")]
        paths = {size: filled(folder / str(size), size) for size in sizes}
        os.sync()  # what was made to prepare is not to be paid for by the first sync that is measured
        registering(results, folder, paths, options.rounds)
        counting(folder)
        querying(results, paths[sizes[-1]])
        opening(results, paths[sizes[-1]], 5)
    print(f"\n{'missed: ' + '; '.join(results.missed) if results.missed else 'every target is met'}")
    return 1 if results.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())

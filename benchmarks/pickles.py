"""How fast a scan is, beside work that cannot be done without: a digest of the same file, a load of the same pickle.

    python benchmarks/pickles.py [--megabytes 500] [--objects 2000000] [--rounds 3]

Prints for each file the best time of the scan (in its worker, as the daemon scans), the best time of what it is
measured by, their ratio, and the most memory that the worker took. Two promises are held: an array is scanned at the
speed of its digest, two million small objects in at most three times what `pickle.load` takes for them. Ratios, because
two machines are never equally fast. Exit status 1 where a promise is not kept. The other rows are for comparison. Needs
no framework: arrays are written by hand, as numpy writes them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import pickle
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in ("daemon", "tests")]

from model_inbox.pickles import Allowlist, Scanner  # noqa: E402 - as above
from support import pickle_builders as build  # noqa: E402 - found by the line above

ARRAY_RATIO_MAX = 1.0
OBJECTS_RATIO_MAX = 3.0
_PIECE = bytes(range(256)) * 4096


def write_array(path: Path, megabytes: int, kind: str) -> None:
    """Write an array of so many MB as numpy ("plain") or joblib ("joblib") writes it."""
    size = megabytes << 20
    if kind == "plain":
        made = build.called(
            build.named("numpy._core.multiarray", "_reconstruct"),
            build.named("numpy", "ndarray"),
            build.value((0,)),
            build.data(b"b"),
        )
        state = b"(" + build.value(1) + build.value((size // 8,)) + build.dtype() + b"\x89"
        head, tail = build.PROTO[4] + made + state + b"\x8e" + struct.pack("<Q", size), b"tb."
    else:
        opcodes = build.joblib_array(b"", (size // 8,))
        head, tail = build.PROTO[4] + opcodes, b"."
    with path.open("wb") as file:
        file.write(head)
        for _ in range(size // len(_PIECE)):
            file.write(_PIECE)
        file.write(tail)


def objects(count: int) -> Iterator[tuple[str, Any]]:
    """Yield `count` small objects of several makes."""
    yield "lists in tuples", [(number, [number]) for number in range(count // 2)]
    yield "dictionaries", [{"a": number} for number in range(count)]
    yield "text", [f"s{number}" for number in range(count)]
    yield "calls of a class", [dt.timedelta(number % 1000) for number in range(count)]


def digest(path: Path) -> None:
    """Do what a registration does anyway."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def load(path: Path) -> None:
    """Load with C's unpickler, from the file."""
    with path.open("rb") as file:
        pickle.load(file)


def best(work: Callable[[], object], rounds: int) -> float:
    """Return the seconds of the quickest round."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def measured(name: str, path: Path, measure: Callable[[Path], None], rounds: int, most: float | None) -> bool:
    """Print a row; return whether its promise is kept."""
    with Scanner(Allowlist.load(), memory_limit=8 << 30, time_limit=600) as scanner:

        def scan() -> None:
            report = scanner.scan(path)
            assert report.accepted, report.problems

        scan()
        peak = int(
            next(
                line.split()[1]
                for line in Path(f"/proc/{scanner.worker_pid}/status").read_text().splitlines()
                if line.startswith("VmHWM")
            )
        ) if scanner.worker_pid is not None else 0  # fmt: skip
        seconds, measure_seconds = best(scan, rounds), best(lambda: measure(path), rounds)
    ratio = seconds / measure_seconds
    kept = most is None or ratio <= most
    verdict = "" if most is None else f"  at most {most:g}: {'kept' if kept else 'NOT KEPT'}"
    memory = f"{peak / 1024:.0f} MB" if peak else "(replaced)"
    print(
        f"{name:40} {path.stat().st_size >> 20:5} MB  scan {seconds:7.3f} s  {measure.__name__:6} "
        f"{measure_seconds:7.3f} s  ratio {ratio:5.2f}  worker {memory}{verdict}",
        flush=True,
    )
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--objects", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    kept = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        for kind in ("plain", "joblib"):
            write_array(path, options.megabytes, kind)
            kept.append(measured(f"an array, {kind}", path, digest, options.rounds, ARRAY_RATIO_MAX))
        for name, values in objects(options.objects):
            for protocol in (4, 2):
                path.write_bytes(pickle.dumps(values, protocol))
                most = OBJECTS_RATIO_MAX if protocol == 4 else None
                kept.append(measured(f"{name}, protocol {protocol}", path, load, options.rounds, most))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())

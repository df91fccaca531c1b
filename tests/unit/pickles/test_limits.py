"""The worker under hard limits of its surroundings: they are kept, and what they cause is never the file's fault."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support import pickle_builders as build
from support.limits import give_to_plain_user, under

SCAN = """
import json, sys
from model_inbox.errors import ModelInboxError
from model_inbox.pickles import Allowlist, Scanner
from model_inbox.pickles.process import scanner as module

memory_limit, module.CPU_FLOOR_SECONDS = int(sys.argv[1]), int(sys.argv[2])
with Scanner(Allowlist.load(["builtins"]), memory_limit=memory_limit, time_limit=50) as scanner:
    for path in sys.argv[3:]:
        try:
            said = [problem.code for problem in scanner.scan(path).problems]
        except ModelInboxError as error:
            said = f"{type(error).__name__}: {error}"
        print(json.dumps(said), flush=True)
"""

GIB = 1 << 30
NO_MODEL = build.pickled(build.named("os", "system"))


def scanned(
    folder: Path,
    *files: bytes,
    limits: Mapping[int, int],
    memory_limit: int = 2 * GIB,
    cpu_seconds: int = 5,
) -> list[Any]:
    """Scan files in a process under hard limits; return for each the codes of its problems, or the error in words.

    A small file may take `cpu_seconds`; the limit of wall-clock time is far from all, as this machine may be busy.
    """
    paths = []
    for number, data in enumerate(files):
        paths.append(folder / f"{number}.pkl")
        paths[-1].write_bytes(data)
    give_to_plain_user(folder)
    done = subprocess.run(
        [sys.executable, "-c", SCAN, str(memory_limit), str(cpu_seconds), *map(str, paths)],
        preexec_fn=under(limits),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def memory_eater(size: int) -> bytes:
    """Return a pickle of a few bytes whose scan takes about `size` bytes of memory, and no more."""
    return build.pickled(b"N", b"r" + (size // 16).to_bytes(4, "little"))


def colliding(count: int) -> bytes:
    """Return a pickle of integers that all have one hash: its scan takes seconds of CPU time."""
    modulus = (1 << 61) - 1
    keys = b"".join(b"\x8a\x0b" + (i * modulus).to_bytes(11, "little") + b"N" for i in range(1, count))
    return build.pickled(b"}(", keys, b"u")


FINITE = {
    "as": {resource.RLIMIT_AS: 100 * GIB},
    "cpu": {resource.RLIMIT_CPU: 36_000},
    "nofile": {resource.RLIMIT_NOFILE: 12},
    "nproc": {resource.RLIMIT_NPROC: 40},
    "fsize": {resource.RLIMIT_FSIZE: 0},
    "core": {resource.RLIMIT_CORE: 0},
    "data": {resource.RLIMIT_DATA: 10 * GIB},
    "stack": {resource.RLIMIT_STACK: 8 << 20},
    "small stack": {resource.RLIMIT_STACK: 512 << 10},
    "a batch job's": {
        resource.RLIMIT_AS: 4 * GIB,
        resource.RLIMIT_CPU: 3_600,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_DATA: 4 * GIB,
        resource.RLIMIT_STACK: 8 << 20,
        resource.RLIMIT_FSIZE: GIB,
    },
}


@pytest.mark.parametrize("limits", FINITE.values(), ids=FINITE.keys())
def test_hard_limits_cost_no_honest_file_anything(tmp_path: Path, limits: Mapping[int, int]) -> None:
    """Under each finite hard limit honest files are accepted, and hostile ones refused for what they are."""
    good = pickle.dumps({"a": 1})
    assert scanned(tmp_path, good, NO_MODEL, good, limits=limits) == [[], ["artifact.never_allowed"], []]


def test_our_own_limits_hold_below_higher_hard_limits(tmp_path: Path) -> None:
    """Memory, CPU time and stack that a file takes beyond our limits cost it, below whatever hard limits."""
    nested = build.pickled(b"}N", b"\x85" * 2_000_000, b"Ns")
    limits = {resource.RLIMIT_AS: 100 * GIB, resource.RLIMIT_CPU: 3_600, resource.RLIMIT_STACK: 8 << 20}
    files = (memory_eater(1 << 29), colliding(90_000), nested, pickle.dumps(1))
    found = scanned(tmp_path, *files, limits=limits, cpu_seconds=1)
    assert found == [["artifact.scan_limits"]] * 3 + [[]]


@pytest.mark.parametrize("which", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_file_that_meets_a_hard_limit_of_memory_is_not_refused_for_it(tmp_path: Path, which: str) -> None:
    """What ours would have allowed fails under a lower hard limit: an error that names it, and no fault of the file."""
    size = 200 << 20
    # 64 bytes of memory are allowed for each byte of a file, and 256 MiB for a load: this one may take what it does.
    honest = build.pickled(b"N", b"r" + (size // 16).to_bytes(4, "little"), b"X", (8 << 20).to_bytes(4, "little"))
    honest = honest[:-1] + bytes(8 << 20) + b"0" + honest[-1:]
    assert scanned(tmp_path, honest, limits={}) == [[]]
    (said, after) = scanned(tmp_path, honest, pickle.dumps(1), limits={getattr(resource, which): 180 << 20})
    assert said.startswith(f"ScanError: cannot scan the file under the hard limit {which} of 180 MiB"), said
    assert "pickle.memory_limit" in said
    assert after == []
    assert scanned(tmp_path, honest, limits={getattr(resource, which): 180 << 20}, memory_limit=100 << 20) == [
        ["artifact.scan_limits"]
    ]


def test_a_worker_that_has_used_up_a_hard_limit_of_cpu_time_is_replaced(tmp_path: Path) -> None:
    """CPU time is counted for the life of a process: a worker ends in time, and no file pays for those before it."""
    files = [colliding(10_000)] * 12
    assert scanned(tmp_path, *files, limits={resource.RLIMIT_CPU: 4}, cpu_seconds=1) == [[]] * 12


def test_a_file_that_meets_a_hard_limit_of_cpu_time_is_not_refused_for_it(tmp_path: Path) -> None:
    """A hard limit below ours ends the worker: an error that names it, and the next file is scanned."""
    said, after = scanned(tmp_path, colliding(90_000), pickle.dumps(1), limits={resource.RLIMIT_CPU: 3})
    assert said.startswith("ScanError: cannot scan the file under the hard limit RLIMIT_CPU of 3 s"), said
    assert after == []


@pytest.mark.parametrize(
    ("limits", "words"),
    [({resource.RLIMIT_NPROC: 0}, "Resource temporarily unavailable"), ({resource.RLIMIT_NOFILE: 7}, "open files")],
    ids=["nproc", "nofile"],
)
def test_a_worker_that_cannot_start_is_an_error_that_says_why(
    tmp_path: Path, limits: Mapping[int, int], words: str
) -> None:
    """Without a process or a descriptor to have there is no report, and no fault of the file."""
    (said,) = scanned(tmp_path, pickle.dumps(1), limits=limits)
    assert said.startswith("ScanError: cannot start the worker that scans pickles"), said
    assert words in said

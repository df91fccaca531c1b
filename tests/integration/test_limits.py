"""The daemon and `model-inbox check` of an ordinary user under hard limits, as a batch system or LimitAS= sets them."""

from __future__ import annotations

import json
import pickle
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support import pickle_builders as build
from support.limits import give_to_plain_user, under

PROGRAM = [sys.executable, "-I", "-m", "model_inbox"]
PATIENCE_SECONDS = 60.0
MIB = 1 << 20

# `ulimit -v 100000000 -t 36000 -f 1000000 -u 64` and the like.
BATCH_JOB = {
    resource.RLIMIT_AS: 100_000_000 << 10,
    resource.RLIMIT_DATA: 100_000_000 << 10,
    resource.RLIMIT_CPU: 36_000,
    resource.RLIMIT_FSIZE: 1 << 30,
    resource.RLIMIT_NPROC: 64,
    resource.RLIMIT_NOFILE: 128,
    resource.RLIMIT_STACK: 8 * MIB,
    resource.RLIMIT_CORE: 0,
}
LITTLE_MEMORY = {resource.RLIMIT_AS: 500 * MIB}

SIDECAR = """model_type: lightgbm
currency_pair: USD/EUR
trained_at: 2025-10-25T12:00:00Z
version: 1.10
validation_metrics: {rmse: 0.1}
min_samples: 10
calibration_ok: true
features_used: [a, b]
horizons: [1]
...
"""

HONEST = pickle.dumps({"a": 1})
HOSTILE = build.pickled(build.named("os", "system"))
# Needs 600 MiB of memory to be scanned; a file of its size may take 776.
LARGE = build.pickled(
    b"X" + (8 * MIB).to_bytes(4, "little") + bytes(8 * MIB) + b"0N", b"r" + (600 * MIB // 16).to_bytes(4, "little")
)


class Program:
    """`model-inbox` in a folder, under hard limits."""

    def __init__(self, folder: Path, limits: Mapping[int, int]) -> None:
        self.folder = folder
        self.limits = limits
        (folder / "config.yaml").write_text("inbox: {settle_seconds: 50ms}\npickle: {load_budget: 1GiB}\n")
        give_to_plain_user(folder)

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*PROGRAM, *words],
            cwd=self.folder,
            preexec_fn=under(self.limits),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    @contextmanager
    def daemon(self) -> Iterator[Callable[[str, str], dict[str, Any]]]:
        """Run the daemon; give a function that waits for an event of a stem and returns its line."""
        log = self.folder / "daemon.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [*PROGRAM, "run", "--json"], cwd=self.folder, preexec_fn=under(self.limits), stderr=stderr
            )

        def wait_for(event: str, stem: str = "") -> dict[str, Any]:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline:
                for text in log.read_text().splitlines(keepends=True):
                    line = json.loads(text) if text.endswith("\n") else {}
                    if line.get("event") == event and line.get("stem", "") == stem:
                        return dict(line)
                assert process.poll() is None, log.read_text()
                select.select([], [], [], 0.05)
            raise AssertionError(f"no {event} of {stem!r} in {log.read_text()}")

        try:
            wait_for("daemon.ready")
            yield wait_for
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0

    def put(self, stem: str, data: bytes) -> None:
        """Put a model with its sidecar into the inbox, each as a whole file that is its owner's already."""
        made = self.folder / "made"
        made.mkdir(exist_ok=True)
        (made / f"{stem}.pkl").write_bytes(data)
        (made / f"{stem}.yaml").write_text(SIDECAR)
        give_to_plain_user(made)
        for name in (f"{stem}.pkl", f"{stem}.yaml"):
            (made / name).rename(self.folder / "inbox" / name)


def until(is_so: Callable[[], bool]) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.05)


def deferral_causes(status: str) -> list[str]:
    return [drop["cause"] for drop in json.loads(status)["deferred_drops"]]


def test_a_daemon_under_hard_limits_takes_honest_drops_and_refuses_others(tmp_path: Path) -> None:
    """Finite hard limits of everything change nothing: they are kept, and no file pays for them."""
    program = Program(tmp_path, BATCH_JOB)
    with program.daemon() as wait_for:
        program.put("good", HONEST)
        wait_for("drop.registered", "good")
        program.put("bad", HOSTILE)
        assert "the pickle names 'os.system'" in wait_for("drop.rejected", "bad")["problems"][0]


def test_check_under_hard_limits_says_what_it_says_without_them(tmp_path: Path) -> None:
    """Outside of the daemon, too: accepted is 0, refused 1."""
    program = Program(tmp_path, BATCH_JOB)
    (tmp_path / "good.pkl").write_bytes(HONEST)
    (tmp_path / "bad.pkl").write_bytes(HOSTILE)
    assert [program.call("check", name).returncode for name in ("good.pkl", "bad.pkl")] == [0, 1]


def test_a_model_that_a_hard_limit_keeps_from_its_scan_is_deferred_and_everybody_is_told(tmp_path: Path) -> None:
    """Log, status and explanation name the limit and where it comes from; other drops go on; `check` exits 75."""
    program = Program(tmp_path, LITTLE_MEMORY)
    (tmp_path / "large.pkl").write_bytes(LARGE)
    checked = program.call("check", "large.pkl")
    assert checked.returncode == 75
    assert "hard limit RLIMIT_AS of 500 MiB" in checked.stderr
    with program.daemon() as wait_for:
        program.put("large", LARGE)
        cause = wait_for("drop.deferred", "large")["cause"]
        assert cause.startswith("cannot scan the file under the hard limit RLIMIT_AS of 500 MiB")
        assert "LimitAS= of the unit" in cause
        program.put("good", HONEST)
        wait_for("drop.registered", "good")
        # Both are also asked while it is being tried again.
        until(lambda: cause in deferral_causes(program.call("status", "--json").stdout))
        words = "hard limit RLIMIT_AS of 500 MiB"
        until(lambda: words in " ".join(program.call("inbox", "explain", "large.pkl").stdout.split()))
    assert not list((tmp_path / "inbox" / "rejected").iterdir())
    without = Program(tmp_path, {})
    with without.daemon() as wait_for:
        wait_for("drop.registered", "large")


@pytest.mark.parametrize("which", ["RLIMIT_NPROC", "RLIMIT_NOFILE"])
def test_check_without_a_worker_says_that_it_has_none(tmp_path: Path, which: str) -> None:
    """Where no process or descriptor is to be had, the file is not judged: exit 75, with the reason."""
    program = Program(tmp_path, {getattr(resource, which): {"RLIMIT_NPROC": 0, "RLIMIT_NOFILE": 7}[which]})
    (tmp_path / "good.pkl").write_bytes(HONEST)
    checked = program.call("check", "good.pkl", "--json")
    assert checked.returncode == 75, checked.stderr
    assert json.loads(checked.stdout)["error"]["code"] == "scan.failed"
    assert "cannot start the worker" in checked.stderr

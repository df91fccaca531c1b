"""Modules of other people, on PYTHONPATH and in the current folder, are never taken for ours."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.places import ROOT
from support.world import sidecar

PATIENCE_SECONDS = 60.0

FOREIGN = ("yaml", "click", "json", "pickle", "structlog", "pydantic", "watchdog", "gc", "sitecustomize", "model_inbox")


@pytest.fixture(name="planted")
def _planted(tmp_path: Path) -> Path:
    """Return a folder with modules that leave a trace when they are imported, and end the program."""
    for name in FOREIGN:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write({name + chr(10)!r})\nraise SystemExit('foreign {name}')\n"
        )
    return tmp_path


def environment(planted: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(planted)}


def test_the_planted_modules_do_end_a_python_that_is_not_isolated(planted: Path) -> None:
    """What the other tests plant works: without -I the program does not get far."""
    done = subprocess.run(
        [sys.executable, "-m", "model_inbox", "--version"], cwd=planted, env=environment(planted), capture_output=True
    )
    assert done.returncode != 0
    assert (planted / "imported").read_text() != ""


def test_a_module_start_with_isolation_takes_none_of_them(planted: Path) -> None:
    """`python -I -m model_inbox` works in such a folder."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "model_inbox", "config", "show"],
        cwd=planted,
        env=environment(planted),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (planted / "imported").exists()


def test_make_run_and_its_worker_take_none_of_them(planted: Path) -> None:
    """`make run` starts, its worker scans a drop, and it is registered."""
    (planted / "config.yaml").write_text("inbox: {settle_seconds: 50ms}\n")
    log = planted / "daemon.log"
    with log.open("wb") as stderr:
        # The environment is that of the tests: `-o env` says that it is as it should be.
        make = subprocess.Popen(
            ["make", "-f", str(ROOT / "Makefile"), "-o", "env", "run", f"VENV={sys.prefix}", "CONFIG=config.yaml"],
            cwd=planted,
            env=environment(planted),
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        wait_for(log, make, "daemon.ready")
        (planted / "inbox" / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
        (planted / "inbox" / "m.yaml").write_bytes(sidecar())
        wait_for(log, make, "drop.registered")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(make.pid, signal.SIGTERM)
        make.wait(PATIENCE_SECONDS)
    assert not (planted / "imported").exists()


def test_the_unit_starts_the_command_that_the_installation_isolates() -> None:
    """Each command of the unit is the installed one, and what installs it writes -I into its first line."""
    unit = (ROOT / "systemd" / "model-inbox.service").read_text()
    commands = re.findall(r"(?m)^Exec\w+=(\S+)", unit)
    assert commands == ["/opt/model-inbox/bin/model-inbox"] * 2
    assert """printf '#!%s/bin/python -I\\n""" in (ROOT / "tools" / "install.sh").read_text()


def wait_for(log: Path, process: subprocess.Popen[bytes], event: str) -> None:
    """Wait until the log has a line of that event."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        lines = [
            line for line in log.read_text().splitlines(keepends=True) if line.startswith("{") and line[-1] == "\n"
        ]
        if event in [json.loads(line)["event"] for line in lines]:
            return
        assert process.poll() is None, log.read_text()
        select.select([], [], [], 0.05)
    raise AssertionError(f"no {event} in {log.read_text()}")

"""A drop with which a real daemon dies, or runs out of memory, costs itself: the others are taken."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.waiting import wait_until
from support.world import World

# What each place is: the function that is wrapped, and how it is told that it works on the deadly drop.
PLACES = {
    "parsing its sidecar in the inbox": ("model_inbox.inbox.folder", "parse_sidecar", "options['stem'] == 'deadly'"),
    "judging its claim": ("model_inbox.inbox.validation", "Judge.begin", "args[1].stem == 'deadly'"),
    "committing its batch": (
        "model_inbox.registry.registration",
        "_place_and_commit",
        "any(one.fields['model_id'] == 'deadly' for one in args[3])",
    ),
}
ENDS = {
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGSEGV": "os.kill(os.getpid(), signal.SIGSEGV)",
    "MemoryError": "raise MemoryError",
}
# A daemon as `run` runs it, with one function that fails on one drop.
PROGRAM = """
import faulthandler, importlib, os, signal, sys
from pathlib import Path
from model_inbox.config.load import load_config
from model_inbox.service import loop
where, name = importlib.import_module({module!r}), {name!r}
owner = where
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
real = getattr(owner, last)
def deadly(*args, **options):
    if {condition}:
        {end}
    return real(*args, **options)
setattr(owner, last, deadly)
loop.run(load_config(Path(sys.argv[1]), env=dict(), cwd=Path.cwd()))
"""


class Supervisor:
    """Starts the daemon again when it dies, as systemd does, until it lives on."""

    def __init__(self, world: World, program: str) -> None:
        self.world = world
        self._program = program
        self.ends: list[int] = []
        self._start()

    def _start(self) -> None:
        with self.world.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self._program, str(self.world.config_path)],
                cwd=self.world.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def look(self) -> None:
        code = self.process.poll()
        if code is not None:
            self.ends.append(code)
            assert len(self.ends) < 5, self.world.log_path.read_text()[-3000:]
            self._start()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.mark.parametrize(
    ("place", "end"),
    [
        ("parsing its sidecar in the inbox", "SIGKILL"),
        ("parsing its sidecar in the inbox", "MemoryError"),
        ("judging its claim", "SIGSEGV"),
        ("judging its claim", "MemoryError"),
        ("committing its batch", "SIGKILL"),
        ("committing its batch", "MemoryError"),
    ],
)
def test_a_deadly_drop_costs_itself(memory_folder: Path, place: str, end: str) -> None:
    """After two deaths, or two exceptions, it is rejected with drop.unexpected; the drops beside it are registered.

    A death in the commit of several drops does not count: it only has each of them tried alone.
    """
    module, name, condition = PLACES[place]
    world = World(memory_folder)
    for stem in ("a", "deadly", "z"):
        world.put(stem)
    dies = end.startswith("SIG")
    supervisor = Supervisor(world, PROGRAM.format(module=module, name=name, condition=condition, end=ENDS[end]))
    try:
        wait_until(lambda: supervisor.look() or all(world.receipt(stem) for stem in ("a", "deadly", "z")), None, 60)
        world.put("later")
        wait_until(lambda: supervisor.look() or world.receipt("later"), None, 30)
    finally:
        code = supervisor.stop()
    assert code == 0
    deaths = 3 if place == "committing its batch" else 2
    assert supervisor.ends == ([-getattr(signal, end)] * deaths if dies else [])
    outcomes = {stem: told(world, stem)["outcome"] for stem in ("a", "deadly", "later", "z")}
    assert outcomes == {"a": "registered", "deadly": "rejected", "later": "registered", "z": "registered"}
    (problem,) = told(world, "deadly")["problems"]
    assert problem["code"] == "drop.unexpected"
    cause = "killed by a signal, or out of memory" if dies else "MemoryError"
    assert problem["message"].startswith("2 attempts to process it failed")
    assert cause in problem["message"]
    assert (world.left(), world.in_hand()) == ([], [])


def told(world: World, stem: str) -> dict[str, Any]:
    receipt = world.receipt(stem)
    assert receipt is not None
    return receipt

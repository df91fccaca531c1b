"""How far one drop walks through the sources: who wants to follow it has to make each of these moves in the mind.

A move is a call from a function of one file of the package into a function of another. What lies between them in the
library, or in what dataclasses make, hides none. Calls within a file do not count, and neither do those into or out of
the files that everybody uses like a language: problems, the disk with its copies, the log, YAML, units.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import structlog

from model_inbox.registry.paths import status_paths
from model_inbox.service.loop import machine_of
from model_inbox.service.service import Service
from model_inbox.telemetry.status_file import Publisher
from model_inbox.telemetry.watchdog import Heartbeat
from support.world import World

MOVES_MAX = 110
"""How many moves a good drop with a scaler may make. The number may only become less."""

NOT_COUNTED = (
    "problems",
    "base.disk",
    "base.copying",
    "base.log",
    "base.strict_yaml",
    "base.yaml_numbers",
    "base.units",
)


def module_of(frame: FrameType) -> str | None:
    """Return the module of the package that a function belongs to, None for the functions of others."""
    name = str(frame.f_globals.get("__name__"))
    return name.removeprefix("model_inbox.") if name.startswith("model_inbox.") else None


def is_counted(module: str) -> bool:
    return not any(module == name or module.startswith(f"{name}.") for name in NOT_COUNTED)


@contextmanager
def counting(moves: list[str]) -> Iterator[None]:
    """Note every move that is made in the block, in the order of the walk."""

    def look(frame: FrameType, event: str, _: Any) -> None:
        there = module_of(frame) if event == "call" else None
        if there is None:
            return
        caller = frame.f_back
        while caller is not None and module_of(caller) is None:
            caller = caller.f_back
        here = module_of(caller) if caller is not None else None
        if caller is not None and here is not None and here != there and is_counted(here) and is_counted(there):
            moves.append(f"{here} {caller.f_code.co_qualname} -> {there} {frame.f_code.co_qualname}")

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.fixture(name="walk")
def _walk(memory_folder: Path) -> list[str]:
    """The moves of one good drop with a scaler, from the look that finds it to the look's end.

    The parts are those that `run` puts together, but that no time passes: on a slow machine a status would come due in
    the middle of the walk. Lines of the log end where they begin.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    world = World(memory_folder)
    config = world.config
    publisher = Publisher(status_paths(config.registry.path, config.inbox.path))
    heartbeat = Heartbeat()
    machine = dataclasses.replace(machine_of(heartbeat), monotonic=lambda: 0.0)
    service = Service(config, machine, heartbeat=heartbeat, publisher=publisher)
    moves: list[str] = []
    try:
        service.start()
        service.step("start")
        service.run_maintenance()
        service.begin_serving()
        world.put("m", {"v": 1}, scaler=[1])
        with counting(moves):
            service.step("hint")
    finally:
        service.close()
        structlog.reset_defaults()
    receipt = world.receipt("m")
    assert receipt is not None and receipt["outcome"] == "registered"
    return moves


def test_a_good_drop_does_not_walk_far(walk: list[str]) -> None:
    """No more moves than MOVES_MAX, else they are shown."""
    shown = "\n".join(walk)
    assert len(walk) <= MOVES_MAX, f"{len(walk)} moves, more than {MOVES_MAX}:\n{shown}"


def test_the_count_sees_through_what_lies_between(walk: list[str]) -> None:
    """Neither a library's frame (a context manager's) nor a made `__init__` hides a move; the disk makes none."""
    assert "registry.registration register_staged -> registry.store Store.writing" in walk
    assert any(move.startswith("registry.registration _draft -> registry.journal ") for move in walk)
    assert not [move for move in walk if "base.disk" in move]

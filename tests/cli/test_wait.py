"""`wait` waits for the answer to a drop that somebody brought, and exits as `drop --wait` does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner

from model_inbox.cli import root
from support.world import World


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    (world.inbox / "receipts").mkdir(parents=True)
    yield world
    structlog.reset_defaults()


def waited(world: World, drop: str, *words: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(root, ["--config", str(world.config_path), "wait", drop, *words, "--json"])
    # Before it are lines of the service's log, which another thread writes.
    return done.exit_code, json.loads(done.stdout[done.stdout.index('{\n  "outcome"') :])


def waited_while(world: World, drop: str, what: Callable[[], object]) -> tuple[int, dict[str, Any]]:
    """Wait in this thread for what another does."""
    thread = threading.Timer(0.1, what)
    thread.start()
    try:
        return waited(world, drop, "--timeout", "30s")
    finally:
        thread.join()


def served(world: World) -> None:
    with world.running() as service:
        world.live_on(service, 1)


@pytest.mark.parametrize("drop", ["m", "m.yaml", "m.pkl", "m_scaler.pkl", "inbox/m.pkl"])
def test_a_drop_is_named_by_its_stem_or_any_of_its_files(world: World, drop: str) -> None:
    """The answer that comes is the one to this drop: registered, exit 0."""
    world.put("m")
    status, result = waited_while(world, drop, lambda: served(world))
    assert (status, result["outcome"], result["model_id"]) == (0, "registered", "m")


def test_the_answer_decides_the_status(world: World) -> None:
    """Registered and the same again are 0; rejected, and the same bytes with other metadata, are 1."""
    for fields, expected in (
        ({}, (0, "registered")),
        ({}, (0, "duplicate")),
        ({"version": "2"}, (1, "duplicate")),
        ({"horizons": [0]}, (1, "rejected")),
    ):
        world.put("m", **fields)
        status, result = waited_while(world, "m", lambda: served(world))
        assert (status, result["outcome"]) == expected
        # It was answered by now, and nothing of it is in work: the answer is said at once.
        assert waited(world, "m", "--timeout", "1ms") == (status, result)


def test_an_older_answer_is_none_to_a_drop_that_is_in_the_inbox(world: World) -> None:
    """The receipt of the drop before does not count while the next one waits: 75."""
    world.put("m")
    served(world)
    world.put("m", horizons=[0])
    status, result = waited(world, "m", "--timeout", "50ms")
    assert (status, result["outcome"]) == (75, "waiting")


def test_no_answer_in_time_says_what_to_do(world: World) -> None:
    """Whether the drop is there or not: exit 75, with the command that says what it waits for."""
    done = CliRunner().invoke(root, ["--config", str(world.config_path), "wait", "nothing", "--timeout", "20ms"])
    assert done.exit_code == 75
    assert done.stdout.startswith("No answer to 'nothing' came within ")
    assert "`model-inbox inbox list`" in done.stdout


def test_an_inbox_that_is_not_there_is_said(world: World) -> None:
    """--inbox names it; a wrong one is no reason to wait."""
    done = CliRunner().invoke(root, ["wait", "m", "--inbox", str(world.root / "nowhere")])
    assert (done.exit_code, "there is no such folder" in done.stderr) == (1, True)

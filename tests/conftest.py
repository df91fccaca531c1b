"""Fixtures and hooks of all tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from model_inbox.base.log import configure_at_first_line
from support.examples import examples

# An example that is slow once (another process had the cores, a disk was synced) is no failure. Where CI is set,
# the same examples are drawn each time. HYPOTHESIS_EXAMPLES=1000 looks longer.
settings.register_profile(
    "model-inbox",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=examples(50),
)
settings.load_profile("model-inbox")


@pytest.fixture(name="memory_folder")
def _memory_folder() -> Iterator[Path]:
    """A folder in memory: for tests of what is done in which order, which need no medium to wait for."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _same_user() -> Iterator[None]:
    """End the session if a test makes this process another user: all later tests would fail, and none would say why."""
    before = os.getresuid()
    yield
    if os.getresuid() != before:
        pytest.exit(f"the test before made this process the user {os.getuid()}: {os.environ['PYTEST_CURRENT_TEST']}", 3)


@pytest.fixture(autouse=True)
def _same_log() -> Iterator[None]:
    """Leave no configuration of the log for the first line of a later test: a command's is for its own process."""
    yield
    configure_at_first_line(lambda: None)


@pytest.fixture(autouse=True)
def _no_log_is_left_to_configure() -> Iterator[None]:
    """A command that wrote no line leaves its log to be configured at the next one, which may be another test's."""
    yield
    configure_at_first_line(lambda: None)

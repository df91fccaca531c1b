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


# Here the same lines run thousands of times: to measure them doubles the time, and tests elsewhere cover them.
UNMEASURED = tuple(Path(__file__).with_name(name) for name in ("crash", "properties"))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Measure no coverage in the folders of UNMEASURED."""
    if any(item.path.is_relative_to(folder) for folder in UNMEASURED):
        item.add_marker("no_cover")


@pytest.fixture(name="memory_folder")
def _memory_folder() -> Iterator[Path]:
    """A folder in memory: for tests of what is done in which order, which need no medium to wait for."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


WISH = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Take the wish to measure coverage out of the environment of processes, and keep it for `measured`.

    A process that is measured starts 0.15 s later, writes a file into the checkout when it ends, and says on stderr if
    it cannot: as another user, say. Before each test, as coverage renews it when it goes on after UNMEASURED.
    """
    wish = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    if wish is not None:
        item.config.stash[WISH] = wish


@pytest.fixture(name="measured")
def _measured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the coverage of the processes that a test starts: where a process is what is tested, and little else."""
    if WISH in request.config.stash:
        monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", request.config.stash[WISH])


@pytest.fixture(autouse=True)
def _same_user() -> Iterator[None]:
    """End the session if a test makes this process another user: all later tests would fail, and none would say why."""
    before = os.getresuid()
    yield
    if os.getresuid() != before:
        pytest.exit(f"the test before made this process the user {os.getuid()}: {os.environ['PYTEST_CURRENT_TEST']}", 3)


@pytest.fixture(autouse=True)
def _no_log_is_left_to_configure() -> Iterator[None]:
    """A command that wrote no line leaves its log to be configured at the next one, which may be another test's."""
    yield
    configure_at_first_line(lambda: None)

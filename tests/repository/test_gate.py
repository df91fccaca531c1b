"""The gate's rule for skipped tests (`.ci/no_skips.py`), tried on a small suite of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.places import ROOT

GATE = ROOT / ".ci"

SUITE = """
import pytest

def test_right(): pass

@pytest.mark.skip(reason="no reason at all")
def test_skipped(): pass

@pytest.mark.parametrize("n", [1, 2])
def test_numbers(n):
    if n == 2:
        pytest.skip("two is odd here")

@pytest.mark.xfail(reason="known to be wrong")
def test_wrong(): assert False
"""


def run_suite(folder: Path, allowed: str, *arguments: str) -> tuple[int, str, str]:
    """Run the suite under the plugin with that list; return exit status, output and what was counted."""
    shutil.copy(GATE / "no_skips.py", folder)
    (folder / "skips.txt").write_text(allowed)
    (folder / "test_suite.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no_skips", "-p", "no:cacheprovider", "-q", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder),
            "COUNTS_FILE": str(folder / "counts"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            # Else it takes the rights of others from the folder that holds those of the tests beside it.
            "PYTEST_DEBUG_TEMPROOT": str(folder),
        },
        capture_output=True,
        text=True,
    )
    counts = folder / "counts"
    return done.returncode, done.stdout + done.stderr, counts.read_text() if counts.exists() else ""


def test_what_is_skipped_fails_the_run(tmp_path: Path) -> None:
    """A skip that nobody listed fails the run, is named with its reason, and counts as a failure."""
    status, output, counts = run_suite(tmp_path, "# nothing\n")
    assert status == 1
    assert "test_suite.py::test_skipped  Skipped: no reason at all" in output
    assert "test_suite.py::test_numbers[2]  Skipped: two is odd here" in output
    assert "test_suite.py::test_wrong  known to be wrong" in output
    assert counts == "2 3\n"


def test_what_is_listed_may_be_skipped(tmp_path: Path) -> None:
    """A listed test may be skipped, a parametrized one as a whole, and then the run passes."""
    status, output, counts = run_suite(
        tmp_path,
        "test_suite.py::test_skipped  a reason\n"
        "test_suite.py::test_numbers  as a whole\n"
        "test_suite.py::test_wrong  a bug of theirs\n",
    )
    assert status == 0, output
    assert counts == "2 0\n"


def test_a_name_that_goes_on_is_another(tmp_path: Path) -> None:
    """A listed name allows no test whose name merely begins with it."""
    status, output, _ = run_suite(tmp_path, "test_suite.py::test_skip  a reason\n", "-k", "skipped")
    assert status == 1, output


@pytest.mark.parametrize("line", ["test_suite.py::test_skipped", "test_suite.py::test_skipped   "])
def test_a_reason_is_demanded(tmp_path: Path, line: str) -> None:
    """A line of the list without a reason stops the run."""
    status, output, _ = run_suite(tmp_path, f"{line}\n")
    assert status != 0
    assert "has no reason" in output


def test_a_failure_stays_a_failure(tmp_path: Path) -> None:
    """The plugin takes nothing away from what pytest finds itself."""
    (tmp_path / "test_more.py").write_text("def test_bad(): assert False\n")
    status, _, counts = run_suite(tmp_path, "", "test_more.py")
    assert status == 1
    assert counts == "0 1\n"


def test_what_a_worker_saw_counts_once(tmp_path: Path) -> None:
    """With pytest-xdist, too: each test is counted once, and a module that skips itself fails the run."""
    (tmp_path / "test_other.py").write_text("import pytest\npytest.skip('all of it', allow_module_level=True)\n")
    allowed = "test_suite.py  a suite of skips\n"
    status, output, counts = run_suite(tmp_path, allowed, "-p", "xdist.plugin", "-n", "2")
    assert status == 1
    assert "test_other.py" in output.partition("not listed")[2]
    assert counts == "2 1\n"


def test_every_exhaustive_test_is_run() -> None:
    """The files with tests that `make test` leaves out are those of `make test-exhaustive`, which the gate runs."""
    marked = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if "pytest.mark." + "exhaustive" in path.read_text(encoding="utf-8")
    }
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (listed,) = [
        line.partition("=")[2].split() for line in makefile.splitlines() if line.startswith("EXHAUSTIVE_TESTS")
    ]
    assert marked == set(listed)
    assert (GATE / "run").read_text(encoding="utf-8").count(" test-exhaustive") == 2

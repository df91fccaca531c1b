"""The table of accepted and refused files at the end of a run of these tests."""

from __future__ import annotations

import pytest
import tally


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many files of each framework were saved, and which of them were refused and why."""
    lines = tally.table()
    if lines:
        terminalreporter.section("files of real frameworks")
        for line in lines:
            terminalreporter.write_line(line)

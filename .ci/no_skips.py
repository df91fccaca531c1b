"""A pytest plugin for the gate: a test that was skipped or expected to fail fails the run, unless it is listed.

    PYTHONPATH=.ci pytest -p no_skips

The list is skips.txt beside this file: a node id (or its beginning, up to a `::` or `[`), two blanks, the reason.
With COUNTS_FILE in the environment, a line "passed failed" is appended to that file for the gate's closing line.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

SKIPS = Path(__file__).with_name("skips.txt")


def listed(text: str) -> dict[str, str]:
    """Return {node id: reason}; a line without a reason is an error."""
    skips = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            node_id, _, reason = line.partition("  ")
            if not reason.strip():
                raise pytest.UsageError(f"{SKIPS.name}: {node_id!r} has no reason")
            skips[node_id] = reason.strip()
    return skips


class NoSkips:
    """Notes what was skipped and, at the end, fails the run for what is not listed."""

    def __init__(self) -> None:
        self.allowed = listed(SKIPS.read_text(encoding="utf-8"))
        self.unlisted: dict[str, str] = {}
        self.passed = self.failed = 0

    def is_allowed(self, node_id: str) -> bool:
        return any(
            node_id == name or (node_id.startswith(name) and node_id[len(name)] in ":[/") for name in self.allowed
        )

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not self.is_allowed(report.nodeid):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
            self.unlisted[report.nodeid] = str(reason)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)
        self.passed += report.passed and report.when == "call"
        self.failed += report.failed

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker of pytest-xdist saw; a module that skips itself is told of by it alone."""
        self.unlisted.update(getattr(node, "workeroutput", {}).get("unlisted", {}))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:  # we are such a worker
            output["unlisted"] = self.unlisted
            return
        if self.unlisted and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        counts = os.environ.get("COUNTS_FILE")
        if counts:
            with Path(counts).open("a", encoding="utf-8") as file:
                file.write(f"{self.passed} {self.failed + len(self.unlisted)}\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unlisted:
            terminalreporter.section("skipped, and not listed in .ci/skips.txt", red=True)
            for node_id, reason in self.unlisted.items():
                terminalreporter.write_line(f"{node_id}  {reason}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(NoSkips(), "no-skips")

"""The log of the rooms below the service: structlog's, but imported and configured at the first line."""

from __future__ import annotations

import subprocess
import sys

from structlog.testing import capture_logs

from model_inbox.base.log import configure_at_first_line, log


def test_lines_are_those_of_structlog() -> None:
    """A line reaches structlog as it is configured now, with its event, level and fields."""
    with capture_logs() as lines:
        log.warning("entry.spared", model_id="a")
        log.bind(drop_id="d").info("entry.purged")
    assert lines == [
        {"event": "entry.spared", "log_level": "warning", "model_id": "a"},
        {"event": "entry.purged", "log_level": "info", "drop_id": "d"},
    ]


def test_a_program_configures_the_log_once_and_only_if_there_is_a_line() -> None:
    """What is to be called at the first line is called before it, and not again."""
    said: list[str] = []
    configure_at_first_line(lambda: said.append("configured"))
    assert said == []
    with capture_logs() as lines:
        log.info("entry.purged")
        assert said == ["configured"]
        log.info("entry.purged")
    assert (said, len(lines)) == (["configured"], 2)


def test_structlog_is_imported_by_the_first_line() -> None:
    """A process that logs nothing never imports structlog; its first line does."""
    program = (
        "import sys; from model_inbox.base.log import log; before = 'structlog' in sys.modules; "
        "log.warning('entry.spared'); print(before, 'structlog' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "False True\n")
    assert "entry.spared" in done.stdout

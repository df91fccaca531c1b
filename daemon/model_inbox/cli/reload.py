"""`model-inbox reload`: makes the running daemon read config.yaml again, and waits for the result."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..base.units import format_duration
from ..errors import ConfigError, ModelInboxError, StorageError
from ..exit_codes import EXIT_CONFIG, EXIT_DONE, EXIT_TRY_AGAIN
from ..problems import problems_in
from .arguments import as_seconds
from .common import App, Command, act_as_any_owner, pass_app
from .output import print_json, print_lines

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["reload"]

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.02


class NoAnswer(ModelInboxError):
    """No daemon runs, or it did not answer in time."""

    code = "reload.no_answer"
    exit_status = EXIT_TRY_AGAIN


@click.command(
    cls=Command,
    examples=["model-inbox reload", "model-inbox reload --wait 60s --json"],
    exits={
        1: "this user may not signal the daemon",
        EXIT_TRY_AGAIN: "no daemon runs, or it did not answer in time",
        EXIT_CONFIG: "the daemon refused the configuration and still uses the old one; the problems are listed",
    },
)
@click.option("--wait", callback=as_seconds, metavar="DURATION", help="How long to wait for the answer. Default: 30s.")
@pass_app
def reload(app: App, *, wait: float | None, as_json: bool) -> int:
    """Make the daemon read its config.yaml again, and show the result.

    Shows which settings changed, and which of them need a restart. A file with problems is refused.
    """
    from ..registry.paths import status_paths
    from ..telemetry.health import find_daemon

    # The daemon reports the problems of the file. Here only the two paths are read.
    registry_path, inbox_path = app.daemon_places
    # The process to signal is named in files of that user: root must not signal another one's on its word.
    act_as_any_owner(registry_path.parent, inbox_path)
    holding = find_daemon(registry_path, inbox_path).holding
    if holding.held is False:
        raise NoAnswer(
            f"cannot reload: no daemon serves the registry {str(registry_path)!r}",
            hint="A daemon reads its configuration when it starts. If registry.path and inbox.path were both changed, "
            "restart the running daemon",
        )
    pid = holding.pid
    if pid is None:
        raise NoAnswer(
            "cannot reload: this user cannot find out which process is the daemon",
            hint="Run the command as root or as the service's user",
        )
    # A configuration that the daemon starts to read after this moment is the answer.
    asked = time.monotonic()
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        raise NoAnswer("cannot reload: the daemon ended just now", hint="Check its log") from None
    except PermissionError as error:
        raise ModelInboxError(
            f"cannot signal the daemon (process {pid}): {error.strerror}",
            hint="Run the command as root or as the service's user",
        ) from error
    places = status_paths(registry_path, inbox_path)
    seconds = wait if wait is not None else WAIT_SECONDS
    while time.monotonic() < asked + seconds:
        answer = _answer_to(places, pid, asked)
        if answer is not None:
            return _report(answer, as_json=as_json)
        time.sleep(POLL_SECONDS)
    raise NoAnswer(
        f"cannot show the result: the daemon (process {pid}) did not answer within {format_duration(seconds)}",
        hint="It may be working on a large drop, or cannot write its status. See `model-inbox status` and the log",
    )


def _answer_to(places: Sequence[Path], pid: int, asked: float) -> Mapping[str, Any] | None:
    """Return the result that the process published for a configuration that it started to read after `asked`."""
    from ..telemetry.status_file import read_status

    for path in places:
        document = None
        with contextlib.suppress(StorageError):
            document = read_status(path)
        if document is None or document.get("pid") != pid:
            continue
        config = document.get("config") or {}
        answer = config.get("reload") or {}
        if (answer.get("began") or 0.0) >= asked:
            return {**answer, "path": config.get("path")}
    return None


def _report(answer: Mapping[str, Any], *, as_json: bool) -> int:
    problems = problems_in(answer.get("problems"))
    path = answer.get("path")
    if answer.get("outcome") != "loaded":
        error = ConfigError(
            f"cannot load {path!r}: the daemon refused it and still uses the old configuration", problems
        )
        if {problem.code for problem in problems} == {"storage.failed"}:
            # The file could not be read, or the port not be opened, for a reason that may pass.
            error.exit_status = EXIT_TRY_AGAIN
        raise error
    changed, restart = list(answer.get("changed") or ()), list(answer.get("restart_needed") or ())
    if as_json:
        print_json(
            {
                "outcome": "loaded",
                "path": path,
                "at": answer.get("at"),
                "changed": changed,
                "restart_needed": restart,
                "problems": [],
            }
        )
        return EXIT_DONE
    print_lines(f"Loaded {path!r}." if path else "Loaded: there is no config.yaml, so all settings are the defaults.")
    print_lines(f"Changed: {', '.join(changed)}" if changed else "No setting changed that applies without a restart.")
    if restart:
        print_lines(f"These apply after a restart: {', '.join(restart)}")
    return EXIT_DONE

"""`model-inbox reload`: have the running daemon read config.yaml again, and wait for its answer."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..base.units import format_duration
from ..errors import EXIT_CONFIG, EXIT_DONE, EXIT_TRY_AGAIN, ConfigError, ModelInboxError, StorageError
from ..problems import Problem
from .common import App, Command, as_seconds, pass_app
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
        EXIT_CONFIG: "the daemon refused the configuration, and the old one stays in force; the problems are listed",
    },
)
@click.option("--wait", callback=as_seconds, metavar="TIME", help="How long to wait for the answer; else 30s.")
@pass_app
def reload(app: App, *, wait: float | None, as_json: bool) -> int:
    """Have the daemon read its config.yaml again, and say what came of it.

    Says which settings changed, and which of them hold only after a restart. A file with problems is refused.
    """
    from ..registry.paths import status_paths
    from ..telemetry.health import find_daemon

    # What is wrong with the file is the daemon's to say: so the rest of it is not looked at here.
    registry_path, inbox_path = app.places
    holding = find_daemon(registry_path, inbox_path).holding
    if holding.held is False:
        raise NoAnswer(
            f"cannot reload: no daemon serves the registry {str(registry_path)!r}",
            hint="It reads its configuration when it is started. Were registry.path and inbox.path both changed? "
            "Then restart the daemon that runs",
        )
    pid = holding.pid
    if pid is None:
        raise NoAnswer(
            "cannot reload: this user cannot tell which process is the daemon",
            hint="Call it as root or as the service's user",
        )
    asked = time.monotonic()  # what the daemon began to read after this moment answers us
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        raise NoAnswer("cannot reload: the daemon ended just now", hint="Look at its log") from None
    except PermissionError as error:
        raise ModelInboxError(
            f"cannot signal the daemon (process {pid}): {error.strerror}",
            hint="Call it as root or as the service's user",
        ) from error
    places = status_paths(registry_path, inbox_path)
    seconds = wait if wait is not None else WAIT_SECONDS
    while time.monotonic() < asked + seconds:
        answer = _answer_to(places, pid, asked)
        if answer is not None:
            return _tell(answer, as_json=as_json)
        time.sleep(POLL_SECONDS)
    raise NoAnswer(
        f"cannot tell what came of it: the daemon (process {pid}) did not answer within {format_duration(seconds)}",
        hint="It may be at work on a large drop, or unable to write its status: see `model-inbox status` and the log",
    )


def _answer_to(places: Sequence[Path], pid: int, asked: float) -> Mapping[str, Any] | None:
    """Return what the process told of a configuration that it began to read after that moment, if it did."""
    from ..telemetry.status_file import read_status

    for path in places:
        document = None
        with contextlib.suppress(StorageError):
            document = read_status(path)
        if document is None or document.get("pid") != pid:
            continue
        config = document.get("config") or {}
        answer = config.get("reload") or {}
        if float(answer.get("began", 0.0)) >= asked:
            return {**answer, "path": config.get("path")}
    return None


def _tell(answer: Mapping[str, Any], *, as_json: bool) -> int:
    problems = [Problem.from_dict(problem) for problem in answer.get("problems") or ()]
    path = answer.get("path")
    if answer.get("outcome") != "loaded":
        raise ConfigError(
            f"cannot load {path!r}: the daemon refused it, and the old configuration stays in force", problems
        )
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
    print_lines(f"Loaded {path!r}." if path else "Loaded: there is no config.yaml, the defaults hold.")
    print_lines(f"Changed: {', '.join(changed)}" if changed else "No setting has changed that holds without a restart.")
    if restart:
        print_lines(f"These hold only after a restart: {', '.join(restart)}")
    return EXIT_DONE

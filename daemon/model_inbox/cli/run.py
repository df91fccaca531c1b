"""`model-inbox run`: the daemon in the foreground.

Owns the way from the command line to `service.run` and what is said when it cannot go on: one critical line in the
log, whatever form that has, and the same in plain words for a person at a terminal.
"""

from __future__ import annotations

import faulthandler
import sys
from typing import TYPE_CHECKING

import click
import structlog

from ..base.users import act_as_owner
from ..errors import EXIT_TRY_AGAIN, ConfigError, ModelInboxError
from .common import App, Command, pass_app, print_error, report_error

if TYPE_CHECKING:
    from ..config.settings import Config

__all__ = ["run"]

log = structlog.get_logger("model_inbox")


def _as_json(config: Config) -> Config:
    """Return the configuration with JSON lines as the log's form."""
    return config.model_copy(update={"logging": config.logging.model_copy(update={"format": "json"})})


@click.command(
    cls=Command,
    examples=["model-inbox run", "model-inbox --config /etc/model-inbox/config.yaml run"],
    exits={
        1: "the disk or the system refused something",
        EXIT_TRY_AGAIN: "another daemon serves this inbox or registry",
    },
)
@pass_app
def run(app: App, *, as_json: bool) -> int:
    """Run the daemon until SIGTERM or Ctrl-C.

    It takes what is dropped into the inbox, checks it, registers it, and retires old models by rule. The log goes
    to stderr: coloured on a terminal, the journal under systemd, else JSON lines; with --json always JSON lines.
    SIGHUP makes it read its configuration again.
    """
    from ..service.loop import run as run_service
    from ..telemetry.logging import configure

    faulthandler.enable()  # a loop that hangs is ended with SIGABRT by systemd's watchdog: then say where it hung
    configure(format="json" if as_json else "auto")
    try:
        config = _as_json(app.config) if as_json else app.config
        act_as_owner(config.registry.path.parent)
        run_service(config, _as_json if as_json else lambda config: config)
    except ModelInboxError as error:
        problems = [str(problem) for problem in getattr(error, "problems", ())]
        log.critical("daemon.failed", problem="; ".join([error.message, *problems]), hint=_next_step(app, error))
        if sys.stderr.isatty():
            report_error(error, as_json=as_json)
        elif as_json:
            print_error(error)
        return error.exit_status
    except Exception as error:
        log.critical(
            "daemon.failed",
            problem=f"an error that should not be: {type(error).__name__}: {error}",
            hint="Report it with the traceback; nothing that was dropped is lost",
        )
        raise
    return 0


def _next_step(app: App, error: ModelInboxError) -> str | None:
    """Return what to do next, with the command to run: the last line in the journal of a daemon that gave up."""
    if error.hint or not isinstance(error, ConfigError):
        return error.hint or None
    source = f" --config {app.config_file}" if app.config_file is not None else ""
    return f"Mend what it names (`model-inbox{source} config check` shows the same), then start the daemon again"

"""`model-inbox run`: runs the daemon in the foreground.

Owns the call of `service.loop.run` and the report when the daemon cannot continue: one critical line in the log, and
on a terminal also an error message. Never does the daemon's work.
"""

from __future__ import annotations

import faulthandler
import sys
from typing import TYPE_CHECKING

import click
import structlog

from ..base.remedies import remedy_for
from ..errors import ConfigError, ModelInboxError, StorageError, is_transient
from ..exit_codes import EXIT_TRY_AGAIN
from .common import App, Command, act_as_owner, pass_app, print_error, report_error

if TYPE_CHECKING:
    from ..config.settings import Config

__all__ = ["run"]

log = structlog.get_logger("model_inbox")


def _as_json(config: Config) -> Config:
    """Return the configuration with JSON lines as the log's format."""
    return config.model_copy(update={"logging": config.logging.model_copy(update={"format": "json"})})


@click.command(
    cls=Command,
    examples=["model-inbox run", "model-inbox --config /etc/model-inbox/config.yaml run"],
    exits={
        1: "a disk or system error",
        EXIT_TRY_AGAIN: "another daemon serves this inbox or registry, or a system error that may pass",
    },
)
@pass_app
def run(app: App, *, as_json: bool) -> int:
    """Run the daemon until SIGTERM or Ctrl-C.

    It checks and registers the models that are dropped into the inbox, and retires old models by the retention rules.
    The log is written to stderr: as sentences on a terminal, as journal entries under systemd, else as JSON lines; with
    --json always as JSON lines. Except under systemd, `model-inbox logs` reads it from a file (`logging.file`). SIGHUP
    makes it read its configuration again.
    """
    from ..service.loop import run as run_service
    from ..telemetry.logging import configure

    # systemd's watchdog ends a hanging daemon with SIGABRT. The fault handler then prints where it hung.
    faulthandler.enable()
    configure(format="json" if as_json else "auto")
    try:
        config = _as_json(app.config) if as_json else app.config
        act_as_owner(config.registry.path.parent)
        run_service(config, _as_json if as_json else lambda config: config)
    except ModelInboxError as error:
        problems = [str(problem) for problem in getattr(error, "problems", ())]
        said = "; ".join([error.message, *problems])
        log.critical("daemon.failed", code=error.code, problem=said, hint=_next_step(app, error))
        if sys.stderr.isatty():
            report_error(error, as_json=as_json)
        elif as_json:
            print_error(error)
        return error.exit_status
    except Exception as error:
        if isinstance(error, OSError) and is_transient(error):
            # `Command` reports it, with the exit status of errors that may pass.
            failed = StorageError("use", error.filename if error.filename is not None else "a file", error)
            log.critical("daemon.failed", code=failed.code, problem=failed.message, hint=_next_step(app, failed))
            raise
        log.critical(
            "daemon.failed",
            problem=f"an unexpected error: {type(error).__name__}: {error}",
            hint="Report it with the traceback. No drop is lost",
        )
        raise
    return 0


def _next_step(app: App, error: ModelInboxError) -> str:
    """Return the hint for the last log line: what to do next, with the command to run."""
    if error.hint:
        return error.hint
    if isinstance(error, StorageError) and (remedy := remedy_for(error)):
        return remedy
    if not isinstance(error, ConfigError):
        return "Remove the cause, then start the daemon again; systemd tries again by itself if the exit code is 75"
    source = f" --config {app.config_file}" if app.config_file is not None else ""
    return f"Correct these problems (`model-inbox{source} config check` shows them), then start the daemon again"

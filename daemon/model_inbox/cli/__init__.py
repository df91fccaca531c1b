"""The command `model-inbox`, for people and, with `--json`, for programs.

Owns the command names, their options, output and exit codes. Each command is a thin layer over a function of another
room, in a file of its own (or one for a noun with several verbs). A command's module is imported when it is called,
and what it needs when it runs, so that `--help` and quick commands start fast. Never does the work itself.

Exit codes: 0 done, 1 refused or problems found, 2 usage, 75 try again, 78 configuration or damaged data.

Public names: `main`, `root`, `COMMANDS`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from pathlib import Path

import click

from ..base.standard_streams import fill_standard_streams, give_up_unwritable_streams
from ..errors import StorageError
from ..exit_codes import EXIT_TRY_AGAIN
from .common import App, Group

__all__ = ["COMMANDS", "main", "root"]

COMMANDS = {
    "run": "run:run",
    "drop": "drop:drop",
    "check": "check:check",
    "list": "listing:list_models",
    "show": "show:show",
    "history": "history:history",
    "alias": "alias:alias",
    "pin": "pin:pin",
    "unpin": "pin:unpin",
    "tag": "tag:tag",
    "record": "record:record",
    "delete": "delete:delete",
    "restore": "delete:restore",
    "replace-scaler": "replace_scaler:replace_scaler",
    "trash": "trash:trash",
    "inbox": "inbox:inbox",
    "rejected": "rejected:rejected",
    "retention": "retention:retention",
    "logs": "logs:logs",
    "verify": "verify:verify",
    "rebuild": "rebuild:rebuild",
    "backup": "backup:backup",
    "status": "status:status",
    "reload": "reload:reload",
    "allowlist": "allowlist:allowlist",
    "config": "config:config",
    "schema": "schema:schema",
}
"""The module of each command in this package, and the name of the command in it."""


class _LazyGroup(Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click asks
        """Return the names of the commands in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        """Import and return a command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        found: click.Command = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return found


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from .. import __version__

        click.echo(f"model-inbox {__version__}")
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration file. Default: $MODEL_INBOX_CONFIG, ./config.yaml or /etc/model-inbox/config.yaml.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version."
)
@click.pass_context
def root(ctx: click.Context, config_file: Path | None) -> None:
    """Register trained models that are dropped into a folder.

    Start the daemon with `model-inbox run`. `model-inbox list` shows the registered models, `model-inbox rejected list`
    the rejected drops.
    """
    ctx.obj = App(config_file)


def main() -> None:
    """Run the command line and exit."""
    try:
        fill_standard_streams()
    except OSError:
        # There is no stream for an error message.
        sys.exit(EXIT_TRY_AGAIN)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError, ValueError):
                # A terminal with another encoding gets characters that it lacks as escapes.
                stream.reconfigure(errors="backslashreplace")
    try:
        root(prog_name="model-inbox")
    except OSError as error:
        # Commands report their own errors. This one comes from stdout or stderr.
        wrapped = StorageError("write to", "stdout", error)
        with contextlib.suppress(OSError):
            click.echo(f"model-inbox: {wrapped.message}", err=True)
        sys.exit(wrapped.exit_status)
    finally:
        give_up_unwritable_streams()

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
from collections.abc import Mapping
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from ..base.standard_streams import (
    OutputFailed,
    die_of_broken_pipe,
    fill_standard_streams,
    give_up_unwritable_streams,
    replace_stdout,
)
from ..exit_codes import EXIT_DONE, EXIT_REFUSED, EXIT_TRY_AGAIN
from .common import App, Group

__all__ = ["COMMANDS", "main", "root"]

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("run:run", "Run the daemon until SIGTERM or Ctrl-C."),
    "drop": ("drop:drop", "Drop a model into the inbox."),
    "wait": ("wait:wait", "Wait for the daemon's answer to a drop, and show it."),
    "check": ("check:check", "Check whether the inbox would accept a drop."),
    "list": ("listing:list_models", "List the registered models, newest first by `trained_at`."),
    "get": ("get:get", "Print where the newest model of a pair and type is: one absolute path, for scripts."),
    "show": ("show:show", "Show all data of a model."),
    "diff": ("diff:diff", "Show how the second model (B) differs from the first (A)."),
    "history": ("history:history", "Show the changes of one model, or of all."),
    "why": (
        "why:why",
        "Say why a model was accepted, held, refused, is newest or not, was promoted, is kept or was retired.",
    ),
    "promote": ("promote:promote", "Let an alias name the model ID, and no other of its pair, type and variant."),
    "rollback": ("promote:rollback", "Give an alias back to the model that had it before."),
    "alias": ("alias:alias", "Set, remove and list aliases."),
    "pin": ("pin:pin", "Protect a model: neither the retention rules nor `delete` retire it."),
    "unpin": ("pin:unpin", "Remove the protection: the retention rules apply again."),
    "hold": ("pin:hold", "Take a model out of service without retiring it."),
    "unhold": ("pin:unhold", "Let a held model be served again."),
    "tag": ("tag:tag", "Set and remove tags of a model."),
    "record": ("record:record", "Record measurements of a registered model, such as its realised errors."),
    "delete": ("delete:delete", "Retire a model to the trash."),
    "restore": ("delete:restore", "Restore a retired model from the trash."),
    "replace-scaler": ("replace_scaler:replace_scaler", "Replace the scaler of a model, or add one."),
    "trash": ("trash:trash", "List retired models, and remove them permanently."),
    "inbox": ("inbox:inbox", "Show the files in the inbox and what they wait for."),
    "rejected": ("rejected:rejected", "Show, retry and purge rejected drops."),
    "retention": ("retention:retention", "Show what the rules keep and retire, and apply them."),
    "report": ("report:report", "Write a page that shows the registry and the inbox, as one HTML file."),
    "logs": ("logs:logs", "Show log lines, or the answer to a QUESTION."),
    "verify": ("verify:verify", "Compare the registry with the files on the disk."),
    "rebuild": (
        "rebuild:rebuild",
        "Build a damaged registry again, from the journal, its history and the stored sidecars.",
    ),
    "backup": ("backup:backup", "Make, list, verify and restore backups."),
    "replica": ("replica:replica", "Pull a registry from another machine, and tell how old the copy is."),
    "web": ("web:web", "Serve pages that show the registry and the inbox, until SIGTERM or Ctrl-C."),
    "mlflow": ("mlflow_import:mlflow", "Mirror the registry in MLflow, and compare both."),
    "status": ("status:status", "Show what the daemon does, and its problems."),
    "reload": ("reload:reload", "Make the daemon read its config.yaml again, and show the result."),
    "allowlist": ("allowlist:allowlist", "Explain, compare and build the lists of names that pickles may contain."),
    "config": ("config:config", "Check and show the configuration."),
    "schema": (
        "schema:schema",
        "Print the JSON schema of a sidecar, an entry, a labels file, a receipt or config.yaml.",
    ),
    "init": ("init:init", "Make an inbox, a configuration, and a template of a sidecar."),
}
"""The module of each command in this package with the name of the command in it, and its line in the help.

The line is the first sentence of the command's own help. It is here so that `model-inbox --help` imports no command.
"""


class _LazyGroup(Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click asks
        """Return the names of the commands in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        """Import and return a command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        where, _ = COMMANDS[cmd_name]
        module, name = where.split(":")
        found: click.Command = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the commands that begin so. None is imported."""
        found = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # as above
        """Write the list of commands. None is imported."""
        room = formatter.width - 6 - max(map(len, COMMANDS))
        lines = {name: click.Command(name, help=line) for name, (_, line) in COMMANDS.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, shown.get_short_help_str(room)) for name, shown in lines.items()])


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
    replace_stdout()
    if isinstance(sys.stderr, io.TextIOWrapper):
        with contextlib.suppress(OSError, ValueError):
            # A terminal with another encoding gets characters that it lacks as escapes.
            sys.stderr.reconfigure(errors="backslashreplace")
    try:
        sys.exit(_run())
    except OutputFailed as error:
        if error.is_broken_pipe:
            die_of_broken_pipe()
        # A stderr that takes nothing must not change the exit status.
        with contextlib.suppress(OSError):
            click.echo(f"model-inbox: {error}", err=True)
        sys.exit(error.exit_code)
    finally:
        give_up_unwritable_streams()


def _run() -> int:
    """Run the command line and return the exit code. Raises OutputFailed if stdout cannot be written."""
    try:
        status = root.main(prog_name="model-inbox", standalone_mode=False)
    except click.ClickException as error:
        status = error.exit_code
        with contextlib.suppress(OSError):
            error.show()
    except click.Abort:
        status = EXIT_REFUSED
        with contextlib.suppress(OSError):
            click.echo("Aborted!", err=True)
    sys.stdout.flush()
    return int(status or EXIT_DONE)

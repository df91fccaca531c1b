"""What the commands share: options, opening the registry, printing, and the one place that reports errors.

Owns how an answer looks (JSON for programs, tables and lines for people) and that nothing a producer wrote reaches
a terminal raw. Never decides what a command does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from ..base.instants import parse_instant
from ..base.units import parse_duration
from ..base.users import act_as_owner, name_of_user, person
from ..errors import EXIT_CONFIG, EXIT_DONE, EXIT_USAGE, ModelInboxError, RegistryMissing, StorageError
from ..problems import Problem, quoted
from ..registry.paths import RegistryFiles
from .output import print_json, print_problems, printable

if TYPE_CHECKING:
    from ..config.settings import Config
    from ..problems.codes import Code
    from ..registry.registry import ModelRegistry

__all__ = [
    "ALL_EXITS",
    "App",
    "Command",
    "Group",
    "Refused",
    "as_instant",
    "as_seconds",
    "ask",
    "now",
    "pass_app",
    "print_error",
    "report_error",
]

ALL_EXITS: Mapping[int, str] = {
    EXIT_DONE: "done",
    EXIT_USAGE: "the command line is wrong",
    EXIT_CONFIG: "the configuration is wrong, or data is missing or damaged",
}


class Refused(ModelInboxError):
    """A command was not carried out: nobody confirmed it, or it makes no sense now. Nothing was changed."""

    code: ClassVar[Code] = "command.refused"


def now() -> datetime:
    """Return the present instant; the commands' only clock."""
    return datetime.now(UTC)


# --- commands ----------------------------------------------------------------------------------------------


class Command(click.Command):
    """A command with `--json`, examples and its exit codes in the help, and our way of reporting errors.

    The callback gets `as_json` and returns the exit status (None is 0).
    """

    def __init__(self, *args: Any, examples: Sequence[str], exits: Mapping[int, str] | None = None, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.examples = tuple(examples)
        self.exits = dict(sorted({**ALL_EXITS, **(exits or {})}.items()))
        self.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print JSON for programs."))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """Write the examples and the exit codes below the options."""
        with formatter.section("Example" if len(self.examples) == 1 else "Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), meaning) for status, meaning in self.exits.items()])

    def invoke(self, ctx: click.Context) -> None:
        """Run the command, report what stopped it, and exit with its status."""
        as_json = bool(ctx.params.get("as_json"))
        try:
            status = super().invoke(ctx)
        except ModelInboxError as error:
            report_error(error, as_json=as_json)
            status = error.exit_status
        except BrokenPipeError:
            raise  # whoever read our output has seen enough: click ends quietly
        except OSError as error:
            wrapped = StorageError("use", error.filename if error.filename is not None else "a file", error)
            report_error(wrapped, as_json=as_json)
            status = wrapped.exit_status
        ctx.exit(status or EXIT_DONE)


class Group(click.Group):
    """A group of commands; a word that is none is answered with the nearest that is."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from difflib import get_close_matches

            near = get_close_matches(name[:64], self.list_commands(ctx), 1, 0.6)
            hint = f"Did you mean {near[0]}?" if near else f"The commands are {', '.join(self.list_commands(ctx))}."
            ctx.fail(f"There is no command {quoted(name)}. {hint}")
        return super().resolve_command(ctx, args)


def as_instant(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Make an instant of an option's text; the callback of options that take a time. Without a zone it is UTC."""
    try:
        return None if value is None else parse_instant(value)
    except ValueError as error:
        raise click.BadParameter(f"{quoted(value)} is {error}") from error


def as_seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Make seconds of an option's text; the callback of options that take a duration."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{quoted(value)} is {error}") from error


class App:
    """What the commands work on: the configuration and the registry that it names."""

    def __init__(self, config_file: Path | None) -> None:
        self.config_file = config_file

    @cached_property
    def config(self) -> Config:
        """The configuration. Raises ConfigError with all that is wrong with it."""
        from ..config.load import load_config

        return load_config(self.config_file, env=os.environ, cwd=Path.cwd())

    @cached_property
    def places(self) -> tuple[Path, Path]:
        """Where registry and inbox are, also by a configuration with problems elsewhere. Raises ConfigError."""
        from ..config.load import load_places

        return load_places(self.config_file, env=os.environ, cwd=Path.cwd())

    @contextlib.contextmanager
    def reading(self) -> Iterator[ModelRegistry]:
        """Open the registry to read it; nothing is made, cut or locked. Raises RegistryMissing."""
        from ..registry.registry import ModelRegistry

        section = self.config.registry
        self.must_exist()
        with ModelRegistry(section.path, section.storage_dir, read_only=True) as registry:
            yield registry

    @contextlib.contextmanager
    def writing(self) -> Iterator[ModelRegistry]:
        """Open the registry to change it, as its folder's owner; the JSON file is up to date at the end."""
        from ..registry.registry import ModelRegistry

        section = self.config.registry
        self.must_exist()
        _log_to_stderr()
        actor = f"cli:{person()}"
        act_as_owner(section.path.parent)
        with ModelRegistry(
            section.path, section.storage_dir, lock_timeout=section.lock_timeout, actor=actor
        ) as registry:
            yield registry

    def must_exist(self) -> None:
        """Raise RegistryMissing when there is no registry where the configuration says."""
        path = self.config.registry.path
        files = RegistryFiles(path)
        if any(part.exists() for part in (files.path, files.journal, files.history)):
            return  # what is missing of it is damage, and for others to tell
        source = self.config.path
        says = f"{str(source)!r} says so" if source is not None else "no config.yaml was found, so the default holds"
        raise RegistryMissing(
            f"cannot open the registry {str(path)!r}: there is none",
            hint=f"The daemon makes it when it starts (`model-inbox run`). Is the path right? {says}",
        )


pass_app = click.make_pass_decorator(App)
"""Gives a command its `App` as the first argument."""


def _log_to_stderr() -> None:
    """Have the library's warnings on stderr: without a word from us they would mix with the answer on stdout."""
    from ..telemetry.logging import configure

    configure(format="console", level="warning")


def ask(question: str, *, yes: bool, to: str) -> None:
    """Have a person confirm what cannot be undone lightly. Raises Refused without a yes.

    `yes` is the option --yes; without it the question is put on a terminal, and without a terminal it is a no.
    `to` completes the sentence "cannot ...".
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"cannot {to}: nobody confirmed it", hint="Look at what would be done, then add --yes")
    if not click.confirm(question, err=True):
        raise Refused(f"cannot {to}: the answer was no", hint="Nothing was changed")


# --- errors ------------------------------------------------------------------------------------------------


def report_error(error: ModelInboxError, *, as_json: bool) -> None:
    """Tell people on stderr what went wrong and what to do; with `as_json` programs on stdout, too."""
    problems: Sequence[Problem] = getattr(error, "problems", ())
    hint = error.hint or _hint_for(error)
    # A stderr that takes nothing must not change the exit status.
    with contextlib.suppress(OSError):
        click.echo(f"model-inbox: {printable(error.message)}", err=True)
        if hint:
            click.echo(f"  {printable(hint)}", err=True)
        print_problems(problems, err=True)
    if as_json:
        print_error(error)


def print_error(error: ModelInboxError) -> None:
    """Print an error as JSON, for programs."""
    problems: Sequence[Problem] = getattr(error, "problems", ())
    said = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint or _hint_for(error),
        "problems": [problem.as_dict() for problem in problems],
    }
    print_json({"error": said})


def _hint_for(error: ModelInboxError) -> str:
    """Return what helps when the system refused us a file: to be its owner."""
    if not isinstance(error, StorageError) or error.errno not in (errno.EACCES, errno.EPERM):
        return ""
    place = Path(error.path)
    for folder in (place, *place.parents):
        with contextlib.suppress(OSError):
            owner = name_of_user(folder.stat().st_uid)
            return f"It belongs to {owner}: run this as that user, like `sudo -u {owner} model-inbox ...`"
    return ""


# --- printing ----------------------------------------------------------------------------------------------

"""What the commands share: their classes, options, the configuration, opening the registry, and reporting errors.

Owns the layout of `--help`, and how an error becomes a message and an exit code. `output` prints the answers. Never
decides what a command does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from ..base import users
from ..base.log import configure_at_first_line
from ..base.standard_streams import OutputFailed
from ..base.users import name_of_user, person
from ..errors import ModelInboxError, RegistryMissing, StorageError
from ..exit_codes import EXIT_CONFIG, EXIT_DONE, EXIT_USAGE
from ..problems import Problem, is_unicode, quoted
from ..registry.paths import RegistryFiles, status_paths
from .output import print_json, print_problems, printable

if TYPE_CHECKING:
    from ..config.places import Places
    from ..config.settings import Config
    from ..inbox.older_copy import Told
    from ..problems.codes import Code
    from ..registry.clock_watch import Looked
    from ..registry.registry import ModelRegistry

_Callback = TypeVar("_Callback", bound=Callable[..., Any])

__all__ = [
    "ALL_EXITS",
    "App",
    "Command",
    "Group",
    "Refused",
    "act_as_any_owner",
    "act_as_owner",
    "ask",
    "nearest",
    "now",
    "pass_app",
    "print_error",
    "reason_option",
    "report_error",
]

ALL_EXITS: Mapping[int, str] = {
    EXIT_DONE: "done",
    EXIT_USAGE: "the command line is wrong",
    EXIT_CONFIG: "the configuration is wrong, or data is missing or damaged",
}


class Refused(ModelInboxError):
    """A command was not executed: it was not confirmed, or it is not possible now. Nothing was changed."""

    code: ClassVar[Code] = "command.refused"


def now() -> datetime:
    """Return the current time in UTC. The commands use no other clock."""
    return datetime.now(UTC)


# --- commands ----------------------------------------------------------------------------------------------


def nearest(word: str, words: Sequence[str]) -> str | None:
    """Return the word that was probably meant, or None if none is similar."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word[:64], words, 1, 0.6)), None)


class Command(click.Command):
    """A command with the option `--json`, with examples and exit codes in its help, that reports our errors.

    The callback gets `as_json` and returns the exit code (None is 0).
    """

    def __init__(self, *args: Any, examples: Sequence[str], exits: Mapping[int, str] | None = None, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.examples = tuple(examples)
        self.exits = dict(sorted({**ALL_EXITS, **(exits or {})}.items()))
        self.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print JSON for programs."))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. For an unknown option it suggests the most similar one alone."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            near = list(error.possibilities or ())[:1]
            raise click.NoSuchOption(error.option_name, possibilities=near, ctx=error.ctx) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """Write the examples and the exit codes after the options."""
        with formatter.section("Example" if len(self.examples) == 1 else "Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), meaning) for status, meaning in self.exits.items()])

    def invoke(self, ctx: click.Context) -> None:
        """Run the command, report its error if it raises one, and exit with its exit code."""
        try:
            status = super().invoke(ctx)
        except ModelInboxError as error:
            status = _failed(ctx, error)
        except OSError as error:
            status = _failed(
                ctx, StorageError("use", error.filename if error.filename is not None else "a file", error)
            )
        ctx.exit(status or EXIT_DONE)


def _failed(ctx: click.Context, error: ModelInboxError) -> int:
    """Report the error that ended a command and return the exit code, also where stdout does not take it."""
    try:
        report_error(error, as_json=bool(ctx.params.get("as_json")))
    except OutputFailed as failed:
        failed.exit_code = error.exit_status
        raise
    return error.exit_status


class Group(click.Group):
    """A group of commands. For an unknown command it suggests the most similar one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of the first argument. Fail with a suggestion if there is none."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = nearest(name, self.list_commands(ctx))
            hint = f"Did you mean {near}?" if near else f"The commands are {', '.join(self.list_commands(ctx))}."
            ctx.fail(f"There is no command {quoted(name)}. {hint}")
        return super().resolve_command(ctx, args)


def as_text(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Refuse bytes that are not UTF-8; the callback of options with a free text."""
    if not is_unicode(value):
        raise click.BadParameter(f"{quoted(value)} is not valid text in UTF-8")
    return value


def reason_option(
    default: str = "", *, required: bool = False, text: str = "Why, for the history."
) -> Callable[[_Callback], _Callback]:
    """Return the option `--reason` of a command that changes the registry. `text` is its help."""
    # With a default, even None, an option counts as given.
    given: dict[str, Any] = {"required": True} if required else {"default": default}
    return click.option("--reason", **given, callback=as_text, metavar="TEXT", help=text)


class App:
    """The configuration and the registry that a command works on."""

    def __init__(self, config_file: Path | None) -> None:
        self.config_file = config_file

    @cached_property
    def _found(self) -> tuple[Path, bytes] | None:
        """The configuration file and its bytes, which are read once. Raises ConfigError."""
        from ..config.search import SYSTEM_CONFIG, find_config

        return find_config(
            self.config_file, env=os.environ, cwd=Path.cwd(), system_config=SYSTEM_CONFIG, on_skipped=_print_skipped
        )

    @cached_property
    def config(self) -> Config:
        """The configuration. Raises ConfigError with all its problems."""
        from ..config.load import parse_found

        return parse_found(self._found, Path.cwd())

    def config_mentions(self, word: bytes) -> bool:
        """Return whether a word is in the configuration: without it, no setting of that name is worth the reading."""
        return self._found is not None and word in self._found[1]

    @cached_property
    def places(self) -> Places:
        """Where registry and inbox are. Raises ConfigError with all problems of the configuration if that is unclear.

        Most commands need no more of the configuration, and it is known without pydantic in nearly all files.
        """
        return self._places_at_once() or self._places_in_config()

    @cached_property
    def daemon_places(self) -> tuple[Path, Path]:
        """The paths of registry and inbox, even if other settings have problems. Raises ConfigError."""
        places = self._places_at_once()
        if places is not None:
            return places.registry, places.inbox
        from ..config.load import parse_daemon_places

        return parse_daemon_places(self._found, Path.cwd())

    def _places_at_once(self) -> Places | None:
        from ..config.places import find_places

        return find_places(self._found, Path.cwd())

    def _places_in_config(self) -> Places:
        from ..config.load import places_of

        return places_of(self.config)

    @contextlib.contextmanager
    def reading(self) -> Iterator[ModelRegistry]:
        """Open the registry for reading. Nothing is created, truncated or locked. Raises RegistryMissing."""
        from ..registry.registry import ModelRegistry

        places = self.places
        self.act_as_owner()
        self.must_exist()
        _log_to_stderr()
        with ModelRegistry(places.registry, places.storage_dir, read_only=True) as registry:
            yield registry

    @contextlib.contextmanager
    def writing(self) -> Iterator[ModelRegistry]:
        """Open the registry for changes, as the owner of its folder. On exit the JSON file is updated.

        Raises RegistryMissing, and RegistryCorrupted if receipts or the status tell of lines that the registry lacks:
        new lines would get the numbers of these.
        """
        from ..inbox.older_copy import refuse_older_copy
        from ..registry.registry import ModelRegistry

        places = self.places
        actor = f"cli:{person()}"
        self.act_as_owner()
        self.must_exist()
        _log_to_stderr()
        told = self._told_of_registry()
        with ModelRegistry(
            places.registry, places.storage_dir, lock_timeout=places.lock_timeout, actor=actor
        ) as registry:
            refuse_older_copy(registry, told, {})
            yield registry

    def _told_of_registry(self) -> list[Told]:
        """Return the last lines that the status and the newest receipts tell of, as far as this user may read them."""
        from ..inbox.older_copy import told_by_newest_receipts, told_by_status
        from ..telemetry.status_file import read_status

        inbox = self.places.inbox
        told = told_by_newest_receipts(inbox / "receipts")
        for path in status_paths(self.places.registry, inbox):
            with contextlib.suppress(StorageError):
                told += told_by_status(read_status(path))
        return told

    def read_clock(self, to: str) -> datetime:
        """Return the time for a command that removes what is old by it. `to` completes the message "cannot ...".

        Raises ClockHeld after a jump of the clock. Without a registry nothing is known of the clock.
        """
        try:
            looked = self.look_at_clock()
        except RegistryMissing:
            return now()
        looked.must_be_believed(to)
        return looked.now

    def look_at_clock(self) -> Looked:
        """Compare the clock with what is known. A jump that nobody noticed yet gets its line in the journal.

        Raises RegistryMissing.
        """
        with self.reading() as registry:
            looked = registry.clock_watch.read()
        if looked.doubt is not None and looked.doubt.sequence is None:
            with self.writing() as registry:
                looked = registry.clock_watch.look()
        return looked

    def act_as_owner(self) -> None:
        """Change to the owner of the registry and its storage if root runs the command, before any of it is read."""
        act_as_owner(self.places.registry.parent, self.places.storage_dir)

    def must_exist(self) -> None:
        """Raise RegistryMissing if no file of the registry exists at the configured path."""
        from ..base.disk import exists

        path = self.places.registry
        files = RegistryFiles(path)
        # If only a part is missing, the registry is damaged, and opening it reports that.
        if any(map(exists, (files.path, files.journal, files.history))):
            return
        raise RegistryMissing(
            f"cannot open the registry {str(path)!r}: there is none",
            hint=f"The daemon makes it when it starts (`model-inbox run`). Check the path. {self._origin()}",
        )

    def inbox(self) -> Path:
        """Return the path of the inbox. Raises StorageError if there is none, and says which configuration names it."""
        path = self.places.inbox
        if os.path.lexists(path):
            return path
        error = StorageError("list the inbox", path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
        error.hint = f"The daemon makes it when it starts (`model-inbox run`). Check the path. {self._origin()}"
        raise error

    def _origin(self) -> str:
        """Return where the paths come from, as a sentence of a hint."""
        source = self.places.file
        if source is not None:
            return f"It is set in {str(source)!r}"
        return (
            "It is the default: no configuration was found in ./config.yaml and /etc/model-inbox/config.yaml, and "
            "$MODEL_INBOX_CONFIG is not set"
        )


# --- root acts as somebody else -----------------------------------------------------------------------------


def act_as_owner(*folders: Path) -> None:
    """Let root become the owner of the folders, before anything in them is read. See `base.users`."""
    users.act_as_owner(*folders, before=_import_what_is_closed)


def act_as_any_owner(*folders: Path) -> None:
    """Let root become the owner of the first folder that is not root's: for commands that only look."""
    users.act_as_any_owner(*folders, before=_import_what_is_closed)


# What commands import of other packages, some only at need.
_OTHER_PACKAGES = (
    "click", "difflib", "jinja2", "json", "markupsafe", "orjson", "pydantic", "rich", "structlog", "subprocess",
    "waitress", "yaml",
)  # fmt: skip


def _import_what_is_closed() -> None:
    """Import what any command may import later, and read the lists, unless every user can read Python's modules.

    An installation below /root, or in a home that is closed to others, is such a case. To import all takes longer than
    most commands. When a module of this package is imported, it defines names, reads the package's files that it needs,
    and does nothing else; it needs no extra for that. What is no such module is in a folder without an `__init__`.
    """
    import codecs
    import importlib
    import pkgutil

    from ..base.importable import everybody_can_import

    if everybody_can_import(Path(__file__).parents[1], _OTHER_PACKAGES):
        return
    for encoding in ("ascii", "cp1252", "idna", "latin-1", "unicode-escape", "utf-16", "utf-8-sig"):
        codecs.lookup(encoding)
    for name in ("difflib", "json", "subprocess", "yaml", "rich.console", "rich.progress", "rich.table", "rich.text"):
        importlib.import_module(name)
    package = __name__.split(".", maxsplit=1)[0]
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)
    from ..pickles import Allowlist

    # Keeps the text of every list.
    Allowlist.load()


pass_app = click.make_pass_decorator(App)
"""Decorator that passes the `App` to a command as its first argument."""


def _print_skipped(problem: Problem) -> None:
    """Print to stderr that the config.yaml in the current folder is skipped."""
    with contextlib.suppress(OSError):
        click.echo(f"model-inbox: {printable(problem.message)}", err=True)
        click.echo(f"  {printable(problem.hint)}. The system's configuration is used now", err=True)


def _log_to_stderr() -> None:
    """Send the library's warnings to stderr. By default structlog prints to stdout, where the answer is."""

    def to_stderr() -> None:
        from ..telemetry.logging import configure

        configure(format="console", level="warning")

    configure_at_first_line(to_stderr)


def ask(question: str, *, yes: bool, to: str) -> None:
    """Ask a person to confirm a destructive action. Raises Refused unless they do.

    `yes` is the option --yes, which answers the question. Without it and without a terminal the answer is no. `to`
    completes the message "cannot ...".
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"cannot {to}: it was not confirmed", hint="Check what would be done, then add --yes")
    if not click.confirm(question, err=True):
        raise Refused(f"cannot {to}: the answer was no", hint="Nothing was changed")


# --- errors ------------------------------------------------------------------------------------------------


def report_error(error: ModelInboxError, *, as_json: bool) -> None:
    """Print an error, its hint and its problems to stderr; with `as_json` also as JSON to stdout."""
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
    """Print an error as JSON to stdout."""
    problems: Sequence[Problem] = getattr(error, "problems", ())
    said = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint or _hint_for(error),
        "problems": [problem.as_dict() for problem in problems],
    }
    print_json({"error": said})


def _hint_for(error: ModelInboxError) -> str:
    """Return a hint to run as the file's owner if the system denied access, else ""."""
    if not isinstance(error, StorageError) or error.errno not in (errno.EACCES, errno.EPERM):
        return ""
    if (user := users.acting_as()) is not None:
        return f"Root's commands act as {user}, the owner of the registry or the inbox, who has no access there"
    place = Path(error.path)
    for folder in (place, *place.parents):
        with contextlib.suppress(OSError):
            owner = name_of_user(folder.stat().st_uid)
            return f"It belongs to {owner}. Run the command as that user: `sudo -u {owner} model-inbox ...`"
    return ""

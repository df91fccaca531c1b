"""Write the man pages and the completion of shells: `python docs/man_pages.py FOLDER [DOCUMENTS]`.

Owns the form of a page. The text is that of `--help` and of the settings in config.yaml, so a page says what the
program of the same version does. `make install` runs it with the program that it installs. Writes the pages into
FOLDER/man, and the scripts that click makes for bash, zsh and fish to where these shells look, if FOLDER is
/usr/local/share. DOCUMENTS is where the documents are.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class
from pydantic import BaseModel

from model_inbox import __version__
from model_inbox.cli import COMMANDS, root
from model_inbox.cli.common import ALL_EXITS, Command
from model_inbox.config.settings import Config

PROGRAM = "model-inbox"
COMPLETION = {
    "bash": f"bash-completion/completions/{PROGRAM}",
    "zsh": f"zsh/site-functions/_{PROGRAM}",
    "fish": f"fish/vendor_completions.d/{PROGRAM}.fish",
}
"""Where each shell looks, below `share`."""

# What troff reads as something else, and what it would print as a typographic character.
SIGNS = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}


# --- text for troff ---------------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """Return text that troff prints as it is, in ASCII."""
    return "".join(SIGNS.get(sign, sign) if sign.isascii() else f"\\[u{ord(sign):04X}]" for sign in text)


def line(text: str) -> str:
    """Return one line of text; what stands in backticks is bold."""
    parts = " ".join(text.split()).split("`")
    said = "".join(f"\\fB{escaped(part)}\\fR" if number % 2 else escaped(part) for number, part in enumerate(parts))
    # A line that begins so is a request.
    return f"\\&{said}" if said.startswith((".", "'")) else said


def paragraphs(text: str) -> Iterator[str]:
    """Yield the lines of a help text: filled paragraphs, and as they are those that begin with click's backspace."""
    for number, part in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(text).strip())):
        if number:
            yield ".PP"
        if part.startswith("\b"):
            yield from verbatim(part.removeprefix("\b").strip("\n").split("\n"))
        else:
            yield line(part)


def verbatim(lines: Sequence[str]) -> Iterator[str]:
    """Yield lines that are not filled."""
    yield ".nf"
    yield ".RS 4"
    yield from (f"\\&{escaped(text)}" for text in lines)
    yield ".RE"
    yield ".fi"


def listed(items: Mapping[str, str]) -> Iterator[str]:
    """Yield a list of terms, each with its text."""
    for term, text in items.items():
        yield ".TP"
        yield f"\\fB{escaped(term)}\\fR"
        yield line(text)


def page(name: str, number: int, about: str, body: Iterator[str], others: Sequence[str]) -> str:
    """Return a page. `others` are the pages to read next, like `model-inbox(1)`."""
    called = ", ".join(f"\\fB{escaped(other.partition('(')[0])}\\fR({other.partition('(')[2]}" for other in others)
    lines = [
        '.\\" Written by docs/man_pages.py; every change here is lost.',
        f'.TH "{escaped(name.upper())}" "{number}" "" "{PROGRAM} {__version__}" "{PROGRAM}"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{escaped(name)} \\- {line(about)}",
        *body,
        ".SH SEE ALSO",
        called,
    ]
    return "\n".join(lines) + "\n"


# --- commands ---------------------------------------------------------------------------------------------------------


def synopsis(command: click.Command, context: click.Context) -> str:
    """Return the line that calls a command."""
    return f"\\fB{escaped(context.command_path)}\\fR {escaped(' '.join(command.collect_usage_pieces(context)))}".strip()


def options(command: click.Command, context: click.Context) -> dict[str, str]:
    """Return the options of a command, each with its help."""
    found = (one.get_help_record(context) for one in command.get_params(context) if isinstance(one, click.Option))
    return dict(record for record in found if record is not None)


def section(title: str) -> str:
    """Return the heading of a section."""
    return f".SH {title.upper()}"


def part(title: str) -> str:
    """Return the heading of a part of a subsection."""
    return f".PP\n{title}:"


def described(
    command: click.Command, context: click.Context, heading: Callable[[str], str], exits: Mapping[int, str]
) -> Iterator[str]:
    """Yield what a command does, with its options, examples and those exit codes."""
    yield from paragraphs(command.help or "")
    yield heading("Options")
    yield from listed(options(command, context))
    if isinstance(command, Command):
        yield heading("Examples")
        yield from verbatim(command.examples)
    if exits:
        yield heading("Exit status")
        yield from listed({str(code): text for code, text in exits.items()})


def inner_commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield the commands of a group, each with its context."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield command, click.Context(command, info_name=name, parent=context, **command.context_settings)


def command_page(command: click.Command, context: click.Context) -> str:
    """Return the page of a command, or of a group with all commands in it."""

    def body() -> Iterator[str]:
        yield section("Synopsis")
        yield synopsis(command, context)
        yield section("Description")
        yield from described(command, context, section, command.exits if isinstance(command, Command) else ALL_EXITS)
        if isinstance(command, click.Group):
            yield section("Commands")
            for inner, inside in inner_commands(command, context):
                yield f".SS {synopsis(inner, inside)}"
                # The exit codes that all commands have are those of the page.
                own = inner.exits.items() - ALL_EXITS.items() if isinstance(inner, Command) else ()
                yield from described(inner, inside, part, dict(sorted(own)))

    _, about = COMMANDS[str(context.info_name)]
    others = [f"{PROGRAM}(1)", f"{PROGRAM}.yaml(5)"]
    return page(context.command_path.replace(" ", "-"), 1, about.rstrip("."), body(), others)


def main_page(context: click.Context, documents: str) -> str:
    """Return the page of the program. `documents` is the folder of the documents."""

    def body() -> Iterator[str]:
        yield section("Synopsis")
        yield f"\\fB{escaped(PROGRAM)}\\fR {escaped('[--config FILE] COMMAND [ARGS]...')}"
        yield section("Description")
        yield from paragraphs(root.help or "")
        yield section("Options")
        yield from listed(options(root, context))
        yield section("Commands")
        yield line("Each command has its own page, such as `model-inbox-drop`(1), and `--help`.")
        yield from listed({name: about for name, (_, about) in COMMANDS.items()})
        yield section("Exit status")
        yield from listed(EXITS)
        yield section("Files")
        yield from listed({**FILES, f"{documents}/": "The documents. Begin with README.md."})
        yield section("Environment")
        yield from listed(ENVIRONMENT)

    about = "register trained models that are dropped into a folder"
    return page(PROGRAM, 1, about, body(), [*(f"{PROGRAM}-{name}(1)" for name in COMMANDS), f"{PROGRAM}.yaml(5)"])


EXITS = {
    "0": "Done.",
    "1": "Refused, or problems were found.",
    "2": "The command line is wrong.",
    "75": "Try again: something is locked, full or away for a while.",
    "78": "The configuration is wrong, or data is missing or damaged.",
}
FILES = {
    "/etc/model-inbox/config.yaml": "The settings of an installation.",
    "./config.yaml": "The settings of the current folder, if nobody else can change it.",
    "/var/lib/model-inbox/": "The inbox and the models of an installation.",
}
ENVIRONMENT = {
    "MODEL_INBOX_CONFIG": "The configuration file, if `--config` names none.",
    "MODEL_INBOX_SSH": "The command that `drop --inbox ssh://...` uses in place of ssh.",
    "NO_COLOR": "Turns colours off.",
}


# --- the configuration ------------------------------------------------------------------------------------------------


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield every key below a section of config.yaml: its name, its default and its meaning."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", written(field.default), field.description or "See retention.md."


def written(default: Any) -> str:
    """Return a default as it stands in config.yaml."""
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return str(list(default)) if isinstance(default, tuple) else str(default)


def config_page() -> str:
    """Return the page of config.yaml."""

    def body() -> Iterator[str]:
        yield section("Description")
        yield from paragraphs(CONFIG_TEXT)
        shown = ""
        for key, default, meaning in keys(Config):
            if key.partition(".")[0] != shown:
                shown = key.partition(".")[0]
                yield section(escaped(shown))
            yield ".TP"
            yield f"\\fB{escaped(key)}\\fR (default: {escaped(default)})"
            yield line(meaning)

    others = [f"{PROGRAM}(1)", f"{PROGRAM}-config(1)", f"{PROGRAM}-reload(1)", f"{PROGRAM}-schema(1)"]
    return page(f"{PROGRAM}.yaml", 5, "the configuration of model-inbox", body(), others)


CONFIG_TEXT = """
The settings are read from the first of these that is given or exists: `--config` FILE, the file that
`$MODEL_INBOX_CONFIG` names, `./config.yaml` if nobody but you and root can change it, and
`/etc/model-inbox/config.yaml`. Without a file all settings have their defaults.

`model-inbox config check` lists all problems of a file, `model-inbox config show` all settings, and
`model-inbox reload` makes a running daemon read it again.

Durations are written as 500ms, 90s, 15m, 1h30m, 7d, 2w. In the section `retention`, m is a month and y is a year. Sizes
are written as 500MB, 20GiB.
"""


# --- all of them ------------------------------------------------------------------------------------------------------


def pages(documents: str) -> dict[str, str]:
    """Return every page by its file name. `documents` is the folder of the documents."""
    context = click.Context(root, info_name=PROGRAM, **root.context_settings)
    found = {f"{PROGRAM}.1": main_page(context, documents), f"{PROGRAM}.yaml.5": config_page()}
    for command, inside in inner_commands(root, context):
        found[f"{inside.command_path.replace(' ', '-')}.1"] = command_page(command, inside)
    return found


def completion(shell: str) -> str:
    """Return click's script that completes the program in a shell."""
    found = get_completion_class(shell)
    if found is None:
        raise SystemExit(f"cannot write the completion for {shell}: click knows no such shell")
    maker = found(root, {}, PROGRAM, "_MODEL_INBOX_COMPLETE")
    # Not `source()`: for bash that looks for the version of the bash here.
    script = maker.source_template % maker.source_vars()
    if shell != "zsh":
        return script
    # As a file that zsh loads at the first Tab, click's script does nothing at the second one: it finds out how it was
    # loaded, and is not loaded then. A file of this kind has only to call the function.
    function, how, _ = script.partition("if [[ $zsh_eval_context[-1] == loadautofunc ]]; then")
    if not how:
        raise SystemExit("cannot write the completion for zsh: click's script has another form than is known here")
    return f'{function}{maker.func_name} "$@"\n'


def main(folder: Path, documents: str = "/opt/model-inbox/share/doc") -> None:
    """Write all files below a `share` folder."""
    files = {f"man/man{name.rpartition('.')[2]}/{name}": text for name, text in pages(documents).items()}
    files |= {place: completion(shell) for shell, place in COMPLETION.items()}
    for place, text in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])

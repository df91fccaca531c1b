"""Write the generated tables of the manual, between the markers in each page, and the
catalogue of events for the journal.

`python docs/generate.py` rewrites them; with `--check PAGE...` it only checks that they are up to date.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from man_pages import inner_commands, keys
from man_pages import options as option_texts
from problem_examples import examples

from model_inbox.cli import main as command_line
from model_inbox.cli.common import Command
from model_inbox.config.settings import Config
from model_inbox.errors import TRANSIENT
from model_inbox.inbox.states import STATES, State
from model_inbox.model.conditions.paths import FIELDS, FIXED_PARTS, OTHER_NAMES, PARTS
from model_inbox.model.receipt import receipt_schema
from model_inbox.model.sidecar_fields import SIDECAR_FIELDS
from model_inbox.problems.catalogue import CODES, NOUNS
from model_inbox.registry.entry import entry_schema
from model_inbox.registry.label_format import labels_schema
from model_inbox.serving.metrics import FOLLOWER_METRICS
from model_inbox.telemetry.events import EVENTS
from model_inbox.telemetry.journald import message_id
from model_inbox.telemetry.metrics import METRICS

DOCS = Path(__file__).resolve().parent
CATALOG = DOCS.parent / "systemd" / "model-inbox.catalog"
MARKED = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def cell(text: object) -> str:
    """Return text that can stand in a table's cell."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(heads: list[str], rows: list[list[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def events() -> str:
    """The catalogue of log events, by noun."""
    parts = []
    for noun in dict.fromkeys(name.partition(".")[0] for name in EVENTS):
        rows: list[list[object]] = [
            [f"`{name}`", event.level, ", ".join(f"`{field}`" for field in event.fields), event.meaning, event.action]
            for name, event in EVENTS.items()
            if name.startswith(noun + ".")
        ]
        parts.append(f"## {noun}\n\n" + table(["Event", "Level", "Fields", "Meaning", "What to do"], rows))
    return "\n".join(parts)


def problems() -> str:
    """Every problem code with an example, by noun."""
    shown = examples()
    rows: list[list[object]] = [
        [f"[`{noun}`](#{noun})", about, sum(code.partition(".")[0] == noun for code in CODES)]
        for noun, about in NOUNS.items()
    ]
    parts = [table(["Codes of", "About", ""], rows)]
    for noun, about_noun in NOUNS.items():
        parts.append(f"## {noun}\n\n{about_noun}\n")
        for code, about in CODES.items():
            if code.partition(".")[0] != noun:
                continue
            message, hint = shown[code]
            lines = [f"- Cause: {about.cause}", f"- What to do: {about.remedy}"]
            if about.field:
                lines.append(f"- `field`: {about.field}")
            example = [*lines_of(message), *(f"  {line}" for line in lines_of(hint))]
            parts.append(
                f"### `{code}`\n\n{about.meaning}\n\n"
                + "\n".join(lines)
                + "\n\n```text\n"
                + "\n".join(example)
                + "\n```\n"
            )
    return "\n".join(parts)


def lines_of(text: str) -> list[str]:
    """Return a message or a hint in lines that fit on a page."""
    return textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def problems_of(noun: str) -> str:
    """The codes of one noun in short, for the page about its subject."""
    return table(
        ["Code", "Means", "What to do"],
        [[f"`{code}`", about.meaning, about.remedy] for code, about in CODES.items() if code.startswith(f"{noun}.")],
    ).replace("](../", "](")


def sidecar_fields() -> str:
    """The fields of a sidecar."""
    return table(
        ["Field", "Kind", "", "Meaning"],
        [[f"`{f.name}`", f.kind, "required" if f.required else "", f.meaning] for f in SIDECAR_FIELDS],
    )


def fields(schema: dict[str, Any]) -> str:
    """The fields that a JSON schema describes."""
    rows: list[list[object]] = [
        [f"`{name}`", kind(field), field["description"]] for name, field in schema["properties"].items()
    ]
    return table(["Field", "Kind", "Meaning"], rows)


def kind(schema: dict[str, Any]) -> str:
    """The values that a schema describes, in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if schema.get("format") == "date-time":
        return "time"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    said = [words.get(name, name) for name in types]
    return " or ".join(f"array of {kind(schema['items'])}s" if name == "array" else name for name in said)


def states() -> str:
    """The states of a drop: what may be there in each place."""

    def one_of(values: tuple[object, ...]) -> str:
        names = {"-": "–", "": "–", False: "–", True: "yes"}
        return " or ".join(dict.fromkeys(names.get(value, str(value)) for value in values))

    def claim(state: State) -> str:
        held = one_of(tuple("empty" if value == "" else value for value in state.claim))
        return f"{held}, `reason.json`" if state.reason == (True,) else held

    return table(
        [
            "State",
            "`inbox/`",
            "`.processing/<drop_id>/`",
            "`.staging/`",
            "final names",
            "Journal",
            "Receipt",
            "`rejected/<drop_id>/`",
            "At a restart",
        ],
        [
            [
                state.name,
                one_of(state.inbox),
                claim(state),
                one_of(state.staging),
                one_of(state.stored),
                one_of(state.line).replace("yes", "line"),
                one_of(state.receipt),
                "A or S or A S, `reason.json`" if state.rejected == (True,) else "–",
                state.action.value,
            ]
            for state in STATES
        ],
    )


def config_keys() -> str:
    """Every key of config.yaml with its default."""
    rows: list[list[object]] = [[f"`{key}`", f"`{default}`", meaning] for key, default, meaning in keys(Config)]
    return table(["Key", "Default", "Meaning"], rows)


def metrics() -> str:
    """Every metric for Prometheus."""
    rows: list[list[object]] = [
        [f"`{name}`", told.kind, ", ".join(f"`{label}`" for label in told.labels), told.help]
        for name, told in METRICS.items()
    ]
    return table(["Metric", "Kind", "Labels", "Meaning"], rows)


def follower_metrics() -> str:
    """Every metric of a follower."""
    rows: list[list[object]] = [[f"`{name}`", told.kind, told.help] for name, told in FOLLOWER_METRICS.items()]
    return table(["Metric", "Kind", "Meaning"], rows)


def every_command() -> Iterator[tuple[click.Command, click.Context]]:
    """Yield every command that is no group, each with its context, in the order of the help."""

    def walk(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
        for command, inside in inner_commands(group, context):
            if isinstance(command, click.Group):
                yield from walk(command, inside)
            else:
                yield command, inside

    group = root_group()
    yield from walk(group, click.Context(group, info_name="model-inbox", **group.context_settings))


def words_of(context: click.Context) -> str:
    """Return the words that call a command, without the program."""
    return context.command_path.partition(" ")[2]


def commands() -> str:
    """Every command with its summary and options."""
    rows: list[list[object]] = []
    for command, context in every_command():
        words = words_of(context)
        arguments = " ".join(p.make_metavar(context) for p in command.params if isinstance(p, click.Argument))
        options = ", ".join(
            f"`{'/'.join(p.opts)}`" for p in command.params if isinstance(p, click.Option) and p.name != "help"
        )
        link = f"[`{words}`](options.md#{words.replace(' ', '-')})"
        rows.append([f"{link} `{arguments}`" if arguments else link, command.get_short_help_str(200), options])
    return table(["Command", "What it does", "Options"], rows)


def options_of_commands() -> str:
    """Every command with all that its `--help` says."""
    parts = []
    for command, context in every_command():
        assert isinstance(command, Command)
        parts.append(f"## {words_of(context)}\n\n{help_text(command)}\n")
        parts.append(fenced("sh", [f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"]))
        rows: list[list[object]] = [
            [f"`{names}`", text] for names, text in option_texts(command, context).items() if "--help" not in names
        ]
        parts.append(table(["Option", "Meaning"], rows))
        parts.append("Examples:\n\n" + fenced("sh", command.examples))
        exits: list[list[object]] = [[str(code), meaning] for code, meaning in command.exits.items()]
        parts.append(table(["Exit code", "Meaning"], exits))
    return "\n".join(parts)


def help_text(command: click.Command) -> str:
    """Return the help of a command as Markdown; lines that click does not fill are a block of text."""
    parts = re.split(r"\n\s*\n", inspect.cleandoc(command.help or "").strip())
    return "\n\n".join(
        fenced("text", part.removeprefix("\b").strip("\n").split("\n")).strip() if part.startswith("\b") else part
        for part in parts
    )


def fenced(language: str, lines: Sequence[str]) -> str:
    """Return a block of lines as they are."""
    return "\n".join([f"```{language}", *lines, "```"]) + "\n"


def root_group() -> click.Group:
    """Return the group behind the console script."""
    import model_inbox.cli as package

    for value in [command_line, *vars(package).values()]:
        if isinstance(value, click.Group):
            return value
    raise SystemExit("cannot find the commands' group in model_inbox.cli")


def transient() -> str:
    """The errors of the system that may pass."""
    names = sorted((errno.errorcode[number], cause) for number, cause in TRANSIENT.items())
    return table(["Error", "What it says"], [[f"`{name}`", cause] for name, cause in names])


def catalog() -> str:
    """The catalogue of events as `journalctl -x` reads it."""
    parts = ["# Written by docs/generate.py from the catalogue of events in telemetry/events.py.\n"]
    for name, event in EVENTS.items():
        text = plain(event.meaning)
        if event.action != "Nothing to do.":
            text += f"\n\n{plain(f'What to do: {event.action}')}"
        parts.append(
            f"-- {message_id(name)}\n"
            f"Subject: model-inbox: {name}\n"
            "Defined-By: model-inbox\n"
            "Documentation: file:///opt/model-inbox/share/doc/docs/reference/logs.md\n"
            f"\n{text}\n"
        )
    return "\n".join(parts)


def plain(text: str) -> str:
    """Return text of a page for a terminal, wrapped."""
    return "\n".join(textwrap.wrap(text.replace("`", "'"), 76))


def condition_fields() -> str:
    """The names in conditions that are not metrics."""

    def names(field: str) -> str:
        return ", ".join(f"`{name}`" for name in [field, *(o for o, meant in OTHER_NAMES.items() if meant == field)])

    whole: list[list[object]] = [[names(field), kind.value] for field, kind in FIELDS.items()]
    parts: list[list[object]] = [[f"`{field}.NAME`", kind.value] for field, kind in PARTS.items()]
    fixed = [[f"`{field}.{part}`", kind.value] for field, found in FIXED_PARTS.items() for part, kind in found.items()]
    return table(["Name", "Value"], whole) + "\n" + table(["Part", "Value"], [*parts, *fixed])


TABLES: dict[str, Callable[[], str]] = {
    "events": events,
    "sidecar-fields": sidecar_fields,
    "entry-fields": lambda: fields(entry_schema()),
    "labels-fields": lambda: fields(labels_schema()),
    "receipt-fields": lambda: fields(receipt_schema()),
    "states": states,
    "condition-fields": condition_fields,
    "config-keys": config_keys,
    "commands": commands,
    "options-of-commands": options_of_commands,
    "metrics": metrics,
    "follower-metrics": follower_metrics,
    "transient": transient,
    "problems": problems,
    "problems-artifact": lambda: problems_of("artifact"),
    "problems-status": lambda: problems_of("status"),
}


def refreshed(text: str) -> str:
    """Return a page with its tables as they should be."""
    return MARKED.sub(lambda m: m[1] + "\n" + TABLES[m[2]]() + "\n" + m[3], text)


def main() -> int:
    """Rewrite the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("pages", nargs="*")
    options = parser.parse_args()
    stale = 0
    for path in sorted(DOCS.rglob("*.md")):
        if options.pages and path.name not in options.pages:
            continue
        old = path.read_text()
        new = refreshed(old)
        if new == old:
            continue
        stale += 1
        if options.check:
            sys.stdout.writelines(
                difflib.unified_diff(
                    old.splitlines(keepends=True), new.splitlines(keepends=True), str(path), "as it should be"
                )
            )
            print(f"{path.name} is not up to date: run `python docs/generate.py`")
        else:
            path.write_text(new)
    if not options.pages or CATALOG.name in options.pages:
        old = CATALOG.read_text() if CATALOG.exists() else ""
        if old != catalog():
            stale += 1
            if options.check:
                print(f"{CATALOG.name} is not up to date: run `python docs/generate.py`")
            else:
                CATALOG.write_text(catalog())
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())

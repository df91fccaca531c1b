"""Every command line in the documents and in messages is one that the program takes, with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from model_inbox.cli import root
from support.places import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = sorted((ROOT / "daemon" / "model_inbox").rglob("*.py"))
_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_IN_PROSE = re.compile(r"`model-inbox ([^`\n]+)`")
# Up to what the shell, or the page, puts behind the command.
_IN_BLOCK = re.compile(r"^(?:[$#] |sudo )?model-inbox ((?:[^\n]*\\\n)*[^\n#|;&>]*)", re.MULTILINE)
_OPTION = re.compile(r"-{1,2}[a-z][a-z-]*")


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yield the words behind `model-inbox` of each command line in a page; commas and the like are none."""
    text = page.read_text(encoding="utf-8")
    in_blocks = [found for block in _BLOCK.findall(text) for found in _IN_BLOCK.findall(block)]
    for line in [*in_blocks, *_IN_PROSE.findall(text)]:
        words = re.sub(r"[\[\]…]|\\\n", " ", line)
        try:
            yield shlex.split(words)
        except ValueError:
            # A quote ends on another line of the prose.
            yield words.replace("'", " ").replace('"', " ").split()


def fault(words: list[str]) -> str:
    """Return what is wrong with a command line, or ""."""
    command: click.Command = root
    known = {name for parameter in root.params for name in parameter.opts} | {"-h", "--help"}
    rest = iter(words)
    for word in rest:
        if "{" in word:
            # A message fills it in.
            return ""
        if word == "--config":
            next(rest, None)
        elif isinstance(command, click.Group) and not word.startswith("-"):
            inner = command.get_command(click.Context(command), word)
            if inner is None:
                # `backup DIR` and `alias NAME ID` are short for a command of the group; a capital stands for any.
                return "" if command.name in ("backup", "alias") or word.isupper() else f"there is no command {word}"
            command = inner
            for parameter in command.params:
                known |= {*parameter.opts, *parameter.secondary_opts, *getattr(parameter, "old", ())}
        elif _OPTION.fullmatch(name := word.partition("=")[0]) and name not in known:
            return f"{command.name} has no option {name}"
    return ""


def test_command_lines_can_be_typed() -> None:
    """No page, message or hint names a command or an option that is not there."""
    faults = []
    count = 0
    for page in [*PAGES, *SOURCES]:
        for words in command_lines(page):
            count += 1
            if found := fault(words):
                faults.append(f"{page.relative_to(ROOT)}: {found}: model-inbox {' '.join(words)}")
    assert faults == []
    assert count > 500


def test_what_is_not_there_is_found() -> None:
    """A wrong command, a wrong command of a group and a wrong option are seen; short forms and placeholders are not."""
    assert fault(["frobnicate"]) == "there is no command frobnicate"
    assert fault(["rejected", "mend", "x"]) == "there is no command mend"
    assert fault(["list", "--no-such"]) == "list has no option --no-such"
    assert fault(["--config", "f.yaml", "list", "--pair", "USD/EUR"]) == ""
    assert fault(["backup", "/srv/backup"]) == fault(["COMMAND"]) == ""

"""Prints the answers of commands: JSON, tables, fields and problems.

Owns the width, the colours, and the escaping of everything unprintable, so that no terminal acts on a producer's text.
`tables` decides which columns of a table have room. Knows nothing about single commands.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

import click

from ..base.standard_streams import has_colours
from ..problems import Problem, escaped
from .tables import Column, columns_of_text, lay_out

__all__ = [
    "Colour",
    "Column",
    "age",
    "fits",
    "in_colour",
    "print_fields",
    "print_json",
    "print_lines",
    "print_problems",
    "print_table",
    "printable",
    "short_number",
    "when",
    "width",
]

Colour = Literal["green", "yellow", "red", "bold"]
_COLOURS: dict[Colour, int] = {"green": 32, "yellow": 33, "red": 31, "bold": 1}
_UNITS_OF_AGE = (("y", 365.25 * 86400), ("d", 86400.0), ("h", 3600.0), ("m", 60.0))


def print_problems(problems: Iterable[Problem], *, err: bool = False) -> None:
    """Print problems as a list: place, message and code, and on the next line the hint."""
    for problem in problems:
        place = _place_of(problem)
        print_lines(f"- {place}{': ' if place else ''}{problem.message} [{problem.code}]", indent=2, hanging=4, err=err)
        if problem.hint:
            print_lines(problem.hint, indent=6, err=err)


def _place_of(problem: Problem) -> str:
    """Return the place of a problem, if its message does not name it: `a.yaml:3:5`, `line 3, column 5`, `a.pkl`."""
    if problem.line is None:
        return problem.file if problem.file is not None and problem.file not in problem.message else ""
    if problem.file is not None:
        return ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part is not None)
    return f"line {problem.line}" + (f", column {problem.column}" if problem.column is not None else "")


def printable(text: object) -> str:
    """Return text with everything unprintable escaped, however long it is."""
    shown = str(text)
    return escaped(shown, len(shown))


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    import orjson

    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        # A file name that is not UTF-8. The json module escapes it.
        text = json.dumps(value, indent=2, default=str)
    click.echo(text)


def width(*, err: bool = False) -> int | None:
    """Return the width of the terminal (of $COLUMNS, if that is set), or None if the output is not a terminal.

    What goes to a file or a pipe has no width, even if $COLUMNS is set: programs hand that on to those they call.
    """
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def in_colour(text: str, colour: Colour | None, *, err: bool = False) -> str:
    """Return a text in a colour if the output is a terminal that has colours and $NO_COLOR is not set."""
    stream = sys.stderr if err else sys.stdout
    return text if colour is None or not has_colours(stream) else f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def print_lines(
    text: str, *, indent: int = 0, hanging: int | None = None, colour: Colour | None = None, err: bool = False
) -> None:
    """Print text with everything unprintable escaped, each line wrapped to the width of the output.

    Lines are wrapped only between words, so that an id stays whole. `colour` is that of the verdict at the
    beginning: words in capitals before a colon, or the first word.
    """
    columns = width(err=err)
    margin, rest = " " * indent, " " * (indent if hanging is None else hanging)
    for line in text.splitlines() or [""]:
        wrapped = [margin + printable(line)]
        if columns is not None:
            wrapped = textwrap.wrap(
                printable(line),
                max(columns, 40),
                initial_indent=margin,
                subsequent_indent=rest,
                break_on_hyphens=False,
                break_long_words=False,
            )
        shown = "\n".join(wrapped)
        verdict, colon, _ = line.partition(":")
        word = verdict if colon and verdict.isupper() else line.split(" ", 1)[0]
        if colour is not None and shown.startswith(margin + word):
            shown = margin + in_colour(word, colour, err=err) + shown[len(margin + word) :]
        colour = None
        click.echo(shown, err=err)
        margin = rest


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values in two columns. A value that is None or "" is left out."""
    pairs = [(name, str(value)) for name, value in fields if value not in (None, "")]
    column = max((len(name) for name, _ in pairs), default=0) + 4
    for name, value in pairs:
        print_lines(f"{name:<{column - 2}}{value}", indent=2, hanging=column)


def fits(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> bool:
    """Return whether a table has room in the width of the output as it is."""
    columns_wide = width()
    lines = lay_out(columns, _printable(rows), None).lines
    return columns_wide is None or max(map(columns_of_text, lines)) <= columns_wide


def _printable(rows: Iterable[Sequence[object]]) -> list[list[str]]:
    return [[printable("" if cell is None else cell) for cell in row] for row in rows]


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """Print a table of one line a row. What has no room in the width of the output is shortened or left out."""
    cells = _printable(rows)
    laid = lay_out(columns, cells, width(), ellipsis=_ellipsis())
    title, *lines = laid.lines
    click.echo("\n".join([in_colour(title, "bold"), *lines]))
    if laid.left_out:
        print_lines(f"No room for {', '.join(laid.left_out)} (see --json).")


def _ellipsis() -> str:
    try:
        "…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeError, LookupError):
        return "..."
    return "…"


def when(moment: datetime | None, *, seconds: bool = False) -> str:
    """Return an instant for people, in UTC, or "?" for None."""
    if moment is None:
        return "?"
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}" if seconds else f"{utc:%Y-%m-%d %H:%M}"


def short_number(value: object) -> str:
    """Return a number for people, with six significant digits. Anything else is returned as text."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def age(moment: datetime | None, at: datetime) -> str:
    """Return how long ago an instant was, in one unit: `40s`, `3h`, `12d`; negative for the future, "?" for None."""
    if moment is None:
        return "?"
    seconds = (at - moment).total_seconds()
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    for unit, length in _UNITS_OF_AGE:
        if seconds >= 2 * length:
            return f"{sign}{int(seconds // length)}{unit}"
    return f"{sign}{int(seconds)}s"

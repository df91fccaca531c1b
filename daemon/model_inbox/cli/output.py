"""Prints the answers of commands: JSON, tables, fields and problems.

Owns the layout, the width, and the escaping of everything unprintable, so that no terminal acts on a producer's text.
Knows nothing about single commands.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click

from ..base.instants import parse_instant
from ..problems import Problem, escaped

__all__ = [
    "age",
    "parse_stored",
    "print_fields",
    "print_json",
    "print_lines",
    "print_problems",
    "print_table",
    "printable",
    "when",
    "width",
]

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
    """Return the number of columns of the terminal, or None if the output is not a terminal."""
    stream = sys.stderr if err else sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else None


def print_lines(text: str, *, indent: int = 0, hanging: int | None = None, err: bool = False) -> None:
    """Print text with everything unprintable escaped, each line wrapped to the terminal's width."""
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
            )
        click.echo("\n".join(wrapped), err=err)
        margin = rest


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values in two columns. A value that is None or "" is left out."""
    pairs = [(name, str(value)) for name, value in fields if value not in (None, "")]
    column = max((len(name) for name, _ in pairs), default=0) + 4
    for name, value in pairs:
        print_lines(f"{name:<{column - 2}}{value}", indent=2, hanging=column)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Print a table. On a terminal long cells are folded to its width; elsewhere a row is one line.

    `right` has the titles of right-aligned columns. Text is never interpreted as markup.
    """
    cells = [[printable("" if cell is None else cell) for cell in row] for row in rows]
    columns = width()
    if columns is None:
        _print_plain(titles, cells, right)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, width=columns, markup=False, highlight=False, emoji=False).print(table)


def _print_plain(titles: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    widths = [
        max(len(title), *(len(row[at]) for row in cells)) if cells else len(title) for at, title in enumerate(titles)
    ]
    lines = []
    for row in (titles, *cells):
        padded = (
            cell.rjust(size) if title in right else cell.ljust(size)
            for cell, size, title in zip(row, widths, titles, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    click.echo("\n".join(lines))


def parse_stored(text: object) -> datetime | None:
    """Parse an instant of an entry or a receipt. Return None for anything else."""
    try:
        return parse_instant(text) if isinstance(text, str) else None
    except ValueError:
        return None


def when(moment: datetime | None, *, seconds: bool = False) -> str:
    """Return an instant for people, in UTC, or "?" for None."""
    if moment is None:
        return "?"
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}" if seconds else f"{utc:%Y-%m-%d %H:%M}"


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

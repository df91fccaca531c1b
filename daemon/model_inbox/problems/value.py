"""One coded problem as a value, and how the text of a producer enters a message.

Never decides what is a problem and never prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codes import Code

__all__ = ["Problem", "escaped", "is_unicode", "problems_in", "quoted"]


NAME_CHARACTERS_MAX = 255
"""The longest file name on Linux, in bytes: no name has more characters."""


def is_unicode(text: str) -> bool:
    """Return whether a text can be written in UTF-8. Other bytes of a command line arrive as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def quoted(value: object, limit: int = 80) -> str:
    """Return `value` in single quotes, safe to stand in a message, a log line or a terminal.

    Everything that is not printable (control characters, line breaks, surrogates of undecodable names,
    direction marks), quotes and backslashes are escaped; text over `limit` characters is cut with an ellipsis.
    Whatever a producer wrote enters a message through this function only.
    """
    text, cut = _cut(str(value), limit)
    safe = "".join("\\" + c if c in "'\\" else _escaped(c) for c in text)
    return f"'{safe}{cut}'"


def escaped(value: object, limit: int = NAME_CHARACTERS_MAX) -> str:
    """Return `value` for a field of its own, without quotes.

    Printable text of at most `limit` characters is returned as it is, so that a program finds the file by this name.
    What is not printable is escaped and longer text is cut, as in `quoted`.
    """
    text, cut = _cut(str(value), limit)
    if not text.isprintable():
        text = "".join(_escaped(c) for c in text)
    return text + cut


def _cut(text: str, limit: int) -> tuple[str, str]:
    return text[:limit], "…" if len(text) > limit else ""


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why something was not accepted, or is not well.

    `code` is stable and dotted (`sidecar.missing_field`), for programs; `message` says what was found and where,
    `hint` what to do about it, both for people. `field` is a dotted path in a sidecar or in config.yaml, `line`
    and `column` count from 1, `file` is a plain name in the inbox, and a path elsewhere.

    Made by the constructors in this room alone, one for each code.
    """

    code: Code
    message: str
    hint: str = ""
    field: str | None = None
    line: int | None = None
    column: int | None = None
    file: str | None = None

    def at(self, line: int | None, column: int | None) -> Problem:
        """Return the same problem with its place in the text."""
        return replace(self, line=line, column=column)

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as a JSON object; what is not known is left out."""
        pairs = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in pairs.items() if value is not None and value != ""}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Problem:
        """Return the problem that `as_dict` described; keys that are not known here are ignored.

        The code is taken as it is: a file of another version may hold one that this version's table lacks.
        """
        return cls(**{name: data[name] for name in cls.__slots__ if name in data})

    @classmethod
    def read(cls, value: object) -> Problem | None:
        """Return the problem in a value of a JSON file that others may have written; None if it is not one.

        A field of another type than a problem's is left out.
        """
        if not isinstance(value, Mapping):
            return None
        given = {
            name: value[name]
            for name in cls.__slots__
            if type(value.get(name)) is (int if name in ("line", "column") else str)
        }
        return cls(**given) if "code" in given and "message" in given else None

    def __str__(self) -> str:
        place = ""
        if self.line is not None:
            place = f" (line {self.line}" + (f", column {self.column})" if self.column is not None else ")")
        return f"{self.code}: {self.message}{place}" + (f" — {self.hint}" if self.hint else "")


def problems_in(value: object) -> tuple[Problem, ...]:
    """Return the problems in the list that a JSON file has under `problems`. What is not one is left out."""
    found = map(Problem.read, value if isinstance(value, list | tuple) else ())
    return tuple(problem for problem in found if problem is not None)

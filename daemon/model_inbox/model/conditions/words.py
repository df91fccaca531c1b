"""The words of a condition: names, operators and values, with their places in the text.

Owns how a condition is cut into words. Never decides what a word means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ...errors import ConditionError
from ...problems import quoted

__all__ = ["OPERATORS", "Word", "refused", "split_words"]

OPERATORS = ("<=", ">=", "==", "!=", "<", ">", "=")
_LENGTH_MAX = 4096
_QUOTE = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)
_PLAIN = re.compile(r"""[^\s<>=!"'()&|]+""")
_MISTAKES = {
    "=<": "Write <=",
    "=>": "Write >=",
    "<>": "Write !=",
    "&&": "Write and",
    "||": "Write or",
    "(": "Write without parentheses: and binds more tightly than or, and several --where must all hold. "
    "Put a name or a value with parentheses into double quotes",
    "!": "Write != for not equal, 'NAME missing' for a value that is not there, or NAME=false",
}


class Word(NamedTuple):
    """A word: its text without quotes, its place in the condition, and whether a part of it was in quotes."""

    text: str
    start: int
    end: int
    is_quoted: bool = False

    @property
    def is_operator(self) -> bool:
        """Whether it compares something."""
        return self.text in OPERATORS and not self.is_quoted

    def is_keyword(self, *keywords: str) -> bool:
        """Return whether it is one of these keywords, in any case and without quotes."""
        return not self.is_quoted and self.text.lower() in keywords


def refused(condition: str, what: str, hint: str = "") -> ConditionError:
    """Return the error for a condition that cannot be used."""
    return ConditionError(f"cannot use the condition {quoted(condition, 200)}: {what}", hint=hint)


def split_words(condition: str) -> list[Word]:
    """Return the words of a condition. Raises ConditionError for what is never part of one."""
    if len(condition) > _LENGTH_MAX:
        raise refused(condition, f"it has more than {_LENGTH_MAX} characters", "Write several shorter ones")
    return list(_words(condition))


def _words(condition: str) -> Iterator[Word]:
    at = 0
    while at < len(condition):
        if condition[at].isspace():
            at += 1
            continue
        start = at
        for mistake, hint in _MISTAKES.items():
            if condition.startswith(mistake, at) and not condition.startswith("!=", at):
                raise refused(condition, f"{quoted(mistake)} has no meaning here", hint)
        operator = next((one for one in OPERATORS if condition.startswith(one, at)), None)
        if operator is not None:
            at += len(operator)
            yield Word(operator, start, at)
            continue
        text, is_quoted = "", False
        while at < len(condition):
            if plain := _PLAIN.match(condition, at):
                text += plain[0]
                at = plain.end()
            elif quote := _QUOTE.match(condition, at):
                text += re.sub(r"\\(.)", r"\1", quote[2], flags=re.DOTALL)
                is_quoted = True
                at = quote.end()
            else:
                break
        if at == start:
            what = "a quote has no end" if condition[at] in "\"'" else f"{quoted(condition[at])} has no meaning here"
            raise refused(condition, what, "Put a text with such characters into double quotes")
        yield Word(text, start, at, is_quoted)

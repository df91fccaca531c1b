"""One coded problem as a value, and how the text of a producer enters a message.

Never decides what is a problem and never prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Problem", "quoted"]


def quoted(value: object, limit: int = 80) -> str:
    """Return `value` in quotes, safe to stand in a message, a log line or a terminal.

    Everything that is not printable (control characters, line breaks, surrogates of undecodable names,
    direction marks) is escaped, and text over `limit` characters is cut with an ellipsis. Whatever a producer
    wrote enters a message through this function only.
    """
    text = value if isinstance(value, str) else str(value)
    cut = len(text) > limit
    text = text[:limit]
    safe = "".join(
        c if c.isprintable() and c not in "'\\" else c.encode("unicode_escape").decode("ascii") if c != "'" else "\\'"
        for c in text
    )
    return f"'{safe}{'…' if cut else ''}'"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why something was not accepted.

    `code` is stable and dotted (`sidecar.missing_field`), for programs; `message` says what was found and where,
    `hint` what to do about it, both for people. `field` is a dotted path in a sidecar or in config.yaml, `line`
    and `column` count from 1, `file` is a plain file name.
    """

    code: str
    message: str
    hint: str = ""
    field: str | None = None
    line: int | None = None
    column: int | None = None
    file: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as a JSON object; what is not known is left out."""
        pairs = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in pairs.items() if value is not None and value != ""}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Problem:
        """Return the problem that `as_dict` described; keys that are not known here are ignored."""
        return cls(**{name: data[name] for name in cls.__slots__ if name in data})

    def __str__(self) -> str:
        place = ""
        if self.line is not None:
            place = f" (line {self.line}" + (f", column {self.column})" if self.column is not None else ")")
        return f"{self.code}: {self.message}{place}" + (f" — {self.hint}" if self.hint else "")

"""Protected aliases: who may move them, as a line of the journal says it, so that every process sees the same.

Owns the form of that line and the decision. It stops mistakes, and nobody who can write to the registry's folder.
Pure: never asks the system who a user is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..base.accounts import Account
from ..errors import AliasProtected
from ..problems import quoted
from .journal import Draft, Line

__all__ = ["Protection", "protection_draft", "protection_in"]


@dataclass(frozen=True, slots=True)
class Protection:
    """For each protected alias the users who may move it: names, numbers, and groups as `@name`.

    The journal line number `line`, which `actor` wrote at `at`, says so.
    """

    may_move: Mapping[str, tuple[str, ...]]
    line: int
    at: datetime
    actor: str

    def check(self, alias: str, user: Account | None) -> None:
        """Raise AliasProtected unless this user may move the alias. None is a user whom nobody knows."""
        allowed = self.may_move.get(alias)
        if allowed is None or (user is not None and _is_one_of(user, allowed)):
            return
        who = (
            "it is not known which user runs this" if user is None else f"{quoted(user.name or str(user.uid))} may not"
        )
        hint = (
            "Log in as one of them (root without the login of a user is nobody)" if user is None else "Ask one of them"
        )
        raise AliasProtected(
            f"cannot move the alias {quoted(alias)}: {who}; those who may are {', '.join(map(quoted, allowed))}",
            hint=f"{hint}; aliases.{alias}.may_move in the daemon's config.yaml says so (journal line {self.line})",
        )


def protection_draft(may_move: Mapping[str, Sequence[str]], actor: str) -> Draft:
    """Return the line that protects these aliases, and no others any more."""
    aliases = {alias: {"may_move": list(allowed)} for alias, allowed in sorted(may_move.items())}
    return Draft("protect", "", "aliases in config.yaml", actor, detail={"aliases": aliases})


def protection_in(line: Line) -> Protection:
    """Return what such a line says."""
    aliases = (line.detail or {}).get("aliases") or {}
    may_move = {alias: tuple(one["may_move"]) for alias, one in aliases.items()}
    return Protection(may_move, line.sequence, line.at, line.actor)


def _is_one_of(user: Account, allowed: Sequence[str]) -> bool:
    names = {str(user.uid), *([user.name] if user.name is not None else ()), *(f"@{group}" for group in user.groups)}
    return not names.isdisjoint(allowed)

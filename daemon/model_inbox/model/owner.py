"""The owner of a drop: the user who made it, as entries, receipts and the history name them.

Owns `OwnerFields` and reading them from any JSON value: a file may be of an earlier version, or edited by hand. Pure.
The user's number decides; the name is what the system's databases said at the time of the drop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypedDict

from ..base.shapes import Field
from ..problems import escaped

__all__ = ["OwnerFields", "name_of_owner", "names_of_owner", "owner_in_words", "uid_of_owner"]


class OwnerFields(TypedDict):
    """A user, by name and number."""

    name: Annotated[str | None, Field("The user's name at the time of the drop; null: the system knew none.")]
    uid: Annotated[int, Field("The user's number.", minimum=0)]


def uid_of_owner(owner: object) -> int | None:
    """Return the number of an owner; None if the value does not say one."""
    uid = owner.get("uid") if isinstance(owner, Mapping) else None
    return uid if type(uid) is int and uid >= 0 else None


def names_of_owner(owner: object) -> tuple[str, str]:
    """Return name and number of an owner as text, each "" where the value does not say it.

    A receipt of version 0.1 has text instead: the name.
    """
    if isinstance(owner, str):
        return owner, ""
    name = owner.get("name") if isinstance(owner, Mapping) else None
    uid = uid_of_owner(owner)
    return name if isinstance(name, str) else "", str(uid) if uid is not None else ""


def name_of_owner(owner: object) -> str | None:
    """Return the name of an owner as the log has it: the number if there is no name, None if the value says neither."""
    return next(filter(None, names_of_owner(owner)), None)


def owner_in_words(owner: object) -> str | None:
    """Return an owner for people: "alice (uid 1001)". None if the value does not say one."""
    name, uid = names_of_owner(owner)
    words = f"{escaped(name)} (uid {uid})" if name and uid else escaped(name) or (uid and f"uid {uid}")
    return words or None

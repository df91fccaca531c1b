"""Users and groups by name."""

from __future__ import annotations

from model_inbox.base.users import name_of_group, name_of_user


def test_a_user_and_a_group_are_a_name_or_the_number() -> None:
    """One that the system does not know is a number."""
    assert (name_of_user(0), name_of_user(4_000_000)) == ("root", "4000000")
    assert (name_of_group(0), name_of_group(4_000_000)) == ("root", "4000000")

"""The tables of rules: which rule a name gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from model_inbox.pickles.rules import table


@pytest.mark.parametrize("kind", ["CALLS", "STATES"])
def test_no_name_has_two_rules(kind: str) -> None:
    """A rule of one module never takes the place of another module's."""
    tables = [found for name, found in vars(table).items() if name.endswith(f"_{kind}") and isinstance(found, Mapping)]
    assert len(tables) > 10 or (kind == "STATES" and len(tables) > 5)
    assert [name for name, count in Counter(name for rules in tables for name in rules).items() if count > 1] == []

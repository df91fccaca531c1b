"""Which lines of a journal are about a name, and who held it."""

from __future__ import annotations

from model_inbox.model.slot import Slot
from model_inbox.registry.entry import as_fields
from model_inbox.registry.journal import Line
from model_inbox.serving.names import Name, holders_before, moved_names

SLOT = Slot("USD/EUR", "lightgbm")
CHAMPION = Name(SLOT, "champion")


def line(operation: str, model_id: str, alias: str | None, pair: str = "USD/EUR", sequence: int = 1) -> Line:
    entry = as_fields({"currency_pair": pair, "model_type": "lightgbm", "sequence": sequence})
    detail = {"alias": alias} if alias is not None else None
    return Line(9, "", operation, model_id, changes_entry=True, entry=entry, detail=detail)


def test_lines_that_set_an_alias_move_it() -> None:
    """In its own slot, whatever the operation is called; a removal moves it nowhere."""
    assert moved_names([line("alias", "a", "champion"), line("tag", "a", None)]) == {CHAMPION}
    assert moved_names([line("alias", "a", "x", "GBP/EUR")]) == {Name(Slot("GBP/EUR", "lightgbm"), "x")}
    assert moved_names([line("unalias", "a", "champion")]) == set()


def test_holders_come_latest_first_and_once() -> None:
    """A model that got the alias back stands where it had it last; other slots and aliases do not count."""
    lines = [
        line("alias", "a", "champion"),
        line("alias", "b", "champion"),
        line("alias", "x", "champion", "GBP/EUR"),
        line("alias", "y", "next"),
        line("alias", "a", "champion"),
        line("alias", "a", "champion", sequence=7),
        line("alias", "c", "champion"),
    ]
    assert holders_before(lines, CHAMPION) == [("c", 1), ("a", 7), ("a", 1), ("b", 1)]


def test_names_are_told_as_they_are_written() -> None:
    """PAIR:TYPE[:VARIANT][@ALIAS]."""
    assert str(CHAMPION) == "USD/EUR:lightgbm@champion"
    assert str(Name(Slot("USD/EUR", "lstm", "small"), None)) == "USD/EUR:lstm:small"

"""Plans: what is to be done for one model, from what MLflow has of it."""

from __future__ import annotations

from typing import Any

import pytest

from model_inbox.mirror.plan import (
    Create,
    Delete,
    Keep,
    Supersede,
    Version,
    Wanted,
    changes_of,
    fault_of,
    steps,
    tag_changes,
)
from model_inbox.registry.entry import as_fields
from model_inbox.registry.journal import Line


def entry(model_id: str = "m", **fields: Any) -> Any:
    return as_fields({"model_id": model_id, "sha256": "1" * 64, "sequence": 4, **fields})


def version(number: int, sha256: str = "1" * 64, **tags: str) -> Version:
    given = {f"model_inbox.{name}": value for name, value in {"sha256": sha256, "retired": "", **tags}.items()}
    return Version("USD-EUR.lightgbm", number, f"r{number}", "", given)


LIVE = Wanted(entry(), 9, "1-a")
GONE = Wanted(entry(), 9, "1-a", {"at": "2026-11-01T00:00:00Z", "reason": "old"})


def test_a_new_model_is_made_once() -> None:
    """Whatever was carried out leads to nothing that makes another version."""
    assert steps(LIVE, [], "tag") == (Create(),)
    assert steps(LIVE, [version(1)], "tag") == (Keep(version(1)),)


def test_the_later_of_two_goes() -> None:
    """Also when MLflow lists it first."""
    first, second = version(1), version(2)
    assert steps(LIVE, [second, first], "tag") == (Keep(first), Delete(second, "it is there twice"))


def test_what_becomes_of_a_retired_model() -> None:
    """It is tagged, or deleted; one that was never there is not made in order to be deleted."""
    assert steps(GONE, [version(1)], "tag") == (Keep(version(1)),)
    assert steps(GONE, [version(1)], "delete") == (Delete(version(1), "its model was retired"),)
    assert steps(GONE, [], "tag") == (Create(),)
    assert steps(GONE, [], "delete") == ()


def test_an_earlier_model_with_the_id_is_another_one() -> None:
    """Its version is marked once, or deleted, and the new model gets a version of its own."""
    before, marked = version(1, "2" * 64), version(1, "2" * 64, retired='{"at":""}')
    assert steps(LIVE, [before], "tag") == (Create(), Supersede(before))
    assert steps(LIVE, [marked], "tag") == (Create(),)
    assert steps(LIVE, [before], "delete") == (Create(), Delete(before, "its model is registered no more"))


def test_a_line_that_comes_again_changes_nothing_back() -> None:
    """A version that knows a later line of this epoch stays; of another epoch it says nothing."""
    later, other = version(1, line="10", epoch="1-a"), version(1, line="10", epoch="2-b")
    assert steps(LIVE, [later], "tag") == ()
    assert steps(LIVE, [later], "tag", compare=True) == (Keep(later),)
    assert steps(LIVE, [other], "tag") == (Keep(other),)


def test_only_tags_that_differ_are_set() -> None:
    """Tags of ours that should not be there go; those of other people stay."""
    found = {"model_inbox.held": "", "model_inbox.label.desk": "fx", "team": "a", "model_inbox.line": "3"}
    wanted = {"model_inbox.held": "odd", "model_inbox.line": "4"}
    assert tag_changes(wanted, found) == (wanted, ("model_inbox.label.desk",))
    assert tag_changes({"model_inbox.line": "4"}, {"model_inbox.line": "3"}, only_content=True) == ({}, ())


@pytest.mark.parametrize(("model_id", "is_fine"), [("usd_eur-1.2", True), ("a b", False), ("it's", False), ("", False)])
def test_ids_that_mlflow_could_not_be_asked_for(model_id: str, is_fine: bool) -> None:
    """Adopted registries may have any; none gets into a filter."""
    assert (fault_of({"model_id": model_id}) == "") == is_fine


def line(sequence: int, operation: str, model_id: str, **more: Any) -> Line:
    return Line(sequence, f"2026-11-01T00:00:{sequence:02}Z", operation, model_id, changes_entry=True, **more)


def test_of_several_changes_the_last_counts() -> None:
    """Each model comes once, as it is after these lines, in the order of its last change."""
    lines = [
        line(1, "register", "a", entry=entry("a", sequence=1)),
        line(2, "register", "b", entry=entry("b", sequence=2)),
        line(3, "pin", "a", entry=entry("a", sequence=1, pinned=True)),
    ]
    found = list(changes_of(lines, "1-a"))
    assert [(one.model_id, one.line, one.entry.get("pinned")) for one in found] == [("b", 2, None), ("a", 3, True)]


def test_who_loses_an_alias_changes_too() -> None:
    """And after the one who gets it, so that it always names a version."""
    moved = line(5, "promote", "b", entry=entry("b", sequence=2), detail={"also": {"a": entry("a", sequence=1)}})
    assert [one.model_id for one in changes_of([moved], "1-a")] == ["b", "a"]


def test_who_is_retired_comes_last() -> None:
    """The version is perhaps deleted, and who follows it under its alias must be there before."""
    moved = line(5, "promote", "b", entry=entry("b", sequence=2), detail={"also": {"a": entry("a", sequence=1)}})
    gone = line(6, "retire", "a", removed=entry("a", sequence=1))
    labelled = line(7, "tag", "b", entry=entry("b", sequence=2))
    assert [one.model_id for one in changes_of([moved, gone, labelled], "1-a")] == ["b", "a"]


def test_a_retired_model_and_the_next_of_its_id_are_two() -> None:
    """The first is retired, the second registered."""
    lines = [
        line(5, "retire", "a", removed=entry("a", sequence=1), reason="old"),
        line(6, "register", "a", entry=entry("a", sequence=6)),
    ]
    found = list(changes_of(lines, "1-a"))
    assert [one.retired for one in found] == [{"at": "2026-11-01T00:00:05Z", "reason": "old"}, None]


def test_lines_that_change_no_entry_change_nothing_here() -> None:
    """A purge, and what the clock did."""
    assert list(changes_of([Line(1, "2026-11-01T00:00:00Z", "purge", "a")], "1-a")) == []

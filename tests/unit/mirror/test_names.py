"""Names in MLflow: one for each slot, and whose it is."""

from __future__ import annotations

import pytest

from model_inbox.mirror.names import alias_fault, model_name, owner_tags, slot_of_tags, template_fault
from model_inbox.model.slot import Slot


@pytest.mark.parametrize(
    ("slot", "template", "name"),
    [
        (Slot("USD/EUR", "lightgbm"), None, "USD-EUR.lightgbm"),
        (Slot("USD/EUR", "lightgbm", "1d"), None, "USD-EUR.lightgbm.1d"),
        (Slot("a:b/c", "x/y"), None, "a-b-c.x-y"),
        (Slot("Öl", "ridge"), None, "Öl.ridge"),
        (Slot("USD/EUR", "ridge", "v"), "fx-{type}_{pair}{.variant}", "fx-ridge_USD-EUR.v"),
        (Slot("USD/EUR", "ridge"), "{pair}-{type}-{variant}", "USD-EUR-ridge-"),
        # What a producer wrote is a value, never a template.
        (Slot("{type}", "{variant}"), None, "{type}.{variant}"),
    ],
)
def test_a_slot_has_a_name(slot: Slot, template: str | None, name: str) -> None:
    """What MLflow forbids in names becomes a hyphen, and an empty variant leaves no dot behind."""
    assert (model_name(slot, template) if template else model_name(slot)) == name


@pytest.mark.parametrize(
    ("slot", "template"), [(Slot("a" * 250, "lightgbm"), "{pair}.{type}{.variant}"), (Slot("..", "x"), "{pair}{type}")]
)
def test_what_mlflow_refuses_is_refused_here(slot: Slot, template: str) -> None:
    """A name that is too long or a path upwards is told before anything is sent."""
    with pytest.raises(ValueError, match=r"^'"):
        model_name(slot, template)


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{pair}.{type}{.variant}", ""),
        ("{variant}{pair}{type}", ""),
        ("{pair}.{type}", "it lacks {variant}"),
        ("", "it lacks {pair}, {type}, {variant}"),
        ("fx/{pair}.{type}.{variant}", "it contains '/' outside of {pair}, {type} and {variant}"),
        ("{pair}.{type}.{variant}.{owner}", "it contains '{', '}' outside of {pair}, {type} and {variant}"),
    ],
)
def test_a_template_has_every_place(template: str, fault: str) -> None:
    """Without one of them, two slots would share one registered model."""
    assert template_fault(template) == fault


def test_slots_with_one_name_are_told_apart() -> None:
    """The tags of a registered model name its slot exactly."""
    one, other = Slot("USD/EUR", "a.b"), Slot("USD-EUR", "a", "b")
    assert model_name(one) == model_name(other)
    assert owner_tags(one, "0" * 32) != owner_tags(other, "0" * 32)
    assert slot_of_tags(owner_tags(other, "0" * 32)) == other


@pytest.mark.parametrize("value", [None, "", "x", "{}", "[1,2,3]", '["a","b"]'])
def test_other_tags_name_no_slot(value: str | None) -> None:
    """A registered model that somebody else made belongs to no slot."""
    assert slot_of_tags({} if value is None else {"model_inbox.slot": value}) is None


@pytest.mark.parametrize(
    ("alias", "is_fine"),
    [
        *[("champion", True), ("a_b-C1", True), ("latest", False), ("Latest", False), ("v12", False), ("V1", False)],
        *[("v1x", True), ("a.b", False), ("", False), ("é", False)],
    ],
)
def test_aliases_that_mlflow_cannot_hold(alias: str, is_fine: bool) -> None:
    """`latest` and `v<number>` mean something else there."""
    assert (alias_fault(alias) == "") == is_fine

"""Promotions and rollbacks: what an alias names afterwards, what is refused, and what entries and lines say of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from model_inbox import EntryProtected, ModelRegistry
from model_inbox.base.accounts import Account
from model_inbox.errors import AliasProtected, PromotionRefused
from model_inbox.registry.alias_stack import FORMER_MAX, Target
from model_inbox.registry.journal import seal
from model_inbox.registry.protection import Protection
from support.crash_kit import START, Clock, open_registry, register

PAIR = "USD/EUR"
ALICE = Account(1000, "alice", frozenset({"risk", "1200"}))


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    """Four models of one slot: a, b, c and d."""
    made = open_registry(tmp_path / "models")
    for model_id in "abcd":
        register(made, model_id, model_id.encode())
    return made


def champion(registry: ModelRegistry, **options: Any) -> str | None:
    entry = registry.get_model(PAIR, alias="champion", **options)
    return entry["model_id"] if entry is not None else None


def former(registry: ModelRegistry) -> Sequence[str]:
    (holder,) = registry.aliases()
    return holder.former


def test_two_rollbacks_go_back_two(registry: ModelRegistry) -> None:
    """Promotions push and rollbacks pop: the second rollback does not return to what the first one left."""
    moves = [registry.promote(model_id) for model_id in "abc"]
    assert [(move.from_id, move.to_id) for move in moves] == [(None, "a"), ("a", "b"), ("b", "c")]
    assert former(registry) == ("b", "a")
    moves = [registry.rollback(PAIR), registry.rollback(PAIR)]
    assert [(move.alias, move.from_id, move.to_id) for move in moves] == [
        ("champion", "c", "b"),
        ("champion", "b", "a"),
    ]
    with pytest.raises(PromotionRefused, match="no model held it before"):
        registry.rollback(PAIR)
    assert champion(registry) == "a"


def test_a_model_that_held_it_twice_is_twice_in_the_stack(registry: ModelRegistry) -> None:
    """a, b, a: a rollback gives b, and the next one a."""
    for model_id in "aba":
        registry.promote(model_id)
    assert [registry.rollback(PAIR).to_id for _ in range(2)] == ["b", "a"]


def test_steps_to_and_at(registry: ModelRegistry) -> None:
    """A rollback goes back several steps, to a model, or to a time; what it pops is no longer before it."""
    clock = registry._clock
    assert isinstance(clock, Clock)
    for model_id in "abcd":
        clock.ahead(3600)
        registry.promote(model_id)
    assert registry.rollback(PAIR, steps=2).to_id == "b"
    assert former(registry) == ("a",)
    registry.promote("d")
    assert registry.rollback(PAIR, to="a").from_id == "d"
    assert former(registry) == ()
    clock.ahead(3600)
    moved = registry.rollback(PAIR, at=START + timedelta(hours=3, minutes=30))
    assert (moved.from_id, moved.to_id) == ("a", "c")
    assert former(registry) == ("b", "a")
    assert registry.rollback(PAIR, at=clock.now).from_id == "c"
    assert registry.rollback(PAIR, to="c").from_id == "c"


@pytest.mark.parametrize("options", [{"steps": 1, "to": "a"}, {"steps": 0}, {"to": "a", "at": START}])
def test_one_way_back_is_given(registry: ModelRegistry, options: dict[str, Any]) -> None:
    """Steps, a model and a time exclude each other, and no step is no rollback."""
    with pytest.raises(ValueError, match="give one of steps"):
        registry.rollback(PAIR, **options)


def test_what_a_rollback_cannot_go_back_to(registry: ModelRegistry) -> None:
    """More steps than there are, a model that never held it, a time at which none did: said with those who did."""
    registry.promote("a")
    registry.promote("b")
    with pytest.raises(PromotionRefused, match=r"only 1 held it before 'b'.*by 'a'"):
        registry.rollback(PAIR, steps=2)
    with pytest.raises(PromotionRefused, match=r"'c' is not one of the models .*by 'a'"):
        registry.rollback(PAIR, to="c")
    with pytest.raises(PromotionRefused, match="no model held it at 2026-11-23"):
        registry.rollback(PAIR, at=START - timedelta(days=1))
    with pytest.raises(PromotionRefused, match="no model held it before"):
        registry.rollback(PAIR, alias="next")
    with pytest.raises(PromotionRefused, match="'USD/CHF:lightgbm'"):
        registry.rollback("USD/CHF")
    assert champion(registry) == "b"


def test_a_retired_model_comes_back_in_the_same_line(registry: ModelRegistry) -> None:
    """Its files, its entry and the alias are there after one line, and the trash has no more of it."""
    registry.promote("a")
    registry.promote("b")
    registry.delete_model("a")
    before = registry.sequence
    registry.rollback(PAIR, reason="b is worse")
    assert registry.sequence == before + 1
    assert registry.retired() == []
    (line,) = registry.history()[before:]
    assert (line.operation, line.model_id, line.reason) == ("rollback", "a", "b is worse")
    assert line.detail is not None
    assert {"alias": "champion", "from": "b", "restored": True}.items() <= line.detail.items()
    entry = registry.get_model(PAIR, alias="champion")
    assert entry is not None
    assert Path(entry["model_path"]).read_bytes() == b"a"
    registry.promote("b")
    registry.delete_model("a")
    assert [one.model_id for one in registry.retired()] == ["a"]


def test_a_model_that_is_gone_is_refused_with_the_nearest(registry: ModelRegistry) -> None:
    """Purged, or its id taken by another model: the message names who is there, and `to` goes there."""
    for model_id in "abcd":
        registry.promote(model_id)
    registry.delete_model("c")
    (retired,) = registry.retired()
    registry.purge(retired)
    with pytest.raises(PromotionRefused, match=r"to 'c': it was purged.*`--to b`"):
        registry.rollback(PAIR)
    registry.delete_model("b")
    register(registry, "b", b"another")
    with pytest.raises(PromotionRefused, match=r"to 'b': its id belongs to another model now.*`--to a`"):
        registry.rollback(PAIR, to="b")
    assert registry.rollback(PAIR, to="a").from_id == "d"


def test_the_model_that_a_rollback_leaves_is_barred_until_it_is_promoted_by_hand(registry: ModelRegistry) -> None:
    """It keeps its other aliases; what several steps pop is barred, too, and what is gone back to is not."""
    for model_id in "abc":
        registry.promote(model_id)
    registry.set_alias("next", "c")
    registry.rollback(PAIR, steps=2)
    barred = {model_id: entry.get("barred") for model_id, entry in registry.registry.items()}
    assert barred == {"a": None, "b": ["champion"], "c": ["champion"], "d": None}
    entry = registry.get_model_info("c")
    assert entry is not None and entry["aliases"] == ["next"]
    registry.promote("c")
    entry = registry.get_model_info("c")
    assert entry is not None and "barred" not in entry


def test_a_removed_alias_comes_back_by_a_rollback(registry: ModelRegistry) -> None:
    """Also with what was before it; and the model that gets it next is above both."""
    registry.promote("a")
    registry.promote("b")
    registry.remove_alias("champion", "b")
    assert registry.aliases() == []
    assert (registry.rollback(PAIR).from_id, champion(registry), former(registry)) == (None, "b", ("a",))
    registry.remove_alias("champion", "b")
    registry.promote("c")
    assert former(registry) == ("b", "a")
    registry.remove_alias("champion", "c")
    registry.promote("c")
    assert former(registry) == ("b", "a")


def test_promoting_the_holder_changes_nothing(registry: ModelRegistry) -> None:
    """No line is written, and the move names the same model twice."""
    registry.promote("a")
    before = registry.sequence
    move = registry.promote("a", reason="again")
    assert (move.from_id, move.to_id, registry.sequence) == ("a", "a", before)


def test_each_slot_has_a_stack_of_its_own(registry: ModelRegistry, tmp_path: Path) -> None:
    """A promotion of another alias or another pair changes nothing here."""
    registry.promote("a")
    registry.promote("b", "next")
    registry.promote("b")
    assert registry.rollback(PAIR).to_id == "a"
    assert [(one.alias, one.model_id, one.former) for one in registry.aliases()] == [
        ("champion", "a", ()),
        ("next", "b", ()),
    ]


def test_who_gave_an_alias_is_told_without_the_history(registry: ModelRegistry) -> None:
    """The holder's entry says since when, by whom and why, also after the lines are pruned."""
    clock = registry._clock
    assert isinstance(clock, Clock)
    registry.promote("a", reason="it is better", actor="cli:alice")
    registry.change_segment()
    clock.ahead(100 * 86_400)
    registry.pin("b")
    registry.change_segment()
    registry.pin("c")
    assert registry.prune_history(86_400) == 1
    (holder,) = registry.aliases()
    assert holder[:6] == (
        "champion",
        (PAIR, "lightgbm", ""),
        "a",
        "2026-11-24T12:00:00.000000Z",
        "cli:alice",
        "it is better",
    )


def test_the_oldest_of_many_former_holders_are_forgotten(registry: ModelRegistry) -> None:
    """The entry of a holder stays small however often the alias moves."""
    for at in range(FORMER_MAX + 3):
        registry.promote("ab"[at % 2])
    assert len(former(registry)) == FORMER_MAX


def test_aliases_of_an_earlier_version_have_their_stack_from_its_lines(tmp_path: Path) -> None:
    """Such a version wrote who got an alias into the line alone."""
    folder = tmp_path / "models"
    with open_registry(folder) as registry:
        for model_id in "abc":
            register(registry, model_id, model_id.encode())
            registry.set_alias("champion", model_id, reason=f"{model_id} is best")
    _as_an_earlier_version(folder)
    with open_registry(folder) as registry:
        (holder,) = registry.aliases()
        assert (holder.model_id, holder.former, holder.reason) == ("c", ("b", "a"), "c is best")
        assert registry.rollback(PAIR).to_id == "b"
        assert registry.rollback(PAIR).to_id == "a"


def _as_an_earlier_version(folder: Path) -> None:
    """Write the journal again without the fields that it had not."""
    import json

    journal = folder / "registry.journal.jsonl"
    lines = []
    for raw in journal.read_bytes().splitlines():
        line = json.loads(raw)
        line.pop("checksum")
        for entry in [line.get("entry") or {}, *((line.get("detail") or {}).get("also", {}).values())]:
            entry.pop("promotions", None)
        (line.get("detail") or {}).pop("from", None)
        lines.append(seal(line))
    journal.write_bytes(b"".join(lines))
    for path in (folder / "registry.json", folder / "registry.checkpoint.json"):
        path.unlink()


def test_a_rule_moves_it_only_where_the_registry_stands_as_it_saw_it(registry: ModelRegistry) -> None:
    """A change in between is a reason to decide again; a model that a rollback left needs a person."""
    registry.promote("a")
    position = registry.position
    assert position is not None
    entry = registry.get_model_info("b")
    assert entry is not None
    target = Target("b", entry["sequence"])
    registry.pin("c")
    assert registry.promote_by_rule(target, "champion", reason="r", actor="promotion", at=position) is None
    position = registry.position
    assert position is not None
    moved = registry.promote_by_rule(target, "champion", reason="r", actor="promotion", at=position)
    assert moved is not None and (moved.from_id, moved.to_id) == ("a", "b")
    assert registry.history()[-1].detail is not None
    assert registry.history()[-1].detail["rule"] is True


def test_a_held_model_is_promoted_past_its_gates_only(registry: ModelRegistry) -> None:
    """The same line ends the hold, and has the reason; a rollback does not go back to a held one."""
    registry.promote("a")
    registry.promote("c")
    registry.hold("a", reason="drifts")
    with pytest.raises(PromotionRefused, match=r"to 'a': it is held .'drifts'"):
        registry.rollback(PAIR)
    for alias in (lambda: registry.promote("a"), lambda: registry.set_alias("champion", "a")):
        with pytest.raises(EntryProtected, match=r"it is held .'drifts'.*--override-gates"):
            alias()
    with pytest.raises(ValueError, match="without a reason"):
        registry.promote("a", override_gates=True)
    before = registry.sequence
    registry.promote("a", reason="c is down", override_gates=True)
    (line,) = registry.history()[before:]
    assert line.detail is not None
    assert (line.operation, line.reason, line.detail["override_gates"]) == ("promote", "c is down", True)
    entry = registry.get_model(PAIR, alias="champion")
    assert entry is not None
    assert (entry["model_id"], entry["held"], entry["held_since"]) == ("a", None, None)


# --- protected aliases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "may"),
    [
        (("alice",), True),
        (("1000",), True),
        (("@risk",), True),
        (("@1200",), True),
        (("bob", "risk"), False),
        ((), False),
    ],
)
def test_who_may_move_an_alias(allowed: tuple[str, ...], may: bool) -> None:
    """A user is named by name or number, a group with an @; an alias that is not named is free."""
    protection = Protection({"champion": allowed}, 7, START, "daemon")
    protection.check("next", None)
    if may:
        protection.check("champion", ALICE)
    else:
        with pytest.raises(AliasProtected, match=r"'alice' may not.*journal line 7"):
            protection.check("champion", ALICE)


def test_an_unknown_user_is_refused() -> None:
    """Root without a login of a user is nobody, whoever is named."""
    with pytest.raises(AliasProtected, match="it is not known which user runs this"):
        Protection({"champion": ("root", "alice")}, 7, START, "daemon").check("champion", None)


def test_a_protected_alias_stays_where_it_is(registry: ModelRegistry) -> None:
    """At promote, rollback, alias, unalias and replace_scaler, in every handle; other aliases are free."""
    registry.promote("a")
    registry.promote("b")
    assert registry.protect_aliases({"champion": ["nobody-of-us"]}) is True
    assert registry.protect_aliases({"champion": ["nobody-of-us"]}) is False
    registry.change_segment()
    before = registry.sequence
    with open_registry(Path(registry.registry_path).parent) as other:
        for change in (
            lambda: other.promote("c"),
            lambda: other.rollback(PAIR),
            lambda: other.set_alias("champion", "c"),
            lambda: other.remove_alias("champion", "b"),
            lambda: other.replace_scaler("b", {"mean": 1}),
        ):
            with pytest.raises(AliasProtected, match="those who may are 'nobody-of-us'"):
                change()
        assert other.sequence == before
        other.promote("c", "next")
        other.replace_scaler("c", {"mean": 1})
        assert {one.alias: one.may_move for one in other.aliases()} == {"champion": ("nobody-of-us",), "next": None}
    assert registry.protect_aliases({}) is True
    assert registry.promote("d").from_id == "b"


def test_a_protection_outlives_the_history(registry: ModelRegistry) -> None:
    """It is written again before its line is pruned."""
    clock = registry._clock
    assert isinstance(clock, Clock)
    registry.protect_aliases({"champion": ["nobody-of-us"]})
    registry.change_segment()
    clock.ahead(100 * 86_400)
    registry.pin("b")
    assert registry.prune_history(86_400) == 1
    with open_registry(Path(registry.registry_path).parent) as other, pytest.raises(AliasProtected):
        other.promote("a")

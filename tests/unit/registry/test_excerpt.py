"""The search in a registry's files finds what the whole registry says, and only reads."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from model_inbox import ModelRegistry, RegistryCorrupted, RegistryError, RegistryMissing
from model_inbox.registry.entry import as_fields
from model_inbox.registry.excerpt import Excerpt
from model_inbox.registry.paths import RegistryFiles
from support.crash_disk import QuickDisk
from support.crash_kit import START, Clock, metadata

DAY = 86_400


def fill(folder: Path, clock: Clock) -> ModelRegistry:
    """Nine models of three pairs and two types, a day apart; some were moved, retired, restored and named again."""
    registry = ModelRegistry(
        folder / "registry.json", folder / "prediction", clock=clock, disk=QuickDisk(), actor="test"
    )
    for number in range(9):
        clock.ahead(DAY)
        pair, kind = ("USD/EUR", "GBP/USD", 'a"b:c')[number % 3], ("lightgbm", "ridge")[number % 2]
        told = metadata(
            f"m{number}",
            currency_pair=pair,
            model_type=kind,
            trained_at=START + timedelta(days=number),
            tags={"text": '"currency_pair":"USD/EUR"'},
        )
        registry._pair_pattern = None
        registry.register_model(told, number)
        if number == 3:
            registry.change_segment()
        if number == 4:
            registry.set_alias("best", "m0")
            registry.delete_model("m2")
        if number == 5:
            registry.change_segment()
            registry.delete_model("m1")
            registry.restore("m2")
            registry.tag("m3", {"a": "b"})
        if number == 7:
            registry.set_alias("best", "m6")
    return registry


def agrees(registry: ModelRegistry, excerpt: Excerpt, entries: dict[str, object]) -> None:
    """Assert that the search finds these entries by pair and type, and the lines of each model."""
    assert excerpt.entries() == entries
    for pair in ("USD/EUR", "GBP/USD", 'a"b:c', "none"):
        for kind in ("lightgbm", "ridge", None):
            wanted = {
                name: entry
                for name, entry in entries.items()
                if as_fields(entry)["currency_pair"] == pair  # type: ignore[arg-type]
                and kind in (None, as_fields(entry)["model_type"])  # type: ignore[arg-type]
            }
            assert excerpt.entries(pair, kind) == wanted
    for number in range(9):
        lines = [line for line in registry.history(f"m{number}") if line.sequence <= excerpt.reached]
        assert excerpt.lines_about(f"m{number}") == lines


@pytest.mark.parametrize("pruned", [False, True], ids=["whole", "with a base file"])
def test_it_finds_what_the_registry_says(tmp_path: Path, *, pruned: bool) -> None:
    """Entries by pair and type and the lines of a model, across segments, moves and a pruned history."""
    clock = Clock()
    registry = fill(tmp_path, clock)
    if pruned:
        clock.now = START + timedelta(days=100)
        registry.purge(registry.retired()[0])
        assert registry.prune_history(95.5 * DAY) == 1
    excerpt = Excerpt(RegistryFiles(tmp_path / "registry.json"))
    entries = dict(registry._store.state.entries)
    agrees(registry, excerpt, entries)
    assert excerpt.reached == registry.sequence
    assert excerpt.missing() == []
    assert (excerpt.first_entry("m0") is not None) is pruned
    assert excerpt.first_entry("m8") is None


def test_it_finds_what_was_at_a_time(tmp_path: Path) -> None:
    """As of each line, the entries are those of the registry then; before the first line there were none."""
    registry = fill(tmp_path, Clock())
    files = RegistryFiles(tmp_path / "registry.json")
    for line in registry.history():
        at = registry._at(line.at)[0]
        excerpt = Excerpt(files, line.at)
        assert (excerpt.reached, excerpt.entries()) == (at.sequence, at.entries)
    assert Excerpt(files, START).reached == 0
    assert Excerpt(files, START).entries() == {}


def test_a_time_before_the_history_is_refused(tmp_path: Path) -> None:
    """Of a history that was pruned, nobody knows what was before its first line."""
    clock = Clock()
    registry = fill(tmp_path, clock)
    clock.now = START + timedelta(days=100)
    registry.purge(registry.retired()[0])
    registry.prune_history(95.5 * DAY)
    with pytest.raises(RegistryError, match="its history begins at 2026-11-29"):
        Excerpt(RegistryFiles(tmp_path / "registry.json"), START + timedelta(days=2))


def test_it_finds_the_rules_that_decided_last(tmp_path: Path) -> None:
    """Of all lines, of those up to a time, and none where no rule decided."""
    clock = Clock()
    files = RegistryFiles(tmp_path / "registry.json")
    with fill(tmp_path, clock) as registry:
        assert Excerpt(files).last_rules() is None
        digests = []
        for name in ("m5", "m6", "m7"):
            clock.ahead(DAY)
            digests.append(registry.decide_by(name.encode()))
            registry.unpin(name)
            if name != "m6":
                registry.delete_model(name, by_rule=True)
            registry.change_segment()
    assert Excerpt(files).last_rules() == digests[2]
    assert Excerpt(files, clock.now - timedelta(days=1)).last_rules() == digests[0]


def test_damage_is_left_out_or_said(tmp_path: Path) -> None:
    """A damaged line is not believed; a lost segment is in `missing`; a journal without its header is damage."""
    fill(tmp_path, Clock())
    files = RegistryFiles(tmp_path / "registry.json")
    first, second = sorted((tmp_path / "history").iterdir())
    second.write_bytes(second.read_bytes().replace(b'"model_id":"m4"', b'"model_id":"m4\\u0020"', 1))
    assert [line.operation for line in Excerpt(files).lines_about("m4")] == []
    first.unlink()
    assert Excerpt(files).missing() == [(1, 4)]
    files.journal.write_bytes(b"{}\n" + files.journal.read_bytes())
    with pytest.raises(RegistryCorrupted, match="header"):
        Excerpt(files)
    with pytest.raises(RegistryMissing):
        Excerpt(RegistryFiles(tmp_path / "other.json"))

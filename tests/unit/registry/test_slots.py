"""Slots: models of one pair and type that have different variants never compete with each other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from model_inbox import MetadataError, ModelRegistry
from model_inbox.base.disk import Disk
from model_inbox.model.slot import Slot, slot_of
from model_inbox.registry.journal import encode_header, format_of_entry, read_header
from model_inbox.registry.position import Identity
from model_inbox.registry.repair.rebuild import rebuild
from model_inbox.registry.repair.verify import verify
from model_inbox.registry.state import State
from support.crash_kit import Clock, metadata, open_registry


def header(folder: Path) -> Any:
    return json.loads((folder / "registry.journal.jsonl").read_bytes().partition(b"\n")[0])


def put(registry: ModelRegistry, model_id: str, day: int, variant: str = "", **fields: Any) -> None:
    made = metadata(model_id, trained_at=datetime(2025, 10, day, tzinfo=UTC), variant=variant, **fields)
    registry.register_model(made, {"m": model_id})


def test_newest_counts_within_the_slot(tmp_path: Path) -> None:
    """`get_model(pair, type)` means the empty variant; another variant has a newest of its own."""
    with open_registry(tmp_path) as registry:
        put(registry, "short", 1)
        put(registry, "long", 2, "30d")
        put(registry, "long-old", 1, "30d")
        found = [registry.get_model("USD/EUR", variant=variant) for variant in ("", "30d", "7d")]
        assert [entry and entry["model_id"] for entry in found] == ["short", "long", None]
        of_pair = registry.list_models("USD/EUR", "lightgbm")
        assert [entry["model_id"] for entry in of_pair] == ["long", "long-old", "short"]
        assert [entry["model_id"] for entry in registry.list_models(variant="30d")] == ["long", "long-old"]
        assert [entry["model_id"] for entry in registry.list_models("USD/EUR", variant="")] == ["short"]


def test_an_alias_names_one_model_of_a_slot(tmp_path: Path) -> None:
    """The champion of one variant keeps its name when another variant gets a champion."""
    with open_registry(tmp_path) as registry:
        put(registry, "a", 1)
        put(registry, "b", 2, "30d")
        put(registry, "c", 3, "30d")
        for model_id in ("a", "b", "c"):
            registry.set_alias("champion", model_id)
        named = [registry.get_model("USD/EUR", alias="champion", variant=variant) for variant in ("", "30d")]
        assert [entry and entry["model_id"] for entry in named] == ["a", "c"]
        assert registry.registry["b"]["aliases"] == []
    assert verify(tmp_path / "registry.json", tmp_path / "prediction") == []


@pytest.mark.parametrize("variant", ["a b", "ä", "a/b", "x" * 65, "a\n", 7, None])
def test_what_is_no_variant_is_refused(tmp_path: Path, variant: Any) -> None:
    """A variant is up to 64 letters, digits, dots, underscores and hyphens."""
    with open_registry(tmp_path) as registry, pytest.raises(MetadataError, match="variant"):
        put(registry, "a", 1, variant)


def test_a_registry_without_variants_stays_readable_for_earlier_versions(tmp_path: Path) -> None:
    """It keeps format 2 over changes of segment, and its stored sidecars have no word of a variant."""
    with open_registry(tmp_path) as registry:
        put(registry, "a", 1)
        registry.change_segment()
        put(registry, "b", 2)
    assert header(tmp_path)["format"] == "model-inbox-journal/2"
    assert b"variant" not in (tmp_path / "prediction" / "a.yaml").read_bytes()


def test_the_first_variant_makes_a_journal_that_earlier_versions_refuse(tmp_path: Path) -> None:
    """The lines and the epoch stay, the header changes, every later segment has the new format too."""
    with open_registry(tmp_path) as registry:
        put(registry, "a", 1)
        reader = open_registry(tmp_path, read_only=True)
        before = registry.identity
        with capture_logs() as logs:
            put(registry, "b", 2, "30d")
        assert [(log["event"], log["format"]) for log in logs] == [("registry.taken_over", "model-inbox-journal/3")]
        assert header(tmp_path)["format"] == "model-inbox-journal/3"
        assert registry.identity == before
        assert sorted(reader.registry) == ["a", "b"], "a reader of this version follows"
        reader.close()
        registry.delete_model("b")
        registry.change_segment()
        put(registry, "c", 3)
    assert header(tmp_path)["format"] == "model-inbox-journal/3"
    assert verify(tmp_path / "registry.json", tmp_path / "prediction") == []


def test_a_rebuild_keeps_variants_and_format(tmp_path: Path) -> None:
    """If only sidecars are left, the models are in their slots, and earlier versions refuse the registry."""
    with open_registry(tmp_path) as registry:
        put(registry, "a", 1)
        put(registry, "b", 2, "30d")
    assert b"variant: 30d\n" in (tmp_path / "prediction" / "b.yaml").read_bytes()
    for name in ("registry.json", "registry.journal.jsonl", "registry.checkpoint.json"):
        (tmp_path / name).unlink()
    rebuild(tmp_path / "registry.json", tmp_path / "prediction", disk=Disk(), clock=Clock())
    with open_registry(tmp_path) as registry:
        found = [registry.get_model("USD/EUR", variant=variant) for variant in ("", "30d")]
        assert [entry and entry["model_id"] for entry in found] == ["a", "b"]
    assert header(tmp_path)["format"] == "model-inbox-journal/3"


@pytest.mark.parametrize("name", ["model-inbox-journal/2", "model-inbox-journal/3"])
def test_a_header_says_its_format(name: str) -> None:
    """Both formats have an identity."""
    read = read_header(encode_header(Identity("0" * 32, "1-0123456789abcdef"), 7, name=name))
    assert (read.format, read.base_sequence, read.identity) == (name, 7, Identity("0" * 32, "1-0123456789abcdef"))


def test_an_entry_of_an_earlier_version_has_the_empty_variant() -> None:
    """It lacks the field."""
    entry = {"currency_pair": "USD/EUR", "model_type": "lightgbm"}
    assert slot_of(entry) == Slot("USD/EUR", "lightgbm", "")
    assert format_of_entry(entry) == "model-inbox-journal/2"
    assert (str(slot_of(entry)), str(slot_of({**entry, "variant": "x"}))) == ("USD/EUR:lightgbm", "USD/EUR:lightgbm:x")


NAMES = st.sampled_from(["a", "b"])
ENTRIES = st.lists(st.tuples(NAMES, NAMES, st.sampled_from(["", "v"]), st.integers(0, 4)), max_size=12)


@settings(deadline=None)
@given(ENTRIES, *(st.none() | NAMES,) * 2, st.none() | st.sampled_from(["", "v"]))
def test_newest_first_of_any_part_of_a_slot(
    given_entries: list[tuple[str, str, str, int]], pair: str | None, model_type: str | None, variant: str | None
) -> None:
    """The entries whose slot has the wanted parts, in the order of their training, then of their registration."""
    entries: dict[str, Any] = {
        f"m{number}": {
            "model_id": f"m{number}",
            "currency_pair": slot[0],
            "model_type": slot[1],
            "variant": slot[2],
            "trained_at": f"2025-10-0{day + 1}T00:00:00Z",
            "sequence": number,
        }
        for number, (*slot, day) in enumerate(given_entries, 1)
    }
    wanted = {"currency_pair": pair, "model_type": model_type, "variant": variant}
    matching = [e for e in entries.values() if all(v is None or e[name] == v for name, v in wanted.items())]
    matching.sort(key=lambda entry: (entry["trained_at"], entry["sequence"]), reverse=True)
    state = State("/", entries, 12)
    assert [e["model_id"] for e in state.newest_first(pair, model_type, variant)] == [e["model_id"] for e in matching]

"""Mistakes at the door of the registry: each is named, and nothing is made or loaded by accident."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from model_inbox import EntryNeeded, ModelInboxError, ModelRegistry
from model_inbox.errors import RegistryMissing
from support.home import Home


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("models", "the name does not end in .json"),
        ("models/registry.yaml", "the name does not end in .json"),
        ("mdoels/deep/prediction_registry.json", "does not exist"),
        (".", "it is a folder"),
    ],
)
def test_a_mistyped_path_makes_nothing(tmp_path: Path, name: str, why: str) -> None:
    """A path that is no registry's is refused with the reason, and no folder or file is left behind."""
    with pytest.raises(RegistryMissing, match=why):
        ModelRegistry(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_registry_is_made_with_its_own_folder(tmp_path: Path) -> None:
    """A name that ends in .json is enough where the folder above its own exists."""
    ModelRegistry(tmp_path / "models" / "any_name.json").close()
    assert (tmp_path / "models" / "any_name.json").is_file()


def test_a_registry_under_any_name_is_opened(tmp_path: Path) -> None:
    """A registry that is there is opened, whatever its name ends in."""
    ModelRegistry(tmp_path / "models" / "registry.json").close()
    for name in os.listdir(tmp_path / "models"):
        if name.startswith("registry"):
            (tmp_path / "models" / name).rename(tmp_path / "models" / name.replace(".json", ".v1"))
    with ModelRegistry(tmp_path / "models" / "registry.v1") as registry:
        assert len(registry.registry) == 0


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_is_answered_with_the_file_in_it(home_with_a_model: Home, read_only: bool) -> None:
    """Whoever names the folder of a registry is told the file."""
    with pytest.raises(RegistryMissing) as caught:
        ModelRegistry(home_with_a_model.registry_path.parent, read_only=read_only)
    assert str(home_with_a_model.registry_path) in caught.value.hint


@pytest.fixture(name="home_with_a_model")
def _home_with_a_model(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.register("usd_eur")
    return home


GIVEN: dict[str, tuple[Any, str]] = {
    "nothing was found": (None, "None is no entry of a model"),
    "a model_id": ("usd_eur", "'usd_eur' is a text"),
    "an empty dictionary": ({}, "the dict that was given is no entry"),
    "a list": ([], "the list that was given is no entry"),
}


@pytest.mark.parametrize("case", GIVEN)
@pytest.mark.parametrize("call", ["load_model_objects", "load_model", "load_scaler"])
def test_what_is_no_entry_is_named(home_with_a_model: Home, call: str, case: str) -> None:
    """What is loaded is an entry; the error says what was given, and `except TypeError` still catches it."""
    given, message = GIVEN[case]
    with home_with_a_model.open() as registry:
        with pytest.raises(EntryNeeded, match=message) as caught:
            getattr(registry, call)(given)
        assert isinstance(caught.value, ModelInboxError)
        assert isinstance(caught.value, TypeError)
        assert caught.value.hint


def test_what_get_model_found_is_loaded(home_with_a_model: Home) -> None:
    """The entry itself, or a plain dictionary of it, is loaded."""
    with home_with_a_model.open() as registry:
        entry = registry.get_model("USD/EUR")
        assert entry is not None
        assert registry.load_model_objects(entry) == ({"model": "usd_eur"}, {"scaler": "usd_eur"})
        assert registry.load_model(dict(entry)) == {"model": "usd_eur"}

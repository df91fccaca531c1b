"""Free text that is not Unicode is a named problem at every door, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from model_inbox import MetadataError, ModelRegistry
from model_inbox.base.users import person
from model_inbox.cli import root
from support.crash_kit import metadata

BROKEN = os.fsdecode(b"too old \xff")

COMMANDS: dict[str, tuple[str, ...]] = {
    "pin": ("pin", "m"),
    "unpin": ("unpin", "m"),
    "alias": ("alias", "champion", "m"),
    "promote": ("promote", "m"),
    "tag": ("tag", "m", "a=b"),
    "delete": ("delete", "m"),
    "record": ("record", "m", "--metrics", "rmse=1"),
    "replace-scaler": ("replace-scaler", "m", "config.yaml"),
}


@pytest.fixture(name="registry_path")
def _registry_path(tmp_path: Path) -> Path:
    """A registry with one model, and the config.yaml that names it."""
    (tmp_path / "config.yaml").write_text("registry: {path: r.json, storage_dir: p}\n")
    with ModelRegistry(tmp_path / "r.json", tmp_path / "p") as registry:
        registry.register_model(metadata("m"), {"weights": [1.0]}, [1])
    return tmp_path / "r.json"


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_reason_in_other_bytes_is_a_wrong_command_line(
    registry_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Exit 2, as for every wrong option; the registry is as it was."""
    monkeypatch.chdir(registry_path.parent)
    before = registry_path.with_name("r.journal.jsonl").read_bytes()
    done = CliRunner().invoke(root, ["--config", "config.yaml", *words, "--reason", BROKEN])
    assert done.exit_code == 2, done.output
    assert "is not valid text in UTF-8" in done.output
    assert registry_path.with_name("r.journal.jsonl").read_bytes() == before


CALLS: dict[str, Callable[[ModelRegistry, dict[str, str]], object]] = {
    "pin": lambda registry, text: registry.pin("m", **text),
    "promote": lambda registry, text: registry.promote("m", **text),
    "set_alias": lambda registry, text: registry.set_alias("champion", "m", **text),
    "tag": lambda registry, text: registry.tag("m", {"a": "b"}, **text),
    "record": lambda registry, text: registry.record("m", {"rmse": 1.0}, **text),
    "delete_model": lambda registry, text: registry.delete_model("m", **text),
    "replace_scaler": lambda registry, text: registry.replace_scaler("m", [2], **text),
}


@pytest.mark.parametrize("name", ["reason", "actor"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_api_names_the_parameter(
    registry_path: Path, call: Callable[[ModelRegistry, dict[str, str]], object], name: str
) -> None:
    """MetadataError with a code and the parameter; the model, its files and the journal are as they were."""
    folder = registry_path.parent
    with ModelRegistry(registry_path, folder / "p") as registry:
        entry, sequence = registry.get_model_info("m"), registry.sequence
        with pytest.raises(MetadataError) as caught:
            call(registry, {name: BROKEN})
        (problem,) = caught.value.problems
        assert (problem.code, problem.field) == ("registry.text_not_unicode", name)
        assert (registry.get_model_info("m"), registry.sequence) == (entry, sequence)
        assert sorted(path.name for path in (folder / "p").glob("*.pkl")) == ["m.pkl", "m_scaler.pkl"]
        registry.pin("m", reason="gültig")
        assert registry.history("m")[-1].reason == "gültig"


def test_a_user_whose_name_is_no_text_can_still_change_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name that sudo passes on is escaped."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", os.fsdecode(b"ann\xff"))
    assert person() == "ann\\udcff (sudo)"

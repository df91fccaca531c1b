"""The one definition of an entry: who makes and who reads one keeps to it, and what it does not know survives."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import model_inbox
from model_inbox import ModelMetadata, ModelRegistry
from model_inbox.registry.entry import (
    EntryChanges,
    EntryFields,
    as_fields,
    changed_entry,
    files_of_entry,
    imports_when_loaded,
    metadata_of,
    new_entry,
    numbered_entry,
    sequence_of,
)

PACKAGE = Path(model_inbox.__file__).parent
SEED = (
    *("model_id", "model_type", "currency_pair", "trained_at", "version", "validation_metrics", "min_samples"),
    *("calibration_ok", "features_used", "horizons", "model_path", "scaler_path"),
)
METADATA = {
    "model_id": "usd_eur_1",
    "model_type": "lightgbm",
    "currency_pair": "USD/EUR",
    "trained_at": "2025-10-25T12:00:00Z",
    "version": "1.10",
    "validation_metrics": {"rmse": 0.5},
    "min_samples": 50,
    "calibration_ok": True,
    "features_used": ["sma_5"],
    "horizons": [1, 7],
    "variant": "",
    "tags": {"stage": "trial"},
    "description": "",
    "provenance": {"host": "trainer-3"},
}


def an_entry(frameworks: dict[str, str] | None = None, **fields: object) -> EntryFields:
    made = new_entry(
        METADATA,  # type: ignore[arg-type]
        model_path="prediction/usd_eur_1.pkl",
        scaler_path="prediction/usd_eur_1_scaler.pkl",
        sha256="a" * 64,
        scaler_sha256="b" * 64,
        size_bytes=12,
        origin="inbox",
        drop_id="20251025T120000000000Z-0001-usd_eur_1",
        imports={"numpy.ndarray": "r"},
        verdict=None,
        integrity="digest",
        frameworks=frameworks,
        load_bytes=4096 if frameworks else None,
    )
    return {**made, **fields}  # type: ignore[typeddict-item]


def test_a_new_entry_has_every_field_but_what_later_changes_add() -> None:
    """`new_entry` fills the definition. It leaves out only what a replaced scaler and a record add.

    The versions of frameworks are in it if the pickles tell some, and what a load needs if they were scanned.
    """
    added = EntryFields.__annotations__.keys() - an_entry({"numpy": "2"}).keys()
    assert "frameworks" not in an_entry({})
    assert added == {"scaler_replaced", "scaler_imports", "recorded", "promotions", "barred"}
    assert an_entry().keys() <= EntryFields.__annotations__.keys()


def test_the_fields_of_the_first_registry_are_required() -> None:
    """Every entry has the twelve fields of the first registry; all others may be missing in an adopted one."""
    assert EntryFields.__required_keys__ == set(SEED)


def test_only_some_fields_may_change() -> None:
    """What a change may set are defined fields, and none that says what was registered and by whom."""
    changing = EntryChanges.__annotations__.keys()
    assert changing <= EntryFields.__annotations__.keys()
    assert changing & {*SEED, "sha256", "origin", "drop_id", "registered_at", "sequence", "imports"} == {"scaler_path"}


def test_a_change_keeps_fields_that_are_not_defined() -> None:
    """A field of a newer version, or of another program, is in the changed entry as it was; the old one stays."""
    entry = an_entry(from_the_future={"deep": [1]})
    changed = changed_entry(entry, pinned=True)
    assert dict(changed) == {**entry, "pinned": True}
    assert entry["pinned"] is False


def test_the_line_that_registers_an_entry_numbers_it() -> None:
    """`numbered_entry` sets the number and the time of the line and nothing else."""
    entry = an_entry()
    numbered = numbered_entry(entry, sequence=7, registered_at="2025-10-25T12:00:01.000000Z")
    assert dict(numbered) == {**entry, "sequence": 7, "registered_at": "2025-10-25T12:00:01.000000Z"}
    assert (sequence_of(numbered), sequence_of(entry), sequence_of({})) == (7, 0, 0)


def test_the_files_of_an_entry() -> None:
    """An entry names its model and, if it has one, its scaler; of an adopted one no digest is known."""
    model = ("model", "prediction/usd_eur_1.pkl", "a" * 64)
    scaler = ("scaler", "prediction/usd_eur_1_scaler.pkl", "b" * 64)
    assert list(files_of_entry(an_entry())) == [model, scaler]
    assert list(files_of_entry(an_entry(scaler_path=None, scaler_sha256=None))) == [model]
    assert list(files_of_entry(as_fields({"model_path": "m.pkl"}))) == [("model", "m.pkl", None)]
    assert list(files_of_entry(as_fields({}))) == []


def test_what_may_be_imported_depends_on_where_the_file_came_from() -> None:
    """A model of the inbox is limited to what was seen in it, one from Python is not; a new scaler has its own."""
    entry = an_entry()
    assert imports_when_loaded(entry, "model") == imports_when_loaded(entry, "scaler") == {"numpy.ndarray": "r"}
    assert imports_when_loaded(an_entry(imports=None), "model") == {}
    assert imports_when_loaded(an_entry(origin="api", imports=None), "model") is None
    replaced = an_entry(scaler_replaced=3, scaler_imports=None)
    assert imports_when_loaded(replaced, "scaler") is None
    assert imports_when_loaded(replaced, "model") == {"numpy.ndarray": "r"}


def test_metadata_comes_back_out_of_an_entry() -> None:
    """The metadata of an entry is what it was made of; an entry that lacks some of it gives none."""
    metadata = metadata_of(an_entry())
    assert metadata is not None
    assert {name: getattr(metadata, name) for name in METADATA} == METADATA
    assert metadata_of({name: value for name, value in an_entry().items() if name != "horizons"}) is None


def test_fields_that_nobody_here_knows_survive_every_change(tmp_path: Path) -> None:
    """An entry of another program keeps its own fields, whatever is done to it here."""
    path = tmp_path / "registry.json"
    (tmp_path / "prediction").mkdir()
    (tmp_path / "prediction" / "old.pkl").write_bytes(b"bytes")
    seed = {**METADATA, "model_id": "old", "model_path": "prediction/old.pkl", "scaler_path": None}
    path.write_text(json.dumps({"old": {**seed, "team": {"name": "fx"}, "notes": ["kept", None]}}))
    with ModelRegistry(path) as registry:
        registry.pin("old")
        registry.unpin("old")
        registry.set_alias("champion", "old")
        registry.remove_alias("champion", "old")
        registry.tag("old", {"stage": "live"})
        registry.delete_model("old")
        registry.restore("old")
    stored = json.loads(path.read_text())["old"]
    assert stored["team"] == {"name": "fx"}
    assert stored["notes"] == ["kept", None]
    assert stored["tags"] == {"stage": "live"}


# --- who reads -----------------------------------------------------------------------------------------------


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def entries_in(function: ast.FunctionDef) -> set[str]:
    """The names in a function that hold an entry: parameters of the type, and results of what gives that type."""
    arguments = [*function.args.args, *function.args.kwonlyargs]
    names = {
        a.arg for a in arguments if a.annotation and ast.unparse(a.annotation) in ("EntryFields", "EntryFields | None")
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Call):
            made_by = ast.unparse(node.value.func)
            if made_by in ("as_fields", "new_entry", "changed_entry") or made_by.endswith("state.entry"):
                names.add(node.targets[0].id)
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and "as_fields" in ast.unparse(node.iter):
            names.add(node.target.id)
    return names


def keys_read() -> Iterator[tuple[str, str]]:
    """The literal keys that are read from entries, with their places."""
    for path, function in functions():
        names = entries_in(function)
        for node in ast.walk(function):
            key: ast.expr | None = None
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in names:
                key = node.slice
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "get"
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in names
            ):
                key = node.args[0]
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, f"{path.relative_to(PACKAGE)}:{node.lineno}"


def test_no_reader_asks_for_a_field_that_is_not_defined() -> None:
    """Every key that the package reads from an entry is one of the definition; the type checker sees only `[...]`."""
    read = list(keys_read())
    assert [where for key, where in read if key not in EntryFields.__annotations__] == []
    rooms = {where.split("/")[0] for _, where in read}
    assert rooms >= {"registry", "retention", "inbox", "cli"}
    assert len({key for key, _ in read}) >= 20


@pytest.mark.parametrize(
    "source", ['def f(entry: EntryFields):\n    entry.get("pined")', 'def f():\n    e = as_fields(x)\n    e["pined"]']
)
def test_the_search_for_keys_finds_them(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt key is found, with `get` and with brackets."""
    (tmp_path / "bad.py").write_text(source)
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert [key for key, _ in keys_read()] == ["pined"]


def test_metadata_that_python_gives_becomes_json(tmp_path: Path) -> None:
    """An entry made by `register_model` is plain JSON, field for field what the definition says."""
    with ModelRegistry(tmp_path / "registry.json") as registry:
        entry = registry.register_model(
            ModelMetadata(**{**METADATA, "trained_at": datetime(2025, 10, 25, 12, tzinfo=UTC)}), {"w": 1}
        )
    assert json.loads(json.dumps(entry)) == entry
    assert entry["trained_at"] == "2025-10-25T12:00:00Z"
    assert entry.keys() == an_entry().keys()

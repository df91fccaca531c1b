"""The schemas that `model-inbox schema` prints, held to what the program really writes and reads."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from model_inbox import ModelMetadata, ModelRegistry, Problem, drop
from model_inbox.base.disk import Disk
from model_inbox.cli import root
from model_inbox.cli.schema import SCHEMAS
from model_inbox.model.checks import check_metadata
from model_inbox.model.metadata import LATER_FIELDS
from model_inbox.model.receipt import ProblemFields, ReceiptFields
from model_inbox.model.sidecar import parse_sidecar
from model_inbox.model.sidecar_fields import SIDECAR_FIELDS
from model_inbox.model.sidecar_writer import dump_sidecar
from model_inbox.problems.catalogue import CODES
from model_inbox.registry.entry import EntryFields
from model_inbox.registry.journal import decode_line
from model_inbox.registry.repair.rebuild import rebuild
from support.examples import examples
from support.places import GOLDEN, ROOT
from support.world import World, digest, pickled, sidecar

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def printed(*words: str) -> Any:
    """Return what a command prints, as JSON."""
    done = CliRunner().invoke(root, list(words))
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


VALIDATORS = {name: Draft202012Validator(printed("schema", name)) for name in SCHEMAS}


def faults(name: str, value: object) -> list[str]:
    """Return what the printed schema has against a value."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[name].iter_errors(value)]


class Yaml12(yaml.SafeLoader):
    """Reads YAML as editors do, by version 1.2: `yes` is text, and so is a date."""


Yaml12.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rules if tag.split(":")[-1] in ("null", "int", "float")]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def from_yaml(text: bytes | str) -> Any:
    return yaml.load(text, Yaml12)  # a safe loader


# --- the documents -------------------------------------------------------------------------------------------


def described(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that a schema describes, with its place; what a `$ref` names counts with it."""
    if isinstance(schema, list):
        for one in schema:
            yield from described(one, path)
    if not isinstance(schema, dict):
        return
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from described(field, f"{path}.{name}")
    for key in ("items", "additionalProperties", "anyOf", "$defs"):
        if key in schema:
            for one in schema[key].values() if key == "$defs" else [schema[key]]:
                yield from described(one, f"{path}/{key}")


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_printed_schema_is_one(name: str) -> None:
    """It is valid itself, says which draft and what it is, and has an id of its own."""
    schema = printed("schema", name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:model-inbox:schema:{name}"
    assert schema["title"] and schema["description"].endswith(".")
    assert printed("schema", name, "--json") == schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_is_described(name: str) -> None:
    """Each field has a title, and a sentence that says what it means."""
    schema = printed("schema", name)
    found = dict(described({key: value for key, value in schema.items() if key != "dependentSchemas"}))
    assert len(found) >= 9
    for path, field in found.items():
        at = schema["$defs"][field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field
        assert at.get("title"), path
        assert str(field.get("description") or at.get("description")).endswith("."), path


def test_the_old_spelling_prints_the_same() -> None:
    """`config schema` goes on to print what `schema config` does."""
    assert printed("config", "schema") == printed("schema", "config")


def test_a_schema_that_is_none_is_a_wrong_command_line() -> None:
    """Another name is told apart, and the names are said."""
    done = CliRunner().invoke(root, ["schema", "journal"])
    assert done.exit_code == 2
    assert all(name in done.stderr for name in SCHEMAS)


# --- real files ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A daemon has taken three drops and refused two; then the registry was worked on from Python."""
    made = World(tmp_path_factory.mktemp("schemas"))
    model, scaler = OrderedDict(a=1), [1, 2]
    # As scikit-learn writes its version into every estimator.
    vars(model)["_sklearn_version"] = "1.9.1"
    digests = {"model": digest(pickled(model)), "scaler": digest(pickled(scaler))}
    made.put("usd_eur_1", model, scaler=scaler, sha256=digests, tags={"stage": "live"}, description="the first")
    made.put("usd_eur_2", {"b": 2}, validation_metrics={}, features_used=[], horizons=[], tags=["trial"])
    made.put("usd_eur_3", {"c": 3})
    made.put("no good", {"d": 4})
    made.put("future", {"e": 5}, trained_at="2190-01-01T00:00:00Z", min_samples=-1, modle_type="x")
    with made.running() as service:
        made.live_on(service, 2)
        made.put("usd_eur_3", {"c": 3})
        made.live_on(service, 2)
        service.registry.set_alias("champion", "usd_eur_1")
        service.registry.set_alias("champion", "usd_eur_2")
        service.registry.rollback("USD/EUR")
        service.registry.pin("usd_eur_2", reason="audit")
        service.registry.tag("usd_eur_2", {"year": "2026"})
        service.registry.delete_model("usd_eur_3")
    with ModelRegistry(made.models / "prediction_registry.json", made.models / "prediction") as registry:
        registry.register_model(
            ModelMetadata(
                model_id="gbp_usd_1",
                model_type="lstm",
                currency_pair="GBP/USD",
                trained_at=NOW,
                version="2",
                validation_metrics={"1d": {"rmse": 1}},
                min_samples=0,
                calibration_ok=False,
                features_used=["lag"],
                horizons=[1],
            ),
            {"w": 1},
        )
        registry.replace_scaler("gbp_usd_1", [3.0])
        registry.record("gbp_usd_1", {"realised": {"rmse": 0.5, "days": 30}}, "2026-11-01")
    return made


def test_entries_in_every_place_are_valid(world: World) -> None:
    """In the JSON file, in the journal and through the API, whatever happened to the model."""
    stored = json.loads((world.models / "prediction_registry.json").read_bytes())
    assert sorted(stored) == ["gbp_usd_1", "usd_eur_1", "usd_eur_2"]
    with world.registry() as registry:
        lines = registry.history()
        shown = registry.list_models()
    operations = {line.operation for line in lines}
    assert operations == {"register", "alias", "rollback", "pin", "tag", "retire", "replace_scaler", "record"}
    found = [*stored.values(), *shown, *(line.entry for line in lines if line.entry is not None)]
    found += [line.removed for line in lines if line.removed is not None]
    found += [entry for line in lines if line.detail for entry in line.detail.get("also", {}).values()]
    assert len(found) >= 3 + 3 + 8
    assert [fault for entry in found for fault in faults("entry", json.loads(json.dumps(entry)))] == []
    seen = {name for entry in found for name in entry}
    assert seen == set(EntryFields.__annotations__), "the run does not show every field"


def test_a_rebuilt_entry_is_valid(world: World, tmp_path: Path) -> None:
    """One that was made from a stored sidecar has all that the schema asks for."""
    shutil.copytree(world.models, tmp_path / "models")
    path = tmp_path / "models" / "prediction_registry.json"
    for name in (
        "prediction_registry.json",
        "prediction_registry.journal.jsonl",
        "prediction_registry.checkpoint.json",
    ):
        (path.parent / name).unlink()
    rebuild(path, path.parent / "prediction", disk=Disk(), clock=lambda: NOW)
    entries = json.loads(path.read_bytes())
    assert {entry["integrity"] for entry in entries.values()} == {"rebuild"}
    assert [fault for entry in entries.values() for fault in faults("entry", entry)] == []


def test_receipts_and_reasons_are_valid(world: World) -> None:
    """The answer to each drop, whatever came of it, and the reasons beside a rejected one."""
    receipts = [json.loads(path.read_bytes()) for path in (world.inbox / "receipts").glob("[!.]*.json")]
    reasons = [json.loads(path.read_bytes()) for path in (world.inbox / "rejected").glob("*/reason.json")]
    assert {receipt["outcome"] for receipt in receipts} == {"registered", "duplicate", "rejected"}
    assert len(reasons) == 2
    assert [fault for one in (*receipts, *reasons) for fault in faults("receipt", one)] == []


def test_stored_sidecars_are_valid(world: World) -> None:
    """What producers wrote and was accepted, and what `register_model` writes."""
    paths = sorted((world.models / "prediction").glob("*.yaml"))
    assert [path.stem for path in paths] == ["gbp_usd_1", "usd_eur_1", "usd_eur_2"]
    assert [fault for path in paths for fault in faults("sidecar", from_yaml(path.read_bytes()))] == []


def test_what_drop_writes_is_valid(tmp_path: Path) -> None:
    """The sidecar that `model_inbox.drop` puts beside a model, as the examples' training jobs do."""
    tested = {f"{days}d": {"rmse": 0.0049, "directional_accuracy": 0.53} for days in (1, 7, 30)}
    metadata = ModelMetadata(
        model_id="lightgbm-usd-eur-20261120T183000Z",
        model_type="lightgbm",
        currency_pair="USD/EUR",
        trained_at=datetime(2026, 11, 20, 18, 30, tzinfo=UTC),
        version="1.0",
        validation_metrics=tested,
        min_samples=800,
        calibration_ok=True,
        features_used=["sma_5", "rsi_14"],
        horizons=[1, 7, 30],
        tags={"data": "ecb-eurofxref", "tested": "2024-01-01 to 2026-11-20"},
    )
    drop({"trees": 1}, metadata, inbox=tmp_path, scaler={"mean": 0.5})
    (path,) = tmp_path.glob("*.yaml")
    assert faults("sidecar", from_yaml(path.read_bytes())) == []


def examples_in_yaml() -> list[tuple[str, dict[str, Any]]]:
    """Return every YAML block of the manual and of the examples, with the page that it stands on."""
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    return [
        (path.name, from_yaml(block))
        for path in pages
        for block in re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)
    ]


def test_what_the_manual_shows_is_valid() -> None:
    """Every part of config.yaml, and every sidecar; a part of one has no other fault than what it leaves out."""
    sidecars, settings = [], []
    for page, value in examples_in_yaml():
        if value.keys() <= {field.name for field in SIDECAR_FIELDS}:
            sidecars.append(value)
            wrong = faults("sidecar", value)
            assert [fault for fault in wrong if "is a required property" not in fault] == [], page
        else:
            settings.append(value if "policies" not in value else {"retention": value})
            assert faults("config", settings[-1]) == [], page
    assert faults("sidecar", sidecars[0]) == []
    assert len(sidecars) >= 1 and len(settings) >= 5


def test_the_receipt_of_the_manual_is_valid() -> None:
    """The example in docs/reference/formats.md."""
    text = (ROOT / "docs" / "reference" / "formats.md").read_text()
    example = re.search(r"```json\n(\{\n  \"drop_id\".*?)```", text, re.DOTALL)
    assert example is not None
    assert faults("receipt", json.loads(example[1])) == []


def test_the_sample_configuration_is_valid() -> None:
    """config.yaml at the root, and a file that says nothing."""
    assert faults("config", from_yaml((ROOT / "config.yaml").read_text())) == []
    assert faults("config", {}) == []


# --- what 0.1.0 wrote ----------------------------------------------------------------------------------------


def test_what_the_first_version_wrote_is_valid(tmp_path: Path) -> None:
    """Entries, receipts, reasons and sidecars in the state folder of version 0.1.0."""
    subprocess.run(
        ["tar", "-xzf", GOLDEN / "registry-0.1" / "registry.tgz", "--no-same-owner", "-C", tmp_path], check=True
    )
    models, inbox = tmp_path / "a" / "models", tmp_path / "a" / "inbox"
    lines = (models / "prediction_registry.journal.jsonl").read_bytes().splitlines()[1:]
    entries = [*json.loads((models / "prediction_registry.json").read_bytes()).values()]
    entries += [entry for raw in lines for entry in (decode_line(raw).entry, decode_line(raw).removed) if entry]
    assert len(entries) >= 20
    assert [fault for entry in entries for fault in faults("entry", entry)] == []
    answers = [*(inbox / "receipts").glob("[!.]*.json"), *(inbox / "rejected").glob("*/reason.json")]
    assert len(answers) >= 10
    assert [fault for path in answers for fault in faults("receipt", json.loads(path.read_bytes()))] == []
    sidecars = sorted((models / "prediction").glob("*.yaml"))
    assert len(sidecars) >= 5
    assert [fault for path in sidecars for fault in faults("sidecar", from_yaml(path.read_bytes()))] == []


# --- broken ones ---------------------------------------------------------------------------------------------


def an_entry() -> dict[str, Any]:
    return {
        "model_id": "usd_eur_1",
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "trained_at": "2025-10-25T12:00:00Z",
        "version": "1.10",
        "validation_metrics": {"1d": {"rmse": 0.5}},
        "min_samples": 50,
        "calibration_ok": True,
        "features_used": ["sma_5", "rsi_14"],
        "horizons": [1, 7, 30],
        "model_path": "prediction/usd_eur_1.pkl",
        "scaler_path": "prediction/usd_eur_1_scaler.pkl",
        "sha256": "f" * 64,
        "scaler_sha256": "7" * 64,
        "size_bytes": 72,
        "registered_at": "2026-11-27T20:29:06.012517Z",
        "sequence": 1,
        "origin": "inbox",
        "drop_id": "20261127T202905918509Z-0001-usd_eur_1",
        "imports": {"collections.OrderedDict": "crs"},
        "verdict": {
            "python": "3.11.7",
            "allowlist": "4" * 64,
            "files": {"model": {"sha256": "f" * 64, "kind": "plain"}},
        },
        "integrity": "digest",
        "variant": "30d",
        "tags": {"stage": "production"},
        "description": "the first",
        "provenance": {"git_commit": "1a2b", "note": ""},
        "aliases": ["champion"],
        "pinned": False,
    }


def a_receipt() -> dict[str, Any]:
    return {
        "drop_id": "20261124T045318114026Z-0007-h2",
        "outcome": "rejected",
        "model_id": "h2",
        "at": "2026-11-24T04:53:18.115Z",
        "stem": "h2",
        "owner": {"name": "alice", "uid": 1001},
        "sidecar_sha256": "1" * 64,
        "digests": {"model": "2" * 64},
        "registry_id": "r",
        "epoch": "e",
        "sequence": None,
        "problems": [{"code": "sidecar.unknown_key", "message": "no field", "line": 1}],
    }


def a_sidecar() -> dict[str, Any]:
    read: dict[str, Any] = from_yaml(sidecar(model_file="m.joblib", sha256={"model": "a" * 64}, tags={"a": "b"}))
    return read


WHOLE: dict[str, Callable[[], dict[str, Any]]] = {
    "entry": an_entry,
    "receipt": a_receipt,
    "sidecar": a_sidecar,
    "config": lambda: {"retention": {"policies": [{"keep": {"last": 1}}]}, "inbox": {"settle_seconds": "2s"}},
}

GONE = object()
BROKEN: dict[str, list[tuple[tuple[str | int, ...], object]]] = {
    "entry": [
        *(
            ((name,), GONE)
            for name in EntryFields.__annotations__
            if not name.startswith(
                (
                    "owner",
                    "frameworks",
                    "load_bytes",
                    "scaler_",
                    "recorded",
                    "held",
                    "gates",
                    "promotions",
                    "barred",
                    *LATER_FIELDS,
                )
            )
        ),
        (("owner",), "alice"),
        (("owner",), {"name": "alice"}),
        (("owner",), {"name": "alice", "uid": -1}),
        (("frameworks",), {"numpy": 2}),
        (("scaler_path",), GONE),
        (("scaler_sha256",), GONE),
        (("model_id",), "a/b"),
        (("model_id",), "a_scaler"),
        (("model_type",), ""),
        (("currency_pair",), "x" * 65),
        (("trained_at",), "2025-10-25 12:00"),
        (("version",), 1.1),
        (("validation_metrics",), [0.5]),
        (("validation_metrics", "1d", "rmse"), "0.5"),
        (("min_samples",), -1),
        (("min_samples",), 2**53 + 1),
        (("calibration_ok",), "yes"),
        (("features_used",), ["a", "a"]),
        (("horizons",), [0]),
        (("model_path",), None),
        (("sha256",), "A" * 64),
        (("scaler_sha256",), "short"),
        (("size_bytes",), -1),
        (("sequence",), 0),
        (("origin",), "mail"),
        (("drop_id",), 7),
        (("imports",), ["numpy.ndarray"]),
        (("verdict", "files", "model", "kind"), GONE),
        (("integrity",), "hope"),
        (("tags",), ["a"]),
        (("tags",), {"": "x"}),
        (("variant",), "a b"),
        (("description",), None),
        (("provenance",), {"a b": "c"}),
        (("provenance",), {"job": 7}),
        (("aliases",), ["not an alias"]),
        (("pinned",), 0),
        (("scaler_replaced",), "4"),
        (("scaler_imports",), "r"),
        (("recorded",), {"rmse": 0.5}),
        (("recorded",), {"rmse": {"value": "low", "at": "2026-11-01T00:00:00Z"}}),
        (("recorded",), {"rmse": {"value": 0.5}}),
    ],
    "receipt": [
        *(((name,), GONE) for name in ReceiptFields.__required_keys__),
        (("registry_id",), 1),
        (("sequence",), 0),
        (("outcome",), "deferred"),
        (("at",), "2026-11-24"),
        (("model_id",), 1),
        (("sidecar_sha256",), "1"),
        (("digests", "model"), None),
        (("digests", "other"), "2" * 64),
        (("problems", 0, "code"), "Sidecar"),
        (("problems", 0, "message"), GONE),
        (("problems", 0, "line"), 0),
    ],
    "sidecar": [
        *(((field.name,), GONE) for field in SIDECAR_FIELDS if field.required),
        *(((field.name,), {"a": {"b": []}}) for field in SIDECAR_FIELDS),
        (("modle_type",), "lightgbm"),
        (("model_id",), "a/b"),
        (("model_id",), "a_scaler"),
        (("currency_pair",), ""),
        (("trained_at",), "yesterday"),
        (("validation_metrics", "1d", "rmse"), "good"),
        (("validation_metrics", "1d", "rmse"), None),
        (("min_samples",), 0.5),
        (("calibration_ok",), "maybe"),
        (("features_used",), "sma_5"),
        (("horizons",), ["1d"]),
        (("horizons",), [36501]),
        (("tags",), {"a b": "c"}),
        (("provenance",), ["host"]),
        (("provenance",), {"a b": "c"}),
        (("model_file",), "../m.pkl"),
        (("model_file",), "model.txt"),
        (("model_file",), None),
        (("scaler_file",), ".hidden.pkl"),
        (("sha256", "model"), "f" * 63),
        (("sha256", "model"), GONE),
        (("sha256", "sidecar"), "f" * 64),
    ],
    "config": [
        (("inboks",), {}),
        (("inbox", "settle_seconds"), []),
        (("inbox", "watcher"), "hope"),
        (("retention", "mode"), "on"),
        (("retention", "policies", 0, "keep", "last"), -2),
        (("retention", "policies", 0, "min_keep"), -1),
        (("retention", "policies", 0, "keep", "within"), "30 days"),
        (("retention", "breaker"), {"max_fraction": 2}),
    ],
}


@pytest.mark.parametrize(("name", "path", "value"), [(name, *how) for name, ways in BROKEN.items() for how in ways])
def test_a_broken_one_is_not_valid(name: str, path: tuple[str | int, ...], value: object) -> None:
    """Without a field that must be there, or with a value that it cannot have, the schema says so."""
    whole: Any = WHOLE[name]()
    assert faults(name, whole) == []
    inside = whole
    for step in path[:-1]:
        inside = inside[step]
    if value is GONE:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    assert faults(name, whole) != []


@pytest.mark.parametrize("name", ["entry", "receipt"])
def test_fields_of_a_newer_version_are_no_fault(name: str) -> None:
    """Where unknown fields survive or are to be ignored, the schema allows them."""
    assert faults(name, {**WHOLE[name](), "from_the_future": {"deep": [1]}}) == []


def test_an_entry_of_the_first_registry_is_valid() -> None:
    """One that was adopted has the twelve fields of the first registry, in that registry's writing, and no others."""
    seed = {name: an_entry()[name] for name in EntryFields.__required_keys__}
    assert len(seed) == 12
    seed |= {"model_id": "a/b ä", "trained_at": "2025-10-25T12:00:00", "model_path": "/data/a.pkl"}
    assert faults("entry", seed) == []
    assert faults("entry", {**seed, "origin": "api"}) != []
    del seed["horizons"]
    assert faults("entry", seed) != []


# --- problems ------------------------------------------------------------------------------------------------


def test_a_problem_in_a_receipt_has_the_fields_of_a_problem() -> None:
    """The shape in the receipt's schema and the value in the code are one."""
    assert ProblemFields.__annotations__.keys() == set(Problem.__slots__)
    least, most = Problem("a.b", "m"), Problem("a.b", "m", "h", "f", 1, 2, "x.yaml")
    assert least.as_dict().keys() == ProblemFields.__required_keys__
    assert most.as_dict().keys() == ProblemFields.__annotations__.keys()


def test_every_problem_code_can_stand_in_a_receipt() -> None:
    """No code of the catalogue is refused by the schema."""
    problems = [{"code": code, "message": "m"} for code in CODES]
    assert len(problems) > 80
    assert faults("receipt", {**a_receipt(), "problems": problems}) == []


# --- sidecars, at large --------------------------------------------------------------------------------------

labels = st.text("aZ9 ._/-äµ", min_size=1, max_size=8).filter(lambda text: text == text.strip())
finite = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
metrics = st.recursive(finite, lambda inner: st.dictionaries(labels, inner, max_size=3), max_leaves=6)
metadata = st.builds(
    ModelMetadata,
    model_id=st.from_regex(r"[a-z][a-z0-9._-]{0,9}", fullmatch=True).filter(lambda text: not text.endswith("_scaler")),
    model_type=labels,
    currency_pair=labels,
    trained_at=st.datetimes(datetime(2000, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001  # counts as UTC
    version=labels
    | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,2})?", fullmatch=True)
    | st.sampled_from(["yes", "null", "1e3"]),
    validation_metrics=st.dictionaries(labels, metrics, max_size=3),
    min_samples=st.integers(0, 2**53),
    calibration_ok=st.booleans(),
    features_used=st.lists(labels, unique=True, max_size=3),
    horizons=st.lists(st.integers(1, 36500), unique=True, max_size=3),
    tags=st.dictionaries(st.from_regex(r"[a-z][a-z0-9._:/-]{0,5}", fullmatch=True), labels | st.just(""), max_size=3),
    description=st.text("ab \n", max_size=20),
)


@given(metadata)
@settings(max_examples=examples(60), deadline=None)
def test_what_the_checks_accept_makes_a_valid_sidecar(one: ModelMetadata) -> None:
    """Whatever metadata can be registered, the sidecar that is written of it is valid by the schema."""
    assert check_metadata(one, now=NOW, pair_pattern=None) == []
    text = dump_sidecar(one, model_file="m.pkl", scaler_file=None, digests={"model": "0" * 64})
    assert faults("sidecar", from_yaml(text)) == []


ODD = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        50.0,
        0.5,
        2**60,
        "",
        " ",
        "yes",
        "No",
        "TRUE",
        "null",
        "1",
        "+7",
        "1.10",
        "1e3",
        "0x10",
    ),
    *(
        "a",
        "a_scaler",
        "x" * 65,
        "x" * 300,
        "m.pkl",
        "../m.pkl",
        ".m.pkl",
        "m.txt",
        "2025-10-25",
        "2025-10-25T12:00:00",
    ),
    *(
        [],
        [1],
        ["1", 7],
        ["a"],
        ["a", "a"],
        [1.5],
        [[1]],
        {},
        {"a": 1},
        {"a": "0.5"},
        {"a": "x"},
        {"a": None},
        {"a b": "c"},
    ),
    *({"model": "f" * 64}, {"model": "F" * 64, "scaler": None}, {"scaler": "f" * 64}, {"a": {"b": {"c": 1}}}),
]


@given(st.dictionaries(st.sampled_from([field.name for field in SIDECAR_FIELDS]), st.sampled_from(ODD), max_size=2))
@settings(max_examples=examples(300), deadline=None)
def test_the_schema_refuses_nothing_that_the_inbox_accepts(fields: dict[str, Any]) -> None:
    """A sidecar that the schema has something against has problems for the inbox, too: no false alarm in an editor."""
    text = sidecar(**fields)
    if parse_sidecar(text, stem="m", now=NOW).problems == ():
        assert faults("sidecar", from_yaml(text)) == []

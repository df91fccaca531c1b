"""What `drop` fills in by itself: id, time, features, horizons, provenance; and what it leaves alone."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox import DropRefused, ModelMetadata, drop
from model_inbox.base.strict_yaml import Scalar
from model_inbox.model.metadata import PROVENANCE_MAX, is_valid_id
from model_inbox.model.sidecar import Sidecar, parse_sidecar
from model_inbox.model.sidecar_parts import a_text
from model_inbox.producer.files import drop_files, files_beside
from model_inbox.producer.filling import ID_TEMPLATE, automatic_id, features_of, horizons_in
from model_inbox.producer.provenance import ENVIRONMENT, collected, merged
from support.world import World, pickled, sidecar

METADATA = ModelMetadata(
    model_id="m1",
    model_type="ridge",
    currency_pair="USD/EUR",
    trained_at=datetime(2025, 10, 25, 12, tzinfo=UTC),
    version="1.10",
    validation_metrics={"1d": {"rmse": 0.5}},
    min_samples=50,
    calibration_ok=True,
    features_used=["sma_5"],
    horizons=[1],
)
FIELDS: dict[str, Any] = {
    "model_type": "ridge",
    "currency_pair": "USD/EUR",
    "version": "1.10",
    "validation_metrics": {"1d": {"rmse": 0.5}, "30D": {"rmse": 0.7}, "all": {"7d": 1}},
    "min_samples": 50,
    "calibration_ok": True,
}
DIGEST = "0123456789abcdef" * 4


@pytest.fixture(name="inbox")
def _inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def dropped(inbox: Path) -> Sidecar:
    """The one sidecar in the inbox."""
    (path,) = inbox.glob("*.yaml")
    return parse_sidecar(path.read_bytes(), stem=path.stem, now=datetime.now(UTC))


def described(inbox: Path) -> ModelMetadata:
    found = dropped(inbox).metadata
    assert found is not None
    return found


class Fitted:
    """A model that names its features as scikit-learn does."""

    def __init__(self) -> None:
        self.feature_names_in_ = ("sma_5", "rsi_14")


# --- the id ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "model_id"),
    [
        ({}, "usd-eur-ridge-20251025T120000Z-01234567"),
        ({"variant": "30d"}, "usd-eur-ridge-30d-20251025T120000Z-01234567"),
        ({"currency_pair": "日本", "model_type": "a b"}, "a-b-20251025T120000Z-01234567"),
        ({"trained_at": "2025-10-25T12:00:00.5+02:00"}, "usd-eur-ridge-20251025T100000Z-01234567"),
    ],
)
def test_an_id_is_made_of_slot_time_and_digest(changes: dict[str, Any], model_id: str) -> None:
    """What an id cannot contain becomes a hyphen; a part without anything is left out."""
    assert automatic_id(ID_TEMPLATE, dataclasses.replace(METADATA, **changes), DIGEST) == model_id


@given(st.text(max_size=64), st.text(max_size=64), st.text("abcXYZ019._-", max_size=64))
def test_an_automatic_id_is_always_an_id(pair: str, model_type: str, variant: str) -> None:
    """Whatever pair, type and variant are: it is a file name, and not too long."""
    metadata = dataclasses.replace(METADATA, currency_pair=pair, model_type=model_type, variant=variant)
    assert is_valid_id(automatic_id(ID_TEMPLATE, metadata, DIGEST))


def test_a_template_of_ones_own_is_filled_in(inbox: Path) -> None:
    """The parts in braces are known ones; an unknown one is refused, with those that there are."""
    result = drop(Fitted.__name__, METADATA, inbox=inbox, model_id="{pair}-v{version}")
    assert result.model_id == "usd-eur-v1.10"
    assert "filled" in described(inbox).provenance
    with pytest.raises(DropRefused) as refused:
        drop(1, METADATA, inbox=inbox, model_id="{pair}-{0.__class__}")
    assert "{sha8}" in str(refused.value)
    with pytest.raises(DropRefused, match=r"sidecar\.invalid_name"):
        drop(1, METADATA, inbox=inbox, model_id="{variant}")


# --- the other fields -----------------------------------------------------------------------------------------


def test_a_training_job_says_what_only_it_knows(inbox: Path) -> None:
    """Id, time, features and horizons are filled in and named; what was said is not."""
    before = datetime.now(UTC)
    model = Fitted()
    result = drop(
        model.__dict__, {**FIELDS, "model_id": None, "features_used": ["y"]}, inbox=inbox, features_used=["x"]
    )
    metadata = described(inbox)
    assert isinstance(metadata.trained_at, datetime)
    assert before.replace(microsecond=0) <= metadata.trained_at <= datetime.now(UTC)
    assert metadata.horizons == [1, 7, 30]
    assert metadata.features_used == ["x"]
    assert metadata.provenance["filled"] == "model_id,trained_at,horizons"
    assert result.model_id == metadata.model_id
    assert result.model_id.startswith("usd-eur-ridge-2")
    digest = dropped(inbox).digests["model"]
    assert digest is not None and result.model_id.endswith(digest[:8])


def test_what_is_missing_is_told_together_with_what_is_wrong(inbox: Path) -> None:
    """Nothing is made up: version, min_samples and calibration_ok are asked for, features of a model without names."""
    with pytest.raises(DropRefused) as refused:
        drop({}, inbox=inbox, currency_pair="USD/EUR", model_type="ridge", validation_metrics={"rmse": "good"})
    found = {(problem.field, problem.code.partition(".")[2]) for problem in refused.value.problems}
    missing = {"version", "min_samples", "calibration_ok", "features_used", "horizons"}
    assert found == {*((name, "missing_field") for name in missing), ("validation_metrics.rmse", "wrong_type")}
    assert list(inbox.iterdir()) == []
    with pytest.raises(TypeError, match="'pair'"):
        drop({}, {"pair": "USD/EUR"}, inbox=inbox)
    with pytest.raises(TypeError, match="'pair'"):
        drop({}, inbox=inbox, pair="USD/EUR")  # type: ignore[call-arg]  # what this test is about


class Booster:
    """Names its features by a method, as a booster of LightGBM does."""

    def __init__(self, names: Any) -> None:
        self.names = names

    def feature_name(self) -> Any:
        if isinstance(self.names, Exception):
            raise self.names
        return self.names


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (Fitted(), ["sma_5", "rsi_14"]),
        (Booster(["a", "b"]), ["a", "b"]),
        (Booster(["Column_0", "Column_1"]), []),
        (Booster(RuntimeError("not fitted")), []),
        (Booster([1, 2]), []),
        ({"feature_names_in_": ["a"]}, []),
        (None, []),
    ],
)
def test_features_are_those_that_the_model_names(model: Any, names: list[str]) -> None:
    """By an attribute or a method; names that a library made up, and a model that fails to answer, tell nothing."""
    assert features_of(model) == names


def test_horizons_are_days() -> None:
    """Other names of metrics are none, nor is a number of days that no horizon can have."""
    assert horizons_in(["30d", "1d", "1D", "0d", "99999d", "1w", "d", "1d_rmse", "１d"]) == [1, 30]


# --- files ----------------------------------------------------------------------------------------------------


def test_a_file_is_dropped_with_the_time_of_its_writing(inbox: Path, tmp_path: Path) -> None:
    """To the microsecond, so that a repetition makes the same id; the sidecar beside it is not needed."""
    model = tmp_path / "any name.pkl"
    model.write_bytes(pickled({"a": 1}))
    os.utime(model, ns=(0, 1_761_393_600_123_456_789))
    given_values = [([name], a_text(str(value))) for name, value in FIELDS.items() if name != "validation_metrics"]
    given_values.append((["features_used"], Scalar("[]", "", 0, 0)))
    with pytest.raises(DropRefused) as refused:
        drop_files(model, inbox=inbox, given=given_values)
    assert {problem.field for problem in refused.value.problems} == {"validation_metrics", "features_used", "horizons"}
    assert not any(problem.line or problem.file for problem in refused.value.problems)
    (tmp_path / "m.yaml").write_bytes(sidecar(leave_out=("trained_at",)))
    drop_files(model, tmp_path / "m.yaml", inbox=inbox)
    metadata = described(inbox)
    assert metadata.trained_at == datetime(2025, 10, 25, 12, 0, 0, 123456, tzinfo=UTC)
    assert (metadata.model_id, metadata.provenance["filled"]) == ("m", "trained_at")


def test_what_the_command_says_counts_more_than_the_sidecar(inbox: Path, tmp_path: Path) -> None:
    """A given value replaces that of the file; a problem of the file still has its line."""
    model = tmp_path / "m.pkl"
    model.write_bytes(pickled(1))
    (tmp_path / "m.yaml").write_bytes(sidecar(version="1", tags={"a": "b"}))
    given_values = [
        (["version"], a_text("2")),
        (["tags", "c"], a_text("d")),
        (["validation_metrics", "1d", "n"], a_text("3")),
    ]
    drop_files(model, tmp_path / "m.yaml", inbox=inbox, given=given_values)
    metadata = described(inbox)
    assert (metadata.version, metadata.tags) == ("2", {"a": "b", "c": "d"})
    assert metadata.validation_metrics["1d"]["n"] == 3
    (tmp_path / "m.yaml").write_bytes(sidecar(version="1").replace(b"version", b"verison"))
    with pytest.raises(DropRefused) as refused:
        drop_files(model, tmp_path / "m.yaml", inbox=inbox, given=given_values[:1])
    (problem,) = refused.value.problems
    assert problem.code == "sidecar.unknown_key" and problem.line


def test_a_model_alone_is_taken_with_what_belongs_to_it(tmp_path: Path) -> None:
    """Sidecar and scaler are found as in the inbox; a model without them has none; two sidecars are none."""
    now = datetime.now(UTC)
    model = tmp_path / "m.pkl"
    for name in ("m.pkl", "m_scaler.pkl", "other.yaml", "other_scaler.pkl"):
        (tmp_path / name).write_bytes(b"")
    assert files_beside(model, now=now) == (None, tmp_path / "m_scaler.pkl")
    (tmp_path / "m.YML").write_bytes(sidecar(scaler_file=None))
    assert files_beside(model, now=now) == (tmp_path / "m.YML", None)
    (tmp_path / "m.YML").write_bytes(sidecar(scaler_file="other_scaler.pkl"))
    assert files_beside(model, now=now) == (tmp_path / "m.YML", tmp_path / "other_scaler.pkl")
    (tmp_path / "m.YML").write_bytes(sidecar(model_file="other.pkl"))
    with pytest.raises(DropRefused, match="names another file"):
        files_beside(model, now=now)
    (tmp_path / "m.pkl.yaml").write_bytes(sidecar())
    with pytest.raises(DropRefused, match="several sidecars"):
        files_beside(model, now=now)


# --- a repetition ---------------------------------------------------------------------------------------------


def test_a_repeated_job_trains_no_second_model(tmp_path: Path) -> None:
    """The same bytes at another time are a duplicate without differences; the receipt names the first."""
    world = World(tmp_path)
    with world.running() as service:
        first = drop({"a": 1}, inbox=world.inbox, features_used=[], **FIELDS, provenance={"try": 1})
        service.step("timer")
        again = drop(
            {"a": 1}, inbox=world.inbox, features_used=[], **FIELDS, provenance={"try": 2}, trained_at="2025-10-25"
        )
        later = drop({"a": 1}, inbox=world.inbox, features_used=[], **FIELDS, model_id="by-hand")
        service.step("timer")
        assert set(service.registry.registry) == {first.model_id, "by-hand"}
    receipt = world.receipt(again.model_id)
    assert receipt is not None
    assert (receipt["outcome"], receipt["model_id"]) == ("duplicate", first.model_id)
    # The second said when it was trained; that is a difference, as everything that was said is.
    assert [problem["field"] for problem in receipt["problems"]] == ["trained_at"]
    assert later.model_id == "by-hand"


def test_a_repetition_before_the_daemon_came_is_the_same_drop(inbox: Path) -> None:
    """Another commit, time or host is no other drop: the one that waits is left as it is."""
    for number in (1, 2):
        result = drop({}, inbox=inbox, features_used=[], **FIELDS, model_id="m", provenance={"try": number})
        assert result.outcome == "dropped"
    assert described(inbox).provenance["try"] == "1"
    with pytest.raises(DropRefused):
        drop({}, inbox=inbox, features_used=["other"], **FIELDS, model_id="m")


# --- provenance -----------------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *settings, "-C", str(folder), *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_is_known_and_whether_the_tree_was_dirty(tmp_path: Path) -> None:
    """A changed file that git knows makes it dirty, a new one like the model does not; nothing without a tree."""
    assert "git_commit" not in collected({}, tmp_path, only_loaded=True)
    assert collected({"GITHUB_SHA": "1a2b"}, tmp_path, only_loaded=True)["git_commit"] == "1a2b"
    git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    (tmp_path / "m.pkl").write_text("model")
    facts = collected({}, tmp_path, only_loaded=True)
    assert (facts["git_commit"], facts["git_dirty"]) == (git(tmp_path, "rev-parse", "HEAD"), "false")
    (tmp_path / "train.py").write_text("two")
    assert collected({}, tmp_path, only_loaded=True)["git_dirty"] == "true"


def test_no_program_of_a_working_tree_is_run(tmp_path: Path) -> None:
    """A monitor that the configuration of a cloned tree names is not started."""
    git(tmp_path, "init", "-q")
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    hook.chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", str(hook))
    collected({}, tmp_path, only_loaded=True)
    assert not (tmp_path / "was-run").exists()


def test_only_named_variables_are_collected(tmp_path: Path) -> None:
    """Each is cut and cleaned; what is secret or not in the table is not looked at."""
    environment = {
        **dict.fromkeys(ENVIRONMENT, "7\n" + "x" * 500),
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "SLURM_JOB_ID": "42",
    }
    facts = collected(environment, tmp_path, only_loaded=True)
    assert set(ENVIRONMENT.values()) <= facts.keys()
    assert facts["slurm_job_id"] == "42"
    assert facts["airflow_dag_id"] == "7" + "x" * 255
    assert facts["python"] and facts["host"] and facts["user"]
    assert "s3cret" not in str(facts)


def test_what_the_producer_says_counts_more_and_always_fits(inbox: Path) -> None:
    """So that no drop is refused for what was collected; without any, none is."""
    said = {f"n{number}": "x" for number in range(PROVENANCE_MAX - 2)}
    facts = merged({"host": "a", "python": "3", "n1": "collected"}, said)
    assert (len(facts), facts["n1"]) == (PROVENANCE_MAX - 1, "x")
    drop({}, inbox=inbox, features_used=[], **FIELDS, provenance=said)
    for path in inbox.iterdir():
        path.unlink()
    drop({}, dataclasses.replace(METADATA, provenance={"data": "v3"}), inbox=inbox, provenance=False)
    assert described(inbox).provenance == {"data": "v3"}


def test_the_pair_may_be_called_the_subject(inbox: Path) -> None:
    """By name or in a mapping; both names at once, and a name that is none, are refused with what was meant."""
    without = {name: value for name, value in FIELDS.items() if name != "currency_pair"}
    drop({}, inbox=inbox, subject="DE-LU", features_used=["a"], **without)
    metadata = dropped(inbox).metadata
    assert metadata is not None and metadata.currency_pair == "DE-LU"
    with pytest.raises(TypeError, match="both 'currency_pair' and 'subject'"):
        drop({}, {"subject": "DE-LU"}, inbox=inbox, **FIELDS)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'modle_type'\. Did you mean 'model_type'"):
        drop({}, {"modle_type": "x"}, inbox=inbox, **FIELDS)

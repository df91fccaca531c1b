"""Tags: an entry goes into MLflow whole and comes back the same, at the limits of MLflow too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.mirror.tags import (
    EntryFile,
    Metric,
    MirroredFile,
    artifact_path,
    entry_bytes,
    entry_of_bytes,
    entry_of_tags,
    metric_points,
    params_of,
    recorded_points,
    run_tags,
    start_time_ms,
    version_tags,
)

ENTRY: dict[str, Any] = {
    "model_id": "usdeur",
    "model_type": "lightgbm",
    "currency_pair": "USD/EUR",
    "trained_at": "2026-11-01T06:00:00Z",
    "version": "1.10",
    "validation_metrics": {"1d": {"rmse": 0.5, "n": 7}, "bias": -1},
    "min_samples": 100,
    "calibration_ok": True,
    "features_used": ["rate", "spread"],
    "horizons": [1, 7],
    "variant": "",
    "tags": {"desk": "fx", "a/b": ""},
    "description": "after the outage\nsecond line",
    "provenance": {"git_commit": "abc"},
    "model_path": "prediction/usdeur.pkl",
    "scaler_path": None,
    "sha256": "1" * 64,
    "scaler_sha256": None,
    "size_bytes": 12,
    "registered_at": "2026-11-01T06:00:05.123Z",
    "sequence": 4,
    "origin": "inbox",
    "drop_id": "d1",
    "owner": {"name": "alice", "uid": 1000},
    "imports": {"lightgbm.basic.Booster": "rn"},
    "verdict": {"python": "3.11.7", "allowlist": "2" * 64, "files": {}},
    "integrity": "digest",
    "aliases": ["champion"],
    "pinned": False,
    "held": None,
    "held_since": None,
    "gates": [],
    "recorded": {"live.rmse": {"value": 0.7, "at": "2026-11-02T00:00:00Z"}},
}
ENTRY_FILE = EntryFile("model_inbox/entry.json", "3" * 64)
FILES = {"model": MirroredFile("model/artifacts/model.pkl", "1" * 64, 12)}


def tags_of(entry: dict[str, Any], **other: Any) -> dict[str, str]:
    given = {"registry_id": "0" * 32, "line": 9, "files": FILES, "entry_file": ENTRY_FILE, **other}
    return version_tags(entry, **given)


def test_an_entry_comes_back_the_same() -> None:
    """Every field, the files, the position and what is not retired."""
    back = entry_of_tags(tags_of(ENTRY))
    assert back is not None
    assert (back.entry, back.elsewhere, back.registry_id, back.line) == (ENTRY, (), "0" * 32, 9)
    assert (back.files, back.entry_file, back.retired, back.has_bytes) == (FILES, ENTRY_FILE, None, True)


def test_tags_are_for_people_too() -> None:
    """Text stands as it is, the rest as JSON, and each label has a tag that MLflow can be asked for."""
    tags = tags_of(ENTRY)
    assert tags["model_inbox.model_id"] == "usdeur"
    assert tags["model_inbox.trained_at"] == "2026-11-01T06:00:00Z"
    assert tags["model_inbox.sha256"] == "1" * 64
    assert tags["model_inbox.variant"] == ""
    assert tags["model_inbox.pinned"] == "false"
    assert tags["model_inbox.held"] == ""
    assert tags["model_inbox.horizons"] == "[1,7]"
    assert tags["model_inbox.label.desk"] == "fx"
    assert tags["model_inbox.bytes"] == "stored"


@given(st.text(alphabet=st.characters(codec=None, categories=None), max_size=20))
def test_any_description_comes_back_or_is_said_to_be_elsewhere(text: str) -> None:
    """What a database cannot store as text is in the artifact, and the tags say so."""
    entry = {**ENTRY, "description": text, "held": text}
    tags = tags_of(entry)
    back = entry_of_tags(tags)
    assert back is not None
    assert {**back.entry, **{name: entry[name] for name in back.elsewhere}} == entry
    assert not any("\0" in value or any(0xD800 <= ord(c) < 0xE000 for c in value) for value in tags.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("description", "x" * 5001),
        ("features_used", [f"feature_{n}" for n in range(1000)]),
        ("imports", {f"a.b{n}": "rn" for n in range(1000)}),
        ("sha256", None),
        ("odd/ü", 1),
        ("registry_id", "another"),
        ("label.desk", "another"),
    ],
)
def test_what_does_not_fit_is_in_the_artifact(name: str, value: Any) -> None:
    """The tag `in_artifact` names it, no value is longer than 5,000 characters, and none of our own tags is lost."""
    tags = tags_of({**ENTRY, name: value})
    back = entry_of_tags(tags)
    assert back is not None
    assert back.elsewhere == (name,)
    assert name not in back.entry
    assert max(map(len, tags.values())) <= 5000
    assert tags["model_inbox.registry_id"] == "0" * 32
    assert entry_of_bytes(entry_bytes({**ENTRY, name: value}))[name] == value  # type: ignore[literal-required]


def test_bytes_that_were_purged_are_said_to_be_missing() -> None:
    """Such a version has metadata only."""
    tags = tags_of(ENTRY, files={})
    back = entry_of_tags(tags)
    assert back is not None
    assert not back.has_bytes
    assert tags["model_inbox.bytes"].startswith("none")


def test_a_retired_model_says_when_and_why() -> None:
    """And one that was restored says no such thing any more, with the same tags."""
    retired = {"at": "2026-11-03T00:00:00Z", "reason": "too old"}
    tags = tags_of(ENTRY, retired=retired)
    back = entry_of_tags(tags)
    assert back is not None
    assert back.retired == retired
    assert tags.keys() == tags_of(ENTRY).keys()


def test_other_versions_are_none_of_ours() -> None:
    """A version that somebody made in MLflow, or a newer form of ours, is not read as an entry."""
    assert entry_of_tags({}) is None
    assert entry_of_tags({"model_inbox.model_id": "x"}) is None
    assert entry_of_tags({**tags_of(ENTRY), "model_inbox.mirror": "2"}) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("artifacts", "[]"), ("artifacts", "{"), ("artifacts", '{"model":{}}'), ("horizons", "x"), ("line", "x")],
        *[("retired", "[1]"), ("in_artifact", "{}")],
    ],
)
def test_tags_that_somebody_changed_are_damage(key: str, value: str) -> None:
    """They raise ValueError and nothing else."""
    with pytest.raises(ValueError, match=r"."):
        entry_of_tags({**tags_of(ENTRY), f"model_inbox.{key}": value})


def test_a_run_has_few_tags() -> None:
    """MLflow takes at most 100 at once, and an entry may have 64 labels."""
    tags = tags_of({**ENTRY, "tags": {f"n{n}": "" for n in range(64)}})
    assert len(run_tags(tags)) < 100
    assert run_tags(tags)["model_inbox.sha256"] == tags["model_inbox.sha256"]


def test_parameters_are_what_is_known_of_the_training() -> None:
    """Text as it is, the rest as JSON."""
    assert params_of(ENTRY) == {
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "variant": "",
        "version": "1.10",
        "min_samples": "100",
        "calibration_ok": "true",
        "features_used": '["rate","spread"]',
        "horizons": "[1,7]",
        "provenance.git_commit": "abc",
    }
    assert "features_used" not in params_of({**ENTRY, "features_used": ["x" * 250] * 30})


def test_metrics_have_dotted_names() -> None:
    """At the time of the training; what was measured later at its own time."""
    at = 1793512800000
    assert start_time_ms(ENTRY) == at
    assert metric_points(ENTRY) == (Metric("1d.rmse", 0.5, at), Metric("1d.n", 7.0, at), Metric("bias", -1.0, at))
    assert recorded_points(ENTRY) == (Metric("recorded.live.rmse", 0.7, 1793577600000),)


def test_metrics_that_mlflow_refuses_are_left_out() -> None:
    """By their names, or because another one has the same dotted name."""
    metrics = {"a%": 1, "ü": 1, "a//b": 1, "/a": 1, "..": 1, "x" * 251: 1, "a.b": 1, "a": {"b": 2}, "ok/yes": 3}
    found = metric_points({**ENTRY, "validation_metrics": metrics})
    assert {(one.name, one.value) for one in found} == {("a.b", 1.0), ("ok/yes", 3.0)}


def test_artifacts_have_fixed_places() -> None:
    """The suffix of the stored file stays, and a replaced scaler has a place of its own."""
    assert artifact_path("model", "usdeur.pkl") == "model/artifacts/model.pkl"
    assert artifact_path("scaler", "usdeur_scaler@12.pkl", 12) == "model/artifacts/scaler-12.pkl"
    assert artifact_path("sidecar", "usdeur.yaml") == "model/artifacts/sidecar.yaml"
    assert artifact_path("model", "odd name") == "model/artifacts/model"


def test_tags_are_text_only() -> None:
    """MLflow stores nothing else."""
    assert all(isinstance(value, str) for value in tags_of(ENTRY).values())
    assert json.loads(tags_of(ENTRY)["model_inbox.artifacts"])["model"]["size"] == 12

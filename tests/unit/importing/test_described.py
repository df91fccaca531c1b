"""A model version of MLflow as a drop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from model_inbox.importing.described import CannotImport, Naming, Version, pickle_in, sidecar_of
from model_inbox.mirror.names import DEFAULT_TEMPLATE

MLMODEL: dict[str, Any] = {"flavors": {"sklearn": {"pickled_model": "model.pkl"}, "python_function": {}}}


@pytest.mark.parametrize(
    ("name", "template", "slot"),
    [
        ("USD-EUR.lightgbm", DEFAULT_TEMPLATE, ("USD/EUR", "lightgbm", "")),
        ("USD-EUR.lightgbm.1d", DEFAULT_TEMPLATE, ("USD/EUR", "lightgbm", "1d")),
        ("usdeur.ridge", DEFAULT_TEMPLATE, ("USD/EUR", "ridge", "")),
        ("gold.ridge", DEFAULT_TEMPLATE, ("gold", "ridge", "")),
        ("fx_usd-eur_ridge", "fx_{pair}_{type}{.variant}", ("USD/EUR", "ridge", "")),
    ],
)
def test_a_name_says_the_slot(name: str, template: str, slot: tuple[str, str, str]) -> None:
    """The template backwards; two currencies become a pair."""
    assert Naming(template).slot_of(name) == slot


def test_options_count_more_than_the_name() -> None:
    """And they are enough where the name says nothing."""
    assert Naming(pair="A/B", type="x", variant="v").slot_of("anything at all") == ("A/B", "x", "v")
    with pytest.raises(CannotImport, match="say --type"):
        Naming(pair="A/B").slot_of("anything at all")


@pytest.mark.parametrize(
    ("flavors", "reason"),
    [
        ({"sklearn": {"pickled_model": "../../etc/passwd"}}, "no plain file name"),
        ({"sklearn": {"pickled_model": "/etc/passwd"}}, "no plain file name"),
        ({"sklearn": {"pickled_model": ["model.pkl"]}}, "no plain file name"),
        ({"sklearn": {"pickled_model": "model.skops"}}, "skops"),
        ({"lightgbm": {"data": "model.lgb"}}, "LightGBM's own format"),
        ({"pytorch": {"model_data": "data"}}, "none of its flavors"),
        ("text", "no flavors"),
        ({}, "none of its flavors"),
    ],
)
def test_what_has_no_pickle_says_why(flavors: Any, reason: str) -> None:
    """A path of the server is no name of a file."""
    with pytest.raises(CannotImport, match=reason):
        pickle_in({"flavors": flavors})


@pytest.mark.parametrize("mlmodel", [None, [], "text", {"flavors": None}])
def test_a_file_that_is_no_mlmodel_says_so(mlmodel: object) -> None:
    """Whatever its YAML is."""
    with pytest.raises(CannotImport, match="no flavors"):
        pickle_in(mlmodel)


def test_lightgbm_has_a_pickle_when_its_estimator_was_logged() -> None:
    """By its flavor, before the one of functions."""
    assert (
        pickle_in({"flavors": {"python_function": {"python_model": "x.pkl"}, "lightgbm": {"data": "m.pkl"}}}) == "m.pkl"
    )


def version(**fields: Any) -> Version:
    return Version(**({"name": "USD-EUR.ridge", "number": 3, "created_ms": 1000} | fields))


def test_a_version_without_a_run_has_the_time_of_its_making() -> None:
    """And says nothing of what only a run knows."""
    found = sidecar_of(version(), MLMODEL, Naming())
    assert found["model_id"] == "USD-EUR.ridge-v3"
    assert found["trained_at"] == "1970-01-01T00:00:01Z"
    assert (found["validation_metrics"], found["min_samples"], found["calibration_ok"]) == ({}, 0, False)


def test_metrics_with_dots_are_nested() -> None:
    """As conditions ask for them; a name that is a number and a mapping keeps its dots."""
    metrics = {"1d.rmse": 0.5, "7d.rmse": 0.7, "rmse": 1.0, "rmse.late": 2.0, "a..b": 3.0, "val/loss": 4.0}
    found = sidecar_of(version(metrics=metrics), MLMODEL, Naming())
    assert found["validation_metrics"] == {
        "1d": {"rmse": 0.5},
        "7d": {"rmse": 0.7},
        "rmse": 1.0,
        "rmse.late": 2.0,
        "a..b": 3.0,
        "val/loss": 4.0,
    }
    assert found["horizons"] == [1, 7]


def test_features_are_those_of_the_parameter_else_of_the_signature() -> None:
    """The parameter is a list of JSON."""
    signed = MLMODEL | {"signature": {"inputs": json.dumps([{"name": "a", "type": "double"}, {"type": "double"}])}}
    assert sidecar_of(version(), signed, Naming())["features_used"] == ["a"]
    asked = version(params={"features_used": '["x", "y"]'})
    assert sidecar_of(asked, signed, Naming())["features_used"] == ["x", "y"]
    assert sidecar_of(version(params={"features_used": "x, y"}), signed, Naming())["features_used"] == ["a"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1}', "1e999", "\0"])
def test_hostile_parameters_are_left_out(text: str) -> None:
    """A nesting that no reader follows, another type, control characters."""
    params = {"features_used": text, "horizons": text, "min_samples": text, "calibration_ok": text, "other": text}
    found = sidecar_of(version(params=params), MLMODEL, Naming())
    assert (found["features_used"], found["horizons"], found["min_samples"]) == ([], [], 0)
    assert found["calibration_ok"] is False
    assert len(found["provenance"]["param.other"]) <= 256
    assert found["provenance"]["param.other"].isprintable()


def test_a_name_that_makes_no_id_is_refused() -> None:
    """Whatever is left of it without the characters that no id has."""
    assert sidecar_of(version(name="a b/c"), MLMODEL, Naming(pair="p", type="t"))["model_id"] == "a-b-c-v3"
    with pytest.raises(CannotImport, match="makes no id"):
        sidecar_of(version(name="..."), MLMODEL, Naming(pair="p", type="t"))

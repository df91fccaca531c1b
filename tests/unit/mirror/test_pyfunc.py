"""The files that make a mirrored model a model of MLflow."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from model_inbox.mirror.pyfunc import pyfunc_files

ENTRY: dict[str, Any] = {
    "model_id": "m",
    "origin": "inbox",
    "model_path": "prediction/m.pkl",
    "sha256": "a" * 64,
    "scaler_path": "prediction/m_scaler.pkl",
    "scaler_sha256": "b" * 64,
    "imports": {"sklearn.linear_model._ridge.Ridge": "rnb"},
    "features_used": ["x"],
    "registered_at": "2026-01-01T00:00:00Z",
    "provenance": {"python": "3.12.1"},
    "verdict": {"python": "3.11.7"},
}


def loading(entry: dict[str, Any]) -> Any:
    files = pyfunc_files(entry)
    (name,) = [name for name in files if name.startswith("artifacts/")]
    return json.loads(files[name])


def test_what_is_loaded_is_named_with_its_digest_and_its_imports() -> None:
    """The names of the files are those that the mirror gives them."""
    assert loading(ENTRY) == {
        "model_id": "m",
        "features": ["x"],
        "model": {"name": "model.pkl", "sha256": "a" * 64, "imports": ENTRY["imports"]},
        "scaler": {"name": "scaler.pkl", "sha256": "b" * 64, "imports": ENTRY["imports"]},
    }


def test_a_model_registered_from_python_is_not_limited() -> None:
    """As our own loader: nobody has scanned it."""
    assert loading(ENTRY | {"origin": "api", "imports": None})["model"]["imports"] is None


def test_a_replaced_scaler_has_a_file_of_its_own() -> None:
    """Nothing that was stored is overwritten; the limits are those of that scaler."""
    replaced = ENTRY | {"scaler_replaced": 12, "scaler_imports": {}, "scaler_path": "prediction/m_scaler@12.pkl"}
    assert "artifacts/loading-12.json" in pyfunc_files(replaced)
    assert loading(replaced)["scaler"] == {"name": "scaler-12.pkl", "sha256": "b" * 64, "imports": {}}
    assert loading(replaced)["model"]["imports"] == ENTRY["imports"]


def test_mlmodel_names_the_code_and_the_python() -> None:
    """The flavor that every MLflow knows; the producer's Python, not ours."""
    flavor = yaml.safe_load(pyfunc_files(ENTRY)["MLmodel"])["flavors"]["python_function"]
    assert flavor["loader_module"] == "mlflow.pyfunc.model"
    assert flavor["model_code_path"] in pyfunc_files(ENTRY)
    assert flavor["python_version"] == "3.12.1"


@pytest.mark.parametrize(
    ("frameworks", "lines"),
    [
        ({"scikit-learn": "1.9.1", "numpy": "2"}, ["scikit-learn==1.9.1", "numpy==2.*"]),
        ({"lightgbm": "v4.7.0"}, ["lightgbm==4.7.0"]),
        ({"x": "1.0\n--index-url http://evil"}, []),
        ({"-r evil": "1.0", "a b": "1.0"}, []),
    ],
)
def test_requirements_hold_plain_versions_only(frameworks: dict[str, str], lines: list[str]) -> None:
    """A producer claims the versions, and pip reads the file as options, too."""
    text = pyfunc_files(ENTRY | {"frameworks": frameworks})["requirements.txt"].decode()
    assert text.splitlines() == ["mlflow", *lines]


def test_a_hostile_python_is_left_out() -> None:
    """What is no version says nothing."""
    entry = ENTRY | {"provenance": {"python": "3.11; rm"}, "verdict": None}
    assert "python_version" not in yaml.safe_load(pyfunc_files(entry)["MLmodel"])["flavors"]["python_function"]

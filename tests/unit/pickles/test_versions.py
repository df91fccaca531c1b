"""The versions that a pickle tells of itself are kept, and compared with what is installed."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_inbox import ModelRegistry
from model_inbox.pickles import Allowlist, claimed_versions, load, scan_bytes, version_differences, versions
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
RIDGE = build.built(
    build.new("sklearn.linear_model._ridge", "Ridge"), build.mapping({"_sklearn_version": build.text("1.9.1")})
)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The frameworks that are installed, by their versions."""
    found = {"scikit-learn": "1.7.2", "numpy": "2.4.6"}

    def version(name: str) -> str:
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    versions.installed_version.cache_clear()
    monkeypatch.setattr(versions.metadata, "version", version)
    yield found
    versions.installed_version.cache_clear()


def test_versions_of_all_files_are_put_together() -> None:
    """scikit-learn writes its whole version, numpy only its generation."""
    model = scan_bytes(build.pickled(RIDGE), ALLOWLIST)
    scaler = scan_bytes(build.pickled(build.array()), ALLOWLIST)
    claimed = claimed_versions({"model": ("", model), "scaler": ("", scaler)})
    assert claimed == {"numpy": "2", "scikit-learn": "1.9.1"}


def xgboost(version: bytes) -> dict[str, str]:
    """Return the versions of a file with a booster of XGBoost that ends like this."""
    handle = build.called(build.named("builtins", "bytearray"), build.data(bytes(2 << 20) + version))
    state = build.mapping({"handle": handle})
    return dict(scan_bytes(build.pickled(build.built(build.new("xgboost.core", "Booster"), state)), ALLOWLIST).versions)


def test_boosters_of_xgboost_end_with_their_version() -> None:
    """UBJSON: the key, and an array of three small numbers. Anything else says nothing."""
    assert xgboost(b"L\0\0\0\0\0\0\0\x07version[#L\0\0\0\0\0\0\0\x03i\x03i\x02i\x00}}") == {"xgboost": "3.2.0"}
    assert xgboost(b"version[#L\0\0\0\0\0\0\0\x03i\x03i\x02i\xff}}") == {}
    assert xgboost(b"version 3.2.0") == {}


def test_a_difference_names_both_versions() -> None:
    """A generation is enough; a framework that is not installed is left to the load."""
    assert version_differences({"scikit-learn": "1.9.1", "numpy": "2", "lightgbm": "v4"}) == [
        "it was made with scikit-learn 1.9.1, here is scikit-learn 1.7.2"
    ]
    assert version_differences({"numpy": "1"}) == ["it was made with numpy 1, here is numpy 2.4.6"]
    assert version_differences({"numpy": "2.4.6"}) == []


def test_a_load_warns_once_with_both_versions(tmp_path: Path) -> None:
    """One warning for a model, whatever the number of its objects."""
    (tmp_path / "model.pkl").write_bytes(build.pickled(b"N"))
    entry = {"model_id": "m", "model_path": "model.pkl", "scaler_path": None, "origin": "inbox", "imports": {}}
    registry = ModelRegistry(tmp_path / "prediction_registry.json", tmp_path / "prediction")
    with pytest.warns(UserWarning, match="made with scikit-learn 1.9.1, here is scikit-learn 1.7.2") as caught:
        assert registry.load_model_objects({**entry, "frameworks": {"scikit-learn": "1.9.1"}}) == (None, None)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.load_model_objects({**entry, "frameworks": {"scikit-learn": "1.7.2"}})


def test_an_error_says_which_generation_is_missing(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy 1 has no numpy._core: the note says so in words."""
    installed["numpy"] = "1.26.4"
    monkeypatch.setitem(importlib.import_module("sys").modules, "numpy._core.multiarray", None)
    with pytest.raises(ImportError) as caught:
        load(build.pickled(build.array()), {"numpy._core.multiarray._reconstruct": "cr", "numpy.ndarray": "br"})
    assert caught.value.__notes__ == [
        "The model was made with numpy 2, here is numpy 1.26.4: install numpy 2, or save the model again with this "
        "version"
    ]

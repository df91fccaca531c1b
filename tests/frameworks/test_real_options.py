"""Estimators with rarer options, and boosters with callbacks, are accepted and predict the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import held_out_options
import numpy as np
import pytest
import saving
import tally
from loading import Serving, same

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()
MODELS = list(held_out_options.made())
BESIDE = list(held_out_options.beside_models())

pytestmark = pytest.mark.filterwarnings("ignore")


def answer(model: Any, data: Any) -> Any:
    """Ask a model for numbers: predictions, or what it transforms."""
    found = model.predict(data) if hasattr(model, "predict") else model.transform(data)
    return np.asarray(found.todense() if hasattr(found, "todense") else found)


@pytest.mark.parametrize(
    ("framework", "label", "model", "data"), MODELS, ids=[f"{made[0]} {number}" for number, made in enumerate(MODELS)]
)
def test_models_are_accepted_and_predict_the_same(
    framework: str, label: str, model: Any, data: Any, tmp_path: Path
) -> None:
    """Every way of saving gives a file whose loaded model gives the same numbers; the refused are counted below."""
    serving = Serving(tmp_path)
    expected = answer(model, data)
    for way, saved in saving.saved_plainly(model, tmp_path):
        report = scan_bytes(saved, ALLOWLIST)
        if tally.note(framework, f"{label}, {way}", report):
            same(answer(serving.load(saved, report.imports), data), expected, f"{label}, {way}")


@pytest.mark.parametrize(
    ("framework", "label", "value"), BESIDE, ids=[f"{framework} {label}" for framework, label, _ in BESIDE]
)
def test_what_stands_beside_models_is_accepted(framework: str, label: str, value: Any, tmp_path: Path) -> None:
    """Callbacks and results load as objects of the same class."""
    serving = Serving(tmp_path)
    for way, saved in saving.saved_plainly(value, tmp_path):
        report = scan_bytes(saved, ALLOWLIST)
        if tally.note(framework, f"{label}, {way}", report):
            assert type(serving.load(saved, report.imports)) is type(value), f"{label}, {way}"


@pytest.mark.parametrize("framework", sorted(held_out_options.RECIPES))
def test_at_most_one_file_in_a_hundred_is_refused(framework: str) -> None:
    """Of the files of the tests above, which this one sums up."""
    counts = tally.of(framework)
    assert counts.files >= 40
    assert counts.refused <= counts.files / 100, counts.reasons

"""Real models, saved in every way, are accepted, load under their own imports alone, and predict the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import held_out_models
import numpy as np
import pytest
import saving
from every_estimator import every_estimator
from loading import Serving, same

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()
HELD = list(held_out_models.held_out())
WAYS = 7 + len(saving.JOBLIB_COMPRESSIONS)

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("label", "model", "ask"), HELD, ids=[f"{i}-{held[0]}" for i, held in enumerate(HELD)])
def test_saved_models_are_accepted_and_predict_the_same(
    label: str, model: Any, ask: Callable[[Any], Any], tmp_path: Path
) -> None:
    """Every way of saving gives a file that is accepted, and whose loaded model gives the very same numbers."""
    serving = Serving(tmp_path)
    expected = np.asarray(ask(model))
    ways = list(saving.saved(model, tmp_path))
    for way, data in ways:
        report = scan_bytes(data, ALLOWLIST)
        assert report.problems == (), f"{label}, {way}: {report.problems}"
        same(ask(serving.load(data, report.imports)), expected, f"{label}, {way}")
    assert len(ways) == WAYS


def test_at_most_one_file_in_a_hundred_of_all_estimators_is_refused(tmp_path: Path) -> None:
    """Every estimator of scikit-learn that can be fitted, saved in every way; all that is accepted predicts the same."""
    serving = Serving(tmp_path)
    kinds, files, refused = set(), 0, []
    for name, model, ask in every_estimator():
        kinds.add(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = np.asarray(ask(model))
        for way, data in saving.saved(model, tmp_path):
            files += 1
            report = scan_bytes(data, ALLOWLIST)
            if report.problems:
                refused.append(f"{name}, {way}: {report.problems[0].message}")
            else:
                same(ask(serving.load(data, report.imports)), expected, f"{name}, {way}")
    assert len(kinds) >= 190, sorted(kinds)
    assert len(refused) <= files / 100, refused
    print(f"{len(kinds)} estimators, {files} files, {len(refused)} refused")

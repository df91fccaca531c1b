"""Real models, saved in every way, are accepted, load under their own imports alone, and predict the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import held_out_models
import numpy as np
import pytest
import saving
from every_estimator import fitted, names
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


TALLY = {"estimators": 0, "files": 0, "refused": 0}


@pytest.mark.parametrize("name", names())
def test_every_estimator_predicts_the_same_wherever_it_is_accepted(name: str, tmp_path: Path) -> None:
    """Each estimator, fitted and saved in every way; one that needs data of another kind is left to the count below."""
    made = fitted(name)
    if made is None:
        return
    model, ask = made
    serving = Serving(tmp_path)
    TALLY["estimators"] += 1
    expected = np.asarray(ask(model))
    for way, data in saving.saved(model, tmp_path):
        TALLY["files"] += 1
        report = scan_bytes(data, ALLOWLIST)
        if report.problems:
            TALLY["refused"] += 1
            print(f"{name}, {way}: {report.problems[0].message}")
        else:
            same(ask(serving.load(data, report.imports)), expected, f"{name}, {way}")


def test_at_most_one_file_in_a_hundred_of_all_estimators_is_refused() -> None:
    """Of the files of the test above, which this one sums up, and it covered nearly all of scikit-learn."""
    assert TALLY["estimators"] >= 0.9 * len(names()), TALLY
    assert TALLY["refused"] <= TALLY["files"] / 100, TALLY

"""Real models, saved in every way, are accepted, load under their own imports alone, and predict the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import held_out_models
import numpy as np
import pytest
import saving

from model_inbox.pickles import Allowlist, load, scan_bytes

ALLOWLIST = Allowlist.load()
HELD = list(held_out_models.held_out())
TORCH = list(held_out_models.torch_models())

pytestmark = pytest.mark.filterwarnings("ignore")


def _check(ways: Iterator[tuple[str, bytes]], expected: Any, ask: Callable[[Any], Any]) -> int:
    count = 0
    for way, data in ways:
        report = scan_bytes(data, ALLOWLIST)
        assert report.problems == (), f"{way}: {report.problems}"
        loaded = load(data, report.imports)
        _same(np.asarray(ask(loaded)), expected, way)
        count += 1
    return count


def _same(found: Any, expected: Any, way: str) -> None:
    # Sums in another order, because the memory is aligned otherwise, may differ in the last digit.
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=way)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=way)


@pytest.mark.parametrize(("label", "model", "ask"), HELD, ids=[f"{i}-{held[0]}" for i, held in enumerate(HELD)])
def test_saved_models_are_accepted_and_predict_the_same(
    label: str, model: Any, ask: Callable[[Any], Any], tmp_path: Path
) -> None:
    """Every way of saving gives a file that is accepted, and whose loaded model gives the very same numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert _check(saving.saved(model, tmp_path), np.asarray(ask(model)), ask) == 7 + len(saving.JOBLIB_COMPRESSIONS)


@pytest.mark.parametrize(("label", "model", "ask"), TORCH, ids=[held[0] for held in TORCH])
def test_torch_files_are_accepted_and_predict_the_same(label: str, model: Any, ask: Callable[[Any], Any]) -> None:
    """The same for torch's archive and its old format, and for tensors inside plain pickles."""
    assert _check(saving.saved_by_torch(model), np.asarray(ask(model)), ask) == 9

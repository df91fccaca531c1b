"""torch's models, saved in every way, are accepted, load under their own imports alone, and compute the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import held_out_models
import numpy as np
import pytest
import saving
from loading import Serving, same

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()
TORCH = list(held_out_models.torch_models())

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("label", "model", "ask"), TORCH, ids=[held[0] for held in TORCH])
def test_torch_files_are_accepted_and_predict_the_same(
    label: str, model: Any, ask: Callable[[Any], Any], tmp_path: Path
) -> None:
    """torch's archive and its old format, and tensors inside plain pickles."""
    serving = Serving(tmp_path)
    expected = np.asarray(ask(model))
    ways = list(saving.saved_by_torch(model))
    for way, data in ways:
        report = scan_bytes(data, ALLOWLIST)
        assert report.problems == (), f"{label}, {way}: {report.problems}"
        same(ask(serving.load(data, report.imports)), expected, f"{label}, {way}")
    assert len(ways) == 9

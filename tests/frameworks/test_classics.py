"""The classics of statistics and forecasting: saved as people save them, accepted, loaded, and they answer the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import held_out_classics
import numpy as np
import pytest
import saving
import tally
from loading import Serving, same

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CASES = list(held_out_classics.cases())

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("library", "label", "make", "ask"), CASES, ids=[f"{library} {label}" for library, label, _, _ in CASES]
)
def test_model_answers_the_same_wherever_it_is_accepted(
    library: str, label: str, make: Callable[[], Any], ask: Callable[[Any], Any], tmp_path: Path
) -> None:
    """Each file that is accepted loads under its own imports alone; the refused are counted below."""
    serving = Serving(tmp_path)
    model = make()
    expected = np.asarray(ask(model))
    for way, data in saving.saved_plainly(model, tmp_path):
        report = scan_bytes(data, ALLOWLIST)
        if tally.note(library, f"{label}, {way}", report):
            same(ask(serving.load(data, report.imports)), expected, f"{label}, {way}")


@pytest.mark.parametrize("library", held_out_classics.installed())
def test_at_most_three_files_in_a_hundred_of_a_library_are_refused(library: str) -> None:
    """Of the files of the test above, which this one sums up."""
    counts = tally.of(library)
    assert counts.files >= 12
    assert counts.refused <= counts.files * 0.03, counts.reasons

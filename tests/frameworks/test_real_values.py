"""Values of Python, numpy and pandas, saved in every way, are accepted and load as they were."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import held_out_values
import numpy as np
import pandas as pd
import pytest
import saving
import tally
from loading import Serving

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()
HELD = list(held_out_values.held_out())

pytestmark = pytest.mark.filterwarnings("ignore")


def alike(found: Any, expected: Any) -> bool:
    """Return whether a loaded value is what was saved: of the same class, with the same contents."""
    if type(found) is not type(expected):
        # joblib gives an array for an array of a class of its own.
        return isinstance(expected, np.ndarray) and isinstance(found, np.ndarray) and alike(found, np.asarray(expected))
    if isinstance(expected, (pd.DataFrame, pd.Series, pd.Index)):
        return bool(found.equals(expected)) and repr(found) == repr(expected)
    if isinstance(expected, np.ndarray) and (expected.dtype.names or expected.dtype.kind == "T"):
        return found.dtype == expected.dtype and repr(found) == repr(expected)
    if isinstance(expected, np.ndarray):
        # joblib and numpy turn some arrays into the byte order of the machine.
        native = found.dtype.newbyteorder("="), expected.dtype.newbyteorder("=")
        same_kind = native[0] == native[1] and found.shape == expected.shape
        return same_kind and repr(found.tolist()) == repr(expected.tolist())
    if isinstance(expected, dict):
        return len(found) == len(expected) and all(
            alike(a, b) and alike(x, y) for (a, x), (b, y) in zip(found.items(), expected.items(), strict=True)
        )
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(alike, found, expected))
    if " at 0x" in repr(expected):
        # An object whose text is only its address: its attributes are compared.
        return alike(getattr(found, "__dict__", None), getattr(expected, "__dict__", None))
    return repr(found) == repr(expected) or bool(found == expected)


@pytest.mark.parametrize(
    ("framework", "label", "value"), HELD, ids=[f"{framework} {label}" for framework, label, _ in HELD]
)
def test_values_are_accepted_and_load_as_they_were(framework: str, label: str, value: Any, tmp_path: Path) -> None:
    """Every way of saving gives a file that loads under its own imports alone; the refused are counted below."""
    serving = Serving(tmp_path)
    expected = pickle.loads(pickle.dumps(value, 4))
    for way, data in saving.saved_plainly(value, tmp_path):
        report = scan_bytes(data, ALLOWLIST)
        if tally.note(framework, f"{label}, {way}", report):
            assert alike(serving.load(data, report.imports), expected), f"{label}, {way}"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string_view", ["short", None, "naïve, and longer than twelve bytes"] * 3),
        ("binary_view", [b"\xff" * 3, b"\xff" * 30]),
    ],
)
def test_views_of_arrow_load_as_they_were(kind: str, values: list[Any], tmp_path: Path) -> None:
    """pandas can neither print nor compare such columns."""
    pyarrow = pytest.importorskip("pyarrow")
    column = pd.Series(values, dtype=pd.ArrowDtype(pyarrow.type_for_alias(kind)))
    serving = Serving(tmp_path)
    for saved in ({"column": column, "frame": column.to_frame("a")}, column[1:]):
        for way, data in saving.saved_plainly(saved, tmp_path):
            report = scan_bytes(data, ALLOWLIST)
            assert report.problems == (), way
            loaded = serving.load(data, report.imports)
            found = loaded["frame"]["a"] if isinstance(saved, dict) else loaded
            assert [None if one is pd.NA else one for one in found] == values[-len(found) :]


@pytest.mark.parametrize("framework", ["Python", "numpy", "pandas"])
def test_at_most_one_file_in_a_hundred_is_refused(framework: str) -> None:
    """Of the files of the test above, which this one sums up."""
    counts = tally.of(framework)
    assert counts.files > 100
    assert counts.refused <= counts.files / 100, counts.reasons

"""Boosters are accepted only with attributes that their library cannot take for pointers or methods."""

from __future__ import annotations

import pytest

from model_inbox.pickles import Allowlist, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
FLAG = "_InnerPredictor__is_manage_handle"


def codes(**state: bytes) -> list[str]:
    """Return the codes of the problems of what a booster keeps of the one that it went on from."""
    opcodes = build.built(build.new("lightgbm.basic", "_InnerPredictor"), build.mapping(state))
    return [problem.code for problem in scan_bytes(build.pickled(opcodes), ALLOWLIST).problems]


def test_booster_that_went_on_from_another_is_accepted() -> None:
    """LightGBM keeps the parameters of the first booster, and no handle."""
    assert codes(**{FLAG: b"\x89", "pandas_categorical": b"N", "pred_parameter": build.text("a=1")}) == []
    assert codes(**{FLAG: b"\x88", "num_class": build.value(3), "pandas_categorical": b"]"}) == []


@pytest.mark.parametrize("name", ["_handle", "handle", "__is_manage_handle", "predict"])
def test_handle_in_it_is_refused(name: str) -> None:
    """LightGBM frees a handle as a pointer, when the object is deleted."""
    assert codes(**{FLAG: b"\x88", name: build.value(4096)}) == ["artifact.forbidden_arguments"]

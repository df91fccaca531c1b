"""What load hooks look at: attributes that a hook iterates, counts by or calls are plain, whatever the file says."""

from __future__ import annotations

import pytest

from model_inbox.pickles import Allowlist, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
ENDLESS = build.called(build.named("builtins", "range"), build.value(10**12))
LAYER = {
    "num_layers": build.value(1),
    "bias": b"\x88",
    "bidirectional": b"\x89",
    "proj_size": build.value(0),
    "_all_weights": build.value([["weight_ih_l0"]]),
    "_flat_weights_names": build.value(["weight_ih_l0"]),
    "_flat_weights": b"](Ne",
}


def _recurrent(**changed: bytes) -> bytes:
    return build.built(build.new("torch.nn.modules.rnn", "LSTM"), build.mapping({**LAYER, **changed}))


def _isotonic(**attributes: bytes) -> bytes:
    return build.built(build.new("sklearn.isotonic", "IsotonicRegression"), build.mapping(attributes))


def _frame(**attributes: bytes) -> bytes:
    manager = build.new("pandas.core.internals.managers", "SingleBlockManager")
    return build.built(
        build.new("pandas.core.series", "Series"),
        build.mapping({"_mgr": manager, "_typ": build.text("series"), **attributes}),
    )


HONEST = {
    "recurrent layer": _recurrent(),
    "thresholds": _isotonic(X_thresholds_=build.array(), y_thresholds_=build.array(), out_of_bounds=build.text("nan")),
    "series": _frame(_metadata=build.value(["_name"])),
    "module": build.built(build.new("torch.nn.modules.linear", "Linear"), build.mapping({"_parameters": b"}"})),
}
HOSTILE = {
    "layers without end": _recurrent(num_layers=build.value(10**9)),
    "layers without end and without names": _recurrent(num_layers=build.value(10**9), _all_weights=build.value([[1]])),
    "layers that are no number": _recurrent(num_layers=build.array()),
    "names of weights that are a range": _recurrent(_all_weights=ENDLESS),
    "older names of weights": _recurrent(all_weights=build.value([[1]])),
    "no names of weights": _recurrent(_all_weights=b"]"),
    "weights that are a range": _recurrent(_flat_weights=ENDLESS),
    "projection that is no number": _recurrent(proj_size=build.array()),
    "thresholds that are a range": _isotonic(X_thresholds_=ENDLESS, y_thresholds_=ENDLESS),
    "thresholds of two lengths": _isotonic(X_thresholds_=build.array(), y_thresholds_=build.array((1,), bytes(8))),
    "thresholds and a second state": build.built(_isotonic(X_thresholds_=build.array()), b"}"),
    "a method that is replaced": _isotonic(_build_f=build.named("numpy", "power")),
    "metadata that is a range": _frame(_metadata=ENDLESS),
    "flags that are a range": _frame(_flags=ENDLESS),
    "no manager": _frame(_mgr=ENDLESS),
    "members that are a range": build.built(
        build.new("torch.nn.modules.linear", "Linear"), build.mapping({"_parameters": ENDLESS})
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_the_library_writes_is_accepted(name: str) -> None:
    """The attributes that hooks look at, as their library writes them."""
    report = scan_bytes(build.pickled(HONEST[name]), ALLOWLIST)
    assert report.accepted, report.problems


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_hook_would_walk_through_or_call_is_refused(name: str) -> None:
    """Ranges without end, counts without bound, and objects of another class in the places of plain values."""
    report = scan_bytes(build.pickled(HOSTILE[name]), ALLOWLIST)
    assert {problem.code for problem in report.problems} == {"artifact.forbidden_arguments"}, report.problems

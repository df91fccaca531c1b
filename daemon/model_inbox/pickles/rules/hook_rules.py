"""Rules for what the load hooks (`__setstate__`) of Python classes look at in their state. Pure.

Owns the attributes that such a hook iterates, compares, counts by or calls: they are plain values, or objects that the
library itself puts there. Which attributes those are is read from the source of each hook behind the lists, in
tests/frameworks/test_hooks.py. Hooks of C types have their rules with their numbers, in other modules.
"""

from __future__ import annotations

from typing import Any

from ..arguments import is_count, is_object, must, only_scalars
from ..stubs import BadArguments, Recorder, StateRule, Stub
from .frame_rules import count_of_places, length_of
from .framework_rules import pandas_state
from .numpy_rules import array_of, bytes_of
from .torch_rules import TENSORS

__all__ = ["HOOK_STATES", "module_state"]


def _texts(value: Any, most: int = 10_000) -> bool:
    return type(value) in (list, tuple) and len(value) <= most and all(type(item) is str for item in value)


# --- torch ---------------------------------------------------------------------------------------------------

_MEMBERS = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
LAYERS_MAX = 10_000


def module_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """A module that sets an attribute in its hook looks into the dictionaries of its members."""
    must(type(state) is dict, "not a state that torch writes")
    for name in _MEMBERS:
        value = state.get(name)
        plain = value is None or type(value) in (dict, set) or is_object(value, "collections.OrderedDict")
        must(plain, f"{name} is no plain dictionary or set")


def _recurrent_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """A recurrent layer walks through its layers if the names of its weights are not in its state."""
    module_state(recorder, target, state)
    must(is_count(state.get("num_layers"), LAYERS_MAX), "the number of layers is invalid")
    must(type(state.get("proj_size", 0)) is int, "the size of the projection is invalid")
    must(all(type(state.get(name, False)) is bool for name in ("bias", "bidirectional")), "a flag is no bool")
    for name in ("_all_weights", "all_weights"):
        weights = state.get(name, [])
        must(type(weights) is list and all(_texts(names, 16) for names in weights), "the names of weights are no text")
    must(state.get("all_weights") or state.get("_all_weights"), "there are no names of weights")
    must(bool((state.get("all_weights") or state["_all_weights"])[0]), "there are no names of weights")
    must(_texts(state.get("_flat_weights_names", []), 10 * LAYERS_MAX), "the names of weights are no text")
    flat = state.get("_flat_weights", [])
    must(type(flat) is list, "the weights are no tensors")
    must(all(one is None or is_object(one, *TENSORS) for one in flat), "the weights are no tensors")


# --- pandas --------------------------------------------------------------------------------------------------

_MANAGERS = tuple(f"pandas.core.internals.managers.{name}" for name in ("BlockManager", "SingleBlockManager"))


def _frame_state(recorder: Recorder, target: Stub, state: Any) -> None:
    pandas_state(recorder, target, state)
    must(type(state) is dict and type(state.get("_typ")) is str, "not a state that pandas writes")
    must(is_object(state.get("_mgr", state.get("_data")), *_MANAGERS), "it has no manager of blocks")
    must(_texts(state.get("_metadata", [])), "the names of its metadata are no text")
    flags = state.get("_flags", {})
    must(type(flags) is dict and set(flags) <= {"allows_duplicate_labels"}, "its flags are invalid")
    must(all(type(flag) is bool for flag in flags.values()), "its flags are invalid")
    must(type(state.get("_attrs", {})) in (dict, type(None)), "its attributes are no dictionary")


def _series_manager_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """The manager of a series: one axis, and one block with all of its values."""
    must(target.kept is None, "it is set a second time")
    pandas_state(recorder, target, state)
    must(type(state) is tuple and len(state) >= 4 and type(state[3]) is dict, "not a state that pandas writes")
    parts = state[3].get("0.14.1")
    must(type(parts) is dict, "not a state that pandas writes")
    axes, blocks = parts.get("axes"), parts.get("blocks")
    must(type(axes) is list and type(blocks) is list and len(axes) == len(blocks) == 1, "not one axis and one block")
    rows = length_of(axes[0])
    must(rows is not None and type(blocks[0]) is dict, "the axis is no index")
    values, places = blocks[0].get("values"), blocks[0].get("mgr_locs")
    must(length_of(values) == rows, "the block has another number of rows than its axis")
    must(count_of_places(places) == rows, "the block has another number of places than of values")


# --- scikit-learn --------------------------------------------------------------------------------------------

_THRESHOLDS = ("X_thresholds_", "y_thresholds_")


def _isotonic_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """`__setstate__` interpolates between its thresholds, which sorts and copies them."""
    # It would interpolate again at each further state, however small that is.
    must(target.kept is None, "it is set a second time")
    must(type(state) is dict and "_build_f" not in state, "an attribute replaces a method")
    must(type(state.get("out_of_bounds", "")) is str, "the setting for values outside is no text")
    present = [name for name in _THRESHOLDS if name in state]
    arrays = [array_of(state[name]) for name in present]
    must(len({known.shape for known in arrays}) <= 1, "the thresholds differ in length")
    for known in arrays:
        if len(known.shape) != 1 or known.dtype is None or known.dtype.kind not in "fdegiu":
            raise BadArguments("the thresholds are no numbers")
        recorder.charge(type(target), 4 * bytes_of(known.dtype, known.shape), 100 + known.shape[0] // 10)


def _dataclass_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) in (list, tuple) and len(state) <= 1000, "not the fields of the object")


def _polynomial_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) is dict, "not a dictionary of attributes")


def _dtype_with_zone_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(target.kept is None, "it is set a second time")
    pandas_state(recorder, target, state)
    must(type(state) is dict and only_scalars(state.get("unit")), "not a state that pandas writes")


_RNN = "torch.nn.modules.rnn."
HOOK_STATES: dict[str, StateRule] = {
    **{f"{_RNN}{name}": _recurrent_state for name in ("GRU", "LSTM", "RNN", "RNNBase")},
    **{f"pandas.{prefix}{name}": _frame_state
       for prefix, name in (("", "DataFrame"), ("", "Series"), ("core.frame.", "DataFrame"),
                            ("core.series.", "Series"))},
    "pandas.core.internals.managers.SingleBlockManager": _series_manager_state,
    **{f"pandas.{prefix}DatetimeTZDtype": _dtype_with_zone_state for prefix in ("", "core.dtypes.dtypes.")},
    "sklearn.isotonic.IsotonicRegression": _isotonic_state,
    **{f"numpy.polynomial.{name.lower()}.{name}": _polynomial_state
       for name in ("Chebyshev", "Hermite", "Laguerre", "Legendre", "Polynomial")},
    "numpy.polynomial.hermite_e.HermiteE": _polynomial_state,
    "statsmodels.discrete._diagnostics_count.DispersionResults": _dataclass_state,
    "statsmodels.stats.nonparametric.RankCompareResult": _dataclass_state,
}  # fmt: skip

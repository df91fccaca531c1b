"""Rules for the calls and states of torch.

Owns the check that a tensor lies inside its storage: torch reads a storage with the size and strides that the pickle
gives. Has no rule for functions of torch that call their arguments (`_rebuild_from_type_v2`): no list allows them.
"""

from __future__ import annotations

import re
from typing import Any

from ..arguments import is_count, is_object, is_shape, must
from ..formats import StorageValue, scan_nested
from ..names import LOAD_FROM_BYTES
from ..stubs import Global, Recorder, Rule, StateRule, Stub

__all__ = ["TORCH_CALLS", "TORCH_STATES"]

_DEVICE = re.compile(r"[a-z]{2,12}(:\d{1,4})?\Z")
_TENSOR_CALLS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")


def _tensor(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) in (6, 7), "not (storage, offset, size, stride, requires_grad, hooks)")
    storage, offset, size, stride, requires_grad, hooks = args[:6]
    must(isinstance(storage, Stub) and hasattr(storage, "value"), "not a storage")
    known = storage.value
    must(isinstance(known, StorageValue), "not a storage")
    must(
        is_count(offset) and is_shape(size) and is_shape(stride) and len(size) == len(stride),
        "the size or the strides are invalid",
    )
    if 0 not in size:
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        must(last < known.items, "the tensor is larger than its storage")
    else:
        must(offset <= known.items, "the offset is outside of the storage")
    must(type(requires_grad) is bool, "the flag is not a bool")
    must(hooks is None or is_object(hooks, "collections.OrderedDict"), "the hooks are not an OrderedDict")
    for metadata in args[6:]:
        must(
            metadata is None
            or (
                type(metadata) is dict
                and set(metadata) <= {"conj", "neg"}
                and all(type(v) is bool for v in metadata.values())
            ),
            "the metadata is invalid",
        )


def _parameter(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 3 and is_object(args[0], *_TENSOR_CALLS) and type(args[1]) is bool, "not (tensor, flag, hooks)")
    must(args[2] is None or is_object(args[2], "collections.OrderedDict"), "the hooks are not an OrderedDict")


def _device(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(1 <= len(args) <= 2 and type(args[0]) is str and _DEVICE.match(args[0]) is not None, "not a device")
    must(all(is_count(arg, 4096) for arg in args[1:]), "not a device")


def _size(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 1 and all(is_shape(arg) for arg in args), "not a size")


def _nested(recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    """A storage in a plain pickle is a whole torch file in bytes, with another pickle inside."""
    must(len(args) == 1 and type(args[0]) is bytes, "not bytes")
    return scan_nested(recorder, args[0])


TORCH_CALLS: dict[str, Rule] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
    LOAD_FROM_BYTES: _nested,
}


def _optimizer_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """The `__setstate__` of an optimizer calls one of its methods, and methods of the values of these attributes."""
    must(type(state) is dict and "_patch_step_function" not in state, "not a state that torch writes")
    must(type(state.get("defaults")) is dict, "the defaults are not a dictionary")
    groups = state.get("param_groups")
    must(type(groups) is list and all(type(group) is dict for group in groups), "the groups are not dictionaries")
    must(
        type(state.get("state")) is dict or is_object(state.get("state"), "collections.defaultdict"),
        "the state of the parameters is not a dictionary",
    )


TORCH_STATES: dict[str, StateRule] = {"torch.optim.adam.Adam": _optimizer_state}

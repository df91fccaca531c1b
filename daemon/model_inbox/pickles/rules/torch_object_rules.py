"""Rules for the objects around torch's tensors: their attributes, generators, results, handles of hooks. Pure.

Owns what these objects may be made of, so that a load of them sets no attribute that torch computes by, and follows no
number that torch does not check itself. `torch_rules` checks the tensors, `quantized_rules` packed weights.
"""

from __future__ import annotations

from typing import Any

from ..arguments import count_of, is_count, is_global, is_object, must
from ..names import words
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of
from .torch_rules import TENSORS, TORCH_CALLS, tensor_of

__all__ = ["TORCH_OBJECT_CALLS", "TORCH_OBJECT_STATES", "is_result", "result_call"]


# --- tensors with attributes ---------------------------------------------------------------------------------

_MADE_BY = words("_rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_qtensor _rebuild_sparse_tensor")
COMPUTED = frozenset(
    words("""
        _backward_hooks _base _grad _grad_fn _post_accumulate_grad_hooks data grad grad_dtype imag names real
        requires_grad volatile
    """)
)
"""The attributes of a tensor that torch computes by: to set one of them does more than to keep a value."""
_DEPTH_MAX = 4
_PLAIN = (type(None), bool, int, float, str, bytes)


def _is_data(value: Any, depth: int = _DEPTH_MAX) -> bool:
    """Return whether this is plain data or tensors: nothing that could be called in the place of a method."""
    if type(value) in _PLAIN or is_object(value, *TENSORS, "torch.Size", "torch.device"):
        return True
    if type(value) in (list, tuple, set, dict) and depth:
        items = [*value, *value.values()] if type(value) is dict else value
        return all(_is_data(item, depth - 1) for item in items)
    return False


def _check_attributes(recorder: Recorder, callee: Global, state: Any) -> None:
    """torch sets the attributes one by one: no property of a tensor is among them, and nothing that can be called."""
    attributes = state[0] if type(state) is tuple and len(state) == 2 and state[1] is None else state
    must(type(attributes) in (dict, type(None)), "the attributes are not a dictionary")
    recorder.check_attributes(callee, attributes or {})
    must(not COMPUTED.intersection(attributes or ()), "an attribute is one that torch computes by")
    must(all(map(_is_data, (attributes or {}).values())), "an attribute is not plain data")


def _tensor_of_type(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """A tensor with attributes: (function, torch.Tensor, arguments of the function, attributes)."""
    must(len(args) == 4, "not (function, class, arguments, attributes)")
    function, kind, inner, state = args
    must(is_global(function, *(f"torch._utils.{name}" for name in _MADE_BY)), "the function does not make tensors")
    must(is_global(kind, "torch.Tensor") and type(inner) is tuple, "not (function, class, arguments, attributes)")
    _check_attributes(recorder, callee, state)
    function.uses.add("c")
    made = TORCH_CALLS[function.name](recorder, function, inner)
    return instance_of(callee, getattr(made, "value", None))


def _parameter_with_state(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 4 and is_object(args[0], *TENSORS) and type(args[1]) is bool, "not (tensor, flag, hooks, state)")
    must(is_object(args[2], "collections.OrderedDict"), "the hooks are not an OrderedDict")
    _check_attributes(recorder, callee, args[3])
    return instance_of(callee, getattr(args[0], "value", None))


def _uninitialized(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1 and type(args[0]) is bool, "not one flag")


# --- generators, results, sequences --------------------------------------------------------------------------


def _generator(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1 and is_object(args[0], "torch.device"), "not one device")


def _generator_state(recorder: Recorder, _target: Stub, state: Any) -> None:
    """torch checks the bytes of the state: their number, and the places in it."""
    # There the bytes come after the generator that needs them.
    must(not recorder.torch_legacy, "torch cannot load a generator from its old format")
    must(type(state) is tuple and len(state) == 3, "not (seed, offset, state)")
    must(all(part is None or is_count(part, 1 << 64) for part in state[:2]), "not (seed, offset, state)")
    must(tensor_of(state[2], 1).storage.kind == "torch.ByteStorage", "the state is not bytes")


_RESULTS = "torch.return_types."
_RESULT_PARTS_MAX = 16


def is_result(name: str) -> bool:
    """Return whether this is the class of a result, such as `torch.return_types.max`."""
    return name.startswith(_RESULTS)


def result_call(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """Results of several tensors: tuples whose parts have names."""
    must(len(args) == 2 and type(args[0]) is tuple and type(args[1]) is dict and not args[1], "not (tensors, {})")
    must(len(args[0]) <= _RESULT_PARTS_MAX, "not (tensors, {})")
    must(all(part is None or is_object(part, *TENSORS) for part in args[0]), "not (tensors, {})")


def _packed_sequence(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """(data, sizes, order, inverse): the inverse is computed from the order, if there is only that."""
    must(len(args) == 4, "not (data, sizes, order, inverse)")
    must(all(is_object(part, *TENSORS) for part in args[:2]), "not (data, sizes, order, inverse)")
    for part in args[2:]:
        if part is not None:
            known = tensor_of(part, 1)
            must(count_of(known.size) <= known.storage.items, "the order is larger than its storage")


# --- handles of hooks ----------------------------------------------------------------------------------------


def _handle_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """(hooks, number, other hooks): the handle keeps weak references to the dictionaries, and counts on."""
    must(type(state) is tuple and 2 <= len(state) <= 3, "not (hooks, number, other hooks)")
    hooks, number = state[0], state[1]
    others = state[2] if len(state) > 2 and state[2] is not None else ()
    must(is_count(number, 1 << 32) and type(others) is tuple, "not (hooks, number, other hooks)")
    must(hooks is None or is_object(hooks, "collections.OrderedDict"), "the hooks are not an OrderedDict")
    must(all(is_object(one, "collections.OrderedDict") for one in others), "the hooks are not an OrderedDict")


def _hook_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """A wrapped hook calls its hook with the module, when the module is used."""
    must(type(state) is dict and set(state) <= {"hook", "module", "with_module"}, "not a state that torch writes")
    must("hook" in state and type(state.get("with_module")) is bool, "not a state that torch writes")
    module = state.get("module")
    must(isinstance(module, Stub) or (module is None and not state["with_module"]), "not a state that torch writes")


TORCH_OBJECT_CALLS: dict[str, Rule] = {
    "torch._C.Generator": _generator,
    "torch._tensor._rebuild_from_type_v2": _tensor_of_type,
    "torch._utils._rebuild_parameter_with_state": _parameter_with_state,
    "torch.nn.parameter.UninitializedBuffer": _uninitialized,
    "torch.nn.parameter.UninitializedParameter": _uninitialized,
    "torch.nn.utils.rnn.PackedSequence": _packed_sequence,
}
TORCH_OBJECT_STATES: dict[str, StateRule] = {
    "torch._C.Generator": _generator_state,
    "torch.nn.modules.module._WrappedHook": _hook_state,
    "torch.utils.hooks.RemovableHandle": _handle_state,
}

"""Rules for the quantized modules of torch: packed weights, and convolutions that pack them while they load.

Owns the states of the few objects of TorchScript that quantized modules keep (`torch.ScriptObject`), and of quantized
convolutions. torch makes packed weights from tensors in C++, which divides by numbers of the state; an object without
a state crashes the process that looks at it. So each of these objects gets exactly one state, of a known kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..arguments import count_of, is_count, is_object, must
from ..stubs import Recorder, StateRule, Stub
from .torch_rules import TENSORS, TensorValue

__all__ = ["QUANTIZED_MODULES", "QUANTIZED_STATES", "SCRIPT_OBJECTS"]

SCRIPT_OBJECTS = ("torch.ScriptObject", "torch._C.ScriptObject")
_CLASSES = "__torch__.torch.classes."
_LINEAR = f"{_CLASSES}quantized.LinearPackedParamsBase"
_EMBEDDING = f"{_CLASSES}quantized.EmbeddingPackedParamsBase"
_CELL = f"{_CLASSES}rnn.CellParamsBase"
_FLOATS = ("torch.FloatStorage",)
_EIGHT_BITS = ("torch.QInt8Storage",)
_EMBEDDED = ("torch.QUInt8Storage", "torch.QUInt4x2Storage")
_NUMBERS_MAX = 1 << 20
_OLD_FORMAT = "torch would pack its weights before it reads them from its old format"


def _tensor(value: Any, kinds: tuple[str, ...], dimensions: int, otherwise: str) -> TensorValue:
    """Return what is known of a tensor of one of these storages, without an empty dimension."""
    must(is_object(value, *TENSORS) and isinstance(getattr(value, "value", None), TensorValue), otherwise)
    known: TensorValue = value.value
    must(known.storage.kind in kinds and len(known.size) == dimensions and 0 not in known.size, otherwise)
    return known


def _bias(value: Any, outputs: int) -> None:
    if value is not None:
        known = _tensor(value, _FLOATS, 1, "the bias is invalid")
        must(known.size == (outputs,), "the bias has another length than the weights")


def _linear(_recorder: Recorder, parts: tuple[Any, ...]) -> None:
    must(len(parts) == 2, "not (weights, bias)")
    weights = _tensor(parts[0], (*_EIGHT_BITS, *_FLOATS), 2, "the weights are invalid")
    _bias(parts[1], weights.size[0])


def _embedding(_recorder: Recorder, parts: tuple[Any, ...]) -> None:
    must(len(parts) == 4 and parts[0] == 1 and parts[2] == [], "not (version, weights, [], bits)")
    must(type(parts[1]) is list and len(parts[1]) == 1 and parts[3] in ([4], [8]), "not (version, weights, [], bits)")
    weights = _tensor(parts[1][0], _EMBEDDED, 2, "the weights are invalid")
    must((parts[3] == [4]) == (weights.storage.kind == "torch.QUInt4x2Storage"), "the weights have other bits")


def _cell(_recorder: Recorder, parts: tuple[Any, ...]) -> None:
    """(kind, biases, numbers, numbers, packed weights): the weights of a recurrent cell were packed before."""
    must(len(parts) == 5 and all(type(part) is list for part in parts[1:]), "not the parts of a cell")
    kind, biases, numbers, flags, packed = parts
    must(kind in ("quantized_dynamic", "quantized_fp16") and numbers == [], "not the parts of a cell")
    must(flags in ([], [0], [1]) and len(packed) == 2, "not the parts of a cell")
    must(all(getattr(one, "value", None) == _LINEAR for one in packed), "the weights of a cell are not packed")
    must(len(biases) == (2 if kind == "quantized_dynamic" else 0), "not the parts of a cell")
    for bias in biases:
        _tensor(bias, _FLOATS, 1, "the bias is invalid")


_KINDS: Mapping[str, Callable[[Recorder, tuple[Any, ...]], None]] = {
    _LINEAR: _linear, _EMBEDDING: _embedding, _CELL: _cell
}  # fmt: skip


def _script_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """(parts, name of the class): torch makes the object of that class from the parts."""
    must(not recorder.torch_legacy, _OLD_FORMAT)
    must(not hasattr(target, "value"), "it is set a second time")
    must(type(state) is tuple and len(state) == 2 and type(state[0]) is tuple, "not (parts, class)")
    check = _KINDS.get(state[1]) if type(state[1]) is str else None
    must(check is not None, "its class is not one of packed weights: save module.state_dict()")
    if check is not None:
        check(recorder, state[0])
    # What torch packs, it copies.
    recorder.charge(type(target), 2 * sum(map(_bytes_of, _tensors_in(state[0]))), 50)
    target.value = state[1]


def _tensors_in(parts: tuple[Any, ...]) -> list[TensorValue]:
    items = [item for part in parts for item in (part if type(part) is list else (part,))]
    return [item.value for item in items if isinstance(getattr(item, "value", None), TensorValue)]


def _bytes_of(tensor: TensorValue) -> int:
    return count_of(tensor.size) * tensor.storage.item_size


# --- convolutions --------------------------------------------------------------------------------------------

_PARTS = 15


def _counts(value: Any, least: int, dimensions: int) -> bool:
    return (
        type(value) in (tuple, list)
        and len(value) == dimensions
        and all(is_count(item, _NUMBERS_MAX) and item >= least for item in value)
    )


def _convolution(dimensions: int) -> StateRule:
    """Return the rule for a quantized convolution, whose `__setstate__` packs its weights."""

    def check(recorder: Recorder, target: Stub, state: Any) -> None:
        must(target.kept is None, "it is set a second time")
        must(not recorder.torch_legacy, _OLD_FORMAT)
        must(type(state) is tuple and len(state) == _PARTS, "not a state that torch writes")
        inputs, outputs, kernel, stride, padding, dilation, transposed, more, groups, mode = state[:10]
        must(all(is_count(one, _NUMBERS_MAX) and one > 0 for one in (inputs, outputs, groups)), "a number is invalid")
        must(inputs % groups == 0 and outputs % groups == 0, "the channels do not fit the groups")
        for value, least in ((kernel, 1), (stride, 1), (padding, 0), (dilation, 1), (more, 0)):
            must(_counts(value, least, dimensions), "a number is invalid")
        must(type(transposed) is bool and mode in ("zeros", "reflect", "replicate", "circular"), "a number is invalid")
        weights = _tensor(state[10], _EIGHT_BITS, 2 + dimensions, "the weights are invalid")
        channels = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
        must(weights.size == (*channels, *kernel), "the weights have another size")
        _bias(state[11], outputs)
        must(type(state[12]) is float and type(state[13]) is int and type(state[14]) is bool, "a number is invalid")
        recorder.charge(type(target), 2 * _bytes_of(weights), 200)

    return check


QUANTIZED_MODULES = {
    **{f"torch.ao.nn.quantized.modules.conv.{kind}{dimensions}d": dimensions
       for kind in ("Conv", "ConvTranspose") for dimensions in (1, 2, 3)},
    **{f"torch.ao.nn.intrinsic.quantized.modules.conv_relu.ConvReLU{dimensions}d": dimensions
       for dimensions in (1, 2, 3)},
}  # fmt: skip
"""The convolutions with a load hook of their own, with the dimensions of each."""

QUANTIZED_STATES: dict[str, StateRule] = {
    **dict.fromkeys(SCRIPT_OBJECTS, _script_state),
    **{name: _convolution(dimensions) for name, dimensions in QUANTIZED_MODULES.items()},
}

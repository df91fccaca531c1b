"""Rules for the calls and states of torch.

Owns the check that a tensor lies inside its storage: torch reads a storage with the size and strides that the pickle
gives. Has no rule for functions of torch that call their arguments (`_rebuild_from_type_v2`): no list allows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ..arguments import count_of, is_count, is_global, is_object, is_shape, must
from ..formats import StorageValue, scan_nested
from ..names import LOAD_FROM_BYTES, words
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of

__all__ = ["OPTIMIZERS", "TENSORS", "TORCH_CALLS", "TORCH_STATES", "tensor_of"]

_DEVICE = re.compile(r"[a-z]{2,12}(:\d{1,4})?\Z")
_TENSOR_CALLS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")
TENSORS = (
    *_TENSOR_CALLS,
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_nested_tensor",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.nn.parameter.UninitializedBuffer",
    "torch.nn.parameter.UninitializedParameter",
)
_WIDTHS = {
    **dict.fromkeys(
        words(
            "bool uint8 int8 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2 "
            "bit bits8 bits1x8 bits2x4 bits4x2 int1 int2 int3 int4 int5 int6 int7 "
            "uint1 uint2 uint3 uint4 uint5 uint6 uint7"
        ),
        1,
    ),
    **dict.fromkeys(words("float16 bfloat16 int16 uint16 half short bits16"), 2),
    **dict.fromkeys(words("float32 int32 uint32 complex32 float int chalf"), 4),
    **dict.fromkeys(words("float64 int64 uint64 complex64 double long cfloat"), 8),
    **dict.fromkeys(words("complex128 cdouble"), 16),
}
"""The types of numbers, as they are named in the module torch, with their bytes."""
_LONGS = {"torch.LongStorage": "q", "torch.IntStorage": "i"}
_CHUNK = 8192


class TensorValue:
    """A tensor: its place in a storage, and its size."""

    __slots__ = ("offset", "size", "storage", "stride")

    def __init__(self, storage: StorageValue, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.storage = storage
        self.offset = offset
        self.size = size
        self.stride = stride


def _place(storage: Any, offset: Any, size: Any, stride: Any, width: int = 0, packed: int = 1) -> TensorValue:
    """Return a tensor that lies inside its storage.

    `width` is the bytes of one number, if it is not the storage's. `packed` is how many numbers one item has.
    """
    must(isinstance(storage, Stub) and hasattr(storage, "value"), "not a storage")
    known = storage.value
    must(isinstance(known, StorageValue), "not a storage")
    must(
        is_count(offset) and is_shape(size) and is_shape(stride) and len(size) == len(stride),
        "the size or the strides are invalid",
    )
    items = known.items * known.item_size // width if width else known.items * packed
    if 0 not in size:
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        must(last < items, "the tensor is larger than its storage")
    else:
        must(offset <= items, "the offset is outside of the storage")
    return TensorValue(known, offset, size, stride)


def _check_rest(requires_grad: Any, hooks: Any, more: tuple[Any, ...]) -> None:
    must(type(requires_grad) is bool, "the flag is not a bool")
    must(hooks is None or is_object(hooks, "collections.OrderedDict"), "the hooks are not an OrderedDict")
    for metadata in more:
        must(
            metadata is None
            or (
                type(metadata) is dict
                and set(metadata) <= {"conj", "neg"}
                and all(type(v) is bool for v in metadata.values())
            ),
            "the metadata is invalid",
        )


def _tensor(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) in (6, 7), "not (storage, offset, size, stride, requires_grad, hooks)")
    _check_rest(args[4], args[5], args[6:])
    return instance_of(callee, _place(*args[:4]))


_OLD_FORMAT = "torch cannot load such a tensor from its old format"


def _typed_tensor(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """A tensor of a type that has no storage of its own: its storage is of bytes."""
    must(len(args) in (7, 8), "not (storage, offset, size, stride, requires_grad, hooks, type)")
    _check_rest(args[4], args[5], args[7:])
    must(not recorder.torch_legacy, _OLD_FORMAT)
    return instance_of(callee, _place(args[0], args[1], args[2], args[3], _width_of(args[6])))


def _width_of(dtype: Any) -> int:
    must(is_global(dtype) and dtype.name.removeprefix("torch.") in _WIDTHS, "not a type of numbers")
    return _WIDTHS[dtype.name.removeprefix("torch.")]


def _meta_tensor(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 4 and _width_of(args[0]) > 0, "not (type, size, stride, requires_grad)")
    must(
        is_shape(args[1]) and is_shape(args[2]) and len(args[1]) == len(args[2]), "the size or the strides are invalid"
    )
    must(count_of(args[1]) < 1 << 48 and type(args[3]) is bool, "not (type, size, stride, requires_grad)")


def tensor_of(value: Any, *dimensions: int) -> TensorValue:
    """Return what is known of a tensor in a storage with one of these numbers of dimensions."""
    must(is_object(value, *_TENSOR_CALLS) and hasattr(value, "value"), "not a tensor")
    known: TensorValue = value.value
    must(len(known.size) in dimensions, "the tensor has another number of dimensions")
    return known


def _numbers(tensor: TensorValue, row: int | None = None) -> Iterator[list[int]]:
    """Yield the integers of a tensor of one dimension, or of one row of a tensor of two, in pieces."""
    must(tensor.storage.kind in _LONGS and tensor.storage.source is not None, "the indexes cannot be read")
    assert tensor.storage.source is not None  # noqa: S101 - for the type checker; `must` has raised
    form, width = _LONGS[tensor.storage.kind], tensor.storage.item_size
    start = tensor.offset + (tensor.stride[0] * row if row is not None else 0)
    step, count = tensor.stride[-1], tensor.size[-1]
    for first in range(0, count, _CHUNK):
        length = min(_CHUNK, count - first)
        extent = (length - 1) * step + 1
        must(extent <= _CHUNK * 64, "the strides of the indexes are too large")
        data = tensor.storage.source.read_at((start + first * step) * width, extent * width)
        must(len(data) == extent * width, "the indexes cannot be read")
        items = memoryview(data).cast(form)  # type: ignore[call-overload]  # the stubs want a literal
        numbers: list[int] = items[:: step or 1].tolist()
        yield numbers if step else numbers * length


# --- quantized -----------------------------------------------------------------------------------------------

_PACKED = {"torch.QUInt4x2Storage": 2, "torch.QUInt2x4Storage": 4}
"""The storages whose bytes have more than one number each."""
_CHANNELS = ("torch.per_channel_affine", "torch.per_channel_affine_float_qparams")


def _quantized(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 7, "not (storage, offset, size, stride, parameters, requires_grad, hooks)")
    _check_rest(args[5], args[6], ())
    packed = _PACKED.get(getattr(getattr(args[0], "value", None), "kind", ""), 1)
    place, parameters = _place(args[0], args[1], args[2], args[3], packed=packed), args[4]
    # torch first makes a tensor of this size with memory of its own.
    must(count_of(place.size) <= place.storage.items * packed, "the tensor is larger than its storage")
    must(type(parameters) is tuple and len(parameters) in (3, 4), "the parameters are invalid")
    if len(parameters) == 3:
        must(is_global(parameters[0], "torch.per_tensor_affine"), "the parameters are invalid")
        must(type(parameters[1]) is float and type(parameters[2]) is int, "the parameters are invalid")
    else:
        must(is_global(parameters[0], *_CHANNELS), "the parameters are invalid")
        axis = parameters[3]
        must(is_count(axis, len(place.size) - 1), "the axis is invalid")
        for part in parameters[1:3]:
            must(tensor_of(part, 1).size == (place.size[axis],), "the parameters are invalid")
    return instance_of(callee, place)


# --- sparse and nested ---------------------------------------------------------------------------------------

_LAYOUTS = words("sparse_coo sparse_csr sparse_csc sparse_bsr sparse_bsc strided jagged")


def _layout(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 1 and args[0] in {f"torch.{name}" for name in _LAYOUTS}, "not the name of a layout")
    return instance_of(callee, args[0])


def _sparse(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    """torch does not look at the indexes of a sparse tensor: here each must lie inside of its size."""
    must(len(args) == 2 and is_object(args[0], "torch.serialization._get_layout"), "not (layout, data)")
    layout, data = args[0].value, args[1]
    must(type(data) is tuple and len(data) in (3, 4), "not (layout, data)")
    if layout == "torch.sparse_coo":
        size = _size_of(data[2])
        must(all(flag is None or type(flag) is bool for flag in data[3:]), "not (layout, data)")
        _coordinates(recorder, callee, tensor_of(data[0], 2), data[1], size)
    else:
        must(layout.startswith("torch.sparse_") and len(data) == 4, "not (layout, data)")
        size = _size_of(data[3])
        must(len(size) >= 2, "the sizes differ")
        _compressed(recorder, callee, layout, (tensor_of(data[0], 1, 2), tensor_of(data[1], 1, 2)), data[2], size)


def _size_of(value: Any) -> tuple[int, ...]:
    size = value.value if is_object(value, "torch.Size") and hasattr(value, "value") else value
    must(is_shape(size), "the size is invalid")
    return tuple(size)


def _coordinates(recorder: Recorder, callee: Global, indexes: TensorValue, values: Any, size: tuple[int, ...]) -> None:
    dimensions, count = indexes.size
    filled = tensor_of(values, *range(1, 9)).size
    must(dimensions <= len(size) and filled[0] == count and filled[1:] == size[dimensions:], "the sizes differ")

    def check() -> None:
        for dimension in range(dimensions):
            for numbers in _numbers(indexes, dimension):
                must(min(numbers) >= 0 and max(numbers) < size[dimension], "an index is outside of the tensor")

    recorder.check_later(callee.name, check)


def _compressed(
    recorder: Recorder,
    callee: Global,
    layout: str,
    indexes: tuple[TensorValue, TensorValue],
    values: Any,
    size: tuple[int, ...],
) -> None:
    """Check rows of indexes: one row, or one for each part of a batch. Columns are compressed as rows are."""
    ends, places = indexes
    batch, blocks = size[: len(ends.size) - 1], 2 if layout in ("torch.sparse_bsr", "torch.sparse_bsc") else 0
    filled = tensor_of(values, *range(1, 9)).size
    must(len(filled) > len(batch) + blocks and len(size) >= len(batch) + 2, "the sizes differ")
    count, block = filled[len(batch)], filled[len(batch) + 1 : len(batch) + 1 + blocks] or (1, 1)
    must(filled[: len(batch)] == batch and places.size == (*batch, count), "the sizes differ")
    must(filled[len(batch) + 1 + blocks :] == size[len(batch) + 2 :], "the sizes differ")
    matrix = size[len(batch) : len(batch) + 2]
    must(
        all(length > 0 and whole % length == 0 for whole, length in zip(matrix, block, strict=True)), "the sizes differ"
    )
    rows, columns = (whole // length for whole, length in zip(matrix, block, strict=True))
    if layout in ("torch.sparse_csc", "torch.sparse_bsc"):
        rows, columns = columns, rows
    must(ends.size == (*batch, rows + 1) and (not batch or batch[0] <= _PARTS_MAX), "the sizes differ")

    def check() -> None:
        for part in range(batch[0]) if batch else (None,):
            _check_compressed(ends, places, part, columns, count)

    recorder.check_later(callee.name, check)


def _check_compressed(ends: TensorValue, places: TensorValue, part: int | None, columns: int, count: int) -> None:
    before = 0
    first = True
    for numbers in _numbers(ends, part):
        must(not first or numbers[0] == 0, "the ends of the rows are wrong")
        first = False
        steps = [b - a for a, b in pairwise([before, *numbers])]
        must(min(steps) >= 0 and max(steps) <= columns, "the ends of the rows are wrong")
        before = numbers[-1]
    must(before == count, "the ends of the rows are wrong")
    for numbers in _numbers(places, part):
        must(min(numbers) >= 0 and max(numbers) < columns, "an index is outside of the tensor")


def _nested_tensor(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    """A nested tensor is a buffer, and for each part of it a row of lengths, a row of strides and a place."""
    must(len(args) == 4, "not (buffer, sizes, strides, places)")
    must(not recorder.torch_legacy, _OLD_FORMAT)
    buffer, sizes, strides, places = tensor_of(args[0], 1), *(tensor_of(arg, 1, 2) for arg in args[1:])
    must(buffer.stride == (1,) or buffer.size[0] <= 1, "the buffer is not in one piece")
    must(len(places.size) == 1, "not (buffer, sizes, strides, places)")
    must(sizes.size == strides.size and (len(sizes.size) == 2 or sizes.size == (0,)), "the sizes differ")
    must(sizes.size[0] == places.size[0] <= _PARTS_MAX, "the sizes differ")

    def check() -> None:
        starts = [number for numbers in _numbers(places) for number in numbers]
        for part, start in enumerate(starts):
            (lengths,) = _numbers(sizes, part) if sizes.size[-1] else ([],)
            (steps,) = _numbers(strides, part) if sizes.size[-1] else ([],)
            must(min([start, *lengths, *steps]) >= 0, "a part is outside of the buffer")
            if 0 not in lengths:
                last = start + sum((length - 1) * step for length, step in zip(lengths, steps, strict=True))
                must(last < buffer.size[0], "a part is outside of the buffer")

    recorder.check_later(callee.name, check)


_PARTS_MAX = 1 << 20


def _parameter(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 3 and is_object(args[0], *TENSORS) and type(args[1]) is bool, "not (tensor, flag, hooks)")
    must(args[2] is None or is_object(args[2], "collections.OrderedDict"), "the hooks are not an OrderedDict")
    return instance_of(callee, getattr(args[0], "value", None))


def _device(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(1 <= len(args) <= 2 and type(args[0]) is str and _DEVICE.match(args[0]) is not None, "not a device")
    must(all(is_count(arg, 4096) for arg in args[1:]), "not a device")


def _size(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) <= 1 and all(is_shape(arg) for arg in args), "not a size")
    made = instance_of(callee, args[0] if args else ())
    made.real = made.value
    return made


def _nested(recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    """A storage in a plain pickle is a whole torch file in bytes, with another pickle inside."""
    must(len(args) == 1 and type(args[0]) is bytes, "not bytes")
    return scan_nested(recorder, args[0])


TORCH_CALLS: dict[str, Rule] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_meta_tensor_no_storage": _meta_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_qtensor": _quantized,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_nested_tensor": _nested_tensor,
    "torch.serialization._get_layout": _layout,
    "torch.Size": _size,
    "torch.device": _device,
    LOAD_FROM_BYTES: _nested,
}


def _optimizer_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """The `__setstate__` of an optimizer calls one of its methods, and looks into the values of these attributes."""
    must(type(state) is dict and "_patch_step_function" not in state, "not a state that torch writes")
    must(type(state.get("defaults")) is dict, "the defaults are not a dictionary")
    groups = state.get("param_groups")
    must(type(groups) is list and all(type(group) is dict for group in groups), "the groups are not dictionaries")
    for group in groups:
        parameters = group.get("params")
        must(
            type(parameters) is list and all(is_object(one, *TENSORS) for one in parameters),
            "the parameters are not tensors",
        )
    kept = state.get("state")
    if is_object(kept, "collections.defaultdict"):
        # Its items are set one by one, all of them before.
        items = getattr(kept, "items", [])
    else:
        must(type(kept) is dict, "the state of the parameters is not a dictionary")
        items = list(kept.values()) if type(kept) is dict else []
    for values in items:
        must(type(values) is dict, "the state of a parameter is not a dictionary")
        step = values.get("step", 0)
        must(type(step) in (int, float) or is_object(step, *TENSORS), "the number of steps is invalid")


OPTIMIZERS = words("""
    Adafactor Muon adadelta.Adadelta adagrad.Adagrad adam.Adam adamax.Adamax adamw.AdamW asgd.ASGD lbfgs.LBFGS
    nadam.NAdam radam.RAdam rmsprop.RMSprop rprop.Rprop sgd.SGD sparse_adam.SparseAdam
""")

TORCH_STATES: dict[str, StateRule] = {f"torch.optim.{name}": _optimizer_state for name in OPTIMIZERS}

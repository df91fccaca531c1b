"""Tensors of every kind are accepted only if each index and each part of them lies inside its storage."""

from __future__ import annotations

import struct

import pytest

from model_inbox.pickles import Allowlist, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()


def longs(*numbers: int) -> bytes:
    """The bytes of a storage of integers."""
    return struct.pack(f"<{len(numbers)}q", *numbers)


def tensor(key: str, count: int, *size: int, kind: str = "LongStorage", stride: tuple[int, ...] | None = None) -> bytes:
    """Opcodes of a tensor that has a storage for itself."""
    steps = stride if stride is not None else tuple(_product(size[at + 1 :]) for at in range(len(size)))
    return build.tensor(build.storage_id(kind, key, count), 0, size, steps)


def _product(numbers: tuple[int, ...]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result


def called(name: str, *args: bytes) -> bytes:
    """Opcodes of a call of one of torch's functions."""
    return build.called(build.named("torch._utils", name), *args)


def codes(opcodes: bytes, *storages: bytes) -> set[str]:
    """Return the codes of the problems of an archive with these storages, numbered from 0."""
    named = {str(number): content for number, content in enumerate(storages)}
    report = scan_bytes(build.torch_archive(build.pickled(opcodes, protocol=2), named), ALLOWLIST)
    return {problem.code for problem in report.problems}


def layout(name: str) -> bytes:
    """Opcodes of a layout."""
    return build.called(build.named("torch.serialization", "_get_layout"), build.text(f"torch.sparse_{name}"))


def size(*lengths: int) -> bytes:
    """Opcodes of a size."""
    return build.called(build.named("torch", "Size"), build.value(lengths))


def coo(
    *indexes: int, lengths: tuple[int, ...] = (3, 4), values: int = 2, stride: tuple[int, ...] | None = None
) -> set[str]:
    """Return the codes for a sparse tensor with these indexes: first all rows, then all columns."""
    count = len(indexes) // 2
    data = b"(" + tensor("0", len(indexes), 2, count, stride=stride)
    data += tensor("1", values, values, kind="FloatStorage") + size(*lengths) + b"\x88t"
    return codes(called("_rebuild_sparse_tensor", layout("coo"), data), longs(*indexes), bytes(4 * values))


def test_indexes_inside_of_the_tensor_are_accepted() -> None:
    """Rows and columns below the lengths, in either order of the strides."""
    assert coo(0, 2, 3, 0) == set()
    assert coo(0, 3, 2, 0, stride=(1, 2)) == set()


@pytest.mark.parametrize(
    ("indexes", "more"),
    [
        ((0, 3, 3, 0), {}),
        ((0, 2, 4, 0), {}),
        ((0, -1, 3, 0), {}),
        ((0, 2, 3, 0), {"values": 3}),
        ((0, 2, 3, 0), {"lengths": (3,)}),
        ((0, 2, 3, 0), {"stride": (1 << 20, 1)}),
        ((0, 4, 2, 0), {"stride": (1, 2)}),
    ],
)
def test_index_outside_of_the_tensor_is_refused(indexes: tuple[int, ...], more: dict[str, int]) -> None:
    """torch would read and write there: it does not compare them when it loads."""
    assert coo(*indexes, **more) == {"artifact.forbidden_arguments"}  # type: ignore[arg-type]


def csr(
    ends: tuple[int, ...], places: tuple[int, ...], name: str = "csr", lengths: tuple[int, int] = (2, 3)
) -> set[str]:
    """Return the codes for a compressed sparse tensor."""
    count = len(places)
    data = b"(" + tensor("0", len(ends), len(ends)) + tensor("1", count, count)
    data += tensor("2", count, count, kind="FloatStorage") + size(*lengths) + b"t"
    opcodes = called("_rebuild_sparse_tensor", layout(name), data)
    return codes(opcodes, longs(*ends), longs(*places), bytes(4 * count))


def test_compressed_rows_that_fit_are_accepted() -> None:
    """The ends begin with 0, rise, and end with the number of values."""
    assert csr((0, 1, 3), (2, 0, 1)) == set()
    assert csr((0, 1, 2, 3), (1, 0, 1), "csc") == set()


@pytest.mark.parametrize(
    ("ends", "places"),
    [
        ((1, 1, 3), (2, 0, 1)),
        ((0, 3, 1), (2, 0, 1)),
        ((0, 1, 4), (2, 0, 1)),
        ((0, -1, 3), (2, 0, 1)),
        ((0, 3), (2, 0, 1)),
        ((0, 1, 3), (3, 0, 1)),
        ((0, 1, 3), (-1, 0, 1)),
        ((0, 4, 4), (0, 0, 1, 2)),
    ],
)
def test_compressed_rows_that_do_not_fit_are_refused(ends: tuple[int, ...], places: tuple[int, ...]) -> None:
    """An end or a place that is wrong refuses the file."""
    assert csr(ends, places) == {"artifact.forbidden_arguments"}


def typed(name: str, count: int, *lengths: int) -> set[str]:
    """Return the codes for a tensor of four bytes, of a type that has no storage of its own."""
    storage = build.storage_id("UntypedStorage", "0", 4)
    hooks = build.called(build.named("collections", "OrderedDict"))
    parts = (storage, build.value(count), build.value(lengths), build.value((1,)), b"\x89", hooks)
    return codes(called("_rebuild_tensor_v3", *parts, build.named("torch", name)), bytes(4))


def test_tensor_of_bytes_has_the_width_of_its_type() -> None:
    """Four bytes are four numbers of one byte, and two of two."""
    assert typed("float8_e4m3fn", 0, 4) == set()
    assert typed("uint16", 0, 2) == set()
    assert typed("uint16", 0, 3) == {"artifact.forbidden_arguments"}
    assert typed("uint16", 1, 2) == {"artifact.forbidden_arguments"}
    assert typed("load", 0, 1) & {"artifact.forbidden_arguments"}


def quantized(parameters: bytes, lengths: tuple[int, ...] = (2, 2), steps: tuple[int, ...] = (2, 1)) -> set[str]:
    """Return the codes for a quantized tensor of four bytes, with two longs and two doubles beside it."""
    hooks = build.called(build.named("collections", "OrderedDict"))
    place = (build.storage_id("QInt8Storage", "0", 4), build.value(0), build.value(lengths), build.value(steps))
    opcodes = called("_rebuild_qtensor", *place, parameters, b"\x89", hooks)
    return codes(opcodes, bytes(4), bytes(16), bytes(16))


PER_TENSOR = b"(" + build.named("torch", "per_tensor_affine") + build.value(0.1) + build.value(0) + b"t"


def channels(axis: int, count: int = 2) -> bytes:
    """Opcodes of a scale and a zero for each channel."""
    scales = tensor("1", 2, count, kind="DoubleStorage")
    zeros = tensor("2", 2, count)
    return b"(" + build.named("torch", "per_channel_affine") + scales + zeros + build.value(axis) + b"t"


def test_quantized_tensors() -> None:
    """A scale for each channel, an axis that there is, and no more numbers than the storage has."""
    assert quantized(PER_TENSOR) == set()
    assert quantized(channels(1)) == set()
    assert quantized(channels(2)) == {"artifact.forbidden_arguments"}
    assert quantized(channels(-1)) == {"artifact.forbidden_arguments"}
    assert quantized(channels(0, 1)) == {"artifact.forbidden_arguments"}
    assert quantized(PER_TENSOR, (1 << 40,), (0,)) == {"artifact.forbidden_arguments"}
    assert quantized(b"(" + build.named("numpy", "log") + b"K\x01K\x01t") == {"artifact.forbidden_arguments"}


def nested(sizes: tuple[int, ...], strides: tuple[int, ...], places: tuple[int, ...]) -> set[str]:
    """Return the codes for a nested tensor of two parts in a buffer of five numbers."""
    opcodes = called(
        "_rebuild_nested_tensor",
        tensor("0", 5, 5, kind="FloatStorage"),
        tensor("1", len(sizes), len(sizes), 1),
        tensor("2", len(strides), len(strides), 1),
        tensor("3", len(places), len(places)),
    )
    return codes(opcodes, bytes(20), longs(*sizes), longs(*strides), longs(*places))


def test_nested_tensors() -> None:
    """Each part lies inside the buffer."""
    assert nested((2, 3), (1, 1), (0, 2)) == set()
    assert nested((2, 4), (1, 1), (0, 2)) == {"artifact.forbidden_arguments"}
    assert nested((2, 3), (1, 2), (0, 2)) == {"artifact.forbidden_arguments"}
    assert nested((2, 3), (1, 1), (0, -1)) == {"artifact.forbidden_arguments"}
    assert nested((2, 3), (1, 1), (0, 2, 3)) == {"artifact.forbidden_arguments"}


def optimizer(parameters: bytes, state: bytes = b"}") -> set[str]:
    """Return the codes for an optimizer with these parameters and this state."""
    groups = b"](" + build.mapping({"params": parameters, "lr": build.value(0.1)}) + b"e"
    fields = {"defaults": b"}", "state": state, "param_groups": groups}
    return codes(build.built(build.new("torch.optim.sgd", "SGD"), build.mapping(fields)), bytes(8))


def test_parameters_of_an_optimizer_are_tensors() -> None:
    """A load goes through them: a giant range would keep it busy for ever."""
    assert optimizer(b"](" + tensor("0", 1, 1) + b"e") == set()
    assert "artifact.forbidden_arguments" in optimizer(build.value(range(10**12)))
    assert "artifact.forbidden_arguments" in optimizer(b"](" + build.named("numpy", "log") + b"e")
    assert "artifact.forbidden_arguments" in optimizer(
        b"]", b"}(" + build.value(1) + build.named("numpy", "log") + b"u"
    )


def batch(ends: tuple[int, ...], places: tuple[int, ...], lengths: tuple[int, ...] = (2, 2, 3)) -> set[str]:
    """Return the codes for a batch of two compressed matrices."""
    rows, count = len(ends) // 2, len(places) // 2
    data = b"(" + tensor("0", len(ends), 2, rows) + tensor("1", len(places), 2, count)
    data += tensor("2", 2 * count, 2, count, kind="FloatStorage") + size(*lengths) + b"t"
    opcodes = called("_rebuild_sparse_tensor", layout("csr"), data)
    return codes(opcodes, longs(*ends), longs(*places), bytes(8 * count))


def test_each_matrix_of_a_batch_is_checked() -> None:
    """Its rows end with the number of its values, and its columns lie inside."""
    assert batch((0, 1, 2, 0, 2, 2), (0, 2, 1, 2)) == set()
    assert batch((0, 1, 2, 0, 2, 3), (0, 2, 1, 2)) == {"artifact.forbidden_arguments"}
    assert batch((0, 1, 2, 0, 2, 2), (0, 2, 1, 3)) == {"artifact.forbidden_arguments"}
    assert batch((0, 1, 2, 0, 2, 2), (0, 2, 1, 2), (3, 2, 3)) == {"artifact.forbidden_arguments"}


def test_bytes_of_two_numbers_hold_two() -> None:
    """Tensors of four bits have twice as many numbers as bytes, and not one more."""
    assert _four_bits(4) == set()
    assert _four_bits(5) == {"artifact.forbidden_arguments"}


def _four_bits(count: int) -> set[str]:
    parameters = b"(" + build.named("torch", "per_channel_affine_float_qparams")
    parameters += tensor("1", count, count, kind="FloatStorage") + tensor("2", count, count, kind="FloatStorage")
    parameters += build.value(0) + b"t"
    start = (build.storage_id("QUInt4x2Storage", "0", 2), build.value(0), build.value((count,)), build.value((1,)))
    hooks = build.called(build.named("collections", "OrderedDict"))
    opcodes = called("_rebuild_qtensor", *start, parameters, b"\x89", hooks)
    return codes(opcodes, bytes(2), bytes(4 * count), bytes(4 * count))

"""Quantized modules of torch: packed weights that fit together come in. What would crash torch is refused."""

from __future__ import annotations

from typing import Any

import pytest

from model_inbox.pickles import Allowlist, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
REFUSED = {"artifact.forbidden_arguments"}
LINEAR = build.text("__torch__.torch.classes.quantized.LinearPackedParamsBase")
CELL = build.text("__torch__.torch.classes.rnn.CellParamsBase")
EMBEDDING = build.text("__torch__.torch.classes.quantized.EmbeddingPackedParamsBase")
OBJECT = build.new("torch", "ScriptObject")
CONVOLUTION = build.new("torch.ao.nn.quantized.modules.conv", "Conv1d")


def codes(opcodes: bytes) -> set[str]:
    """Return the codes of the problems of a torch file with the storages that these opcodes name."""
    storages = {key: bytes(size) for key, size in (("7", 24), ("8", 32), ("9", 24)) if build.text(key) in opcodes}
    data = build.torch_archive(build.pickled(opcodes, protocol=2), storages)
    return {problem.code for problem in scan_bytes(data, ALLOWLIST).problems}


def weights(*size: int, kind: str = "QInt8Storage", key: str = "7") -> bytes:
    """Opcodes of a quantized tensor with one scale."""
    strides = [1]
    for length in reversed(size[1:]):
        strides.insert(0, strides[0] * length)
    parameters = b"(" + build.named("torch", "per_tensor_affine") + build.value(0.5) + build.value(0) + b"t"
    return build.called(
        build.named("torch._utils", "_rebuild_qtensor"), build.storage_id(kind, key, 24), build.value(0),
        build.value(tuple(size)), build.value(tuple(strides)), parameters, b"\x89",
        build.called(build.named("collections", "OrderedDict")),
    )  # fmt: skip


def bias(length: int) -> bytes:
    """Opcodes of a tensor of floats."""
    return build.tensor(build.storage_id("FloatStorage", "8", 8), 0, (length,), (1,))


def packed(*parts: bytes, kind: bytes = LINEAR) -> bytes:
    """Opcodes of an object of TorchScript with its state."""
    return build.built(OBJECT, b"(" + b"(" + b"".join(parts) + b"t" + kind + b"t")


def listed(*items: bytes) -> bytes:
    """Opcodes of a list."""
    return b"](" + b"".join(items) + b"e"


GOOD = packed(weights(4, 3), bias(4))


@pytest.mark.parametrize(
    "opcodes",
    [
        GOOD,
        packed(weights(4, 3), b"N"),
        packed(build.tensor(build.storage_id("FloatStorage", "8", 8), 0, (2, 4), (4, 1)), b"N"),
        packed(build.text("quantized_dynamic"), listed(bias(4), bias(4)), b"]", listed(build.value(1)),
               listed(GOOD, GOOD), kind=CELL),
        packed(build.text("quantized_fp16"), b"]", b"]", b"]", listed(GOOD, GOOD), kind=CELL),
        packed(build.value(1), listed(weights(4, 6, kind="QUInt8Storage", key="9")), b"]", listed(build.value(8)),
               kind=EMBEDDING),
    ],
    ids=["linear", "no bias", "of floats", "cell", "cell of floats", "embedding"],
)  # fmt: skip
def test_packed_weights_come_in(opcodes: bytes) -> None:
    """As torch writes the weights of linear layers, recurrent cells and embeddings."""
    assert codes(opcodes) == set()


@pytest.mark.parametrize(
    "opcodes",
    [
        OBJECT,
        build.called(build.named("copyreg", "_reconstructor"), build.named("torch", "ScriptObject"),
                     build.named("builtins", "object"), b"N"),
        build.built(GOOD, b"(" + b"(" + weights(4, 3) + b"Nt" + LINEAR + b"t"),
        packed(weights(4, 3), bias(5)),
        packed(weights(4, 3, kind="QUInt8Storage"), b"N"),
        packed(weights(12), b"N"),
        packed(weights(0, 3), b"N"),
        packed(weights(4, 3)),
        packed(build.text("x"), b"N"),
        packed(weights(4, 3), b"N", kind=build.text("__torch__.torch.classes.xnnpack.LinearOpContext")),
        packed(weights(4, 3), b"N", kind=build.named("numpy", "log")),
        packed(build.text("quantized_fp16"), b"]", b"]", b"]", listed(OBJECT, GOOD), kind=CELL),
        packed(build.text("quantized_dynamic"), b"]", b"]", b"]", listed(GOOD, GOOD), kind=CELL),
        packed(build.text("quantized"), b"]", b"]", b"]", listed(GOOD, GOOD), kind=CELL),
        packed(build.value(1), listed(weights(4, 6, kind="QUInt8Storage", key="9")), b"]", listed(build.value(4)),
               kind=EMBEDDING),
        packed(build.value(2), listed(weights(4, 6, kind="QUInt8Storage", key="9")), b"]", listed(build.value(8)),
               kind=EMBEDDING),
    ],
    ids=["no state", "no state, by a call", "second state", "long bias", "other numbers", "one dimension", "empty",
         "no bias given", "no tensor", "other class", "no name", "cell without state", "cell without biases",
         "other cell", "other bits", "other version"],
)  # fmt: skip
def test_what_torch_would_not_survive_is_refused(opcodes: bytes) -> None:
    """An object without a state, numbers that do not fit, and every other class of TorchScript."""
    assert codes(opcodes) == REFUSED


def convolution(**changed: Any) -> bytes:
    """Opcodes of a quantized convolution: two groups of one channel in and two out, with a kernel of three."""
    parts: dict[str, Any] = {
        "inputs": 2, "outputs": 4, "kernel": (3,), "stride": (1,), "padding": (0,), "dilation": (1,),
        "transposed": False, "more": (0,), "groups": 2, "mode": "zeros",
    }  # fmt: skip
    tensors = {"weights": weights(4, 1, 3), "bias": bias(4)}
    rest = {"scale": 1.0, "zero": 0, "training": False}
    state = b"("
    for group in (parts, tensors, rest):
        for name, part in group.items():
            given = changed.get(name, part)
            state += given if type(given) is bytes else b"\x89" if given is False else build.value(given)
    return build.built(CONVOLUTION, state + b"t")


def test_convolution_comes_in() -> None:
    """Its hook packs the weights."""
    assert codes(convolution()) == set()


@pytest.mark.parametrize(
    "changed",
    [
        {"groups": 0}, {"groups": 3}, {"stride": (0,)}, {"dilation": (0,)}, {"padding": (-1,)}, {"kernel": (2,)},
        {"stride": (1, 1)}, {"inputs": 0}, {"outputs": 8}, {"mode": "other"}, {"weights": weights(4, 3)},
        {"bias": bias(3)}, {"scale": build.named("numpy", "log")}, {"weights": build.named("numpy", "log")},
    ],
    ids=str,
)  # fmt: skip
def test_convolution_whose_numbers_do_not_fit_is_refused(changed: dict[str, Any]) -> None:
    """torch divides by the groups and strides."""
    assert codes(convolution(**changed)) == REFUSED


def test_convolution_gets_one_state() -> None:
    """A first one could set a method that the second calls."""
    assert codes(build.built(CONVOLUTION, build.mapping({"set_weight_bias": build.named("numpy", "log")}))) == REFUSED
    again = convolution().removeprefix(CONVOLUTION)
    assert codes(CONVOLUTION + again + again) == REFUSED

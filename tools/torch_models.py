"""The models that the list of torch is learned from, and the classes that are loaded as theirs are.

Owns torch's part of the learning set of `build_allowlist.py`. The tests do not see it: they have models of their own.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABCMeta
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from model_inbox.pickles.formats import ITEM_SIZES
from model_inbox.pickles.reviewed_code import hooks_of
from model_inbox.pickles.rules import OPTIMIZERS, SCRIPT_OBJECTS
from model_inbox.pickles.rules.quantized_rules import QUANTIZED_MODULES

__all__ = ["torch_models", "torch_siblings"]

Model = tuple[str, Any]


def torch_models() -> Iterator[Model]:
    """Modules of every stock kind, their state dicts, tensors of every dtype, optimizers' states."""
    import torch
    from torch import nn

    torch.manual_seed(1)
    dtypes = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
              torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128)  # fmt: skip
    yield "tensors", {str(dtype): torch.ones(2, 3).to(dtype) for dtype in dtypes}
    yield (
        "views",
        [torch.arange(12.0).reshape(3, 4).T[1:], torch.zeros(0, 3), torch.tensor(1.0), torch.ones(1).expand(4)],
    )
    yield "conjugate", torch.ones(2, dtype=torch.complex64).conj()
    yield (
        "values",
        [*dtypes, torch.device("cpu"), torch.device("cuda", 0), torch.Size([1, 2]), nn.Parameter(torch.ones(2))],
    )
    yield "storage", torch.ones(3).untyped_storage()
    for module in (
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1)),
        nn.LSTM(4, 8, 2, batch_first=True), nn.GRU(4, 8), nn.RNN(4, 8), nn.LSTMCell(2, 2),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1, enable_nested_tensor=False),
        nn.TransformerEncoderLayer(8, 2, 16, activation="gelu"), nn.TransformerDecoderLayer(8, 2, 16),
        nn.Transformer(8, 2, 1, 1, 16), nn.MultiheadAttention(8, 2),
        nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.MaxPool1d(2), nn.Flatten(), nn.LazyLinear(3)),
        nn.ModuleDict({"a": nn.Embedding(3, 4), "b": nn.LayerNorm(4)}), nn.ModuleList([nn.GELU(), nn.Softmax(1)]),
        nn.ParameterList([nn.Parameter(torch.ones(1))]), nn.ParameterDict({"a": nn.Parameter(torch.ones(1))}),
    ):  # fmt: skip
        yield type(module).__name__, module
        if not any(isinstance(parameter, nn.UninitializedParameter) for parameter in module.parameters()):
            yield f"{type(module).__name__} state", module.state_dict()
            yield f"{type(module).__name__} halves", module.half().state_dict()
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    yield "checkpoint", {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.1}
    yield "optimizer", optimizer
    yield "loss", nn.MSELoss()
    yield "weight norm", nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)).state_dict()
    yield from _objects()
    yield from _schedules()
    yield from _distributions()


def _objects() -> Iterator[Model]:
    """What stands around tensors and modules: attributes, hooks, generators, results, observers."""
    import torch
    from torch import nn
    from torch.ao import quantization

    tagged, parameter = torch.ones(2), nn.Parameter(torch.ones(2))
    tagged.tag, parameter.tag = "prices", [1, "a"]  # type: ignore[attr-defined]
    yield "attributes", [tagged, parameter, nn.Buffer(torch.ones(2))]
    yield "generator", torch.Generator()
    yield "results", [torch.max(torch.ones(2, 2), 1), torch.linalg.svd(torch.eye(2))]
    yield "packed", nn.utils.rnn.pack_sequence([torch.ones(3), torch.ones(2)])
    yield "scaler", torch.amp.GradScaler("cpu")
    yield "sparse batch", torch.ones(2, 3, 4).to_sparse_csr()
    lazy = (nn.LazyLinear(2), nn.LazyConv1d(2, 3), nn.LazyBatchNorm1d(), nn.LazyInstanceNorm1d())
    yield "lazy", nn.ModuleList(lazy)
    yield "data", torch.utils.data.Subset(torch.utils.data.TensorDataset(torch.ones(3)), [0, 2])
    for name in ("weight_norm", "spectral_norm", "orthogonal"):
        yield name, getattr(nn.utils.parametrizations, name)(nn.Linear(3, 3)).state_dict()
    yield "old spectral norm", nn.utils.spectral_norm(nn.Linear(3, 3))
    prune = importlib.import_module("torch.nn.utils.prune")
    yield "pruned", prune.ln_structured(prune.l1_unstructured(nn.Linear(3, 3), "weight", 0.3), "weight", 0.3, 2, 1)
    yield "observers", [quantization.MinMaxObserver(), quantization.HistogramObserver(), quantization.FakeQuantize()]
    yield "stubs", [quantization.QuantStub(), quantization.DeQuantStub()]


def _schedules() -> Iterator[Model]:
    import torch
    from torch.optim import lr_scheduler as schedules
    from torch.optim.swa_utils import SWALR

    for make in (
        lambda optimizer: schedules.LambdaLR(optimizer, abs),
        lambda optimizer: schedules.StepLR(optimizer, 2),
        schedules.ReduceLROnPlateau,
        lambda optimizer: schedules.CyclicLR(optimizer, 0.1, 1.0),
        lambda optimizer: schedules.CyclicLR(optimizer, 0.1, 1.0, mode="exp_range", gamma=0.9),
        lambda optimizer: schedules.OneCycleLR(optimizer, 0.1, 5),
        lambda optimizer: schedules.SequentialLR(optimizer, [schedules.ConstantLR(optimizer)] * 2, [1]),
        lambda optimizer: SWALR(optimizer, 0.05),
    ):
        schedule = make(torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9))
        yield type(schedule).__name__, {"schedule": schedule, "optimizer": schedule.optimizer}


def _distributions() -> Iterator[Model]:
    import torch
    from torch import distributions

    ones = torch.ones(3)
    normal = distributions.Normal(ones, ones)
    normal.log_prob(ones)
    yield "normal", [normal, distributions.Independent(normal, 1)]
    yield "mixture", distributions.MixtureSameFamily(distributions.Categorical(ones), normal)
    steps = [distributions.AffineTransform(0.0, 2.0), distributions.ExpTransform().inv]
    yield "transformed", distributions.TransformedDistribution(normal, steps)
    yield "others", [distributions.LKJCholesky(3), distributions.Wishart(torch.tensor(3.0), torch.eye(2))]


# --- names beyond those that were met ------------------------------------------------------------------------

WALKED = (
    "distributions", "optim.lr_scheduler", "optim.swa_utils", "nn.utils.parametrizations", "nn.utils.parametrize",
    "nn.utils.prune", "nn.utils.spectral_norm", "nn.utils.weight_norm", "nn.modules", "ao.quantization.fake_quantize",
    "ao.quantization.observer", "ao.quantization.stubs", "ao.nn.intrinsic.modules.fused", "ao.nn.qat",
    "ao.nn.quantized", "ao.nn.intrinsic.quantized",
)  # fmt: skip
SKIPPED = (
    "BasePruningMethod", "ConstraintRegistry", "FXFloatFunctional", "_DependentProperty", "_ChunkContext",
    "_ChunkViews", "_DerivedObserverOrFakeQuantize", "_Match", "_PartialWrapper", "_enable_get_lr_call",
    "_initial_mode", "_lazy_property_and_property", "lazy_property",
)  # fmt: skip
"""Helpers that no object holds."""
HOOKLESS = ("__hash__", "__eq__")
"""These run only where an object is a key or in a set, which is a finding of its own."""


def torch_siblings() -> Iterator[tuple[str, str]]:
    """Yield names that no model happened to hold, each with its uses."""
    import torch

    for name in ITEM_SIZES:
        yield name, "r"
    for name, value in vars(torch).items():
        if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
            yield f"torch.{str(value).rpartition('.')[2]}", "r"
            yield f"torch.{name}", "r"
    yield "torch.Tensor", "r"
    for owner in ("torch.nn.functional", "torch.nn.init"):
        for name, value in vars(importlib.import_module(owner)).items():
            if isinstance(value, FunctionType) and value.__module__ == owner and not name.startswith("_"):
                yield f"{owner}.{name}", "r"
    for name, value in vars(torch._C._nn).items():
        if callable(value) and not name.startswith("_"):
            yield f"torch._C._nn.{name}", "r"
    for name in ("relu", "tanh", "sigmoid", "softmax"):
        yield f"torch.{name}", "r"
    for name, value in vars(torch.return_types).items():
        if inspect.isclass(value) and not name.startswith("_") and value.__module__ == "torch.return_types":
            yield f"torch.return_types.{name}", "cr"
    yield "torch._C._VariableFunctionsClass", "r"
    for name in OPTIMIZERS:
        yield f"torch.optim.{name}", "bnr"
    yield "torch.nn.parallel.data_parallel.DataParallel", "bnr"
    for name in (*SCRIPT_OBJECTS, *QUANTIZED_MODULES):
        yield name, "bnr"
    yield "torch.nn.parameter.UninitializedBuffer", "cr"
    for name in ("per_tensor_affine", "per_channel_affine", "per_channel_affine_float_qparams"):
        yield f"torch.{name}", "r"
    for name in (
        "_utils._rebuild_tensor_v3",
        "_utils._rebuild_meta_tensor_no_storage",
        "_utils._rebuild_qtensor",
        "_utils._rebuild_sparse_tensor",
        "_utils._rebuild_nested_tensor",
        "serialization._get_layout",
    ):
        yield f"torch.{name}", "cr"
    for root in WALKED:
        for module in _modules(f"torch.{root}"):
            for last, kind in list(vars(module).items()):
                own = inspect.isclass(kind) and kind.__module__ == module.__name__ and kind.__qualname__ == last
                private = root == "nn.modules" and last.startswith("_")
                if own and not private and last not in SKIPPED and _is_plain(kind):
                    yield f"{module.__name__}.{last}", "bnr"


def _modules(root: str) -> Iterator[Any]:
    package = importlib.import_module(root)
    yield package
    for found in pkgutil.walk_packages(getattr(package, "__path__", []), f"{root}."):
        yield importlib.import_module(found.name)


def _is_plain(kind: type[Any]) -> bool:
    """Return whether a class of Python is created without arguments, and loaded by code that was reviewed."""
    import torch

    if issubclass(kind, (torch.Tensor, torch.optim.Optimizer, tuple, BaseException)) or inspect.isabstract(kind):
        return False
    if type(kind) not in (type, ABCMeta, type(torch.distributions.Normal)):
        return False
    hooks = {hook.partition(":")[0] for hook in hooks_of(kind, "").split()}
    plain = {f"{name}@torch.nn.modules.module.Module" for name in ("__setstate__", "__setattr__", "__getattr__")}
    own = {hook for hook in hooks - plain if not hook.startswith((*HOOKLESS, "__setitem__"))}
    return not own or (issubclass(kind, torch.nn.Module) and kind.__module__.startswith("torch.nn.modules."))

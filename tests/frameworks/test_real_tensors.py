"""Tensors of every kind and optimizers of every class, written by torch.save, are accepted and load as they were."""

from __future__ import annotations

import inspect
import io
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import held_out_torch
import pytest
import saving
import tally
import torch
from loading import Serving
from torch import nn
from torch.nn.parameter import is_lazy

from model_inbox.pickles import Allowlist, scan_bytes
from model_inbox.pickles.rules.torch_object_rules import COMPUTED

ALLOWLIST = Allowlist.load()
EIGHT_BITS = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")


def tensors() -> Iterator[tuple[str, Any]]:
    """Yield (label, what is saved)."""
    for name in EIGHT_BITS:
        yield name, {"weight": torch.arange(6, dtype=torch.uint8).view(getattr(torch, name)).reshape(2, 3)}
    for name in ("uint16", "uint32", "uint64", "bfloat16", "complex64"):
        yield name, [torch.arange(9).to(getattr(torch, name))[2:], getattr(torch, name)]
    dense = torch.tensor([[0.0, 1.5, 0, 0], [2, 0, 0, 0], [0, 0, 0, 3.5], [0, 0, 0, 0]])
    for layout in ("coo", "csr", "csc"):
        yield f"sparse {layout}", getattr(dense, "to_sparse" if layout == "coo" else f"to_sparse_{layout}")()
    yield "sparse rows", torch.sparse_coo_tensor(torch.tensor([[0, 2]]), torch.ones(2, 3), (4, 3))
    yield "sparse blocks", dense.to_sparse_bsr((2, 2))
    yield "quantized", torch.quantize_per_tensor(dense, 0.5, 3, torch.quint8)
    yield "channels", torch.quantize_per_channel(dense, torch.ones(4), torch.zeros(4), 1, torch.qint8)
    yield "nested", torch.nested.nested_tensor([torch.ones(3, 2), torch.zeros(1, 2)])
    yield "meta", torch.empty(3, 2, device="meta")
    yield "views", [dense.T, dense[1:, ::2], dense.expand(2, 4, 4), dense.to_sparse().coalesce().values()]
    for name, kind in inspect.getmembers(torch.optim, inspect.isclass):
        if kind is not torch.optim.Optimizer and issubclass(kind, torch.optim.Optimizer):
            model = nn.Linear(3, 3, bias=False)
            optimizer = kind(model.parameters())
            if name != "SparseAdam":
                optimizer.step(lambda model=model: _loss(model))
            yield name, {"optimizer": optimizer, "state": optimizer.state_dict()}


def _loss(model: nn.Module) -> Any:
    loss = model(torch.ones(1, 3)).square().sum()
    loss.backward()
    return loss


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    TENSORS = list(tensors())
    OBJECTS = list(held_out_torch.held_out())


def text(value: Any) -> str:
    """Return what is compared of a loaded value."""
    if isinstance(value, torch.optim.Optimizer):
        return text(value.state_dict())
    if isinstance(value, torch.Tensor) and value.element_size() == 1 and value.is_floating_point():
        return f"{value.dtype} {value.view(torch.uint8)}"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {text(item)}" for name, item in value.items())
    return repr(value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("label", "value"), TENSORS, ids=[label for label, _ in TENSORS])
def test_tensors_are_accepted_and_load_as_they_were(label: str, value: Any, tmp_path: Path) -> None:
    """In torch's archive, in the protocols 2 and 5."""
    serving = Serving(tmp_path)
    for protocol in (2, 5):
        file = io.BytesIO()
        torch.save(value, file, pickle_protocol=protocol)
        report = scan_bytes(file.getvalue(), ALLOWLIST)
        assert tally.note("torch", f"{label}, {protocol}", report), report.problems
        assert text(serving.load(file.getvalue(), report.imports)) == text(value)


def deep_text(value: Any) -> str:
    """Return what is compared of a loaded object: its class, and the numbers of all tensors in it."""
    found: list[str] = []

    class Reader(pickle.Pickler):
        def reducer_override(self, one: Any) -> Any:
            if isinstance(one, torch.Tensor) and not is_lazy(one):
                found.append(repr(one.detach().to_dense()))
            return NotImplemented

    Reader(io.BytesIO(), 4).dump(value)
    return f"{type(value)} {found}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("label", "value"), OBJECTS, ids=[label for label, _ in OBJECTS])
def test_objects_are_accepted_and_load_as_they_were(label: str, value: Any, tmp_path: Path) -> None:
    """In torch's formats and in plain pickles; the refused are counted below."""
    serving = Serving(tmp_path)
    expected = deep_text(value) if label != "generator" else ""
    for way, data in saving.saved_by_torch(value):
        report = scan_bytes(data, ALLOWLIST)
        if tally.note("torch", f"{label}, {way}", report):
            loaded = serving.load(data, report.imports)
            assert label == "generator" or deep_text(loaded) == expected, way


def test_few_files_are_refused() -> None:
    """Of the files above. Refused are generators and packed weights in the old format, where torch cannot load them."""
    counts = tally.of("torch")
    assert counts.files > 500
    assert all("old format" in reason for reason in counts.reasons), counts.reasons
    assert counts.refused <= counts.files / 50, counts.reasons


@pytest.mark.filterwarnings("ignore")
def test_attributes_that_torch_computes_by_are_known() -> None:
    """Every property of a tensor that can be set is refused as an attribute of a file."""
    settable = set()
    for name in dir(torch.Tensor):
        found = inspect.getattr_static(torch.Tensor, name)
        if name.startswith("__") or type(found).__name__ not in ("getset_descriptor", "property"):
            continue
        try:
            setattr(torch.ones(2), name, object())
        except AttributeError:
            continue
        except (TypeError, RuntimeError):
            pass
        settable.add(name)
    assert settable <= COMPUTED

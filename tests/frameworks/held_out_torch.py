"""Objects of torch that its list was not learned from: schedules, distributions, lazy and pruned modules, results.

Owns the objects of `test_real_tensors` beside plain tensors. Shares no code with the maintainers' learning set on
purpose.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import distributions as dist
from torch import nn
from torch.ao import quantization
from torch.nn.utils import parametrizations, prune
from torch.optim import lr_scheduler, swa_utils

Held = tuple[str, Any]


def schedules() -> Iterator[Held]:
    """Schedules of learning rates, half-way, and what they keep."""

    def of(kind: Any, *args: Any, **kwargs: Any) -> Any:
        groups = [{"params": [nn.Parameter(torch.ones(2))], "lr": 0.2}, {"params": [nn.Parameter(torch.zeros(1))]}]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        schedule = kind(optimizer, *args, **kwargs)
        optimizer.step()
        schedule.step(*([0.5] if kind is lr_scheduler.ReduceLROnPlateau else []))
        return schedule

    for kind, args, kwargs in (
        (lr_scheduler.MultiStepLR, ([2, 5],), {}),
        (lr_scheduler.ExponentialLR, (0.9,), {}),
        (lr_scheduler.CosineAnnealingLR, (7,), {}),
        (lr_scheduler.CosineAnnealingWarmRestarts, (3,), {"T_mult": 2}),
        (lr_scheduler.PolynomialLR, (), {"power": 2}),
        (lr_scheduler.LinearLR, (), {"total_iters": 3}),
        (lr_scheduler.ReduceLROnPlateau, ("max",), {"patience": 1}),
        (lr_scheduler.CyclicLR, (0.01, 0.1), {"mode": "triangular2"}),
        (lr_scheduler.CyclicLR, (0.01, 0.1), {"mode": "exp_range", "gamma": 0.99}),
        (lr_scheduler.OneCycleLR, (), {"max_lr": [0.1, 0.2], "total_steps": 9, "anneal_strategy": "linear"}),
        (lr_scheduler.LambdaLR, (abs,), {}),
        (lr_scheduler.StepLR, (4,), {}),
        (swa_utils.SWALR, (0.05,), {"anneal_strategy": "linear"}),
    ):
        schedule = of(kind, *args, **kwargs)
        yield kind.__name__, {"schedule": schedule, "optimizer": schedule.optimizer}
    chain = of(lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ConstantLR(o), lr_scheduler.StepLR(o, 2)]))
    yield "chained", chain


def modules() -> Iterator[Held]:
    """Modules that are not finished, not whole, or of rare kinds."""
    for kind, args in (
        ("Conv2d", (4, 3)), ("ConvTranspose1d", (2, 2)), ("BatchNorm2d", ()), ("InstanceNorm3d", ()), ("Linear", (5,)),
    ):  # fmt: skip
        yield f"lazy {kind}", nn.Sequential(getattr(nn, f"Lazy{kind}")(*args, dtype=torch.float64), nn.ReLU())
    yield "spectral", nn.utils.spectral_norm(nn.Conv1d(2, 2, 3), n_power_iterations=2)
    for name in ("weight_norm", "orthogonal", "spectral_norm"):
        yield name, getattr(parametrizations, name)(nn.Linear(4, 4)).state_dict()
    for change in (
        lambda module: prune.random_unstructured(module, "bias", 1),
        lambda module: prune.random_structured(module, "weight", 1, 0),
        lambda module: prune.custom_from_mask(module, "weight", torch.eye(4)),
        lambda module: prune.remove(prune.identity(module, "weight"), "weight"),
    ):
        yield "pruned", change(nn.Linear(4, 4))
    yield "averaged", swa_utils.AveragedModel(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    yield "complex", nn.Conv1d(1, 2, 2, dtype=torch.complex64)
    yield "functions", nn.TransformerDecoderLayer(8, 2, 8, activation=nn.functional.mish, batch_first=True)
    yield "distance", nn.TripletMarginWithDistanceLoss(distance_function=nn.functional.pairwise_distance)
    yield "pack", [nn.Unflatten(1, (2, 3)), nn.AdaptiveMaxPool2d((None, 2)), nn.RMSNorm((2, 3)), nn.CircularPad1d(2)]
    yield "observers", [quantization.MovingAveragePerChannelMinMaxObserver(), quantization.PlaceholderObserver()]
    yield "fused", torch.ao.nn.intrinsic.ConvBnReLU1d(nn.Conv1d(1, 2, 2), nn.BatchNorm1d(2), nn.ReLU())
    parts = nn.Sequential(nn.Linear(4, 2), nn.LSTM(2, 3), nn.GRUCell(3, 2))
    dynamic = quantization.quantize_dynamic(parts, {nn.Linear, nn.LSTM, nn.GRUCell}, dtype=torch.qint8)
    yield "dynamic", dynamic
    yield "dynamic weights", dynamic[0].state_dict()
    yield "dynamic halves", quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 2)), dtype=torch.float16)
    yield "static", _static()


def _static() -> nn.Module:
    """Return a small network after calibration and conversion."""
    module = nn.Sequential(
        quantization.QuantStub(), nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2),
        quantization.DeQuantStub(),
    ).eval()  # fmt: skip
    module.qconfig = quantization.get_default_qconfig("x86")
    quantization.fuse_modules(module, [["1", "2"]], inplace=True)
    quantization.prepare(module, inplace=True)
    module(torch.ones(1, 2, 3, 3))
    return quantization.convert(module)


def distributions() -> Iterator[Held]:
    """Distributions, as they are made and with what they have computed."""
    half, three = torch.tensor(0.5), torch.ones(3)
    used = dist.Categorical(logits=three)
    used.entropy()
    yield "used", [used, used.probs]
    for made in (
        dist.Bernoulli(logits=half), dist.Beta(three, three), dist.Binomial(4, half), dist.Dirichlet(three),
        dist.Gumbel(half, half), dist.HalfCauchy(half), dist.Kumaraswamy(half, half), dist.LogNormal(half, half),
        dist.LogisticNormal(three, three), dist.MultivariateNormal(three, precision_matrix=torch.eye(3)),
        dist.NegativeBinomial(2, half), dist.OneHotCategoricalStraightThrough(three), dist.Pareto(half, half),
        dist.RelaxedBernoulli(half, half), dist.StudentT(half), dist.VonMises(half, half), dist.Weibull(half, half),
        dist.TransformedDistribution(dist.Uniform(half, half + 1), [dist.SigmoidTransform().inv, dist.AbsTransform()]),
        dist.Independent(dist.LowRankMultivariateNormal(three, torch.ones(3, 1), three), 0),
    ):  # fmt: skip
        yield type(made).__name__, made


def others() -> Iterator[Held]:
    """What stands in checkpoints beside weights."""
    score = torch.ones(3)
    score.columns = ["a", "b"]  # type: ignore[attr-defined]
    weight = nn.Parameter(torch.ones(3), requires_grad=False)
    weight.role = {"kind": "frozen"}  # type: ignore[attr-defined]
    yield "attributes", [score, weight, nn.Buffer(torch.ones(1), persistent=False)]
    yield "generator", {"seeded": torch.Generator().manual_seed(5), "rng": torch.get_rng_state()}
    yield "results", [torch.topk(score, 2), torch.linalg.qr(torch.eye(2)), torch.sort(score), torch.aminmax(score)]
    yield "packed", nn.utils.rnn.pack_sequence([torch.ones(1), torch.ones(4)], enforce_sorted=False)
    yield "formats", [torch.int4, torch.float8_e4m3fn, torch.Size([2, 3])]
    yield "partial", [functools.partial(torch.clamp, min=0.0), functools.partial(nn.functional.softmax, dim=-1)]
    yield "scaler", torch.amp.GradScaler("cpu", init_scale=8.0)
    yield "block batch", torch.ones(2, 4, 4).to_sparse_bsr((2, 2))
    yield "hybrid", torch.ones(3, 4, 2).to_sparse_csr(dense_dim=1)


def held_out() -> Iterator[Held]:
    """Yield (label, object)."""
    for part in (schedules, modules, distributions, others):
        yield from part()

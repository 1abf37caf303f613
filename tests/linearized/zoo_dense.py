"""Dense networks: every activation, normalization, tying, reparametrization."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tests.linearized.zoo_truth import Architecture, Flow, real


def mlp(*middle: nn.Module, width: int = 5, after: int | None = None) -> nn.Module:
    """6 → width, something, → 3."""
    return nn.Sequential(nn.Linear(6, width), *middle, nn.Linear(after or width, 3))


def frozen() -> nn.Module:
    model = mlp(nn.Tanh())
    model[0].requires_grad_(False)
    return model


def frozen_bias() -> nn.Module:
    model = mlp(nn.GELU())
    model[0].bias.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    return model


def tied_weights() -> nn.Module:
    first = nn.Linear(6, 4, bias=False)
    back = Flow(lambda m, h: nn.functional.linear(h, m.weight.T), weight=first.weight)
    return nn.Sequential(first, nn.Tanh(), back, nn.Tanh(), nn.Linear(6, 3))


def tied_layers() -> nn.Module:
    model = nn.Sequential(*(layer for _ in range(3) for layer in (nn.Linear(6, 6), nn.Tanh())))
    model[2].weight = model[0].weight
    return model.append(nn.Linear(6, 3))


def twice() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(6, 3))


def maxout(m: Flow, x: Tensor) -> Tensor:
    return m.last(m.first(x).unflatten(1, (5, 2)).amax(2))


class RMS(nn.Module):
    """RMSNorm as language models write it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


def reparametrized(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    return nn.Sequential(norm(nn.Linear(6, 5)), nn.Tanh(), nn.Linear(5, 3))


def lazy() -> nn.Module:
    model = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(3))
    model(torch.zeros(1, 6))
    return model


def siren() -> nn.Module:
    return Flow(
        lambda m, x: m.last(torch.sin(3 * m.second(torch.sin(3 * m.first(x))))),
        first=nn.Linear(6, 5),
        second=nn.Linear(5, 5),
        last=nn.Linear(5, 3),
    )


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "ReLU in place": lambda: nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6,
    "LeakyReLU": nn.LeakyReLU,
    "LeakyReLU in place": lambda: nn.LeakyReLU(0.1, inplace=True),
    "ELU in place": lambda: nn.ELU(inplace=True),
    "SELU": nn.SELU,
    "CELU": nn.CELU,
    "GELU": nn.GELU,
    "GELU by tanh": lambda: nn.GELU("tanh"),
    "SiLU": nn.SiLU,
    "Mish": nn.Mish,
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
    "LogSigmoid": nn.LogSigmoid,
    "Softplus": nn.Softplus,
    "Softsign": nn.Softsign,
    "Softmin": lambda: nn.Softmin(dim=1),
    "Softshrink": nn.Softshrink,
    "Hardshrink": nn.Hardshrink,
    "Tanhshrink": nn.Tanhshrink,
    "Hardtanh": nn.Hardtanh,
    "Hardswish": nn.Hardswish,
    "Hardsigmoid": nn.Hardsigmoid,
    "Threshold": lambda: nn.Threshold(0.1, 0.2),
    "PReLU shared": nn.PReLU,
    "PReLU per channel": lambda: nn.PReLU(5),
    "RReLU in eval": nn.RReLU,
    "Softmax": lambda: nn.Softmax(dim=1),
    "LogSoftmax": lambda: nn.LogSoftmax(dim=1),
    "Dropout in eval": lambda: nn.Dropout(0.5),
    "AlphaDropout in eval": lambda: nn.AlphaDropout(0.5),
    "BatchNorm1d": lambda: nn.BatchNorm1d(5),
    "BatchNorm1d not affine": lambda: nn.BatchNorm1d(5, affine=False),
    "LayerNorm": lambda: nn.LayerNorm(5),
    "LayerNorm without bias": lambda: nn.LayerNorm(5, bias=False),
    "GroupNorm": lambda: nn.GroupNorm(1, 5),
    "RMSNorm of torch": lambda: nn.RMSNorm(5),
    "RMSNorm by hand": lambda: RMS(5),
}
MAKERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(6, 3),
    "no bias": lambda: nn.Sequential(
        nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)
    ),
    "one output": lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)),
    "five layers": lambda: mlp(
        *(layer for _ in range(3) for layer in (nn.ReLU(), nn.Linear(5, 5))), nn.ReLU()
    ),
    "GLU": lambda: mlp(nn.GLU(), width=10, after=5),
    "maxout": lambda: Flow(maxout, first=nn.Linear(6, 10), last=nn.Linear(5, 3)),
    "softmax outputs": lambda: mlp(nn.ReLU()).append(nn.Softmax(dim=1)),
    "batch norm last": lambda: mlp(nn.ReLU()).append(nn.BatchNorm1d(3)),
    "in-place activation last": lambda: mlp(nn.ReLU()).append(nn.ELU(inplace=True)),
    "in-place activation first": lambda: nn.Sequential(nn.ReLU(inplace=True), mlp(nn.Tanh())),
    "nested stacks": lambda: nn.Sequential(nn.Sequential(mlp(nn.ReLU())), nn.Sequential()),
    "unflattened": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 3)), nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)
    ),
    "frozen first layer": frozen,
    "frozen bias and weight": frozen_bias,
    "weights tied to their transpose": tied_weights,
    "weights tied across layers": tied_layers,
    "layer used twice": twice,
    "weight norm, old": lambda: reparametrized(nn.utils.weight_norm),
    "weight norm, new": lambda: reparametrized(parametrizations.weight_norm),
    "spectral norm, old": lambda: reparametrized(nn.utils.spectral_norm),
    "spectral norm, new": lambda: reparametrized(parametrizations.spectral_norm),
    "orthogonal weights": lambda: reparametrized(parametrizations.orthogonal),
    "LazyLinear": lazy,
    "SIREN": siren,
}
DENSE = {
    f"MLP, {name}": Architecture(lambda make=make: mlp(make()), real(6))
    for name, make in ACTIVATIONS.items()
} | {f"MLP, {name}": Architecture(make, real(6)) for name, make in MAKERS.items()}

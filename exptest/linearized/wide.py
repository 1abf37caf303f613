"""Networks whose gradients keep their size as width grows (the NTK parameterization)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from exptest import _checks


class ScaledLinear(nn.Linear):
    """The map z = W x/√fan_in + b with standard normal W and b: the NTK parameterization."""

    def __init__(self, fan_in: int, fan_out: int, *, bias: bool = True) -> None:
        self.scale = fan_in**-0.5
        super().__init__(fan_in, fan_out, bias=bias)

    def reset_parameters(self) -> None:
        """Draw every weight from the standard normal distribution."""
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(self, input: Tensor) -> Tensor:
        """Return z, shape (..., fan_out)."""
        return linear(self.scale * input, self.weight, self.bias)


def wide_network(
    features: int,
    width: int,
    outputs: int,
    *,
    depth: int = 1,
    activation: Callable[[], nn.Module] = nn.Tanh,
    seed: int = 0,
) -> nn.Module:
    """Return a fully connected network in the NTK parameterization.

    f(x) = W_L S(… S(W_1 x/√d) …)/√width, every weight drawn from N(0, 1): outputs, kernel and
    critical learning rate all have limits as width → ∞, so that widths can be compared.

    Args:
        features, width, outputs: sizes of input, hidden and output layers.
        depth: number of hidden layers.
        activation: S, a class of elementwise modules.
        seed: of the weights; the global generator is left alone.

    Returns:
        A stack of layers without biases.

    Raises:
        ValueError: a size below 1.

    >>> sum(p.numel() for p in wide_network(4, 10, 2, depth=2).parameters())
    160

    Claims C1.4 and C1.9.
    """
    sizes = [_checks.at_least("features", features, 1, 10)]
    sizes += [_checks.at_least("width", width, 1, 128)] * _checks.at_least("depth", depth, 1, 1)
    sizes += [_checks.at_least("outputs", outputs, 1, 1)]
    layers: list[nn.Module] = []
    with torch.device("meta"):  # nothing is drawn yet
        for fan_in, fan_out in pairwise(sizes):
            layers += [ScaledLinear(fan_in, fan_out, bias=False), activation()]
    network = nn.Sequential(*layers[:-1]).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        nn.init.normal_(weight, generator=generator)
    return network

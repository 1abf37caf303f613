"""A network linearized at its weights: the same parameters, a function linear in them."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from exptest.linearized.networks import (
    function_of_weights,
    push_forward,
    refuse_mixing,
    trainable,
)


class LinearizedNetwork(nn.Module):
    """The first-order Taylor expansion of a network in its weights, itself a trainable module.

    f_lin(x; θ) = f(x; θ₀) + ∇_θ f(x; θ₀)·(θ − θ₀), in one Jacobian-vector product. θ starts at θ₀.

    Its parameters are those of ``network``, a copy of the model; any optimizer trains them, and
    ``train()`` leaves the copy in the mode in which it was linearized: an expansion is about one
    function.

    >>> model = nn.Linear(3, 1)
    >>> x = torch.ones(2, 3)
    >>> torch.equal(LinearizedNetwork(model)(x), model(x))
    True

    Claim C1.1.
    """

    def __init__(self, model: nn.Module) -> None:
        anchors = trainable(model)
        refuse_mixing(model)
        super().__init__()
        self.network = deepcopy(model)
        self._names = list(anchors)
        for i, anchor in enumerate(anchors.values()):
            self.register_buffer(f"anchor_{i}", anchor.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return f_lin(x; θ) for a batch of inputs."""
        parameters = dict(self.network.named_parameters())
        at = {name: self.get_buffer(f"anchor_{i}") for i, name in enumerate(self._names)}
        moved = {name: parameters[name] - anchor for name, anchor in at.items()}
        network = function_of_weights(self.network)
        outputs, change = push_forward(lambda weights: network(weights, x), at, moved)
        return outputs + change

    def distance(self) -> float:
        """Return ‖θ − θ₀‖, how far training has moved the weights."""
        parameters = dict(self.network.named_parameters())
        moved = [
            (parameters[name].detach() - self.get_buffer(f"anchor_{i}")).square().sum()
            for i, name in enumerate(self._names)
        ]
        return float(torch.stack(moved).sum().sqrt())

    def train(self, mode: bool = True) -> LinearizedNetwork:
        """Set the mode of this module alone, never of the network inside."""
        self.training = mode
        return self


def linearize(model: nn.Module) -> LinearizedNetwork:
    """Return the network's first-order expansion at its present weights, as a trainable module.

    f_lin(x; θ) = f(x; θ₀) + ∇_θ f(x; θ₀)·(θ − θ₀).

    Args:
        model: any module that torch.func accepts; it is copied, not changed. Only parameters that
            require gradients are expanded.

    Returns:
        A module whose parameters start at θ₀.

    Raises:
        TypeError: not a module.
        ValueError: nothing to train, non-finite weights, or dropout or batch normalization in
            training mode.

    >>> model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    >>> linearize(model).distance()
    0.0

    Claim C1.1.
    """
    return LinearizedNetwork(model)

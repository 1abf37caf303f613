"""A network linearized at its weights: the same parameters, a function linear in them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from exptest.linearized.chosen import chosen, picked
from exptest.linearized.company import refuse_company
from exptest.linearized.copies import copied
from exptest.linearized.derivatives import push_forward, refuse_captured
from exptest.linearized.networks import function_of_weights, refuse_mixing, trainable


class LinearizedNetwork(nn.Module):
    """The first-order Taylor expansion of a network in its weights, itself a trainable module.

    f_lin(x; θ) = f(x; θ₀) + ∇_θ f(x; θ₀)·(θ − θ₀), in one Jacobian-vector product. θ starts at θ₀.

    Its parameters are those of ``network``, a copy of the model; any optimizer trains them, and
    ``train()`` leaves the copy in the mode in which it was linearized: an expansion is about one
    function. The first call checks, on a few of its inputs, that examples do not mix and that the
    network's derivatives are right.

    >>> model = nn.Linear(3, 1)
    >>> x = torch.ones(2, 3)
    >>> torch.equal(LinearizedNetwork(model)(x), model(x))
    True

    Claims C1.1, C1.5 and C1.8.
    """

    def __init__(self, model: nn.Module, *, output: Any = None) -> None:
        anchors = trainable(model)
        refuse_mixing(model)
        super().__init__()
        self.network = copied(model)
        for module in self.network.modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                module.sparse = False  # torch cannot differentiate a sparse gradient again
        self.output, self._checked = output, False
        self._names = list(anchors)
        for i, anchor in enumerate(anchors.values()):
            self.register_buffer(f"anchor_{i}", anchor.clone())

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return f_lin(x; θ) for a batch of inputs, one tensor or several."""
        if not self._checked:
            self._check(inputs)
        parameters = dict(self.network.named_parameters())
        at = {name: self.get_buffer(f"anchor_{i}") for i, name in enumerate(self._names)}
        moved = [parameters[name] - anchor for name, anchor in at.items()]
        with torch.enable_grad():
            live = {name: anchor.clone().requires_grad_() for name, anchor in at.items()}
            outputs = picked(function_of_weights(self.network)(live, inputs), self.output)
        linear = outputs + push_forward(outputs, list(live.values()), moved)
        return linear if torch.is_grad_enabled() else linear.detach()

    def _check(self, inputs: tuple[Tensor, ...]) -> None:
        start = self._start()
        for name in self._names:
            start.get_parameter(name).requires_grad_()
        network = chosen(start, self.output)
        refuse_company(network, inputs)
        refuse_captured(network, inputs)
        self._checked = True

    def distance(self) -> float:
        """Return ‖θ − θ₀‖, how far training has moved the weights."""
        parameters = dict(self.network.named_parameters())
        moved = [
            (parameters[name].detach() - self.get_buffer(f"anchor_{i}")).square().sum()
            for i, name in enumerate(self._names)
        ]
        return float(torch.stack(moved).sum().sqrt())

    def at_start(self) -> nn.Module:
        """Return the network at θ₀, whose kernel is this module's wherever θ is."""
        return chosen(self._start(), self.output)

    def _start(self) -> nn.Module:
        network = copied(self.network)
        with torch.no_grad():
            for i, name in enumerate(self._names):
                network.get_parameter(name).copy_(self.get_buffer(f"anchor_{i}"))
        return network

    def train(self, mode: bool = True) -> LinearizedNetwork:
        """Set the mode of this module alone, never of the network inside."""
        self.training = mode
        return self


def linearize(model: nn.Module, *, output: Any = None) -> LinearizedNetwork:
    """Return the network's first-order expansion at its present weights, as a trainable module.

    f_lin(x; θ) = f(x; θ₀) + ∇_θ f(x; θ₀)·(θ − θ₀).

    Args:
        model: any module that torch differentiates twice by its weights: recurrent, weight-normed,
            of several inputs or of token ids too. It is copied, not changed. Only parameters that
            require gradients are expanded.
        output: of a model that returns a dict or a tuple, the key or index of what to expand; or a
            function of what it returns.

    Returns:
        A module whose parameters start at θ₀; call it as the model is called.

    Raises:
        TypeError: not a module, or weights in half precision.
        ValueError: nothing to train, non-finite weights, dropout or batch normalization in
            training mode, a layer whose ``forward`` was replaced by a function that holds on to
            the model's weights; at the first call, examples that mix, or derivatives that
            contradict each other.

    >>> model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    >>> linearize(model).distance()
    0.0

    Claims C1.1, C1.5 and C1.8.
    """
    return LinearizedNetwork(model, output=output)

"""Curvature of a network's loss times a vector, in batches: Hessian, Gauss-Newton, kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import vjp

from exptest.linearized.losses import LossFn, loss_curvature
from exptest.linearized.networks import function_of_weights, push_forward, trainable

CURVATURES = ("ggn", "hessian", "ntk")


@dataclass(frozen=True)
class Curvature:
    """A symmetric matrix over all trainable weights, known by its products with vectors.

    Attributes:
        model, loss_fn, inputs, targets: what is differentiated.
        kind: ``"hessian"``, ``"ggn"`` or ``"ntk"``.
        batch_size: examples per forward pass.
        averages: whether the loss is a mean over examples (or a sum).
        output_curvature: largest eigenvalue of ∂²ℓ_i/∂f² over the examples, ℓ_i the loss of one.
    """

    model: nn.Module
    loss_fn: LossFn
    inputs: Tensor
    targets: Tensor
    kind: str
    batch_size: int
    averages: bool
    output_curvature: float

    def __matmul__(self, v: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """Return the product with a vector, in one sweep over the data."""
        product = {"hessian": self._hessian, "ggn": self._ggn, "ntk": self._ntk}[self.kind]
        weights = trainable(self.model)
        pieces = torch.split(v, [w.numel() for w in weights.values()])
        along = {k: p.view_as(w) for (k, w), p in zip(weights.items(), pieces, strict=True)}
        total = torch.zeros_like(v)
        for x, y, share in self._batches():
            parts = product(weights, along, x, y)
            total += share * torch.cat([parts[name].flatten() for name in weights])
        return total

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        n = len(self.inputs)
        whole = self.averages and self.kind != "ntk"
        batches = (self.inputs.split(self.batch_size), self.targets.split(self.batch_size))
        for x, y in zip(*batches, strict=True):
            yield x, y, len(x) / n if whole else 1.0

    def _hessian(
        self, weights: dict[str, Tensor], along: dict[str, Tensor], x: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """∇(∇L·v), by two backward passes."""
        network = function_of_weights(self.model)
        live = {name: w.clone().requires_grad_() for name, w in weights.items()}
        with torch.enable_grad():
            loss = self.loss_fn(network(live, x), y)
            gradient = torch.autograd.grad(
                loss, list(live.values()), create_graph=True, materialize_grads=True
            )
            terms = [(g * v).sum() for g, v in zip(gradient, along.values(), strict=True)]
            slope = torch.stack(terms).sum()
            if not slope.requires_grad:  # a loss that is linear in the weights
                return {name: torch.zeros_like(w) for name, w in live.items()}
            rows = torch.autograd.grad(slope, list(live.values()), materialize_grads=True)
        return {name: row.detach() for name, row in zip(live, rows, strict=True)}

    def _ggn(
        self, weights: dict[str, Tensor], along: dict[str, Tensor], x: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """Jᵀ(∂²L/∂f²)Jv: forward, twice through the loss alone, backward."""
        outputs, change, pull_back = self._both_ways(weights, along, x)
        return pull_back(loss_curvature(self.loss_fn, outputs, y, change))

    def _ntk(
        self, weights: dict[str, Tensor], along: dict[str, Tensor], x: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """κJᵀJv/n (or /1), which has the eigenvalues of κΘ/n."""
        _, change, pull_back = self._both_ways(weights, along, x)
        examples = len(self.inputs) if self.averages else 1
        return pull_back(change * (self.output_curvature / examples))

    def _both_ways(
        self, weights: dict[str, Tensor], along: dict[str, Tensor], x: Tensor
    ) -> tuple[Tensor, Tensor, Callable[[Tensor], dict[str, Tensor]]]:
        network = function_of_weights(self.model)
        outputs, change = push_forward(lambda w: network(w, x), weights, along)
        _, pull_back, *_ = vjp(lambda w: network(w, x), weights)
        return outputs.detach(), change.detach(), lambda cotangent: pull_back(cotangent)[0]

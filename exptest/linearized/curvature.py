"""Curvature of a network's loss times a vector, in batches: Hessian, Gauss-Newton, kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import vjp

from exptest.linearized.networks import function_of_weights, push_forward, trainable

LossFn = Callable[[Tensor, Tensor], Tensor]
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
            gradient = torch.autograd.grad(loss, list(live.values()), create_graph=True)
            terms = [(g * v).sum() for g, v in zip(gradient, along.values(), strict=True)]
            slope = torch.stack(terms).sum()
            rows = torch.autograd.grad(slope, list(live.values()), materialize_grads=True)
        return dict(zip(live, rows, strict=True))

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


def loss_curvature(loss_fn: LossFn, outputs: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Return (∂²L/∂f²) v at the outputs f."""
    f = outputs.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(loss_fn(f, y), f, create_graph=True)
        if not slope.requires_grad:  # a loss that is linear in the outputs
            return torch.zeros_like(v)
        return torch.autograd.grad((slope * v).sum(), f, materialize_grads=True)[0]


def largest_output_curvature(loss_fn: LossFn, outputs: Tensor, y: Tensor, averages: bool) -> float:
    """Return κ, the largest eigenvalue of ∂²ℓ_i/∂f² over the examples at these outputs."""
    flat = outputs.reshape(len(outputs), -1)
    columns = []
    for c in range(flat.shape[1]):
        v = torch.zeros_like(flat)
        v[:, c] = 1.0
        column = loss_curvature(loss_fn, outputs, y, v.view_as(outputs))
        columns.append(column.reshape(len(flat), -1))
    blocks = torch.stack(columns, dim=2) * (len(outputs) if averages else 1)
    return float(torch.linalg.eigvalsh((blocks + blocks.mT) / 2)[:, -1].max())


def averages_examples(loss_fn: LossFn, outputs: Tensor, targets: Tensor) -> bool:
    """Return whether the loss is a mean over examples: doubling the data leaves it as it is.

    Raises:
        ValueError: neither a mean nor a sum, or not a number.
    """
    try:
        once = loss_fn(outputs, targets)
        twice = loss_fn(torch.cat([outputs, outputs]), torch.cat([targets, targets]))
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            f"loss_fn refuses outputs of shape {tuple(outputs.shape)} and targets of shape "
            f"{tuple(targets.shape)}, {targets.dtype}: {error}"
        ) from error
    if not isinstance(once, Tensor) or once.ndim != 0:
        got = f"shape {tuple(once.shape)}" if isinstance(once, Tensor) else type(once).__name__
        raise ValueError(f"loss_fn must return one number, got {got}; use reduction='mean'.")
    if not once.isfinite():
        raise ValueError(f"the loss is {once.item()}; look for non-finite targets.")
    if torch.isclose(twice, once, rtol=1e-3):
        return True
    if torch.isclose(twice, 2 * once, rtol=1e-3):
        return False
    raise ValueError(
        "loss_fn must be a mean or a sum over examples; doubling the data changed it from "
        f"{once.item():.6g} to {twice.item():.6g}."
    )

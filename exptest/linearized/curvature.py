"""Curvature of a network's loss times a vector, in batches: Hessian, Gauss-Newton, kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from exptest.linearized.derivatives import FEW, gradient, push_forward
from exptest.linearized.inputs import Inputs, length, some, split
from exptest.linearized.losses import LossFn, loss_curvature
from exptest.linearized.networks import call

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
    inputs: Inputs
    targets: Tensor
    kind: str
    batch_size: int
    averages: bool
    output_curvature: float

    def __matmul__(self, v: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """Return the product with a vector, in one sweep over the data."""
        product = {"hessian": self._hessian, "ggn": self._ggn, "ntk": self._ntk}[self.kind]
        weights = [p for p in self.model.parameters() if p.requires_grad]
        pieces = torch.split(v, [w.numel() for w in weights])
        along = [piece.view_as(w) for w, piece in zip(weights, pieces, strict=True)]
        total = torch.zeros_like(v)
        for x, y, share in self._batches():
            with torch.enable_grad():
                outputs = call(self.model, x)
            found = product(weights, along, outputs, y)
            total += share * torch.cat([part.detach().flatten() for part in found])
        return total

    def _batches(self) -> Iterator[tuple[Inputs, Tensor, float]]:
        n = length(self.inputs)
        whole = self.averages and self.kind != "ntk"
        batches = (split(self.inputs, self.batch_size), self.targets.split(self.batch_size))
        for x, y in zip(*batches, strict=True):
            yield x, y, length(x) / n if whole else 1.0

    def _hessian(
        self, weights: Sequence[Tensor], along: Sequence[Tensor], outputs: Tensor, y: Tensor
    ) -> list[Tensor]:
        """∇(∇L·v), by two backward passes."""
        with torch.enable_grad():
            loss = self.loss_fn(outputs, y)
            slopes = torch.autograd.grad(
                loss, list(weights), create_graph=True, materialize_grads=True
            )
            terms = [(g * v).sum() for g, v in zip(slopes, along, strict=True)]
            slope = torch.stack(terms).sum()
            if not slope.requires_grad:  # a loss that is linear in the weights
                return [torch.zeros_like(w) for w in weights]
            return list(torch.autograd.grad(slope, list(weights), materialize_grads=True))

    def _ggn(
        self, weights: Sequence[Tensor], along: Sequence[Tensor], outputs: Tensor, y: Tensor
    ) -> list[Tensor]:
        """Jᵀ(∂²L/∂f²)Jv: forward, twice through the loss alone, backward."""
        change = push_forward(outputs, weights, along).detach()
        return gradient(outputs, weights, loss_curvature(self.loss_fn, outputs, y, change))

    def _ntk(
        self, weights: Sequence[Tensor], along: Sequence[Tensor], outputs: Tensor, y: Tensor
    ) -> list[Tensor]:
        """κ_f JᵀJv/n (or /1), which has the eigenvalues of κ_f Θ/n."""
        change = push_forward(outputs, weights, along).detach()
        examples = length(self.inputs) if self.averages else 1
        return gradient(outputs, weights, change * (self.output_curvature / examples))


def refuse_asymmetric(matrix: Curvature) -> None:
    """Refuse a Hessian that is none: torch's second derivatives of fused weight norm are wrong.

    Raises:
        ValueError: ⟨a, Hb⟩ is not ⟨b, Ha⟩ on a few of the examples.
    """
    few = replace(matrix, inputs=some(matrix.inputs, 0, FEW), targets=matrix.targets[:FEW])
    weights = [p.detach().flatten() for p in matrix.model.parameters() if p.requires_grad]
    like, generator = torch.cat(weights), torch.Generator().manual_seed(0)
    a, b = (torch.randn(len(like), generator=generator).to(like) for _ in range(2))
    left, right = few @ a, few @ b
    size = torch.maximum(a.norm() * right.norm(), b.norm() * left.norm())
    gap = (a @ right - b @ left).abs()
    if not gap <= torch.finfo(like.dtype).eps ** 0.5 * size:
        raise ValueError(
            "torch's second derivatives of this model are wrong: its Hessian is not symmetric "
            f"(by {gap.item() / size.item():.2g} of its size); look for weight norm or a custom "
            "autograd.Function, or try curvature='ggn'."
        )

"""Slow, literal versions of what this wing computes: one loop per symbol."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def literal_ntk(model: nn.Module, x1: Tensor, x2: Tensor) -> Tensor:
    """Θ[i, c, j, d], one backward pass per example and output, on a batch of one."""
    first, second = jacobian(model, x1), jacobian(model, x2)
    return torch.einsum("icp,jdp->icjd", first, second)


def jacobian(model: nn.Module, x: Tensor) -> Tensor:
    """J[i, c, θ], row by row."""
    return torch.stack([_gradients(model, one) for one in x])


def _gradients(model: nn.Module, x: Tensor) -> Tensor:
    weights = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for output in model(x.unsqueeze(0)).flatten():
        pieces = torch.autograd.grad(output, weights, retain_graph=True, allow_unused=True)
        parts = [
            torch.zeros_like(w) if g is None else g.to_dense()
            for g, w in zip(pieces, weights, strict=True)
        ]
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


def dense_hessian(model: nn.Module, loss_fn: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The Hessian of the loss in all trainable weights, entry by entry."""
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    shapes = [dict(model.named_parameters())[name] for name in names]

    def loss(flat: Tensor) -> Tensor:
        pieces = torch.split(flat, [p.numel() for p in shapes])
        weights = {
            name: piece.view_as(p) for name, piece, p in zip(names, pieces, shapes, strict=True)
        }
        return loss_fn(torch.func.functional_call(model, weights, (inputs,)), targets)

    flat = torch.cat([p.detach().flatten() for p in shapes])
    return torch.autograd.functional.hessian(loss, flat, vectorize=True)


def dense_ggn(model: nn.Module, loss_fn: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Jᵀ H J, J the Jacobian of all outputs, H the Hessian of the loss in the outputs."""
    J = jacobian(model, inputs).flatten(0, 1)
    outputs = model(inputs).detach()
    H = torch.autograd.functional.hessian(lambda f: loss_fn(f, targets), outputs)
    return J.T @ H.reshape(outputs.numel(), -1) @ J

"""Jv without a forward mode, and what of the loss's slope is in the kernel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import LossModel, empirical_ntk, linearize
from exptest.linearized.derivatives import push_forward


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(8, 5, dtype=torch.float64)


def jacobian_of(model: nn.Module, x: Tensor) -> Tensor:
    """J, by a backward pass for each row."""
    rows = []
    for output in model(x).flatten():
        row = torch.autograd.grad(output, list(model.parameters()), retain_graph=True)
        rows.append(torch.cat([g.flatten() for g in row]))
    return torch.stack(rows)


@pytest.mark.claim("C1.5")
def test_two_backward_passes_make_a_forward_one(model: nn.Module, x: Tensor) -> None:
    J, weights = jacobian_of(model, x), list(model.parameters())
    along = [torch.randn_like(w) for w in weights]
    v = torch.cat([piece.flatten() for piece in along])
    change = push_forward(model(x), weights, along).detach()
    assert torch.allclose(change.flatten(), J @ v, rtol=1e-12, atol=1e-12)
    linear = linearize(model)
    with torch.no_grad():
        for weight, piece in zip(linear.parameters(), along, strict=True):
            weight += piece
    expected = model(x).flatten() + J @ v
    assert torch.allclose(linear(x).flatten(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.claim("C1.6")
@pytest.mark.parametrize("loss", ["half_mse", "mse"])
def test_the_gradient_s_length_is_in_the_kernel(model: nn.Module, x: Tensor, loss: str) -> None:
    y, weights = torch.randn(8, 3, dtype=torch.float64), list(model.parameters())
    scale = {"half_mse": 1 / 16, "mse": 1 / 24}[loss]
    slope = torch.autograd.grad(scale * (model(x) - y).square().sum(), weights)
    square = sum(g.square().sum().item() for g in slope)
    theta, r = empirical_ntk(model, x).reshape(24, 24), (model(x) - y).flatten()
    assert 4 * scale**2 * (r @ theta @ r).item() == pytest.approx(square, rel=1e-12)
    modes = LossModel.from_network(model, x, y, loss=loss)
    assert 2 * modes.eigenvalues @ modes.amplitudes == pytest.approx(square, rel=1e-12)
    J = jacobian_of(model, x)
    assert theta.trace().item() == pytest.approx(J.square().sum().item(), rel=1e-12)

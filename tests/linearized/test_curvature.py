"""Where Gauss-Newton is the Hessian, and what an eigenvalue that has not converged promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import curvature_spectrum
from exptest.linearized.losses import LossFn


def matrix(model: nn.Module, loss_fn: LossFn, x: Tensor, y: Tensor, kind: str) -> np.ndarray:
    """The whole curvature, from all its eigenvalues and vectors."""
    p = sum(weight.numel() for weight in model.parameters())
    found = curvature_spectrum(model, loss_fn, x, y, curvature=kind, k=p)
    return (found.vectors * found.eigenvalues) @ found.vectors.T


def bending(model: nn.Module, loss_fn: LossFn, x: Tensor, y: Tensor) -> np.ndarray:
    """Σ (∂L/∂f)∇²f, the Hessian of the outputs with the loss's slopes held fixed."""
    weights = list(model.parameters())
    outputs = model(x)
    (slopes,) = torch.autograd.grad(loss_fn(outputs, y), outputs, retain_graph=True)
    pulled = torch.autograd.grad((slopes.detach() * outputs).sum(), weights, create_graph=True)
    flat = torch.cat([g.flatten() for g in pulled])
    rows = [
        torch.autograd.grad(g, weights, retain_graph=True, materialize_grads=True) for g in flat
    ]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]).numpy()


@pytest.mark.claim("C3.15")
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_hessian_is_gauss_newton_and_the_bending_of_the_network(loss: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    x = torch.randn(12, 3, dtype=torch.float64)
    y = torch.randn(12, 2, dtype=torch.float64) if loss == "mse" else torch.arange(12) % 2
    loss_fn: LossFn = nn.MSELoss() if loss == "mse" else nn.CrossEntropyLoss()
    hessian, ggn = (matrix(model, loss_fn, x, y, kind) for kind in ("hessian", "ggn"))
    bent = bending(model, loss_fn, x, y)
    assert hessian == pytest.approx(ggn + bent, abs=1e-12)
    apart = abs(np.linalg.eigvalsh(hessian)[-1] - np.linalg.eigvalsh(ggn)[-1])
    assert 1e-3 < apart <= np.linalg.norm(bent, 2)
    line = nn.Linear(3, 2).double()
    straight = [matrix(line, loss_fn, x, y, kind) for kind in ("hessian", "ggn")]
    assert straight[0] == pytest.approx(straight[1], abs=1e-12)
    if loss == "mse":
        fitted = model(x).detach()
        at_rest = [matrix(model, loss_fn, x, fitted, kind) for kind in ("hessian", "ggn")]
        assert at_rest[0] == pytest.approx(at_rest[1], abs=1e-12)


@pytest.mark.claim("C3.16")
@pytest.mark.parametrize("tolerance", [0.5, 1e-6])
def test_an_eigenvalue_is_off_by_no_more_than_its_residual_and_never_too_large(
    tolerance: float,
) -> None:
    draw = np.random.default_rng(1)
    x = torch.as_tensor(draw.standard_normal((400, 300)))
    y, model = torch.zeros(400, 1, dtype=torch.float64), nn.Linear(300, 1, bias=False).double()
    found = curvature_spectrum(model, nn.MSELoss(), x, y, k=4, tolerance=tolerance)
    true = torch.linalg.eigvalsh(2 * x.T @ x / 400).flip(0).numpy()
    radius = found.residuals * abs(found.eigenvalues).max() + 1e-12
    for value, reach in zip(found.eigenvalues, radius, strict=True):
        assert abs(true - value).min() <= reach
    assert (found.eigenvalues <= true[:4] * (1 + 1e-12)).all()
    assert found.critical_learning_rate >= 2 / true[0] * (1 - 1e-12)
    assert (found.residuals.max() > 1e-4) == (tolerance > 1e-3), "nothing was left to converge"

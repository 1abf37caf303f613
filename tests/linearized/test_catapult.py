"""Beyond 2/λ_max a wide network does not always diverge: it flees to where the loss is flatter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import LossModel, wide_network


def losses(model: nn.Module, x: Tensor, y: Tensor, lr: float, steps: int) -> np.ndarray:
    optimizer, curve = torch.optim.SGD(model.parameters(), lr=lr), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - y).square().sum() / (2 * len(x))
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return np.array(curve)


@pytest.mark.claim("C3.8")
@pytest.mark.parametrize("share", [1.2, 1.5, 1.9])
def test_the_kernel_shrinks_by_the_recursion(share: float) -> None:
    """f ← f(1 − ηλ + η²f²/m), λ ← λ + (ηf²/m)(ηλ − 4), with x = 1 and target 0."""
    m = 64
    model = wide_network(1, m, 1, activation=nn.Identity, seed=3).double()
    x, y = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    f, λ = model(x).item(), float(LossModel.from_network(model, x, y).eigenvalues[0])
    η = share * 2 / λ
    for step in range(40):
        f, λ, before = f * (1 - η * λ + η**2 * f**2 / m), λ + η * f**2 / m * (η * λ - 4), λ
        losses(model, x, y, η, 1)
        assert model(x).item() == pytest.approx(f, rel=1e-8, abs=1e-12)
        assert λ <= before
        if step % 8 == 7:
            now = LossModel.from_network(model, x, y).eigenvalues[0]
            assert now == pytest.approx(λ, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_network_is_thrown_to_a_flatter_place(seed: int) -> None:
    x = torch.ones(1, 1, dtype=torch.float64)
    model = wide_network(1, 512, 1, activation=nn.Identity, seed=seed).double()
    y = torch.zeros(1, 1, dtype=torch.float64)
    before = LossModel.from_network(model, x, y)
    lr = 1.5 * before.critical_learning_rate
    curve = losses(model, x, y, lr, 300)
    after = LossModel.from_network(model, x, y)
    assert curve.max() > 10 * curve[0]
    assert curve[-1] < 1e-6 * curve[0]
    assert after.eigenvalues[0] < 2 / lr < before.eigenvalues[0]
    assert before.gradient_descent(lr, 300)[-1] > 1e6 * curve[0]

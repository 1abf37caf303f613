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

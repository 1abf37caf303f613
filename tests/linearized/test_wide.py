"""Wide networks: what is drawn, how it is scaled, and which layers there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from exptest.linearized import empirical_ntk, wide_network
from exptest.linearized.wide import ScaledLinear


def test_the_function_is_the_one_written_down() -> None:
    """f(x) = W₃ S(W₂ S(W₁ x/√d)/√m)/√m, without biases."""
    model, x = wide_network(5, 7, 9, depth=2, activation=nn.ReLU, seed=3), torch.randn(4, 5)
    first, second, third = model.parameters()
    h = (x @ first.T / 5**0.5).clamp(min=0.0)
    h = (h @ second.T / 7**0.5).clamp(min=0.0)
    assert torch.allclose(model(x), h @ third.T / 7**0.5, rtol=1e-5, atol=1e-6)


def test_weights_are_standard_normal_and_those_of_the_seed() -> None:
    state = torch.get_rng_state()
    weights = wide_network(50, 400, 1, seed=1)[0].weight
    assert torch.equal(torch.get_rng_state(), state)
    assert weights.mean().item() == pytest.approx(0.0, abs=0.03)
    assert weights.std().item() == pytest.approx(1.0, abs=0.03)
    assert weights.abs().max() > 3.5
    assert torch.equal(weights, wide_network(50, 400, 1, seed=1)[0].weight)
    assert not torch.equal(weights, wide_network(50, 400, 1, seed=2)[0].weight)


def test_a_layer_draws_its_weights_and_biases_anew_from_the_standard_normal() -> None:
    layer = ScaledLinear(40, 500)
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)
    for parameter in layer.parameters():
        assert parameter.std().item() == pytest.approx(1.0, abs=0.1)
        assert parameter.abs().max() > 2.5
    x = torch.randn(3, 40)
    expected = x @ layer.weight.T / 40**0.5 + layer.bias
    assert torch.allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def arc_cosine(x: torch.Tensor) -> torch.Tensor:
    """The limit of Θ for one hidden layer of ReLUs."""
    d, length = x.shape[1], x.norm(dim=1)
    cosine = (x @ x.T / torch.outer(length, length)).clamp(-1.0, 1.0)
    φ = cosine.arccos()
    both = φ.sin() + 2 * (torch.pi - φ) * cosine
    return torch.outer(length, length) * both / (2 * torch.pi * d)


@pytest.mark.claim("C1.9")
@pytest.mark.usefixtures("as_users_do")
def test_the_kernel_of_relus_tends_to_the_arc_cosine_kernel_as_one_over_root_m() -> None:
    x = torch.randn(6, 4, dtype=torch.float64)
    widths, limit, seeds, size = [16, 128, 1024], arc_cosine(x), 10, []
    for width in widths:
        drawn = [wide_network(4, width, 1, activation=nn.ReLU, seed=s) for s in range(seeds)]
        kernels = torch.stack([empirical_ntk(m.double(), x, trace_outputs=True) for m in drawn])
        size.append((kernels - limit).square().mean().sqrt().item())
        error = kernels.std(0) / seeds**0.5  # every width has the limit as its mean
        assert ((kernels.mean(0) - limit).abs() < 5 * error).all()
    order = -np.polyfit(np.log(widths), np.log(size), 1)[0]
    assert order == pytest.approx(0.5, abs=0.15)

"""The experiments' models are what their names say: layers, sizes and fresh weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, linear, max_pool2d

from exptest.models import mlp, reset_parameters, small_cnn, softmax_regression


def test_softmax_regression_gives_logits() -> None:
    model, x = softmax_regression(6, 3), torch.randn(4, 2, 3)
    assert torch.equal(model(x), linear(x.flatten(1), model[1].weight, model[1].bias))


def test_an_mlp_rectifies_between_its_layers_and_not_after() -> None:
    model, x = mlp([5, 7, 6, 2]), torch.randn(4, 5)
    h, layers = x, [m for m in model if isinstance(m, nn.Linear)]
    for layer in layers[:-1]:
        h = layer(h).clamp(min=0.0)
    assert [tuple(m.weight.shape) for m in layers] == [(7, 5), (6, 7), (2, 6)]
    assert torch.equal(model(x), layers[-1](h))


@pytest.mark.parametrize("channels", [8, 3])
def test_a_small_cnn_pools_twice_and_keeps_the_side_between(channels: int) -> None:
    model, x = small_cnn(8, 10, channels=channels), torch.randn(3, 1, 8, 8)
    first, second = (m for m in model if isinstance(m, nn.Conv2d))
    h = max_pool2d(conv2d(x, first.weight, first.bias, padding=1).clamp(min=0.0), 2)
    h = max_pool2d(conv2d(h, second.weight, second.bias, padding=1).clamp(min=0.0), 2)
    assert h.shape == (3, 2 * channels, 2, 2)
    assert None not in (first.bias, second.bias, model[-1].bias)
    assert torch.equal(model(x), model[-1](h.flatten(1)))
    assert torch.equal(model(x.flatten(1)), model(x))


def test_every_weight_is_drawn_anew_by_its_layers_own_rule() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Linear(4, 2))
    before = [p.clone() for p in model.parameters()]
    torch.manual_seed(5)
    reset_parameters(model)
    assert not any(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))
    torch.manual_seed(5)
    fresh = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Linear(4, 2))
    assert all(
        torch.equal(p, q) for p, q in zip(model.parameters(), fresh.parameters(), strict=True)
    )


@pytest.mark.usefixtures("as_users_do")
def test_bad_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"sizes needs an input and an output size, got \[8\]"):
        mlp([8])
    with pytest.raises(ValueError, match="a layer size must be a whole number of at least 1"):
        mlp([8, 0, 1])
    for side in (6, 9):
        with pytest.raises(ValueError, match=f"side must be a multiple of 4 .* got {side}"):
            small_cnn(side, 10)

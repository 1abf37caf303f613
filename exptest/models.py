"""The models of the experiments: small, standard, named as in the paper."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from exptest import _checks


def softmax_regression(features: int, classes: int) -> nn.Module:
    """Return the convex classifier x ↦ Wx + b (logits; train it with cross-entropy).

    >>> sum(p.numel() for p in softmax_regression(784, 10).parameters())
    7850
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(features, classes))


def mlp(sizes: Sequence[int]) -> nn.Module:
    """Return a ReLU network with the layer sizes given, input and output included.

    Raises:
        ValueError: fewer than two sizes, or a size below 1.

    >>> sum(p.numel() for p in mlp([8, 32, 32, 1]).parameters())
    1377
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes needs an input and an output size, got {list(sizes)}; try [8, 1].")
    widths = [_checks.at_least("a layer size", size, 1, 32) for size in sizes]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def small_cnn(side: int, classes: int, *, channels: int = 8) -> nn.Module:
    """Return two 3×3 convolutions with pooling and a linear head, for side × side images.

    Inputs may be flat, shape (n, side²), or images, shape (n, 1, side, side).

    >>> import torch
    >>> small_cnn(8, 10)(torch.zeros(5, 64)).shape
    torch.Size([5, 10])
    """
    if side % 4:
        raise ValueError(f"side must be a multiple of 4 (two poolings), got {side}; try 8 or 28.")
    return nn.Sequential(
        nn.Flatten(),
        nn.Unflatten(1, (1, side, side)),
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * channels * (side // 4) ** 2, classes),
    )


def reset_parameters(model: nn.Module) -> None:
    """Draw fresh initial weights in place, by every layer's own rule (torch's global seed)."""
    for module in model.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()

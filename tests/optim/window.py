"""A small model trained over one window that is rejected, its ρ by the definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from exptest.optim import ExpTest
from exptest.record import Decision
from exptest.statistics import PathRatio


def window(
    model: nn.Module,
    loss_of: Callable[[int], Tensor],
    after: Callable[[], Any] = lambda: None,
    optimizer: Any = None,
    **settings: Any,
) -> tuple[Decision, PathRatio, ExpTest]:
    """Train until the first decision, a rejection; ρ of the steps measured, by the definition."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=1.0)
    exptest = ExpTest(optimizer, **{"max_lr": 0.05, "min_window": 16, "model": model} | settings)
    path, decision, number = PathRatio(), None, 0
    while decision is None:
        optimizer.zero_grad()
        loss = loss_of(number)
        loss.backward()
        measuring = exptest.tuner.measuring
        optimizer.step()
        if measuring:
            there = [p.grad for g in optimizer.param_groups for p in g["params"]]
            whole = [g.to_dense().flatten().double() for g in there if g is not None]
            path.update(torch.cat(whole).numpy())
        after()
        decision, number = exptest.step(0.5 + 0.001 * number), number + 1
    return decision, path, exptest


def batch(number: int, dtype: torch.dtype = torch.float64) -> Tensor:
    draw = torch.Generator().manual_seed(number)
    return torch.randn(8, 4, generator=draw, dtype=torch.float64).to(dtype)


def error(model: nn.Module, number: int, dtype: torch.dtype = torch.float64) -> Tensor:
    inputs = batch(number, dtype)
    return (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def weights(model: nn.Module) -> list[Tensor]:
    return [t.detach().clone() for t in model.state_dict().values()]

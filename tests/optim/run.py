"""A run of ExpTest by hand: what the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from exptest.optim import ExpTest

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1.0),
    "momentum": lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9),
    "decay": lambda p: torch.optim.SGD(p, lr=1.0, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=1.0),
}


class Run:
    """A model, noisy data, and one step at a time, all from one seed."""

    def __init__(self, optimizer: str = "sgd", seed: int = 0, **settings: Any) -> None:
        torch.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1)
        )
        self.model.double()
        self.inputs = torch.randn(256, 6, dtype=torch.float64)
        self.targets = self.inputs.sum(1, keepdim=True) + torch.randn(256, 1, dtype=torch.float64)
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        settings = {"max_lr": 0.02, "model": self.model} | settings
        self.exptest = ExpTest(self.optimizer, **settings)

    def loss(self, step: int) -> Tensor:
        rows = torch.randint(256, (16,), generator=torch.Generator().manual_seed(step))
        return (self.model(self.inputs[rows]) - self.targets[rows]).square().mean()

    def step(self, step: int) -> Any:
        self.optimizer.zero_grad()
        loss = self.loss(step)
        loss.backward()
        self.optimizer.step()
        return self.exptest.step(loss)

    def diverge(self) -> Any:
        """Break a weight, as an explosion would, and show the loss that follows."""
        with torch.no_grad():
            next(self.model.parameters()).fill_(float("nan"))
        self.optimizer.zero_grad()
        self.optimizer.step()
        return self.exptest.step(float("nan"))

    def weights(self) -> list[Tensor]:
        return [t.detach().clone() for t in self.model.state_dict().values()]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))

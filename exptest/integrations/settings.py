"""ExpTest's settings, while there is no optimizer yet."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from exptest.optim import ExpTest


class Settings:
    """What an `ExpTest` will be made with, checked now.

    Args:
        settings: keywords of `ExpTest`; but ``schedule`` is a function from the optimizer to a
            torch learning-rate scheduler on it, and ``model`` is the framework's.

    Raises:
        TypeError, ValueError: ExpTest takes no such setting.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._given = dict(settings)
        self._schedule = self._given.pop("schedule", None)
        if not (self._schedule is None or callable(self._schedule)):
            raise TypeError(
                "schedule must be a function that makes one on the framework's optimizer, got "
                f"{type(self._schedule).__name__}; try schedule=lambda optimizer: "
                "LambdaLR(optimizer, lambda step: min(1, (step + 1) / 100))."
            )
        if "model" in self._given:
            raise TypeError("the model is the framework's; leave model=... away.")
        probe = nn.Linear(1, 1)
        ExpTest(torch.optim.SGD(probe.parameters(), lr=1.0), model=probe, **self._given)

    def make(self, optimizer: Optimizer, model: nn.Module) -> ExpTest:
        """Return an ExpTest on ``optimizer``, which owns its rates from now on."""
        schedule = self._schedule(optimizer) if self._schedule else None
        return ExpTest(optimizer, model=model, schedule=schedule, **self._given)

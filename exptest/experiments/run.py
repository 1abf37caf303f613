"""One run of a paper experiment: ExpTest, or a peer at a rate chosen by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from exptest import _checks
from exptest.data import Dataset
from exptest.linearized import max_learning_rate
from exptest.training import History

PEERS = {
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr),
    "sgd_momentum": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr),
    "rmsprop": lambda parameters, lr: torch.optim.RMSprop(parameters, lr=lr),
    "adadelta": lambda parameters, lr: torch.optim.Adadelta(parameters),
}


def largest_rate(data: Dataset) -> float:
    """Return the paper's η_max = 2n/((n−1) λ_max(Σ)) of the standardized inputs."""
    return max_learning_rate(data.standardized(), loss="half_mse")


@dataclass(frozen=True)
class Method:
    """How the weights are trained: ``"exptest"``, or a peer at ``factor`` × η_max.

    Adadelta keeps torch's default rate, whatever the factor.
    """

    name: str = "exptest"
    factor: float = 1.0
    alpha: float = 0.05
    beta: float = 0.33
    mode: str = "paper"

    def __post_init__(self) -> None:
        _checks.one_of("method", self.name, ("exptest", *PEERS))
        _checks.positive("factor", self.factor, 1.0)

    def fit_arguments(self, model: nn.Module, max_lr: float) -> dict[str, Any]:
        """Return what `fit` needs to train ``model`` this way."""
        if self.name == "exptest":
            settings = {"alpha": self.alpha, "beta": self.beta, "method": self.mode}
            return {"max_lr": max_lr, **settings}
        peer: Optimizer = PEERS[self.name](model.parameters(), self.factor * max_lr)
        return {"optimizer": peer, "lr": peer.param_groups[0]["lr"]}

    def __str__(self) -> str:
        if self.name == "exptest":
            return "ExpTest"
        return self.name if self.name == "adadelta" else f"{self.name} {self.factor:g}×"


@dataclass(frozen=True)
class Trial:
    """One seeded run and the numbers that the paper reports of it."""

    method: Method
    seed: int
    test_metric: float
    train_loss: float
    history: History

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the curve, ready for JSON."""
        decisions = json.loads(self.history.to_frame().to_json(orient="records"))
        return {
            "method": str(self.method),
            "seed": self.seed,
            "test_metric": self.test_metric,
            "train_loss": self.train_loss,
            "final_lr": self.history.lr,
            "steps": len(self.history.losses),
            "decisions": decisions,
        }

"""An 8-32-32-1 network on California housing (the paper's figure 3 and its table)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from exptest.data import Dataset
from exptest.experiments.run import Method, Trial
from exptest.models import mlp, reset_parameters
from exptest.training import fit

# Test MSE and its population standard deviation over 5 trials, as the authors published them.
AUTHORS = (0.2846, 0.0070)


@dataclass(frozen=True)
class Config:
    """One California run: full batch, fresh weights after every rejection of the search."""

    steps: int = 10_000
    seed: int = 0
    method: Method = field(default_factory=Method)


def run(config: Config, data: Dataset, *, max_lr: float, progress: bool = False) -> Trial:
    """Train and measure once; test_metric is the test MSE."""
    torch.manual_seed(config.seed)
    model = mlp([data.inputs.shape[1], 32, 32, 1])

    def mse(model: nn.Module) -> float:
        return (model(data.test_inputs) - data.test_targets).square().mean().item()

    settings = config.method.fit_arguments(model, max_lr)
    if config.method.name == "exptest":
        settings["restart"] = lambda: reset_parameters(model)
    history = fit(
        model,
        (data.inputs, data.targets),
        loss_fn=nn.MSELoss(),
        steps=config.steps,
        evaluate={"mse": mse},
        evaluate_every=config.steps,
        seed=config.seed,
        progress=progress,
        **settings,
    )
    return Trial(
        method=config.method,
        seed=config.seed,
        test_metric=history.final("mse"),
        train_loss=float(history.losses[-1]),
        history=history,
    )

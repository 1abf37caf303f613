"""Softmax regression on MNIST (the paper's figures 1 and 2, and its first tables)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from exptest.data import Dataset
from exptest.experiments.run import Method, Trial
from exptest.models import softmax_regression
from exptest.training import fit

# Batch size → test accuracy (%), its population standard deviation over 5 trials, and the mean
# training loss of the last epoch, as the authors published them.
AUTHORS = {32: (92.30, 0.07, 0.268), 512: (91.63, 0.15, 0.308), 2048: (90.58, 0.08, 0.367)}


@dataclass(frozen=True)
class Config:
    """One MNIST run: five epochs of mini-batch training, weights never restarted (convex)."""

    batch_size: int = 32
    epochs: int = 5
    seed: int = 0
    method: Method = field(default_factory=Method)


def run(config: Config, data: Dataset, *, max_lr: float, progress: bool = False) -> Trial:
    """Train and measure once; test_metric is the test accuracy in %."""
    torch.manual_seed(config.seed)
    model = softmax_regression(data.inputs.shape[1], 10)

    def accuracy(model: nn.Module) -> float:
        predicted = model(data.test_inputs).argmax(1)
        return 100 * (predicted == data.test_targets).double().mean().item()

    settings = config.method.fit_arguments(model, max_lr)
    if config.method.name == "exptest":
        settings["restart"] = None
    history = fit(
        model,
        (data.inputs, data.targets),
        loss_fn=nn.CrossEntropyLoss(),
        batch_size=config.batch_size,
        epochs=config.epochs,
        evaluate={"accuracy": accuracy},
        seed=config.seed,
        progress=progress,
        **settings,
    )
    return Trial(
        method=config.method,
        seed=config.seed,
        test_metric=history.final("accuracy"),
        train_loss=history.last_epoch_loss(),
        history=history,
    )

"""A small network on scikit-learn's digits: the embedded experiment, seconds long, offline."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from exptest.data import Dataset, load_digits
from exptest.models import mlp
from exptest.training import History, fit

METRIC = "test accuracy (%)"


@dataclass(frozen=True)
class Config:
    """One digits run: an MLP, mini-batches, and by default no learning rate anywhere."""

    hidden: tuple[int, ...] = (128,)
    batch_size: int = 32
    epochs: int = 60
    alpha: float = 0.05
    beta: float = 0.33
    method: str = "calibrated"
    max_lr: float | None = None
    seed: int = 0


def accuracy(data: Dataset) -> dict:
    """Return the metric ``{"test accuracy (%)": f(model)}``."""

    def measure(model: nn.Module) -> float:
        predicted = model(data.test_inputs).argmax(1)
        return 100 * (predicted == data.test_targets).double().mean().item()

    return {METRIC: measure}


def run(config: Config, data: Dataset | None = None, *, progress: bool = False) -> History:
    """Train once; the history's metric is ``METRIC``."""
    data = load_digits() if data is None else data
    torch.manual_seed(config.seed)
    model = mlp([data.inputs.shape[1], *config.hidden, 10])
    return fit(
        model,
        (data.inputs, data.targets),
        loss_fn=nn.CrossEntropyLoss(),
        batch_size=config.batch_size,
        epochs=config.epochs,
        alpha=config.alpha,
        beta=config.beta,
        method=config.method,
        max_lr=config.max_lr,
        evaluate=accuracy(data),
        seed=config.seed,
        progress=progress,
    )

"""The plain loop that every library's run must equal, and the code that is documented."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import exptest.integrations
from exptest import ExpTest
from exptest.record import Record

BATCH = 16
PER_EPOCH = 16
SETTINGS: dict[str, Any] = {"max_lr": 2.0, "min_window": 8}
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1.0),
    "momentum": lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=1.0),
}


def documented(library: str) -> str:
    """The code that the package's docstring shows for ``library``."""
    text = exptest.integrations.__doc__ or ""
    (code,) = re.findall(rf"^{library}.*::\n\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    return textwrap.dedent(code)


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1)]
    return nn.Sequential(*layers).to(dtype)


def data(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(BATCH * PER_EPOCH, 6, generator=generator)
    noise = torch.randn(len(inputs), 1, generator=generator)
    return inputs.to(dtype), (inputs.sum(1, keepdim=True) + noise).to(dtype)


def batches(dtype: torch.dtype = torch.float64) -> DataLoader:
    return DataLoader(TensorDataset(*data(dtype)), batch_size=BATCH)


def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


def plain(
    epochs: int,
    *,
    optimizer: str = "momentum",
    accumulate: int = 1,
    clip: float | None = None,
    dtype: torch.dtype = torch.float64,
    settings: dict[str, Any] = SETTINGS,
) -> tuple[Record, list[Tensor]]:
    """Train by hand; the last batches of an epoch make an update even if they are fewer."""
    model = network(dtype)
    base = OPTIMIZERS[optimizer](model.parameters())
    tuner = ExpTest(base, model=model, **settings)
    for _ in range(epochs):
        for i, (x, y) in enumerate(batches(dtype)):
            loss = loss_fn(model(x), y)
            (loss / accumulate).backward()
            if (i + 1) % accumulate == 0 or i + 1 == PER_EPOCH:
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                base.step()
                base.zero_grad()
            tuner.step(loss)
    return tuner.record, weights(model)


def weights(model: nn.Module) -> list[Tensor]:
    return [t.detach().clone() for t in model.state_dict().values()]


def assert_same(
    record: Record, model: nn.Module, expected: tuple[Record, list[Tensor]], rtol: float = 0.0
) -> None:
    """The same losses, decisions and weights (bit for bit if ``rtol`` is 0)."""
    other, kept = expected
    assert len(other.decisions) >= 2  # else it shows nothing
    mine, theirs = ([(d.step, d.kind, d.accepted, d.lr_after) for d in r.decisions]
                    for r in (record, other))  # fmt: skip
    assert mine == theirs
    np.testing.assert_allclose(record.losses, other.losses, rtol=rtol, atol=rtol)
    for here, there in zip(weights(model), kept, strict=True):
        torch.testing.assert_close(here, there, rtol=rtol, atol=rtol)

"""What ExpTest costs per training step, beside the bare optimizer, step by step in one run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch
from torch import nn

from exptest.models import mlp, softmax_regression
from exptest.optim import ExpTest

CASES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "MLP 784-512-512-10, B = 128": (lambda: mlp([784, 512, 512, 10]), 128),
    "softmax regression 784-10, B = 32": (lambda: softmax_regression(784, 10), 32),
}
BLOCK = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--steps", type=int, default=4000, help="steps of each kind (4000)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (1)")


def run(arguments: argparse.Namespace) -> int:
    """Time alternating blocks of steps with and without ExpTest; print the ratio of medians."""
    torch.set_num_threads(arguments.threads)
    for label, (build, batch_size) in CASES.items():
        bare, tested = _timings(build, batch_size, arguments.steps // BLOCK)
        ratios = tested / bare
        print(
            f"{label}: bare {1e6 * np.median(bare):.0f} µs, ExpTest "
            f"{1e6 * np.median(tested):.0f} µs per step; ratio, median of {len(ratios)} pairs: "
            f"{np.median(ratios):.3f} (quartiles {np.quantile(ratios, 0.25):.3f} to "
            f"{np.quantile(ratios, 0.75):.3f})"
        )
    return 0


def _timings(
    build: Callable[[], nn.Module], batch_size: int, pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds per step of ``pairs`` pairs of blocks, bare and with ExpTest."""
    inputs = torch.randn(batch_size, 784)
    targets = torch.randint(10, (batch_size,))
    blocks = [_block(build(), inputs, targets, tested) for tested in (False, True)]
    for block in blocks:
        block()
    seconds = np.array([[block() for block in blocks] for _ in range(pairs)]) / BLOCK
    return seconds[:, 0], seconds[:, 1]


def _block(
    model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, tested: bool
) -> Callable[[], float]:
    """Return a function that makes BLOCK steps and says how long they took."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    exptest = ExpTest(optimizer, max_lr=0.01) if tested else None
    loss_fn = nn.CrossEntropyLoss()

    def block() -> float:
        begin = perf_counter()
        for _ in range(BLOCK):
            optimizer.zero_grad()
            loss = loss_fn(model(inputs), targets)
            loss.backward()
            optimizer.step()
            if exptest is not None:
                exptest.step(loss)
        return perf_counter() - begin

    return block

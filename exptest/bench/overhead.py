"""What ExpTest costs per training step, beside the bare optimizer, step by step in one run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import cycle, islice
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from exptest.models import mlp, softmax_regression
from exptest.optim import ExpTest

CASES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "MLP 784-512-512-10, B = 128": (lambda: mlp([784, 512, 512, 10]), 128),
    "softmax regression 784-10, B = 32": (lambda: softmax_regression(784, 10), 32),
}
RATE = 0.01  # of both kinds
BLOCK, LONG = 50, 500  # steps timed at once; steps of a pair, over which windows average


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--steps", type=int, default=4000, help="steps of each kind (4000)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (1)")


def run(arguments: argparse.Namespace) -> int:
    """Time alternating blocks of steps with and without ExpTest; print the ratios of pairs.

    One batch again and again has ρ = 1, so that ρ is measured at every step: the dearest case.
    Of mini-batches it is measured in the first 1/ρ of each window.
    """
    torch.set_num_threads(arguments.threads)
    for label, (build, batch_size) in CASES.items():
        for kind, batches in (("mini-batches", 64), ("one batch repeated", 1)):
            bare, tested, measured = _timings(build, batch_size, batches, arguments.steps)
            ratios = tested / bare
            print(
                f"{label}, {kind}: bare {1e6 * np.median(bare):.0f} µs, ExpTest "
                f"{1e6 * np.median(tested):.0f} µs per step, ρ measured at {measured:.0%} of the "
                f"steps; ratio, median of {len(ratios)} pairs: {np.median(ratios):.3f} (quartiles "
                f"{np.quantile(ratios, 0.25):.3f} to {np.quantile(ratios, 0.75):.3f})"
            )
    return 0


def _timings(
    build: Callable[[], nn.Module], batch_size: int, batches: int, steps: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Seconds per step of pairs, bare and with ExpTest, and how often ρ was measured."""
    inputs = torch.randn(batches * batch_size, 784)
    targets = (inputs @ torch.randn(784, 10)).argmax(1)
    data = [*zip(inputs.split(batch_size), targets.split(batch_size), strict=True)]
    kinds = [_Training(build(), data, tested=tested) for tested in (False, True)]
    for training in kinds:
        training.block()
    count = max(steps // BLOCK, 1)
    seconds = np.array([[training.block() for training in kinds] for _ in range(count)]) / BLOCK
    pairs = [part.mean(0) for part in np.array_split(seconds, max(steps // LONG, 1))]
    bare, tested = np.array(pairs).T
    return bare, tested, kinds[1].measured / kinds[1].steps


class _Training:
    """A model in training, in blocks of steps."""

    def __init__(self, model: nn.Module, data: list[tuple[Tensor, Tensor]], *, tested: bool):
        self._model, self._loss_fn, self._batches = model, nn.CrossEntropyLoss(), cycle(data)
        self._optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        self._exptest = ExpTest(self._optimizer, max_lr=RATE) if tested else None
        self.steps = self.measured = 0

    def block(self) -> float:
        """Make BLOCK steps; return how long they took, in seconds."""
        begin = perf_counter()
        for inputs, targets in islice(self._batches, BLOCK):
            self._optimizer.zero_grad()
            loss = self._loss_fn(self._model(inputs), targets)
            loss.backward()
            self._optimizer.step()
            if self._exptest is not None:
                self.measured += self._exptest.tuner.measuring
                self._exptest.step(loss)
        self.steps += BLOCK
        return perf_counter() - begin

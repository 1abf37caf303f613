"""Arms of a network on digits: two rates from one snapshot, judged on the same batches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from exptest.data import load_digits
from exptest.models import mlp
from exptest.statistics import PairedTestResult, paired_test

Batches = list[torch.Tensor]


class Digits:
    """A small network on digits, and batches of 32 drawn from one seed."""

    def __init__(self, seed: int) -> None:
        data = load_digits()
        self.inputs, self.targets = data.inputs.double(), data.targets
        torch.manual_seed(seed)
        self.model = mlp([64, 32, 10]).double()

    def draw(self, count: int) -> Batches:
        return list(torch.randint(0, len(self.inputs), (count, 32)))

    def loss(self, model: nn.Module, rows: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(model(self.inputs[rows]), self.targets[rows])

    def trained(self, model: nn.Module, lr: float, batches: Batches) -> nn.Module:
        arm = copy.deepcopy(model)
        optimizer = torch.optim.SGD(arm.parameters(), lr=lr)
        for rows in batches:
            optimizer.zero_grad()
            self.loss(arm, rows).backward()
            optimizer.step()
        return arm

    @torch.no_grad()
    def losses(self, model: nn.Module, batches: Batches) -> list[float]:
        return [self.loss(model, rows).item() for rows in batches]


@pytest.mark.claim("C8.10")
def test_as_rates_fall_pairing_keeps_the_signal_that_unpaired_arms_lose() -> None:
    digits = Digits(0)
    steps, fresh = digits.draw(2), digits.draw(32)
    found: list[PairedTestResult] = []
    for lr in (0.004, 0.002, 0.001):
        arms = (digits.trained(digits.model, c * lr, steps) for c in (1, 3))
        found.append(paired_test(*(digits.losses(arm, fresh) for arm in arms), looks=[32]))
    gain = np.array([result.gain for result in found])
    t = np.array([result.statistic for result in found])
    assert np.diff(np.log2(gain)) == pytest.approx([2.0, 2.0], abs=0.05)
    assert np.diff(np.log2(np.abs(t) / np.sqrt(gain))) == pytest.approx([-1.0, -1.0], abs=0.05)
    assert t == pytest.approx(t[-1], rel=0.02)
    assert (t < -20.0).all()


@pytest.mark.claim("C8.11")
def test_on_digits_pairing_cuts_the_variance_more_than_tenfold() -> None:
    for seed in range(5):
        digits = Digits(seed)
        snapshot = digits.trained(digits.model, 0.1, digits.draw(90))
        steps, fresh = digits.draw(8), digits.draw(48)
        arms = (digits.trained(snapshot, lr, steps) for lr in (0.1, 0.3))
        losses = [digits.losses(arm, fresh) for arm in arms]
        whole = paired_test(*losses, looks=[48])
        assert whole.gain > 10.0
        assert whole.correlation > 0.9
        assert paired_test(*losses).verdict == "second"

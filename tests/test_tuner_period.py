"""Epochs have a shape: told their length, the tuner tests what is left without it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from exptest.optim import ExpTest
from exptest.record import Decision
from exptest.recorded import replay
from exptest.statistics import exponential_test, slope_test
from exptest.training import Training
from exptest.tuner import Tuner

pytestmark = pytest.mark.usefixtures("as_users_do")


def epochs(n: int, period: int, fall: float = 0.0) -> np.ndarray:
    """Losses that fall through every epoch and begin the next as high."""
    steps, noise = np.arange(n), np.random.default_rng(1).normal(size=n)
    return 5.0 - fall * steps + 2.0 - 4.0 * (steps % period) / period + 0.1 * noise


def first(losses: np.ndarray, **settings: int) -> Decision:
    return replay(losses, 1.0, min_window=len(losses), **settings).decisions[0]


def test_the_shape_of_an_epoch_is_no_progress() -> None:
    flat, falling = epochs(100, 20), epochs(100, 20, fall=0.02)
    told = first(falling, period=20)
    assert told.pvalue == exponential_test(falling, period=20).pvalue
    for losses, keeps in ((flat, False), (falling, True)):
        tuner = Tuner(1.0, min_window=100, period=20)
        tuner.observe(losses[0])
        tuner.phase = "tune"
        decision = [tuner.observe(loss) for loss in losses[1:]][-1]
        assert decision is not None
        assert decision.pvalue == slope_test(losses, period=20).pvalue
        assert decision.accepted == keeps


def test_a_window_that_holds_no_two_epochs_is_tested_as_if_there_were_none() -> None:
    losses = epochs(50, 26)
    assert first(losses, period=26).pvalue == exponential_test(losses).pvalue
    assert first(losses, period=25).pvalue == exponential_test(losses, period=25).pvalue


def test_a_missing_loss_shifts_the_phases() -> None:
    losses = epochs(51, 10, fall=0.02)
    losses[20] = math.nan
    tuner = Tuner(1.0, min_window=50, period=10)
    decision = [tuner.observe(loss, path_ratio=1.0) for loss in losses][-1]
    assert decision is not None
    assert decision.pvalue == exponential_test(np.delete(losses, 20)).pvalue


def test_exptest_and_fit_hand_the_period_on() -> None:
    optimizer = torch.optim.SGD(nn.Linear(3, 1).parameters(), lr=1.0)
    assert ExpTest(optimizer, max_lr=0.1, period=7).tuner.period == 7
    data = torch.randn(50, 3), torch.ones(50, 1)
    for pairs, settings, period in (
        (data, {"batch_size": 8}, 7),
        (data, {}, 1),
        (data, {"batch_size": 8, "period": 3}, 3),
        (DataLoader(TensorDataset(*data), batch_size=10), {}, 5),
    ):
        training = Training(nn.Linear(3, 1), pairs, loss_fn=nn.MSELoss(), **settings)
        assert training.exptest is not None
        assert training.exptest.tuner.period == period


@pytest.mark.parametrize("period", [0, 2.5, "an epoch"])
def test_a_period_is_a_number_of_steps(period: object) -> None:
    with pytest.raises((TypeError, ValueError), match="period must be"):
        Tuner(0.1, period=period)

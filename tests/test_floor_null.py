"""The wings meet: SGD at rest on its floor must not be told for progress."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from exptest.linearized import mean_square_critical_rate
from exptest.statistics import exponential_test, slope_test
from tests.linearized.floors import losses_at_the_floor

WINDOWS, LENGTH = 200, 300


def windows_at_the_floor(n: int, modes: int, share: float, tails: float) -> np.ndarray:
    """Windows of losses of batches of 32, at a share of the critical rate; noise of Student's t."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((n, modes)) * np.geomspace(1.0, 0.1, modes)
    y = x.sum(1) + rng.standard_t(tails, n)
    lr = share * mean_square_critical_rate(x, batch_size=32)
    return losses_at_the_floor(x, y, lr=lr, batch=32, steps=LENGTH, runs=WINDOWS, seed=1)


@pytest.mark.parametrize(
    ("n", "modes", "share", "tails"),
    [(200, 8, 0.95, 100), (200, 8, 0.1, 100), (1000, 32, 0.5, 100), (1000, 32, 0.5, 3)],
)
@pytest.mark.usefixtures("as_users_do")
def test_sgd_at_its_floor_is_claimed_to_fall_no_more_often_than_alpha(
    n: int, modes: int, share: float, tails: float
) -> None:
    windows, alpha = windows_at_the_floor(n, modes, share, tails), 0.05
    tests: list[Callable] = [slope_test, exponential_test]
    for test in tests:
        size = np.mean([test(window).reject(alpha) for window in windows])
        assert size <= alpha + 3 * (alpha * (1 - alpha) / WINDOWS) ** 0.5, test.__name__

"""The shortest windows, the longest, spikes, and losses that are constant but for rounding."""

from __future__ import annotations

import numpy as np
import pytest

from exptest.statistics import exponential_test, fit_line, slope_test

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("test", "method", "fewest"),
    [
        (exponential_test, "calibrated", 5),
        (exponential_test, "paper", 4),
        (slope_test, "calibrated", 3),
        (slope_test, "paper", 3),
    ],
)
def test_the_fewest_losses_are_answered_and_one_fewer_is_not(test, method, fewest) -> None:
    losses = 0.5 ** np.arange(fewest) + 0.01 * np.cos(np.arange(fewest) ** 2)
    assert test(losses, method=method).note == ""
    refused = test(losses[:-1], method=method)
    assert refused.note == f"the test needs at least {fewest}"
    assert np.isnan(refused.statistic)
    free = max(len(losses) - 1 - (2 if test is slope_test else 3), 0.0)
    assert refused.df == (free if test is slope_test else (1.0, free))


@pytest.mark.parametrize("n", [60, 10_000])
def test_a_spike_is_set_aside_and_the_rest_tested_as_if_alone(n: int) -> None:
    size = -(-n // 4096)
    y = 5 * np.exp(-6 * np.arange(n) / n) + 0.2 * RNG.normal(size=n)
    y[:size] += 60
    for noise in ("estimated", "independent"):
        found, rest = exponential_test(y, noise=noise), exponential_test(y[size:], noise=noise)
        assert "spike" in found.remark
        assert (found.pvalue, found.statistic, found.noise) == (
            rest.pvalue,
            rest.statistic,
            rest.noise,
        )
        assert found.n == n
        assert found.line == fit_line(y)
        assert found.exponential is not None
        assert rest.exponential is not None
        assert (found.exponential.origin, found.exponential.n) == (size, n)
        assert found.exponential.rate == rest.exponential.rate
        slope, rest_slope = slope_test(y, noise=noise), slope_test(y[size:], noise=noise)
        assert "spike" in slope.remark
        assert (slope.pvalue, slope.noise) == (rest_slope.pvalue, rest_slope.noise)
        assert slope.n == n
        assert slope.line == fit_line(y)


def test_rates_of_long_windows_are_per_step() -> None:
    found = exponential_test(1 + 2 * np.exp(-1e-3 * np.arange(10_001))).exponential
    assert found is not None
    assert found.rate == pytest.approx(1e-3, rel=1e-5)


def test_lines_of_long_windows_are_per_step() -> None:
    y = 3.0 - 1e-4 * np.arange(9000) + RNG.normal(size=9000)
    assert slope_test(y).line == fit_line(y)
    assert exponential_test(y).line == fit_line(y)


def test_losses_that_differ_by_rounding_alone_are_constant() -> None:
    y = np.where(np.arange(40) % 2, 0.3, 0.1 + 0.2)
    assert slope_test(y).note == "they are constant"
    assert slope_test(y).pvalue == 1.0
    assert "last digit" in exponential_test(y).note
    step = np.r_[np.full(20, 0.1 + 0.2), np.full(20, 0.3)]
    assert slope_test(step).pvalue == 1.0


@pytest.mark.parametrize("n", [50, 4000])
@pytest.mark.parametrize("slope", [-1e-9, -0.3, 0.3])
def test_straight_to_the_last_digit_is_certain(slope: float, n: int) -> None:
    y = 0.7 + slope * np.arange(n)
    found = slope_test(y)
    assert found.pvalue == (0.0 if slope < 0 else 1.0)
    assert "last digit" in found.remark
    assert exponential_test(y).pvalue == 1.0

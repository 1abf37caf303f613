"""What is read from residuals."""

from __future__ import annotations

import numpy as np
import pytest

from exptest.statistics.blocks import averaged
from exptest.statistics.geometry import geometry
from exptest.statistics.noise import (
    describe_noise,
    drift_inflation,
    effective_length,
    expected_autocorrelation,
)
from exptest.statistics.required import _moments
from exptest.statistics.scenarios import Scenario, ar1


def residuals(losses: np.ndarray, degree: int) -> np.ndarray:
    basis = np.linalg.qr(np.vander(np.linspace(-1, 1, losses.shape[1]), degree + 1))[0]
    return losses - losses @ basis @ basis.T


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("n", [20, 100])
def test_the_bias_of_the_correlation_is_computed_exactly(n: int, phi: float) -> None:
    r = residuals(ar1(np.random.default_rng(0), (4000, n), phi), 2)
    products, energy = (r[:, 1:] * r[:, :-1]).sum(1), (r * r).sum(1)
    table = expected_autocorrelation(n, 3)
    at = {0.0: 0, 0.5: 5, 0.9: 10}[phi]
    assert products.mean() / energy.mean() == pytest.approx(table[at], abs=0.02)


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6, 0.9])
def test_correlation_is_recovered_in_long_windows(phi: float) -> None:
    r = residuals(ar1(np.random.default_rng(1), (100, 1000), phi), 1)
    found = [describe_noise(row, 2).correlation for row in r]
    assert np.mean(found) == pytest.approx(phi, abs=0.03)


@pytest.mark.claim("C6.2")
def test_correlation_divides_the_losses_by_the_known_factor() -> None:
    errors = []
    for n in (100, 200, 400):
        variance, off_line = _moments(geometry(n).line, 0.5)
        lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        basis = np.linalg.qr(np.vander(np.arange(n), 2))[0]
        assert variance == pytest.approx(geometry(n).line @ 0.5**lag @ geometry(n).line)
        assert off_line == pytest.approx(n - np.trace(basis.T @ 0.5**lag @ basis))
        errors.append(abs(variance - n / effective_length(n, 0.5)))
    orders = -np.diff(np.log(errors)) / np.log(2)
    np.testing.assert_allclose(orders, 1.0, atol=0.1)


def test_a_drift_of_the_noise_is_seen() -> None:
    shrinking = Scenario("flat", "shrinking", 1000).simulate(20)
    drifts = [describe_noise(row - row.mean(), 1).drift for row in shrinking]
    assert np.mean(drifts) == pytest.approx(-1.0, abs=0.15)
    assert drift_inflation(-1.0, -0.5, 0.25) > 2.0
    assert drift_inflation(0.0, 0.3, 0.2) == 1.0


def test_a_missed_curve_is_not_noise() -> None:
    smooth = np.sin(np.linspace(0, 6, 60))
    assert describe_noise(smooth - smooth.mean(), 3).correlation == 0.0
    walk = np.random.default_rng(0).normal(size=200).cumsum()
    assert describe_noise(walk - walk.mean(), 3).correlation > 0.9


def test_blocks_keep_the_floor_and_multiply_the_rate() -> None:
    t = np.arange(10_000)
    means, size = averaged(1 + 2 * np.exp(-0.001 * t))
    assert size == 3
    ratios = (means[1:] - 1) / (means[:-1] - 1)
    np.testing.assert_allclose(ratios, np.exp(-0.003), rtol=1e-9)
    short, one = averaged(t[:50].astype(float))
    assert one == 1
    assert len(short) == 50


def test_blocks_of_huge_numbers_stay_finite() -> None:
    means, _ = averaged(np.full(10_000, 1.7e308))
    np.testing.assert_allclose(means, 1.7e308)


@pytest.mark.parametrize(("n", "size"), [(4096, 1), (4097, 2), (8192, 2), (8193, 3), (10_001, 3)])
def test_blocks_are_as_small_as_the_limit_allows_and_start_at_the_first_loss(
    n: int, size: int
) -> None:
    y = np.arange(n) ** 1.5
    means, found = averaged(y)
    assert (found, len(means)) == (size, n // size)
    assert means[0] == pytest.approx(y[:size].mean())
    assert means[-1] == pytest.approx(y[(len(means) - 1) * size : len(means) * size].mean())


def test_blocks_of_numbers_whose_sum_overflows_stay_finite() -> None:
    for huge in (1e308, -9e307):
        means, _ = averaged(np.full(20_000, huge))
        np.testing.assert_allclose(means, huge)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_ar1_noise_is_stationary_from_its_first_step(phi: float) -> None:
    rows = ar1(np.random.default_rng(2), (20_000, 5), phi)
    lag = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    np.testing.assert_allclose(np.cov(rows.T), phi**lag, atol=0.04)

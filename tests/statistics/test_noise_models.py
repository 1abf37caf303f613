"""What the noise may be, and what no test can know of it."""

from __future__ import annotations

import numpy as np
import pytest

from exptest.statistics import (
    ExponentialTestResult,
    SlopeTestResult,
    exponential_test,
    slope_test,
)
from exptest.statistics.calibration import pvalues
from exptest.statistics.geometry import geometry
from exptest.statistics.noise import describe_noise, weigh
from exptest.statistics.noise_models import noise_models
from exptest.statistics.phases import phase_centred
from exptest.statistics.scenarios import Scenario


def slow_part(n: int, corner: float, parameters: int) -> np.ndarray:
    """Energies that a slow part of this corner leaves in the first bands, of a variance of n."""
    models = noise_models(n, parameters)
    by_lag = np.exp(-np.pi * corner / n)
    alone = int(np.abs(models.correlation - by_lag).argmin())
    assert models.correlation[alone] == pytest.approx(by_lag, abs=1e-12)
    return 1.0 / models.inverse[alone, :5] / n


def said(result: ExponentialTestResult | SlopeTestResult) -> tuple[float, float]:
    return result.statistic, result.pvalue


@pytest.mark.claim("C5.14")
@pytest.mark.parametrize("parameters", [2, 3])
@pytest.mark.parametrize("corner", [1.0, 5.0, 12.0])
def test_in_half_waves_a_slow_part_hardly_knows_n(corner: float, parameters: int) -> None:
    change = [
        np.abs(slow_part(2 * n, corner, parameters) / slow_part(n, corner, parameters) - 1).max()
        for n in (100, 200, 400)
    ]
    assert change[0] < 0.02
    np.testing.assert_allclose(np.log2(np.divide(change[:-1], change[1:])), 2.0, atol=0.05)


@pytest.mark.claim("C5.15")
@pytest.mark.parametrize(("n", "period"), [(40, 7), (60, 30), (101, 4), (31, 20)])
def test_what_repeats_with_the_period_changes_nothing(n: int, period: int) -> None:
    rng = np.random.default_rng(n)
    losses = 3 * np.exp(-4 * np.arange(n) / n) + 0.1 * rng.normal(size=n)
    moved = losses + np.resize(10 * rng.normal(size=period), n)
    plain = pytest.approx(said(exponential_test(losses, period=period)), rel=1e-4)  # as k is found
    assert said(exponential_test(moved, period=period)) == plain
    plain = pytest.approx(said(slope_test(losses, period=period)), rel=1e-4)
    assert said(slope_test(moved, period=period)) == plain
    assert slope_test(moved).pvalue > 0.05


@pytest.mark.claim("C5.15")
def test_a_decline_is_seen_beyond_one_period() -> None:
    shape = np.resize(np.random.default_rng(0).normal(size=20), 40)
    assert slope_test(shape - 0.3 * np.arange(40), period=20).reject(1e-6)
    assert not slope_test(shape + 0.3 * np.arange(40), period=20).reject(0.9)


@pytest.mark.claim("C5.16")
@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_power_against_a_trend_of_random_sign_is_at_most_twice_the_size(spread: float) -> None:
    rng, count = np.random.default_rng(1), 1000
    line, noise = np.linspace(0.5, -0.5, 40), Scenario("flat", "iid", 40)
    heights = spread * rng.normal(size=(count, 1))
    size = (pvalues("slope", noise.simulate(count, 1) + heights * line) < 0.05).mean()
    declines = noise.simulate(count, 2) + np.abs(heights) * line
    power = (pvalues("slope", declines) < 0.05).mean()
    error = 3 * np.sqrt(power / count)
    assert power <= 2 * size + error
    if spread == 3.0:  # a rise is never called a fall: the bound is reached
        assert power >= 2 * size - error


def test_the_least_information_is_that_of_the_worst_plausible_model() -> None:
    residual = np.random.default_rng(3).normal(size=50)
    residual -= np.polyval(np.polyfit(np.arange(50), residual, 2), np.arange(50))
    noise, models = describe_noise(residual, 3), noise_models(50, 3)
    waves = np.sqrt(2 / 50) * np.cos(np.pi / 50 * np.outer(np.arange(50), np.arange(50) + 0.5))
    weight, scale = weigh(models, (waves @ residual) ** 2, 47)
    plausible = weight > weight.max() * np.exp(-8)
    shape, x = geometry(50), np.arange(50)
    for direction, column, least in (
        (shape.line, 0, noise.least),
        (shape.off_line[5], 6, noise.curves_least[5]),
        (shape.off_line[-1], -1, noise.curves_least[-1]),
    ):
        worst = (scale[plausible] * models.along[plausible, column]).max()
        large = [np.where(x < end, 16.0, 1.0) for end in (6, 12, 25, 38)]
        swell = max(1.0, *(direction**2 @ size / size.mean() for size in large))
        assert least == pytest.approx(residual @ residual / worst / swell)
    assert (noise.curves_least <= noise.curves).all()


@pytest.mark.parametrize("period", [1, 5])
def test_periods_are_centred_out_of_the_models(period: int) -> None:
    models = noise_models(40, 2, period)
    white = 1.0 / models.inverse[0]
    np.testing.assert_allclose(white, 1.0, rtol=1e-9)
    assert np.isfinite(models.along).all()
    assert abs(phase_centred(np.resize(np.arange(period) + 0.0, 40), period)).max() < 1e-12

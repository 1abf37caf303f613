"""Intervals end where the squared error reaches the value that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtrit

from exptest.statistics import confidence_interval, fit_exponential
from exptest.statistics.noise import describe_noise

LEVELS = [0.5, 0.8, 0.95]


def decay(seed: int, n: int = 60) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n)
    return 3.0 + 5 * np.exp(-0.08 * np.arange(n)) + 0.3 * noise


def allowed(y: np.ndarray, level: float) -> float:
    """SSE_min · (1 + t²/m), the largest squared error of a value inside."""
    fit = fit_exponential(y)
    noise = describe_noise(y - fit.predict(), 3)
    doubtful = stdtrit(noise.df, (1 + level) / 2) ** 2 / noise.information
    surely = stdtrit(57, (1 + level) / 2) ** 2 / noise.least
    return fit.sse * (1 + min(doubtful, surely))


def error(columns: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(3))
def test_rates_end_where_the_profile_reaches_its_limit(seed: int, level: float) -> None:
    y, t = decay(seed), np.arange(60)
    found = confidence_interval(y, "rate", level=level)
    assert found.estimate == pytest.approx(fit_exponential(y).rate)
    assert found.low < found.estimate < found.high
    for rate in (found.low, found.high):
        left = error(np.c_[np.exp(-rate * t), np.ones(60)], y)
        assert left == pytest.approx(allowed(y, level), rel=1e-6)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(3))
def test_floors_end_where_the_profile_reaches_its_limit(seed: int, level: float) -> None:
    y, t = decay(seed), np.arange(60)
    found = confidence_interval(y, "floor", level=level)
    assert found.estimate == pytest.approx(fit_exponential(y).floor)
    assert found.low < found.estimate < found.high
    for floor in (found.low, found.high):
        rates = np.geomspace(1e-4, 2.0, 3000)
        left = min(error(np.exp(-rate * t)[:, None], y - floor) for rate in rates)
        assert left == pytest.approx(allowed(y, level), rel=1e-3)


def test_an_interval_holds_its_ends_and_nothing_beyond() -> None:
    found = confidence_interval(decay(0), "rate", level=0.9)
    assert found.low in found
    assert found.high in found
    assert 0.99 * found.low not in found
    assert 1.01 * found.high not in found
    assert "90 % confidence interval" in str(found)


@pytest.mark.parametrize("parameter", ["rate", "floor", "slope"])
def test_intervals_follow_the_unit_of_the_loss(parameter: str) -> None:
    here, there = (confidence_interval(c * decay(1), parameter) for c in (1.0, 2.0**40))
    factor = 1.0 if parameter == "rate" else 2.0**40
    for end in ("low", "estimate", "high"):
        assert getattr(there, end) == pytest.approx(factor * getattr(here, end), rel=1e-9)


def test_what_the_losses_do_not_bound_is_open() -> None:
    line = np.linspace(1, 0, 60) + 0.02 * np.random.default_rng(0).normal(size=60)
    assert confidence_interval(line, "rate").low == 0.0
    assert confidence_interval(line, "rate").high < 0.1
    assert np.isfinite(confidence_interval(line, "floor").high)
    jump = np.r_[9.0, 0.01 * np.random.default_rng(1).normal(size=40)]
    assert confidence_interval(jump, "rate").high == np.inf
    assert confidence_interval(jump, "rate").low > 1.0

"""One window under both curves: every number against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptest.statistics import exponential_test, fit_exponential, fit_line, slope_test
from exptest.statistics.exponential import _rises_again
from exptest.statistics.noise import describe_noise, independent_noise
from exptest.statistics.slope import fall_error
from exptest.statistics.window_fits import CLEAR, WindowFits


def curve(seed: int, n: int = 80, a: float = 0.6) -> np.ndarray:
    """Of size about 1: a decay in noise."""
    t = np.linspace(0, 1, n)
    return 0.2 + a * np.exp(-4 * t) + 0.05 * np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize("n", [5, 40, 300])
def test_the_line_is_the_least_squares_line(n: int) -> None:
    z = curve(n, n)
    slope, mean, sse = WindowFits(z).line
    fit = fit_line(z)
    assert (slope, sse) == pytest.approx((fit.slope, fit.sse), rel=1e-9)
    assert mean == pytest.approx(fit.intercept + fit.slope * (n - 1) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_measured_around_the_curve_with_its_number_of_coefficients(seed: int) -> None:
    z = curve(seed)
    window, told = WindowFits(z), WindowFits(z, independent=True)
    decay = window.decay()
    assert decay is not None
    assert window.noise(decay) == describe_noise(decay.residual, 3)
    assert window.noise() == describe_noise(window.off_line, 2)
    assert told.noise(decay) == independent_noise(decay.residual, 3)
    assert told.noise() == independent_noise(window.off_line, 2)
    assert (told.noise(decay).information, told.noise().df) == (77.0, 78.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [12, 80, 400])
def test_the_parabola_starts_next_to_the_best_rate(seed: int, n: int) -> None:
    window = WindowFits(curve(seed, n))
    decay, best = window.decay(), int(window.along.argmax())
    peak = window._peak(best)
    assert decay is not None
    assert peak is not None
    tabulated = window.shape.rates[best]
    assert abs(np.log(peak / decay.k)) < 0.3 * abs(np.log(tabulated / decay.k)) + 0.02
    assert decay.k == pytest.approx(fit_exponential(window.problem.y).rate * (n - 1), rel=1e-3)


@pytest.mark.parametrize("a", [0.0, 0.05, 0.6])
@pytest.mark.parametrize("seed", range(8))
def test_a_few_secant_steps_end_where_bisection_does(seed: int, a: float) -> None:
    """Or beside the same tabulated rate: they never run away."""
    window = WindowFits(curve(seed, 60, a))
    problem, rates, best = window.problem, window.shape.rates, int(window.along.argmax())
    slow = problem.root_near(rates, best)
    decay = window.decay()
    if decay is not None:
        assert decay.k == pytest.approx(slow.k, rel=1e-5)
    for start in (rates[0], 0.3 * rates[best], 3.0 * rates[best], rates[-1]):
        found = problem.root_near(rates, best, float(start))
        assert rates[max(best - 1, 0)] <= found.k <= rates[min(best + 1, len(rates) - 1)]


@given(st.integers(0, 10_000), st.floats(0.0, 0.6))
def test_no_clear_decay_is_screened_out(seed: int, a: float) -> None:
    window = WindowFits(curve(seed, 60, a))
    decay = window.decay()
    certain = decay is not None and window.pvalue(decay, window.noise(decay)) <= CLEAR
    assert (window.clear_decay() is not None) == certain


def test_most_noise_is_not_worth_a_second_look(rng: np.random.Generator) -> None:
    worth = [WindowFits(z)._worth_a_look() for z in 0.3 * rng.normal(size=(200, 50))]
    assert sum(worth) <= 40


def rising(errors: float, n: int = 40) -> np.ndarray:
    """A line that rises by so many standard errors, in noise that is off it."""
    x = np.linspace(-0.5, 0.5, n)
    x /= np.linalg.norm(x)
    off = np.random.default_rng(0).normal(size=n)
    off -= off.mean() + (off @ x) * x
    return 0.2 * (off / np.linalg.norm(off) + errors / np.sqrt(n - 2) * x)


@pytest.mark.parametrize("errors", [-6.0, 3.0, 3.9, 4.1, 5.0])
def test_a_rise_is_counted_in_standard_errors(errors: float) -> None:
    z = rising(errors)
    assert WindowFits(z).rises(4.0, 38.0) == (errors > 4.0)
    assert slope_test(z, noise="independent").statistic == pytest.approx(errors)
    falling_first = np.concatenate([np.linspace(2, 0, 40), z])
    assert _rises_again(falling_first, True, 1) == (errors > 4.0)


def test_a_rise_of_correlated_noise_is_no_rise() -> None:
    walks = np.random.default_rng(5).normal(size=(40, 400)).cumsum(axis=1) / 100
    assert sum(_rises_again(z, True, 1) for z in walks) >= 10
    assert sum(_rises_again(z, False, 1) for z in walks) <= 2


def test_the_error_of_the_fall_is_that_of_its_noise() -> None:
    window = WindowFits(curve(1))
    noise = window.noise()
    assert fall_error(window, 3.0, noise) ** 2 == pytest.approx(3.0 / noise.information)


@pytest.mark.parametrize("seed", range(4))
def test_statistics_are_what_their_formulas_say(seed: int) -> None:
    z = curve(seed)
    window, found = WindowFits(z), exponential_test(z)
    decay, noise = window.decay(), found.noise
    assert decay is not None
    assert noise is not None
    assert found.statistic == pytest.approx((window.sse / decay.sse - 1) * noise.information)
    assert found.df == (1.0, noise.df)
    slope = slope_test(z)
    assert "around the exponential" in slope.remark
    assert slope.noise == noise
    assert slope.df == noise.df
    assert slope.statistic == pytest.approx(-window.fall / fall_error(window, decay.sse, noise))
    straight = slope_test(z := rising(-2.0))
    assert straight.remark == ""
    error = fall_error(WindowFits(z), WindowFits(z).sse, straight.noise)
    assert straight.statistic == pytest.approx(-WindowFits(z).fall / error)


@pytest.mark.parametrize("height", [3.0, 30.0])
@pytest.mark.parametrize("n", [5, 6, 20, 200])
def test_a_spike_is_what_beats_every_decay_by_its_margin(n: int, height: float) -> None:
    """A line with the first loss free, against the decay: (4 + 180/n) variances."""
    z = np.random.default_rng(n).normal(size=n) / height
    z[0] = 1.0
    window = WindowFits(z)
    decay = window.decay()
    assert decay is not None
    free = fit_line(z[1:]).sse
    beaten = decay.sse - free > (4 + 180 / n) * free / (n - 3)
    assert window.spike_beats(decay) == (n >= 6 and beaten)
    z[0] = -1.0  # too low is no spike
    assert not WindowFits(z).spike_beats(decay)

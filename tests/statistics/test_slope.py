"""The slope test, the last part of a window, and intervals."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as t_distribution

from exptest.statistics import (
    confidence_interval,
    exponential_test,
    progress_test,
    slope_test,
)
from exptest.statistics.calibration import pvalues
from exptest.statistics.scenarios import Scenario
from exptest.statistics.window_fits import WindowFits

SE = np.sqrt(0.05 * 0.95 / 500)


@pytest.mark.parametrize("test", [exponential_test, slope_test])
def test_the_noise_s_variance_is_in_units_of_the_loss(test) -> None:
    """Of a window that falls and bends little."""
    losses = 3e4 - 700.0 * np.linspace(0, 1, 400) ** 0.9 + 50.0 * Scenario(n=400).simulate(1)[0]
    noise = test(losses).noise
    assert noise is not None
    assert np.sqrt(noise.variance) == pytest.approx(50.0, rel=0.1)
    tiny = test(losses * 2.0**-500).noise
    assert tiny is not None
    assert tiny.variance == noise.variance * 2.0**-1000


@pytest.mark.claim("C6.1")
@given(st.integers(0, 10_000), st.integers(3, 80))
def test_paper_mode_is_ordinary_least_squares(seed: int, n: int) -> None:
    y = np.random.default_rng(seed).normal(size=n)
    ols = sm.OLS(y, sm.add_constant(np.arange(n))).fit()
    result = slope_test(y, method="paper")
    assert result.statistic == pytest.approx(ols.tvalues[1], rel=1e-6)
    assert result.pvalue == pytest.approx(t_distribution.cdf(ols.tvalues[1], n - 2), rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_told_that_the_noise_is_independent_it_is_ordinary_least_squares(seed: int) -> None:
    y = np.random.default_rng(seed).normal(size=15)
    told, paper = slope_test(y, noise="independent"), slope_test(y, method="paper")
    assert told.pvalue == pytest.approx(paper.pvalue, rel=1e-9)
    with pytest.raises(ValueError, match="noise must be one of 'estimated', 'independent'"):
        slope_test(y, noise="white")


def test_exact_lines_get_exact_answers() -> None:
    assert slope_test([4.0, 3.0, 2.0, 1.0]).pvalue == 0.0
    assert slope_test([1.0, 2.0, 3.0, 4.0]).pvalue == 1.0
    assert "constant" in slope_test([2.2] * 30).sentence
    assert "constant" in slope_test([2.2] * 30, method="paper").sentence
    smallest = [5e-324, 0.0, 1e-323] * 5
    assert slope_test(smallest, method="paper").pvalue == 1.0


@pytest.mark.claim("C6.8")
@pytest.mark.parametrize("n", [32, 200, 5000])
@pytest.mark.parametrize("k", [1.0, 5.0, 20.0])
def test_a_curve_without_noise_that_falls_is_seen_to_fall(n: int, k: float) -> None:
    x = np.linspace(0, 1, n)
    for curve in (np.exp(-k * x), 1 / (1 + k * x), 1 - x**2):
        assert slope_test(2 + curve).reject(0.02)
    for curve in (np.exp(-k * x), 1 / (1 + k * x)):
        assert exponential_test(2 + curve).reject(0.02)


@pytest.mark.claim("C6.3")
def test_the_last_half_sees_a_third_of_the_signal() -> None:
    """√(m(m² − 1)/n(n² − 1)) → part^{3/2} with an error of order n⁻²."""
    errors = []
    for n in (20, 40, 80):
        decline = -0.7 * np.arange(n)
        m = progress_test(decline).n
        share = WindowFits(decline[-m:]).fall / WindowFits(decline).fall
        assert share == pytest.approx(np.sqrt(m * (m**2 - 1) / (n * (n**2 - 1))), rel=1e-12)
        errors.append(abs(share - 0.5**1.5))
    np.testing.assert_allclose(-np.diff(np.log(errors)) / np.log(2), 2.0, atol=0.1)


@pytest.mark.claim("C6.3")
@pytest.mark.parametrize("part", [0.25, 0.5, 0.8])
def test_the_last_part_of_a_steady_decline_has_its_share_of_the_evidence(part: float) -> None:
    """Told that noise is independent, mean t is the signal in standard deviations (n large)."""
    n, told = 400, {"noise": "independent"}
    rng = np.random.default_rng(6)
    curves = -0.02 * np.arange(n) + rng.normal(size=(60, n))
    last = progress_test(curves[0], part=part).n
    whole = np.mean([slope_test(y, **told).statistic for y in curves])
    end = np.mean([slope_test(y[-last:], **told).statistic for y in curves])
    assert end / whole == pytest.approx(part**1.5, rel=0.05)


@pytest.mark.claim("C6.4")
def test_a_decay_that_is_over_decreased_but_is_not_decreasing() -> None:
    losses = Scenario("exponential", "iid", 100, 10.0, 20).simulate(500)
    whole = pvalues("slope", losses) < 0.05
    assert whole.mean() > 0.95
    last = pvalues(progress_test, losses) < 0.05
    assert last.mean() <= 0.05 + 3 * SE


@pytest.mark.claim("C6.4")
def test_asking_about_the_end_costs_power() -> None:
    losses = Scenario("line", "iid", 100, 1.0).simulate(500)
    whole, last = pvalues("slope", losses) < 0.05, pvalues(progress_test, losses) < 0.05
    assert whole.mean() > 0.75
    assert last.mean() < 0.45


def test_progress_says_what_it_tested() -> None:
    result = progress_test(np.arange(20.0)[::-1], part=0.3)
    assert result.n == 6
    assert progress_test(np.arange(7.0)).n == 4
    losses = Scenario("line", "AR(1) 0.5", 40, 2.0).simulate(1)[0]
    for method in ("calibrated", "paper"):
        last = slope_test(losses[20:], method=method)
        assert progress_test(losses, method=method).pvalue == last.pvalue
    assert "last 6 of 20" in result.sentence
    with pytest.raises(ValueError, match="part must lie strictly between 0 and 1"):
        progress_test([1.0, 2.0], part=1.0)


def test_results_print_like_tables() -> None:
    result = slope_test(Scenario("line", "AR(1) 0.5", 60, 5.0).simulate(1)[0])
    text = result.summary()
    assert "slope per step" in text
    assert "noise correlation" in text
    assert text.endswith(result.sentence)
    assert "p = " in str(result)


@pytest.mark.claim("C5.10")
@pytest.mark.parametrize("parameter", ["rate", "floor", "slope"])
@pytest.mark.usefixtures("as_users_do")
def test_intervals_cover(parameter: str) -> None:
    rng, t = np.random.default_rng(3), np.arange(100)
    covered = 0
    for _ in range(100):
        noise = 0.5 * rng.normal(size=100)
        losses = 5 - 0.02 * t + noise if parameter == "slope" else 1 + 5 * np.exp(-0.05 * t) + noise
        truth = {"rate": 0.05, "floor": 1.0, "slope": -0.02}[parameter]
        covered += truth in confidence_interval(losses, parameter)
    assert covered / 100 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 100)


def test_an_unidentified_rate_has_an_open_interval(rng: np.random.Generator) -> None:
    interval = confidence_interval(rng.normal(size=50), "rate")
    assert interval.low == 0.0
    assert interval.high == np.inf
    assert "95 % confidence interval" in str(interval)


@given(st.integers(0, 1000), st.floats(0.3, 0.99))
def test_wider_confidence_is_a_wider_interval(seed: int, level: float) -> None:
    y = 3 * np.exp(-0.1 * np.arange(40)) + 0.2 * np.random.default_rng(seed).normal(size=40)
    narrow, wide = (confidence_interval(y, "slope", level=c) for c in (0.9 * level, level))
    assert wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high


def test_a_straight_line_has_no_lowest_floor(rng: np.random.Generator) -> None:
    line = np.linspace(1, 0, 60) + 0.05 * rng.normal(size=60)
    assert confidence_interval(line, "floor").low == -np.inf
    assert confidence_interval(-line, "floor").high == np.inf


@pytest.mark.parametrize(("parameter", "truth"), [("rate", 5e-4), ("floor", 1.0), ("slope", None)])
def test_long_windows_have_intervals_per_step(parameter: str, truth: float | None) -> None:
    """Blocks of steps give what all steps would, per step."""
    t, rng = np.arange(10_000), np.random.default_rng(4)
    y = 1 + 3 * np.exp(-5e-4 * t) + rng.normal(size=len(t))
    interval = confidence_interval(y, parameter)
    assert (slope_test(y).line.slope if truth is None else truth) in interval
    assert interval.high - interval.low < 0.2 * abs(interval.estimate)


def test_the_slope_s_interval_is_the_test_turned_round() -> None:
    """Zero is outside the central 1 − 2α exactly when the one-sided p is below α or above 1 − α."""
    for losses in Scenario("line", "shrinking", 60, 1.0).simulate(40):
        p = slope_test(losses).pvalue
        excluded = 0.0 not in confidence_interval(losses, "slope", level=0.9)
        assert excluded == (min(p, 1 - p) < 0.05)


def test_intervals_name_bad_input() -> None:
    with pytest.raises(ValueError, match="parameter must be one of"):
        confidence_interval([3.0, 2.0, 1.5, 1.2, 1.1], "half-life")
    with pytest.raises(ValueError, match="losses give no interval"):
        confidence_interval([3.0, np.nan, 1.5, 1.2, 1.1])
    with pytest.raises(ValueError, match="level must lie strictly"):
        confidence_interval([3.0, 2.0, 1.5, 1.2, 1.1], level=95)

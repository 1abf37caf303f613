"""The exponential test: what it accepts, what it never does, and the paper's beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exptest.statistics import exponential_test, fit_exponential, fit_line, slope_test
from exptest.statistics.calibration import pvalues
from exptest.statistics.scenarios import Scenario
from tests.statistics import reference

METHODS = ("calibrated", "paper")
numbers = hnp.arrays(
    dtype=st.sampled_from(["f2", "f4", "f8", "i1", "i8", "u2", "?"]),
    shape=st.integers(1, 60),
)
special = st.lists(
    st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-310, 1.7e308]),
    min_size=1,
    max_size=40,
)


@settings(max_examples=200)
@given(st.one_of(numbers, special), st.sampled_from(METHODS))
def test_no_numbers_raise_or_warn(losses, method: str) -> None:
    for test in (exponential_test, slope_test):
        result = test(losses, method=method)
        assert 0.0 <= result.pvalue <= 1.0
        assert result.n == len(losses)
        assert str(result)
        assert result.summary()
        assert result._repr_html_().startswith("<table>")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("losses", "why"),
    [
        ([1.0, 2.0], "needs at least"),
        ([1.0, 0.5, np.nan, 0.2, 0.1, 0.1], "1 of them is not finite"),
        ([1.0, 0.5, np.inf, np.nan, 0.1, 0.1], "2 of them are not finite"),
    ],
)
def test_what_cannot_be_asked_is_p_one_and_says_why(losses, why: str, method: str) -> None:
    for test in (exponential_test, slope_test):
        result = test(losses, method=method)
        assert result.pvalue == 1.0
        assert why in result.sentence


@pytest.mark.parametrize("test", [exponential_test, slope_test])
def test_bad_input_is_named(test) -> None:
    with pytest.raises(TypeError, match="losses must be real numbers"):
        test(["a", "b"])
    with pytest.raises(ValueError, match="losses must have one dimension"):
        test(np.ones((2, 3)))
    with pytest.raises(ValueError, match="losses is empty"):
        test([])
    with pytest.raises(ValueError, match="method must be one of 'calibrated', 'paper'"):
        test([1.0, 2.0], method="exact")
    with pytest.raises(ValueError, match="alpha must lie strictly between 0 and 1"):
        test([1.0, 2.0]).reject(0.0)


def test_lists_arrays_series_and_tensors_agree(rng: np.random.Generator) -> None:
    y = 3 * np.exp(-0.1 * np.arange(40)) + 0.1 * rng.normal(size=40)
    forms = [y, list(y), pd.Series(y, index=np.arange(40) * 7), torch.tensor(y)]
    assert len({exponential_test(form).pvalue for form in forms}) == 1
    assert len({slope_test(form).pvalue for form in forms}) == 1


@pytest.mark.claim("C5.2")
@given(st.integers(0, 10_000), st.integers(-900, 900))
def test_scale_changes_no_verdict(seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    y = 3 * np.exp(-5 * np.linspace(0, 1, 50)) + rng.normal(size=50)
    for test in (exponential_test, slope_test):
        here, there = test(y), test(np.ldexp(y, exponent))
        assert (here.statistic, here.pvalue, here.df) == (there.statistic, there.pvalue, there.df)


@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(0.01, 100))
def test_shift_and_scale_change_only_the_last_digits(seed: int, shift: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    y = 3 * np.exp(-5 * np.linspace(0, 1, 50)) + rng.normal(size=50)
    for test in (exponential_test, slope_test):
        assert test(shift + scale * y).pvalue == pytest.approx(test(y).pvalue, rel=1e-4, abs=1e-9)


@pytest.mark.claim("C5.5")
@given(st.integers(5, 300), st.floats(0.01, 8), st.sampled_from(["line", "growth", "saturating"]))
def test_every_rise_is_rejected(n: int, k: float, kind: str) -> None:
    x = np.linspace(0, 1, n)
    curve = {"line": x, "growth": np.exp(k * x), "saturating": -np.exp(-k * x)}[kind]
    result = exponential_test(curve)
    assert (result.pvalue, result.exponential) == (1.0, None)
    assert slope_test(curve).pvalue > 0.5


@pytest.mark.claim("C5.5")
@given(st.integers(0, 10_000), st.sampled_from([5, 6, 33, 200, 5000]), st.floats(0, 0.98))
def test_losses_that_never_fall_are_rejected(seed: int, n: int, level: float) -> None:
    """Stairs, with a share of steps on which nothing changes."""
    rng = np.random.default_rng(seed)
    climb = rng.exponential(size=n) ** 3 * (rng.uniform(size=n) > level)
    stairs = np.cumsum(climb) - 3.0
    assert exponential_test(stairs).pvalue == 1.0
    assert slope_test(stairs).pvalue >= 0.5


@pytest.mark.claim("C5.5")
@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("rise", "iid", 50, 10.0),
        Scenario("saturating growth", "iid", 50, 5.0),
        Scenario("dip, then diverge", "iid", 50, 10.0),
    ],
    ids=lambda s: s.truth,
)
def test_clear_rises_with_noise_are_never_called_decay(scenario: Scenario) -> None:
    assert (pvalues("exponential", scenario.simulate(300)) < 0.05).sum() == 0


def test_a_valley_is_no_decay() -> None:
    x = np.linspace(-1, 1, 60)
    assert "rise again" in exponential_test(x**2 - 0.02 * x).sentence


@pytest.mark.claim("C5.8")
@pytest.mark.usefixtures("as_users_do")
def test_a_spike_at_the_first_step_does_not_fool_it() -> None:
    for n, height in ((50, 20.0), (50, 100.0), (50, 1e6), (200, 10.0)):
        losses = Scenario("flat", "iid", n).simulate(400)
        losses[:, 0] += height
        rate = (pvalues("exponential", losses) < 0.05).mean()
        assert rate < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
        assert (pvalues("slope", losses) < 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_a_decay_behind_a_spike_is_found(rng: np.random.Generator) -> None:
    y = 5 * np.exp(-0.1 * np.arange(60)) + 0.1 * rng.normal(size=60)
    y[0] += 100
    result = exponential_test(y)
    assert result.reject(0.001)
    assert "spike" in result.sentence
    assert result.exponential is not None
    assert result.exponential.rate == pytest.approx(0.1, rel=0.1)
    assert abs(result.exponential.predict()[1:] - y[1:]).max() < 1


@pytest.mark.claim("C5.8")
@pytest.mark.parametrize("n", [60, 200, 1000])
@pytest.mark.parametrize("noise", [0.0, 1e-2])
@pytest.mark.parametrize("rate", [0.3, 0.7, 1.0, 1.5, 2.0])
def test_a_fast_decay_is_not_set_aside_loss_by_loss(rate: float, noise: float, n: int) -> None:
    """Every loss of it is a spike beside those that follow: only one may go."""
    y = np.exp(-rate * np.arange(n)) + noise * np.random.default_rng(n).normal(size=n)
    # Of 60 noisy losses three or four decay: noise that is larger at the start could do so.
    assert exponential_test(y).reject(0.1 if noise and n == 60 and rate > 1.0 else 0.01)
    assert slope_test(y).n == n


@pytest.mark.parametrize("n", [8, 24, 200, 5000])
def test_clear_decays_are_found_and_fitted(n: int, rng: np.random.Generator) -> None:
    t = np.arange(n)
    y = 1 + 4 * np.exp(-5 * t / n) + 0.05 * rng.normal(size=n)
    result = exponential_test(y)
    assert result.reject(0.01)
    assert result.exponential is not None
    assert result.exponential.rate == pytest.approx(5 / n, rel=0.2)
    assert result.line.slope == pytest.approx(fit_line(y).slope)
    free = fit_exponential(y)
    assert result.exponential.sse == pytest.approx(free.sse, rel=1e-3)


def test_exact_curves_get_exact_answers() -> None:
    assert exponential_test(0.9 ** np.arange(40)).pvalue < 1e-12
    assert exponential_test(-np.arange(40.0)).pvalue == 1.0
    assert exponential_test([3.3] * 40).pvalue == 1.0


@given(st.integers(0, 10_000), st.sampled_from(["flat", "line", "exponential"]))
def test_paper_mode_is_the_paper_to_the_letter(seed: int, truth: str) -> None:
    losses = 1.3 + 0.1 * Scenario(truth, "iid", 50, 5.0).simulate(1, seed)[0]
    literal = reference.paper_exponential_pvalue(losses)
    assert exponential_test(losses, method="paper").pvalue == pytest.approx(literal, rel=1e-5)


@pytest.mark.claim("C5.12")
def test_the_paper_s_fit_depends_on_the_unit_of_the_loss() -> None:
    losses = 1.3 + 0.1 * Scenario("exponential", "iid", 200, 5.0).simulate(20)
    for y in losses:
        assert exponential_test(y, method="paper").reject()
        assert "did not converge" in exponential_test(1e4 * y, method="paper").sentence
        assert exponential_test(1e4 * y).pvalue == pytest.approx(exponential_test(y).pvalue)


@pytest.mark.claim("C5.12")
def test_the_paper_calls_growth_decay() -> None:
    losses = 1.3 + 0.1 * Scenario("saturating growth", "iid", 200, 2.0).simulate(100)
    assert (pvalues("exponential", losses, method="paper") < 0.05).mean() > 0.7
    assert all(exponential_test(y).exponential is None for y in losses)

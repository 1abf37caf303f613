"""The straight line and the exponential."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from exptest.statistics import fit_exponential, fit_line
from exptest.statistics.scaling import rescaled
from tests.statistics.reference import dense_grid_sse

# NIST StRD: x, y, certified (b1, b2, residual sum of squares).
MISRA1A = (
    [
        77.6,
        114.9,
        141.1,
        190.8,
        239.9,
        289.0,
        332.8,
        378.4,
        434.8,
        477.3,
        536.8,
        593.1,
        689.1,
        760.0,
    ],
    [
        10.07,
        14.73,
        17.94,
        23.93,
        29.61,
        35.18,
        40.02,
        44.82,
        50.76,
        55.05,
        61.01,
        66.40,
        75.47,
        81.78,
    ],
    (2.3894212918e02, 5.5015643181e-04, 1.2455138894e-01),
)
BOXBOD = (
    [1, 2, 3, 5, 7, 10],
    [109, 149, 149, 191, 213, 224],
    (2.1380940889e02, 5.4723748542e-01, 1.1680088766e03),
)


def digits(value: float, certified: float) -> float:
    error = abs(value - certified) / abs(certified)
    return 11.0 if error == 0 else min(-np.log10(error), 11.0)


@pytest.mark.claim("C5.1")
@pytest.mark.parametrize("data", [MISRA1A, BOXBOD], ids=["Misra1a", "BoxBOD"])
def test_nist_is_matched_to_ten_digits_without_a_start(data) -> None:
    x, y, certified = data
    fit = fit_exponential(y, steps=x, through_origin=True)
    found = (fit.floor, fit.rate, fit.sse)
    assert fit.amplitude == -fit.floor
    assert min(digits(v, c) for v, c in zip(found, certified, strict=True)) >= 10


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(5, 60), st.sampled_from([0.0, 1.0, 10.0]))
def test_no_rate_fits_better(seed: int, n: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    y = size * np.exp(-rng.uniform(0.5, 10) * np.linspace(0, 1, n)) + rng.normal(size=n)
    assert fit_exponential(y).sse <= dense_grid_sse(y) * (1 + 1e-9)


@pytest.mark.claim("C5.2")
@given(st.integers(0, 10_000), st.integers(-900, 900))
def test_a_power_of_two_scales_every_number_exactly(seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    y = 3 * np.exp(-4 * np.linspace(0, 1, 30)) + rng.normal(size=30)
    line, scaled_line = fit_line(y), fit_line(np.ldexp(y, exponent))
    fit, scaled = fit_exponential(y), fit_exponential(np.ldexp(y, exponent))
    assert scaled.rate == fit.rate
    for here, there in ((line, scaled_line), (fit, scaled)):
        for name in {"slope", "intercept", "amplitude", "floor", "start"} & vars(here).keys():
            assert getattr(there, name) == np.ldexp(getattr(here, name), exponent)
        with np.errstate(over="ignore"):
            assert there.sse == np.ldexp(here.sse, 2 * exponent)


@given(st.integers(0, 10_000), st.floats(-100, 100), st.floats(0.01, 100))
def test_offset_and_scale_leave_the_rate(seed: int, offset: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    y = 3 * np.exp(-4 * np.linspace(0, 1, 30)) + 0.1 * rng.normal(size=30)
    fit, moved = fit_exponential(y), fit_exponential(offset + scale * y)
    assert moved.rate == pytest.approx(fit.rate, rel=1e-6)
    assert moved.floor == pytest.approx(offset + scale * fit.floor, rel=1e-6, abs=1e-6 * scale)


@given(st.integers(0, 10_000), st.integers(3, 80))
def test_the_line_is_statsmodels_line(seed: int, n: int) -> None:
    y = np.random.default_rng(seed).normal(size=n)
    ols = sm.OLS(y, sm.add_constant(np.arange(n))).fit()
    fit = fit_line(y)
    np.testing.assert_allclose([fit.intercept, fit.slope], ols.params, rtol=1e-9, atol=1e-12)
    assert fit.sse == pytest.approx(ols.ssr, rel=1e-9, abs=1e-20)
    np.testing.assert_allclose(fit.predict(), ols.fittedvalues, atol=1e-9)
    np.testing.assert_allclose(fit.predict([n, 2.5 * n]), ols.predict([[1, n], [1, 2.5 * n]]))


@pytest.mark.parametrize("rate", [1e-4, 0.02, 0.5, 3.0])
def test_an_exact_exponential_is_found_exactly(rate: float) -> None:
    t = np.arange(80)
    fit = fit_exponential(2.0 + 5.0 * np.exp(-rate * t))
    assert fit.rate == pytest.approx(rate, rel=1e-6)
    np.testing.assert_allclose(fit.predict(), 2.0 + 5.0 * np.exp(-rate * t), atol=1e-9)


def test_a_single_jump_is_the_fastest_decay() -> None:
    fit = fit_exponential([5.0] + [1.0] * 20)
    assert fit.rate > 30.0
    assert fit.sse == pytest.approx(0.0, abs=1e-9)
    assert fit_exponential([0.0, 3.0, 3.0, 3.0]).amplitude == pytest.approx(-3.0)


def test_a_decay_within_the_smallest_gap_of_the_steps_is_found() -> None:
    steps = np.array([0.0, 0.01, 0.02, 0.03, 5.0, 10.0])
    assert fit_exponential(np.exp(-100 * steps), steps=steps).rate == pytest.approx(100, rel=1e-6)


def test_a_later_first_step_changes_nothing_but_the_origin(rng: np.random.Generator) -> None:
    y = 3 * np.exp(-0.1 * np.arange(50)) + 0.1 * rng.normal(size=50)
    here, later = fit_exponential(y), fit_exponential(y, steps=np.arange(50) + 10_000)
    assert later.rate == pytest.approx(here.rate, rel=1e-9)
    assert later.origin == 10_000
    assert fit_exponential(y, steps=np.arange(50) - 25).rate == pytest.approx(here.rate)
    np.testing.assert_allclose(later.predict(np.arange(50) + 10_000), here.predict(), atol=1e-9)


def test_fits_that_cannot_be_are_nan() -> None:
    assert np.isnan(fit_line([1.0, np.nan]).slope)
    assert np.isnan(fit_exponential([1.0, 2.0]).rate)
    assert np.isnan(fit_exponential([1.0, np.inf, 2.0]).rate)
    assert fit_exponential([2.0] * 10).amplitude == 0.0


@pytest.mark.parametrize(
    ("losses", "options", "error", "message"),
    [
        ([], {}, ValueError, "losses is empty"),
        ([[1.0, 2.0]], {}, ValueError, "losses must have one dimension"),
        (["a", "b"], {}, TypeError, "losses must be real numbers"),
        ([1.0, 2.0, 3.0], {"steps": [1, 2]}, ValueError, "steps must be as many as the losses, 3"),
        ([1.0, 2.0, 3.0], {"steps": [1, 2, np.nan]}, ValueError, "steps must be finite"),
        (
            [1.0, 2.0, 3.0],
            {"steps": [-1, 2, 3], "through_origin": True},
            ValueError,
            "not be negative",
        ),
    ],
)
def test_bad_input_is_named(losses, options, error, message) -> None:
    with pytest.raises(error, match=message):
        fit_exponential(losses, **options)


def test_fits_explain_themselves() -> None:
    assert "line" in str(fit_line([3.0, 2.0, 1.0]))
    assert "exponential" in str(fit_exponential([3.0, 2.0, 1.5, 1.2]))


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=9))
def test_rescaled_numbers_are_below_one_and_lose_no_digit(values: list[float]) -> None:
    y = np.array(values)
    z, exponent = rescaled(y)
    assert np.abs(z).max() == 0.0 or 0.5 <= np.abs(z).max() < 1.0
    np.testing.assert_array_equal(z, np.ldexp(y, -exponent))

"""The tails of the paper's two tests are scipy's distributions, to the last digits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from exptest.statistics import exponential_test, fit_line, slope_test
from exptest.statistics.fits import ExponentialFit
from exptest.statistics.paper import f_test, t_test


@pytest.mark.parametrize("n", [4, 5, 8, 30, 1000])
@pytest.mark.parametrize("gain", [-0.5, 0.0, 1e-9, 0.1, 3.0, 1e4, 1e12, np.inf])
def test_f_has_the_upper_tail_of_its_distribution(n: int, gain: float) -> None:
    line = fit_line(np.cos(np.arange(n) ** 2))
    sse = line.sse / (1 + gain)
    statistic, pvalue = f_test(line, ExponentialFit(1.0, 1.0, 0.0, sse, n, start=1.0))
    assert pvalue == pytest.approx(stats.f.sf(statistic, 1, n - 3), rel=1e-12, abs=0.0)
    if sse > 0.0:
        assert statistic == pytest.approx((line.sse - sse) / (sse / (n - 3)))


@pytest.mark.parametrize("n", [3, 5, 8, 30, 1000])
@pytest.mark.parametrize("slope", [-1e6, -10.0, -0.01, 0.0, 0.01, 5.0])
def test_t_has_the_lower_tail_of_its_distribution(n: int, slope: float) -> None:
    y = np.cos(np.arange(n) ** 2) + slope * np.arange(n)
    statistic, pvalue = t_test(y, fit_line(y))
    assert pvalue == pytest.approx(stats.t.cdf(statistic, n - 2), rel=1e-12, abs=0.0)


def test_the_paper_s_curve_is_the_one_that_it_fits() -> None:
    y = 1.5 + 0.8 * np.exp(-0.2 * np.arange(30)) + 0.01 * np.cos(np.arange(30) ** 2)
    result = exponential_test(y, method="paper")
    fit = result.exponential
    assert fit is not None
    literal = fit.amplitude * np.exp(-fit.rate * np.arange(30)) + fit.floor
    np.testing.assert_allclose(fit.predict(), literal, rtol=1e-12)
    assert fit.sse == pytest.approx(np.sum((y - literal) ** 2))
    assert result.df == (1.0, 27.0)
    assert slope_test(y, method="paper").df == 28.0

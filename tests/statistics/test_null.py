"""The null distribution of the exponential test: exact on a straight line with equal noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f, t

from exptest.statistics.geometry import geometry
from exptest.statistics.noise import Noise, independent_noise
from exptest.statistics.noise_models import variance_along
from exptest.statistics.null import _boundary, crossing_probability
from exptest.statistics.window_fits import WindowFits


def known(n: int) -> Noise:
    return independent_noise(np.zeros(n), 3)


def pvalue_known_noise(y: np.ndarray) -> float:
    window = WindowFits(y)
    decay = window.decay()
    return 1.0 if decay is None else window.pvalue(decay, known(len(y)))


@pytest.mark.parametrize("n", [4, 7, 50, 97])
def test_the_variance_of_ar1_noise_along_a_decay_is_its_quadratic_form(n: int) -> None:
    shape, phis = geometry(n), np.array([[0.0], [0.5], [0.9], [0.99]])
    e = (shape.curves - shape.cosine[:, None] * shape.line) / shape.sine[:, None]
    np.testing.assert_allclose(shape.off_line, e)
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    expected = [np.einsum("gi,ij,gj->g", e, phi**lag, e) for phi in phis[:, 0]]
    np.testing.assert_allclose(variance_along(e, phis ** np.arange(n)), expected, rtol=1e-9)


@pytest.mark.claim("C5.3")
@given(st.integers(0, 10_000), st.integers(8, 80), st.floats(-3, 20), st.floats(0.01, 0.9))
def test_a_good_fit_is_a_crossing(seed: int, n: int, fall: float, gain: float) -> None:
    """SSE_exp ≤ (1 − g) SSE_lin at rate k, with a > 0, is e_k·u ≥ h(k)."""
    shape = geometry(n)
    y = np.random.default_rng(seed).normal(size=n) + fall * (1 - shape.x)
    centred = y - y.mean()
    s_line = shape.line @ centred
    off = centred - s_line * shape.line
    sse_line = off @ off
    u, lean = off / np.sqrt(sse_line), s_line / np.sqrt(sse_line)
    along = shape.curves @ centred
    fits = (along > 0) & (centred @ centred - along**2 <= (1 - gain) * sse_line)
    e = (shape.curves - shape.cosine[:, None] * shape.line) / shape.sine[:, None]
    h, _ = _boundary(shape, lean, gain)
    margin = np.abs(e @ u - h) > 1e-7
    np.testing.assert_array_equal(fits[margin], (e @ u >= h)[margin])


@pytest.mark.claim("C5.4")
@pytest.mark.parametrize("n", [8, 20, 50, 200])
@pytest.mark.parametrize("decline", [0.5, 3.0, 30.0])
def test_size_is_exact_on_every_decline_of_equal_noise(n: int, decline: float) -> None:
    rng = np.random.default_rng(n)
    line = -decline * np.linspace(0, 1, n)
    p = np.array([pvalue_known_noise(line + rng.normal(size=n)) for _ in range(1500)])
    for alpha in (0.01, 0.05, 0.1):
        error = np.sqrt(alpha * (1 - alpha) / 1500)
        assert (p < alpha).mean() <= alpha + 3 * error
        if decline > 1:
            assert (p < alpha).mean() >= alpha - 3.5 * error


@pytest.mark.claim("C5.4")
def test_on_steep_lines_the_null_is_half_of_f() -> None:
    n, shape = 50, geometry(50)
    for statistic in (0.5, 2.0, 5.0, 10.0):
        gain = statistic / (statistic + n - 3)
        p = crossing_probability(shape, 1e4, gain, known(n))
        assert p == pytest.approx(0.5 * f.sf(statistic, 1, n - 3), rel=1e-3)


def size_of_one_factor(n: int) -> float:
    """How often 0.75 · P(F > f) < 0.05 on flat losses: C5.4's p at that f, over the lean."""
    critical = f.isf(0.05 / 0.75, 1, n - 3)
    leans = t.ppf((np.arange(200) + 0.5) / 200, n - 2) / np.sqrt(n - 2)
    gain = critical / (critical + n - 3)
    return np.mean([crossing_probability(geometry(n), s, gain, known(n)) for s in leans])


def test_one_factor_for_all_windows_is_not_safe_in_long_ones() -> None:
    assert size_of_one_factor(50) == pytest.approx(0.028, abs=0.001)
    assert size_of_one_factor(4000) == pytest.approx(0.068, abs=0.001)


@given(st.floats(-5, 50), st.floats(0.001, 0.98), st.floats(0.001, 0.98))
def test_a_larger_gain_is_never_more_probable(lean: float, one: float, other: float) -> None:
    shape = geometry(40)
    low, high = sorted((one, other))
    p_low = crossing_probability(shape, lean, low, known(40))
    p_high = crossing_probability(shape, lean, high, known(40))
    assert p_high <= p_low * (1 + 1e-9)


def test_the_tried_rates_hold_fifty_efolds_and_no_more_than_one_a_step() -> None:
    for n in (4, 20, 50, 200, 4000):
        assert min(n - 1, 50) <= geometry(n).rates[-1] * (1 + 1e-12) <= n
    assert geometry(4000).rates[-1] == pytest.approx(3999 / 2)


def test_no_gain_is_no_evidence() -> None:
    assert crossing_probability(geometry(20), 1.0, 0.0, known(20)) == 1.0
    assert crossing_probability(geometry(20), 1.0, -0.1, known(20)) == 1.0

"""Is the loss still going down?"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr

from exptest import _checks
from exptest.statistics import paper
from exptest.statistics.blocks import averaged
from exptest.statistics.exponential import SPIKE_REMARK, unanswerable
from exptest.statistics.fits import fit_line
from exptest.statistics.noise import Noise, drift_inflation
from exptest.statistics.results import SlopeTestResult
from exptest.statistics.scaling import rescaled
from exptest.statistics.window_fits import Decay, WindowFits

Vector = Float[np.ndarray, " n"]

FEWEST = 3
# The noise is taken around the exponential only where that is beyond doubt.
CERTAIN = 1e-3
AROUND_DECAY = "The noise was measured around the exponential, which fits far better than a line."


def slope_test(losses: Any, *, method: str = "calibrated") -> SlopeTestResult:
    """Test, one-sided, whether losses decrease on average over the window.

    t = slope / se,  p = P(T < t).

    Args:
        losses: shape (n,), loss units, one per step.
        method: ``"calibrated"`` (default) counts independent losses and measures the noise
            around the curve that fits; ``"paper"`` is ordinary least squares.

    Returns:
        The result; ``reject(alpha)`` says whether a decrease is claimed. Non-finite losses or
        fewer than three give p = 1 and say why.

    Raises:
        TypeError, ValueError: ``losses`` is not numeric, not one-dimensional or empty, or
            ``method`` is unknown.

    >>> slope_test([3.0, 2.0, 1.0, 0.0]).pvalue
    0.0

    Claims C6.1 to C6.4.
    """
    y = _checks.series("losses", losses)
    _checks.one_of("method", method, ("calibrated", "paper"))
    line, n = fit_line(y), len(y)
    note = unanswerable(y, FEWEST)
    if not note and np.ptp(y / 2) == 0.0:
        note = "they are constant"
    if note:
        return SlopeTestResult(np.nan, 1.0, float(max(n - 2, 0)), method, n, line, note=note)
    if method == "paper":
        statistic, pvalue = paper.t_test(y, line)
        return SlopeTestResult(statistic, pvalue, n - 2.0, method, n, line)
    statistic, noise, remark = _calibrated(y)
    pvalue = float(stdtr(noise.df, statistic))
    return SlopeTestResult(statistic, pvalue, noise.df, method, n, line, noise=noise, remark=remark)


def _calibrated(y: Vector) -> tuple[float, Noise, str]:
    """Return t, the noise and where it was measured."""
    blocks, size = averaged(y)
    window = WindowFits(rescaled(blocks)[0])
    if window.straight:
        return float(np.copysign(np.inf, -window.fall)), window.noise(), ""
    decay = _certain_decay(window)
    if decay is None:
        return *_t(window, window.sse, window.noise()), ""
    if window.spike_beats(decay):
        t, noise, _ = _calibrated(y[size:])
        return t, noise, SPIKE_REMARK
    return *_t(window, decay.sse, window.noise(decay)), AROUND_DECAY


def _certain_decay(window: WindowFits) -> Decay | None:
    """Return the best decay if it is beyond doubt: first a quick look, then the exact fit."""
    for refine in (False, True):
        decay = window.decay(refine=refine)
        if decay is None or window.pvalue(decay, window.noise(decay)) > CERTAIN:
            return None
    return decay


def _t(window: WindowFits, sse: float, noise: Noise) -> tuple[float, Noise]:
    x = window.shape.x - 0.5
    variance = drift_inflation(noise.drift, 0.0, float(window.shape.line**2 @ x**2))
    with np.errstate(divide="ignore"):
        t = -window.fall * np.sqrt(np.float64(noise.information) / sse / variance)
    return float(t), noise

"""Is the loss still going down?"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.statistics import paper
from exptest.statistics.blocks import averaged
from exptest.statistics.exponential import NOISES, SPIKE_REMARK, unanswerable
from exptest.statistics.fits import fit_line, line_in_units
from exptest.statistics.noise import Noise
from exptest.statistics.phases import as_period
from exptest.statistics.results import SlopeTestResult
from exptest.statistics.scaling import rescaled
from exptest.statistics.window_fits import WindowFits

Vector = Float[np.ndarray, " n"]

FEWEST = 3
CONSTANT = "they are constant"
EXACT = "They follow a straight line to the last digit."
AROUND_DECAY = "The noise was measured around the exponential, which fits far better than a line."


def slope_test(
    losses: Any, *, method: str = "calibrated", noise: str = "estimated", period: int = 1
) -> SlopeTestResult:
    """Test, one-sided, whether losses decrease on average over the window.

    t = slope / se,  p = P(T < t).

    Args:
        losses: shape (n,), loss units, one per step.
        method: ``"calibrated"`` (default) counts independent losses and measures the noise
            around the curve that fits; ``"paper"`` is ordinary least squares.
        noise: ``"estimated"`` (default) reads correlation and size off the residuals;
            ``"independent"`` takes equal independent noise for granted: then p is exact, and
            short windows pay no power for caution. Calibrated only.
        period: steps after which the noise has the same mean again, as those of an epoch; the
            mean of each of them is removed. Calibrated only.

    Returns:
        The result; ``reject(alpha)`` says whether a decrease is claimed. Non-finite losses or
        fewer than three give p = 1 and say why.

    Raises:
        TypeError, ValueError: ``losses`` is not numeric, not one-dimensional or empty, or
            ``method`` or ``noise`` is unknown, or ``period`` no number of steps.

    >>> slope_test([3.0, 2.0, 1.0, 0.0]).pvalue
    0.0

    Claims C6.1, C6.7 and C6.8.
    """
    y = _checks.series("losses", losses)
    independent = _checks.one_of("noise", noise, NOISES) == "independent"
    _checks.one_of("method", method, ("calibrated", "paper"))
    steps = as_period(period) if method == "calibrated" else 1
    note = unanswerable(y, FEWEST, steps)
    if not note and y.max() == y.min():
        note = CONSTANT
    if note:
        return _without_verdict(y, method, note)
    return _paper(y) if method == "paper" else _calibrated(y, independent, steps)


def _without_verdict(y: Vector, method: str, note: str) -> SlopeTestResult:
    df = float(max(len(y) - 2, 0))
    return SlopeTestResult(np.nan, 1.0, df, method, len(y), fit_line(y), note=note)


def _paper(y: Vector) -> SlopeTestResult:
    line = fit_line(y)
    statistic, pvalue = paper.t_test(y, line)
    if math.isnan(pvalue):
        return _without_verdict(y, "paper", "t is not a number")
    error = line.slope / statistic if statistic else math.nan
    return SlopeTestResult(statistic, pvalue, len(y) - 2.0, "paper", len(y), line, error=error)


def _calibrated(
    y: Vector, independent: bool, period: int, *, spiked: bool = False
) -> SlopeTestResult:
    blocks, size, phases = averaged(y, period)
    z, exponent = rescaled(blocks)
    window = WindowFits(z, independent=independent, period=phases)
    if window.straight:
        if window.level:
            return _without_verdict(y, "calibrated", CONSTANT)
        sse, noise, remark = 0.0, window.noise(), EXACT
    elif (found := window.clear_decay()) is None:
        sse, noise, remark = window.sse, window.noise(), ""
    elif not spiked and window.spike_beats(found[0]):
        rest = _calibrated(y[size:], independent, period, spiked=True)
        return replace(rest, n=len(y), line=fit_line(y), remark=SPIKE_REMARK)
    else:
        sse, noise, remark = found[0].sse, found[1], AROUND_DECAY
    error = fall_error(window, sse, noise)
    t = -window.fall / error if error else math.copysign(math.inf, -window.fall)
    return SlopeTestResult(
        statistic=t,
        pvalue=noise.tail(t),
        df=noise.df,
        method="calibrated",
        n=len(y),
        line=fit_line(y) if size > 1 else line_in_units(*window.line, window.n, exponent),
        noise=noise.along_line(exponent),
        remark=remark,
        error=float(np.ldexp(error * -window.shape.step / size, exponent)),
    )


def fall_error(window: WindowFits, sse: float, noise: Noise) -> float:
    """Return the standard error of the fall along the unit line, for this noise."""
    return math.sqrt(sse / noise.information)

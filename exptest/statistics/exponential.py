"""Is this window of losses an exponential decay, or no better than a straight line?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.statistics import paper
from exptest.statistics.blocks import averaged
from exptest.statistics.fits import (
    ExponentialFit,
    LineFit,
    exponential_in_units,
    fit_line,
    line_in_units,
)
from exptest.statistics.phases import as_period
from exptest.statistics.results import ExponentialTestResult
from exptest.statistics.scaling import rescaled
from exptest.statistics.varpro import Projection, Projector
from exptest.statistics.window_fits import WindowFits

Vector = Float[np.ndarray, " n"]

FEWEST = {"calibrated": 5, "paper": 4}
NOISES = ("estimated", "independent")
# A second half that rises this many standard errors is no decay.
RISING = 4.0
SPIKE_REMARK = "The first loss is a spike and was set aside."


def exponential_test(
    losses: Any, *, method: str = "calibrated", noise: str = "estimated", period: int = 1
) -> ExponentialTestResult:
    """Test whether losses decay exponentially rather than follow a straight line.

    F = (SSE_lin − SSE_exp) / (SSE_exp / m): m = n − 3 in the paper, and here the number of
    independent losses that the noise leaves; p is the chance of a larger F on a straight line.

    Args:
        losses: shape (n,), loss units, one per step.
        method: ``"calibrated"`` (default) or ``"paper"`` (literal; theory/05 compares them).
        noise: ``"estimated"`` (default) reads correlation and size off the residuals;
            ``"independent"`` takes equal independent noise for granted: then p is exact, and
            short windows pay no power for caution. Calibrated only.
        period: steps after which the noise has the same mean again, as those of an epoch; the
            mean of each of them is removed. Calibrated only.

    Returns:
        The result; ``reject(alpha)`` says whether decay is claimed. Non-finite losses or too
        few of them (calibrated 5, paper 4) give p = 1 and say why.

    Raises:
        TypeError, ValueError: ``losses`` is not numeric, not one-dimensional or empty, or
            ``method`` or ``noise`` is unknown, or ``period`` no number of steps.

    >>> exponential_test([0.5**t for t in range(12)]).reject()
    True
    >>> exponential_test([12.0 - t for t in range(12)]).pvalue
    1.0

    Claims C5.3 to C5.8.
    """
    y = _checks.series("losses", losses)
    independent = _checks.one_of("noise", noise, NOISES) == "independent"
    _checks.one_of("method", method, FEWEST)
    steps = as_period(period) if method == "calibrated" else 1
    if note := unanswerable(y, FEWEST[method], steps):
        return _without_verdict(y, method, note, statistic=np.nan)
    return _paper(y) if method == "paper" else _calibrated(y, independent, steps)


def unanswerable(y: Vector, fewest: int, period: int = 1) -> str:
    """Return why losses cannot be tested, or an empty string."""
    if len(y) < fewest:
        return f"the test needs at least {fewest}"
    if len(y) < fewest + period - 1:
        return f"with a period of {period} the test needs at least {fewest + period - 1}"
    if bad := int((~np.isfinite(y)).sum()):
        return f"{bad} of them {'is' if bad == 1 else 'are'} not finite"
    return ""


def _without_verdict(
    y: Vector, method: str, note: str, *, statistic: float = 0.0
) -> ExponentialTestResult:
    df = (1.0, float(max(len(y) - 3, 0)))
    return ExponentialTestResult(statistic, 1.0, df, method, len(y), fit_line(y), None, note=note)


def _paper(y: Vector) -> ExponentialTestResult:
    exponential = paper.fit_from_ones(y)
    if exponential is None:
        return _without_verdict(y, "paper", "the fit did not converge", statistic=np.nan)
    line, df = fit_line(y), (1.0, len(y) - 3.0)
    statistic, pvalue = paper.f_test(line, exponential)
    if np.isnan(pvalue):
        return _without_verdict(y, "paper", "F is not a number", statistic=np.nan)
    return ExponentialTestResult(statistic, pvalue, df, "paper", len(y), line, exponential)


def _calibrated(
    y: Vector, independent: bool, period: int, *, spiked: bool = False
) -> ExponentialTestResult:
    """Test losses; ``spiked``: one was set aside already (a fast decay is spike after spike)."""
    blocks, size, phases = averaged(y, period)
    z, exponent = rescaled(blocks)
    window = WindowFits(z, independent=independent, period=phases)
    if window.straight:
        return _without_verdict(y, "calibrated", "they follow a straight line to the last digit")
    decay = window.decay()
    if decay is None:
        return _without_verdict(y, "calibrated", "no decay fits better than a constant")
    if not spiked and window.spike_beats(decay):
        return _after_spike(y, size, independent, period)
    noise = window.noise(decay)
    pvalue, note = window.pvalue(decay, noise), ""
    if pvalue < 0.2 and _rises_again(z, independent, phases):
        pvalue, note = 1.0, "they rise again in the second half"
    with np.errstate(divide="ignore"):
        gained = np.float64(max(window.sse - decay.sse, 0.0))
        statistic = float(gained / decay.sse * noise.information)
    line, exponential = _in_units(y, window, decay, exponent, size, period)
    return ExponentialTestResult(
        statistic=statistic,
        pvalue=pvalue,
        df=(1.0, noise.df),
        method="calibrated",
        n=len(y),
        line=line,
        exponential=exponential,
        noise=noise.along_line(exponent),
        note=note,
    )


def _in_units(
    y: Vector, window: WindowFits, decay: Projection, exponent: int, size: int, period: int
) -> tuple[LineFit, ExponentialFit]:
    """Return both fits per step; from blocks only the rate is kept."""
    span = len(y) - 1.0
    if size > 1:
        x = np.linspace(0.0, 1.0, len(y))
        whole = Projector(x, np.ldexp(y, -exponent), period=period)
        fit = whole.at(decay.k * span / ((window.n - 1.0) * size))
        return fit_line(y), exponential_in_units(fit, exponent, span=span)
    line = line_in_units(*window.line, window.n, exponent)
    return line, exponential_in_units(decay, exponent, span=span)


def _after_spike(y: Vector, size: int, independent: bool, period: int) -> ExponentialTestResult:
    """Test the losses after the first one (or the first block)."""
    rest = _calibrated(y[size:], independent, period, spiked=True)
    fit = rest.exponential
    if fit is not None:
        fit = replace(fit, origin=fit.origin + size, n=len(y))
    return replace(rest, n=len(y), line=fit_line(y), exponential=fit, remark=SPIKE_REMARK)


def _rises_again(z: Vector, independent: bool, period: int) -> bool:
    rest = z[len(z) // 2 :]
    if len(rest) - period < 2:
        return False
    half = WindowFits(rest, independent=independent, period=period)
    if not half.rises(RISING, half.free - 2.0):
        return False
    return half.rises(RISING, half.noise().information)

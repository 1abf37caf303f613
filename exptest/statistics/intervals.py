"""How well is it known? Confidence intervals for rate, floor and slope."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize_scalar

from exptest import _checks
from exptest.statistics.blocks import averaged
from exptest.statistics.exponential import unanswerable
from exptest.statistics.fits import FASTEST, SLOWEST
from exptest.statistics.noise import describe_noise
from exptest.statistics.scaling import rescaled
from exptest.statistics.slope import fall_error
from exptest.statistics.varpro import Projection, Rates, rates
from exptest.statistics.window_fits import WindowFits

Vector = Float[np.ndarray, " n"]

PARAMETERS = ("rate", "floor", "slope")


@dataclass(frozen=True)
class Interval:
    """All values of a parameter that the losses do not contradict.

    Attributes:
        parameter: ``"rate"`` (per step), ``"floor"`` (loss units), ``"slope"`` (loss units/step).
        estimate, low, high: infinite ends (rate: 0) where the losses set no bound.
        level: confidence.
    """

    parameter: str
    estimate: float
    low: float
    high: float
    level: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return (
            f"{self.parameter} {self.estimate:.4g}, "
            f"{100 * self.level:g} % confidence interval [{self.low:.4g}, {self.high:.4g}]"
        )


def confidence_interval(losses: Any, parameter: str = "rate", *, level: float = 0.95) -> Interval:
    """Return a confidence interval for the decay's rate or floor, or for the line's slope.

    Rate and floor by profile likelihood: all values v with
    (SSE(v) − SSE_min) / (SSE_min / m) ≤ t²_{df}((1 + level)/2), the other parameters fitted
    again for every v. The slope is the line's, ± t standard errors.

    Args:
        losses: shape (n,), loss units, one per step; at least five, all finite.
        parameter: ``"rate"``, ``"floor"`` or ``"slope"``.
        level: confidence, in (0, 1).

    Raises:
        TypeError, ValueError: the losses cannot carry an interval, or an argument is out of
            range.

    A decay that ended long ago pins its floor:

    >>> losses = [1 + 0.5**t + 0.01 * (-1) ** t for t in range(40)]
    >>> 1.0 in confidence_interval(losses, "floor")
    True

    Claim C5.10.
    """
    y = _checks.series("losses", losses)
    _checks.one_of("parameter", parameter, PARAMETERS)
    _checks.open_unit("level", level, 0.95)
    if why := unanswerable(y, 5):
        raise ValueError(f"losses give no interval, got {len(y)}: {why}; try a finite window.")
    blocks, size, _ = averaged(y)
    z, exponent = rescaled(blocks)
    window = WindowFits(z)
    if parameter == "slope":
        estimate, low, high = (end / size for end in _slope(window, level))
    else:
        estimate, low, high = _profiled(window, parameter, level)
    if parameter == "rate":
        unit = 1.0 / (size * (window.n - 1.0))
        return Interval(parameter, estimate * unit, low * unit, high * unit, level)
    with np.errstate(over="ignore"):
        estimate, low, high = (float(np.ldexp(end, exponent)) for end in (estimate, low, high))
    return Interval(parameter, estimate, low, high, level)


def _slope(window: WindowFits, level: float) -> tuple[float, float, float]:
    slope, _, sse = window.line
    found = window.clear_decay()
    noise = window.noise() if found is None else found[1]
    sse = sse if found is None else found[0].sse
    reach = noise.quantile(0.5 + level / 2.0) * fall_error(window, sse, noise) * -window.shape.step
    return slope, slope - reach, slope + reach


def _profiled(window: WindowFits, parameter: str, level: float) -> tuple[float, float, float]:
    """Return the estimate and where the profile crosses its critical value on either side."""
    searched = rates(SLOWEST, FASTEST * (window.n - 1.0))
    best = window.problem.best(searched)
    profile = (_rate_profile if parameter == "rate" else _floor_profile)(window, best, searched)
    noise = describe_noise(best.residual, 3)
    t = noise.quantile(0.5 + level / 2.0)
    least = min(best.sse, profile.sse(profile.estimate))
    limit = least * (1.0 + t * t / noise.information)

    def excess(value: float) -> float:
        return profile.sse(value) - limit

    low = _crossing(excess, profile.estimate, profile.below)
    high = _crossing(excess, profile.estimate, profile.above)
    return (
        profile.estimate,
        profile.least if low is None or profile.sse_least <= limit else low,
        math.inf if high is None or profile.sse_most <= limit else high,
    )


@dataclass(frozen=True)
class _Profile:
    """SSE as a function of one parameter, where it is least, and where to look.

    ``least`` is the parameter's lower end (the upper one is infinite); ``sse_least`` and
    ``sse_most`` are what the SSE tends to there.
    """

    sse: Callable[[float], float]
    estimate: float
    below: Float[np.ndarray, " b"]
    above: Float[np.ndarray, " a"]
    least: float
    sse_least: float
    sse_most: float


def _rate_profile(window: WindowFits, best: Projection, searched: Rates) -> _Profile:
    split = int(np.searchsorted(searched, best.k))
    below, above = searched[:split][::-1], searched[split:]

    def sse(k: float) -> float:
        return window.problem.at(k).sse

    return _Profile(sse, best.k, below, above, 0.0, window.sse, sse(float(searched[-1])))


def _floor_profile(window: WindowFits, best: Projection, searched: Rates) -> _Profile:
    """SSE(c) = min over rates of the squared error of y − c on one exponential.

    A floor of −∞ leaves the lines that do not rise, one of +∞ those that do not fall.
    """
    x, y = window.problem.x, window.problem.y
    grid = np.log(searched)

    def at(log_k: float, left: Vector) -> float:
        curve = np.exp(-np.exp(log_k) * x)
        return float(left @ left) - float(curve @ left) ** 2 / float(curve @ curve)

    def sse(floor: float) -> float:
        left = y - floor
        near = int(np.argmin([at(u, left) for u in grid]))
        ends = (grid[max(near - 1, 0)], grid[min(near + 1, len(grid) - 1)])
        return float(minimize_scalar(at, bounds=ends, args=(left,), method="bounded").fun)

    c = best.start + best.gain
    reach = (math.sqrt(best.sse / window.n) + 1e-12) * np.geomspace(1e-2, 1e6, 41)
    level = float(window.problem.centred @ window.problem.centred)
    ends = (window.sse, level) if window.fall > 0.0 else (level, window.sse)
    return _Profile(sse, c, c - reach, c + reach, -math.inf, *ends)


def _crossing(excess: Callable[[float], float], start: float, outward: Vector) -> float | None:
    """Return the first root of ``excess`` going outward, or None if there is none."""
    inside = start
    for value in outward:
        if excess(float(value)) > 0.0:
            return float(brentq(excess, inside, float(value))) if excess(inside) < 0.0 else inside
        inside = float(value)
    return None

"""How well is it known? Confidence intervals for rate, floor and slope."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize_scalar
from scipy.special import stdtrit

from exptest import _checks
from exptest.statistics.exponential import unanswerable
from exptest.statistics.noise import describe_noise
from exptest.statistics.scaling import rescaled
from exptest.statistics.window_fits import WindowFits

Vector = Float[np.ndarray, " n"]

PARAMETERS = ("rate", "floor", "slope")
# e-folds in the window over which a rate or a floor is profiled.
SEARCHED = np.geomspace(1e-3, 1e3, 61)


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

    Rate and floor by profile likelihood: all values θ with
    (SSE(θ) − SSE_min) / (SSE_min / m) ≤ t²_{df}((1 + level)/2), the other parameters fitted
    again for every θ. The slope is the line's, ± t standard errors.

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
    z, exponent = rescaled(y)
    window = WindowFits(z)
    if parameter == "slope":
        estimate, low, high = _slope(window, level)
    else:
        profile = _rate_profile(window) if parameter == "rate" else _floor_profile(window)
        estimate, low, high = _profiled(window, profile, level)
    if parameter == "rate":
        unit = 1.0 / (len(y) - 1.0)
        return Interval(parameter, estimate * unit, low * unit, high * unit, level)
    estimate, low, high = (float(np.ldexp(end, exponent)) for end in (estimate, low, high))
    return Interval(parameter, estimate, low, high, level)


@dataclass(frozen=True)
class _Profile:
    """SSE as a function of one parameter, where it is least, and where to look."""

    sse: Callable[[float], float]
    estimate: float
    below: Float[np.ndarray, " b"]
    above: Float[np.ndarray, " a"]
    lowest: float


def _slope(window: WindowFits, level: float) -> tuple[float, float, float]:
    slope, _, sse = window.line
    certain = window.certain_decay()
    noise = window.noise() if certain is None else certain[1]
    sse = sse if certain is None else certain[0].sse
    step = float(window.shape.line[0] - window.shape.line[1])
    error = math.sqrt(sse / noise.information) * step
    reach = float(stdtrit(noise.df, 0.5 + level / 2.0)) * error
    return slope, slope - reach, slope + reach


def _rate_profile(window: WindowFits) -> _Profile:
    best = window.problem.best(SEARCHED)
    split = int(np.searchsorted(SEARCHED, best.k))
    below, above = SEARCHED[:split][::-1], SEARCHED[split:]
    return _Profile(lambda k: window.problem.at(k).sse, best.k, below, above, 0.0)


def _floor_profile(window: WindowFits) -> _Profile:
    """SSE(c) = min over rates of the squared error of y − c on one exponential."""
    best = window.problem.best(SEARCHED)
    x, y = window.problem.x, window.problem.y
    grid = np.log(SEARCHED)

    def at(log_k: float, left: Vector) -> float:
        curve = np.exp(-np.exp(log_k) * x)
        return float(left @ left) - float(curve @ left) ** 2 / float(curve @ curve)

    def sse(floor: float) -> float:
        left = y - floor
        near = int(np.argmin([at(u, left) for u in grid]))
        ends = (grid[max(near - 1, 0)], grid[min(near + 1, len(grid) - 1)])
        return float(minimize_scalar(at, bounds=ends, args=(left,), method="bounded").fun)

    c = best.start + best.gain
    spread = math.sqrt(best.sse / window.n) + 1e-12
    reach = spread * np.geomspace(1e-2, 1e6, 41)
    return _Profile(sse, c, c - reach, c + reach, -math.inf)


def _profiled(window: WindowFits, profile: _Profile, level: float) -> tuple[float, float, float]:
    """Return the estimate and where the profile crosses its critical value on either side."""
    best = window.problem.best(SEARCHED)
    noise = describe_noise(best.residual, 3)
    t = float(stdtrit(noise.df, 0.5 + level / 2.0))
    least = min(best.sse, profile.sse(profile.estimate))
    limit = least * (1.0 + t * t / noise.information)

    def excess(value: float) -> float:
        return profile.sse(value) - limit

    low = _crossing(excess, profile.estimate, profile.below)
    high = _crossing(excess, profile.estimate, profile.above)
    return (
        profile.estimate,
        profile.lowest if low is None else low,
        math.inf if high is None else high,
    )


def _crossing(excess: Callable[[float], float], start: float, outward: Vector) -> float | None:
    """Return the first root of ``excess`` going outward, or None if there is none."""
    inside = start
    for value in outward:
        if excess(float(value)) > 0.0:
            return float(brentq(excess, inside, float(value))) if excess(inside) < 0.0 else inside
        inside = float(value)
    return None

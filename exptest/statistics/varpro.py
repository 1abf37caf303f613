"""Variable projection: for a fixed rate the model is linear, so only the rate is searched.

With q(x) = 1 − e^{−kx} the model is  y = start + gain·q,  or, through the origin,  y = gain·q.
Eliminating the linear coefficients leaves a function of k alone. Its derivative is rooted, not
its value minimised: a minimum is flat and would cost half of the digits
(G. Golub and V. Pereyra 1973, SIAM J. Numer. Anal. 10, 413).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from exptest.statistics.phases import phase_centred

Vector = Float[np.ndarray, " n"]
Rates = Float[np.ndarray, " g"]

RATIO = 1.3
# The secant's second point, the step in log k that ends it (the next would be far smaller: it
# converges superlinearly), and when it gives up.
NUDGE, ACCURATE, MOST_STEPS = 1.003, 3e-4, 8


class Projection(NamedTuple):
    """The best fit at one rate: ``slope`` · gain has the sign of −dSSE/dk."""

    k: float
    gain: float
    start: float
    residual: Vector
    slope: float

    @property
    def sse(self) -> float:
        """Sum of squared residuals."""
        return float(self.residual @ self.residual)


class Projector:
    """The problem  minimise ‖y − start − gain·q_k‖²  as a function of the rate k alone.

    With a ``period`` every phase has a start of its own; the one returned is that of the mean.
    """

    def __init__(self, x: Vector, y: Vector, *, intercept: bool = True, period: int = 1) -> None:
        self.x, self.y, self.intercept, self.period = x, y, intercept, period
        self.mean = float(y.sum()) / len(y) if intercept else 0.0
        self.centred = y - self.mean if period == 1 else phase_centred(y, period)

    def at(self, k: float) -> Projection:
        """Return the fit at rate k."""
        q = -np.expm1(-k * self.x)
        dq = self.x * (1.0 - q)
        mean = float(q.sum()) / len(q) if self.intercept else 0.0
        q = q - mean if self.period == 1 else phase_centred(q, self.period)
        gain = float(q @ self.centred) / float(q @ q)
        residual = self.centred - gain * q
        return Projection(k, gain, self.mean - gain * mean, residual, float(residual @ dq))

    def best(self, grid: Rates) -> Projection:
        """Return the fit of smallest SSE: the best of the grid, then the root next to it."""
        best = int(np.argmin([self.at(k).sse for k in grid]))
        return self.root_near(grid, best)

    def root_near(self, grid: Rates, best: int, start: float | None = None) -> Projection:
        """Return the fit at the root of dSSE/dk beside ``grid[best]``, or there if none.

        A few secant steps from ``start`` (in log k) usually suffice; if not, bisection.
        """
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        if start is not None and (fit := self._secant(low, high, start)) is not None:
            return fit
        below, above = self._slope(low), self._slope(high)
        if below * above >= 0.0:
            return self.at(float(grid[best]))
        return self.at(float(brentq(self._slope, low, high, xtol=1e-300, rtol=8.9e-16)))

    def _secant(self, low: float, high: float, start: float) -> Projection | None:
        previous, fit = self.at(start * NUDGE), self.at(start)
        for _ in range(MOST_STEPS):
            change = fit.slope - previous.slope
            if change == 0.0:
                return None
            step = -fit.slope * math.log(fit.k / previous.k) / change
            k = fit.k * math.exp(min(max(step, -1.0), 1.0))
            if not low <= k <= high:
                return None
            previous, fit = fit, self.at(k)
            if abs(step) < ACCURATE:
                return fit
        return None

    def _slope(self, k: float) -> float:
        fit = self.at(k)
        return fit.gain * fit.slope


def rates(slowest: float, fastest: float) -> Rates:
    """Return rates from ``slowest`` to ``fastest``, equally spaced in their logarithm."""
    count = max(int(np.ceil(np.log(fastest / slowest) / np.log(RATIO))) + 1, 2)
    return np.geomspace(slowest, fastest, count)

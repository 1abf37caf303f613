"""Variable projection: for a fixed rate the model is linear, so only the rate is searched.

With q(x) = 1 − e^{−kx} the model is  y = start + gain·q,  or, through the origin,  y = gain·q.
Eliminating the linear coefficients leaves a function of k alone. Its derivative is rooted, not
its value minimised: a minimum is flat and would cost half of the digits
(G. Golub and V. Pereyra 1973, SIAM J. Numer. Anal. 10, 413).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

Vector = Float[np.ndarray, " n"]
Rates = Float[np.ndarray, " g"]

RATIO = 1.3


class Projection(NamedTuple):
    """The best fit at one rate: ``slope`` · gain has the sign of −dSSE/dk."""

    gain: float
    start: float
    residual: Vector
    slope: float

    @property
    def sse(self) -> float:
        """Sum of squared residuals."""
        return float(self.residual @ self.residual)


class Projector:
    """The problem  minimise ‖y − start − gain·q_k‖²  as a function of the rate k alone."""

    def __init__(self, x: Vector, y: Vector, *, intercept: bool = True) -> None:
        self.x, self.y, self.intercept = x, y, intercept
        self.mean = float(y.mean()) if intercept else 0.0
        self.centred = y - self.mean

    def at(self, k: float) -> Projection:
        """Return the fit at rate k."""
        q = -np.expm1(-k * self.x)
        dq = self.x * (1.0 - q)
        mean = float(q.mean()) if self.intercept else 0.0
        q -= mean
        gain = float(q @ self.centred) / float(q @ q)
        residual = self.centred - gain * q
        return Projection(gain, self.mean - gain * mean, residual, float(residual @ dq))

    def best_rate(self, grid: Rates) -> float:
        """Return the rate of smallest SSE: the best of the grid, then the root next to it."""
        best = int(np.argmin([self.at(k).sse for k in grid]))
        return self.root_near(grid, best)

    def root_near(self, grid: Rates, best: int) -> float:
        """Return the root of dSSE/dk beside ``grid[best]``, or that rate if there is none."""
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        below, above = self._slope(low), self._slope(high)
        if below * above >= 0.0:
            return float(grid[best])
        return float(brentq(self._slope, low, high, xtol=1e-300, rtol=8.9e-16))

    def _slope(self, k: float) -> float:
        fit = self.at(k)
        return fit.gain * fit.slope


def rates(slowest: float, fastest: float) -> Rates:
    """Return rates from ``slowest`` to ``fastest``, equally spaced in their logarithm."""
    count = max(int(np.ceil(np.log(fastest / slowest) / np.log(RATIO))) + 1, 2)
    return np.geomspace(slowest, fastest, count)

"""The distributions from which the two tests read their p-values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import f as f_distribution

from exptest.statistics import ExponentialTestResult
from exptest.statistics.null import crossing_probability
from exptest.statistics.scaling import rescaled
from exptest.statistics.window_fits import WindowFits

# Values of F that are shown.
SMALLEST, LARGEST, POINTS = 0.05, 16.0, 160


class Null(NamedTuple):
    """Chance of a larger F on a straight line, over a grid of F.

    Attributes:
        statistics: F.
        tail: P(F' > F).
    """

    statistics: Float[np.ndarray, " f"]
    tail: Float[np.ndarray, " f"]

    @property
    def density(self) -> Float[np.ndarray, " f"]:
        """−dP/dF."""
        return np.maximum(-np.gradient(self.tail, self.statistics), 0.0)

    def critical(self, alpha: float) -> float:
        """Return the F whose tail is α; nan where that is not on the grid."""
        if not self.tail[-1] < alpha < self.tail[0]:
            return float("nan")
        return float(np.interp(-alpha, -self.tail, self.statistics))


def null_of(losses: Float[np.ndarray, " n"], result: ExponentialTestResult) -> Null | None:
    """Return the null distribution that a result refers to; None if it refers to none."""
    grid = np.linspace(SMALLEST, LARGEST, POINTS)
    if result.method == "paper":
        return Null(grid, f_distribution.sf(grid, 1, result.n - 3))
    if result.exponential is None or result.noise is None:
        return None
    return Null(grid, calibrated_tail(losses, result, grid))


def calibrated_tail(
    losses: Float[np.ndarray, " n"],
    result: ExponentialTestResult,
    statistics: Float[np.ndarray, " f"],
) -> Float[np.ndarray, " f"]:
    """Return the chance of a larger F, given the lean and the noise of these losses.

    F = g m / (1 − g): gain g and information m of chapter 5. A first loss that was set aside
    is left out here too.
    """
    assert result.exponential is not None
    tested, _ = rescaled(losses[int(result.exponential.origin) :])
    window = WindowFits(tested)
    noise = window.noise(window.decay())
    lean = window.fall / float(np.sqrt(window.sse))
    gains = statistics / (statistics + noise.information)
    return np.array([crossing_probability(window.shape, lean, float(g), noise) for g in gains])

"""How often a straight line with noise would look at least as exponential as this.

Given the slope and the spread that were seen, the direction u of the residuals of the line is
uniform on a sphere, whatever the line's true slope. The exponential fits at least as well as
seen exactly when the process k ↦ e_k·u crosses a known boundary h(k). The probability of a
crossing is the sum over k of the rate of upcrossings (Rice's formula). theory/05 proves it.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri, stdtr

from exptest.statistics.geometry import Geometry
from exptest.statistics.noise import NoiseAlongDecays

Grid = Float[np.ndarray, " g"]

FARTHEST = 37.0
FLAT = 1e-4
ROOT_TWO_PI = math.sqrt(2.0 * math.pi)


def crossing_probability(
    shape: Geometry, lean: float, gain: float, noise: NoiseAlongDecays
) -> float:
    """Return the p-value of an exponential that leaves 1 − gain of the line's squared error.

    p = P(e_k·u ≥ h(k) for some k),  h(k) = (√(s² + g) − s cos ω_k) / sin ω_k.

    Args:
        shape: directions for this n.
        lean: s, the fall of the line, in units of the root of its squared error.
        gain: g = 1 − SSE_exp / SSE_lin, in [0, 1].
        noise: its information along every e_k.
    """
    if gain <= 0.0:
        return 1.0
    h, lowest = _boundary(shape, lean, gain)
    h, at = np.append(h, lowest), np.r_[: len(h), 0]
    heights = np.maximum(
        _normal_height(h, noise.curves[at], noise.curves_df[at]),
        _normal_height(h, noise.curves_least[at], np.full(len(h), noise.free)),
    )
    return float(min(ndtr(-heights[-1]) + _upcrossings(heights[:-1], shape.turn).sum(), 1.0))


def _boundary(shape: Geometry, lean: float, gain: float) -> tuple[Grid, float]:
    """Return h at the rates, and its least value at and below the slowest rate."""
    reach = np.hypot(lean, np.sqrt(gain))
    if lean > 0.0:
        rise = lean * shape.sine**2 / (1.0 + shape.cosine) + gain / (reach + lean)
    else:
        rise = reach - lean * shape.cosine
    h = rise / shape.sine
    still_falling = lean < reach * shape.cosine[0]
    return h, float(h[0] if still_falling else np.sqrt(gain))


def _normal_height(h: Grid, information: Grid, df: Grid) -> Grid:
    """Return z with P(Z > z) = P(e·u > h): Student's t carries the sphere to the normal."""
    inside = np.minimum(h, 1.0 - 1e-15)
    t = inside * np.sqrt(information / (1.0 - inside * inside))
    return np.minimum(-ndtri(stdtr(df, -t)), FARTHEST)


def _upcrossings(z: Grid, turn: Float[np.ndarray, " g-1"]) -> Float[np.ndarray, " g-1"]:
    """Expected upcrossings of a boundary that is straight between the rates."""
    c = (z[1:] - z[:-1]) / turn
    steep = np.abs(c) > FLAT
    c = np.where(steep, c, 1.0)
    beyond = ndtr(-z)
    sloping = (beyond[:-1] - beyond[1:]) * (_density(c) / c - ndtr(-c))
    level = _density(z[1:]) * turn / ROOT_TWO_PI
    return np.maximum(np.where(steep, sloping, level), 0.0)


def _density(z: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    return np.exp(-0.5 * z * z) / ROOT_TWO_PI

"""Decays of every rate as directions: what the exponential test needs to know about n, once.

A window of n losses, centred, is a vector. The falling line is one direction, ℓ; a decay of k
e-folds is another, v_k. Off the line v_k = cos ω_k ℓ + sin ω_k e_k; as k grows, e_k moves along
a curve on the unit sphere. theory/05 derives the null distribution from this curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float
from scipy.fft import next_fast_len, rfft

# e-folds in the window: where the tabulated decays begin, and how far they always reach; beyond,
# one e-fold takes two steps: of faster decays noise with heavy tails has too many.
SLOWEST, REACH = 0.02, 50.0
RATES = 32
# Correlations at which the variance inflation is tabulated.
CORRELATIONS = np.array(
    [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99]
)


@dataclass(frozen=True)
class Geometry:
    """Directions and their angles for windows of n losses.

    Attributes:
        x: steps rescaled to [0, 1].
        line: ℓ, the falling straight line, centred, of norm 1.
        rates: k, e-folds in the window, from `SLOWEST` to `fastest`.
        curves: v_k, decaying exponentials, centred, of norm 1.
        cosine, sine: of ω_k, the angle between v_k and ℓ.
        turn: arc length of e_k from one rate to the next, radians.
        first, second: Σ e_k² (x − ½) and Σ e_k² (x − ½)².
        spike: the first step alone, off the line, of norm 1.
    """

    x: Float[np.ndarray, " n"]
    line: Float[np.ndarray, " n"]
    rates: Float[np.ndarray, " g"]
    curves: Float[np.ndarray, "g n"]
    cosine: Float[np.ndarray, " g"]
    sine: Float[np.ndarray, " g"]
    turn: Float[np.ndarray, " g-1"]
    first: Float[np.ndarray, " g"]
    second: Float[np.ndarray, " g"]
    spike: Float[np.ndarray, " n"]

    @cached_property
    def inflation(self) -> Float[np.ndarray, "r g"]:
        """Variance of AR(1) noise along e_k, relative to the largest over k.

        One row per entry φ of ``CORRELATIONS``: Σ_ij e_i e_j φ^|i−j|, summed over frequencies.
        """
        e = _off_line(self.curves, self.line, self.cosine) / self.sine[:, None]
        length = next_fast_len(2 * len(self.x), real=True)
        power = np.abs(rfft(e, length)) ** 2
        power[:, 1 : (length + 1) // 2] *= 2.0  # there and at the negative frequency
        variance = _lag_weights(len(self.x), length) @ power.T
        return variance / variance.max(axis=1, keepdims=True)


@lru_cache(maxsize=32)
def geometry(n: int) -> Geometry:
    """Return the geometry of windows of n ≥ 4 losses."""
    x = np.linspace(0.0, 1.0, n)
    line = _unit(0.5 - x)
    rates = np.geomspace(SLOWEST, fastest(n), RATES)
    q = np.expm1(-rates[:, None] * x)
    curves = _unit(q - q.mean(axis=1, keepdims=True))
    cosine = curves @ line
    off_line = _off_line(curves, line, cosine)
    sine = np.linalg.norm(off_line, axis=1)
    e = off_line / sine[:, None]
    chord = np.linalg.norm(np.diff(e, axis=0), axis=1)
    spike = np.zeros(n)
    spike[0] = 1.0
    spike -= spike.mean() + (spike @ line) * line
    return Geometry(
        x=x,
        line=line,
        rates=rates,
        curves=curves,
        cosine=cosine,
        sine=sine,
        turn=2.0 * np.arcsin(chord / 2.0),
        first=e**2 @ (x - 0.5),
        second=e**2 @ (x - 0.5) ** 2,
        spike=_unit(spike),
    )


def fastest(n: int) -> float:
    """Return the most e-folds tried in n losses: one in two steps, or 50, or one in each step."""
    return min(max(0.5 * (n - 1.0), REACH), n - 1.0)


def _unit(v: Float[np.ndarray, "*any n"]) -> Float[np.ndarray, "*any n"]:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def _off_line(
    curves: Float[np.ndarray, "g n"], line: Float[np.ndarray, " n"], cosine: Float[np.ndarray, " g"]
) -> Float[np.ndarray, "g n"]:
    return curves - cosine[:, None] * line


def _lag_weights(n: int, length: int) -> Float[np.ndarray, "r f"]:
    """Σ_{|l|<n} φ^|l| cos(ω l), a geometric series, at the frequencies of a real transform."""
    phi = CORRELATIONS[:, None]
    omega = 2.0 * np.pi * np.arange(length // 2 + 1) / length
    cut = 2.0 * phi**n * (np.cos(n * omega) - phi * np.cos((n - 1) * omega))
    return (1.0 - phi**2 - cut) / (1.0 - 2.0 * phi * np.cos(omega) + phi**2)

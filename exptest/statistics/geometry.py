"""Decays of every rate as directions: what the exponential test needs to know about n, once.

A window of n losses, centred, is a vector. The falling line is one direction, ℓ; a decay of k
e-folds is another, v_k. Off the line v_k = cos ω_k ℓ + sin ω_k e_k; as k grows, e_k moves along
a curve on the unit sphere. theory/05 derives the null distribution from this curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from exptest.statistics.phases import phase_centred

# e-folds in the window: where the tabulated decays begin, and how far they always reach; beyond,
# one e-fold takes two steps: of faster decays noise with heavy tails has too many.
SLOWEST, REACH = 0.02, 50.0
RATES = 32


@dataclass(frozen=True)
class Geometry:
    """Directions and their angles for windows of n losses.

    Attributes:
        x: steps rescaled to [0, 1].
        line: ℓ, the falling straight line, centred, of norm 1.
        step: change of ℓ from one step to the next of the same phase.
        rates: k, e-folds in the window, from `SLOWEST` to `fastest`.
        curves: v_k, decaying exponentials, centred, of norm 1.
        cosine, sine: of ω_k, the angle between v_k and ℓ.
        turn: arc length of e_k from one rate to the next, radians.
        off_line: e_k, of norm 1.
        spike: the first step alone, off the line, of norm 1.
    """

    x: Float[np.ndarray, " n"]
    line: Float[np.ndarray, " n"]
    step: float
    rates: Float[np.ndarray, " g"]
    curves: Float[np.ndarray, "g n"]
    cosine: Float[np.ndarray, " g"]
    sine: Float[np.ndarray, " g"]
    turn: Float[np.ndarray, " g-1"]
    off_line: Float[np.ndarray, "g n"]
    spike: Float[np.ndarray, " n"]


@lru_cache(maxsize=32)
def geometry(n: int, period: int = 1) -> Geometry:
    """Return the geometry of windows of n ≥ 4 losses whose phases have means of their own."""
    x = np.linspace(0.0, 1.0, n)
    fall = phase_centred(0.5 - x, period)
    line = _unit(fall)
    rates = np.geomspace(SLOWEST, fastest(n), RATES)
    curves = _unit(phase_centred(np.expm1(-rates[:, None] * x), period))
    cosine = curves @ line
    off_line = _off_line(curves, line, cosine)
    sine = np.linalg.norm(off_line, axis=1)
    e = off_line / sine[:, None]
    chord = np.linalg.norm(np.diff(e, axis=0), axis=1)
    spike = np.zeros(n)
    spike[0] = 1.0
    spike = phase_centred(spike, period)
    spike -= (spike @ line) * line
    return Geometry(
        x=x,
        line=line,
        step=-1.0 / ((n - 1.0) * float(np.linalg.norm(fall))),
        rates=rates,
        curves=curves,
        cosine=cosine,
        sine=sine,
        turn=2.0 * np.arcsin(chord / 2.0),
        off_line=e,
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

"""What the noise around a fit looks like, and how much information it leaves.

Three things make noise differ from n independent equal errors: correlation between steps, a
drift of its size over the window, and a curve that the fit missed. All three are read from the
residuals. The constants marked "tuned" were set by simulation (theory/05, section 5.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from exptest.statistics.geometry import CORRELATIONS

Vector = Float[np.ndarray, " n"]

# Up to here the bias of φ̂ is computed exactly, beyond to first order in 1/n.
EXACT_BIAS = 256
# Below 8 losses φ cannot be told from 0; from 20 on it is believed in full.
BLIND, SEEING = 8, 20
# Tuned: allowance for the error of φ̂ in small windows, smallest information and df.
SHIFT, LOSS, LOSS_SCALE = 0.09, 0.8, 40.0
SPREAD, SPREAD_SMALL, SPREAD_GROWTH = 0.7, 8.0, 8.0
SPREAD_SHORT, SHORT = 1.2, 30.0
LEAST_INFORMATION, LEAST_DF = 0.2, 0.7
# Tuned: a drift of the noise counts beyond this many standard errors, then in full and more.
DRIFT_GUARD, DRIFT_GUARD_SCALE, DRIFT_LIMIT, DRIFT_BOOST = 0.5, 25.0, 1.9, 1.6
# Residuals smoother than this (see `_is_missed_curve`) are a curve that the fit missed.
SMOOTH, SMOOTH_LONG = 0.6, 30.0


@dataclass(frozen=True)
class Noise:
    """The noise around a fit of ``parameters`` coefficients.

    Attributes:
        correlation: φ̂ ≥ 0, lag 1.
        information: m, such that m · signal²/SSE compares with a squared t of ``df``.
        df: degrees of freedom, fewer than m because φ̂ is uncertain.
        drift: δ̂, relative change of the noise's size over the window, 0 where not significant.
    """

    correlation: float
    information: float
    df: float
    drift: float


def describe_noise(residual: Vector, parameters: int) -> Noise:
    """Return correlation, information and drift of the noise, from the residuals of a fit."""
    n = len(residual)
    energy = float(residual @ residual)
    if energy == 0.0 or _is_missed_curve(residual):
        return independent_noise(n, parameters)
    r1 = float(residual[1:] @ residual[:-1]) / energy
    return noise_of(n, parameters, r1, _drift(residual))


def independent_noise(n: int, parameters: int) -> Noise:
    """Return the noise of equal, independent errors: as much information as losses to spare."""
    free = float(n - parameters)
    return Noise(0.0, free, free, 0.0)


def noise_of(n: int, parameters: int, r1: float, drift: float = 0.0) -> Noise:
    """Return the noise that residuals with lag-1 autocorrelation r₁ speak of."""
    belief = min(max((n - BLIND) / (SEEING - BLIND), 0.0), 1.0)
    phi = belief * _unbiased(r1, n, parameters)
    independent = max(effective_length(n, phi) - parameters, 0.0)
    loss = min(LOSS, LOSS_SCALE / n) * phi**2
    information = independent * (1.0 - loss) + LEAST_INFORMATION
    spread = SPREAD + SPREAD_SMALL / n + SPREAD_SHORT * belief * min((SHORT / n) ** 6, 1.0)
    spread *= (1.0 + SPREAD_GROWTH * phi**2) / (n * (1.0 - phi**2))
    df = max(1.0 / (1.0 / information + spread), LEAST_DF)
    return Noise(phi, information, df, drift)


def effective_length(n: int, phi: float) -> float:
    """Return n (1 − φ)/(1 + φ): how many independent losses say as much about a slow trend."""
    return n * (1.0 - phi) / (1.0 + phi)


def drift_inflation(
    drift: float, first: Float[np.ndarray, "*g"] | float, second: Float[np.ndarray, "*g"] | float
) -> Float[np.ndarray, "*g"] | float:
    """Return the variance along directions with these moments, for noise of size 1 + δ(x − ½).

    V = (1 + 2δ Σe²(x−½) + δ² Σe²(x−½)²) / (1 + δ²/12), never taken below 1.
    """
    variance = (1.0 + 2.0 * drift * first + drift**2 * second) / (1.0 + drift**2 / 12.0)
    return np.maximum(1.0 + DRIFT_BOOST * (variance - 1.0), 1.0)


def _is_missed_curve(residual: Vector) -> bool:
    """Whether the residuals are far smoother than AR(1) noise or a random walk can be.

    ‖Δ³r‖² / ‖r‖² is 20 for equal noise, at least 1.26 for φ = 0.9, about 180/n for a walk.
    """
    first = residual[1:] - residual[:-1]
    second = first[1:] - first[:-1]
    third = second[1:] - second[:-1]
    limit = min(SMOOTH, SMOOTH_LONG / len(residual))
    return float(third @ third) < limit * float(residual @ residual)


def _drift(residual: Vector) -> float:
    size = np.abs(residual)
    n = len(size)
    mean, (x, spread) = float(size.sum()) / n, _centred_steps(n)
    drift = float(size @ x) / (mean * spread)
    error = math.sqrt(max(float(size @ size) / n / mean**2 - 1.0, 0.0) / spread)
    guard = min(DRIFT_GUARD, DRIFT_GUARD_SCALE / n) * error if n >= SEEING else 0.0
    kept = max(abs(drift) - guard, 0.0)
    return math.copysign(min(kept, DRIFT_LIMIT), drift)


@lru_cache(maxsize=32)
def _centred_steps(n: int) -> tuple[Vector, float]:
    x = np.linspace(-0.5, 0.5, n)
    return x, float(x @ x)


def _unbiased(r1: float, n: int, parameters: int) -> float:
    """Return the φ whose residuals have lag-1 autocorrelation r₁ on average."""
    if n <= BLIND:
        return 0.0
    if n > EXACT_BIAS:
        return min(max(r1 + (parameters + (parameters + 2) * r1) / n, 0.0), 0.99)
    expected = expected_autocorrelation(n, parameters)
    allowance = SHIFT * (SEEING / n) ** 4 * (1.0 - expected[0]) if n >= SEEING else SHIFT
    return float(np.interp(r1 + allowance, expected, CORRELATIONS))


@lru_cache(maxsize=128)
def expected_autocorrelation(n: int, parameters: int) -> Float[np.ndarray, " r"]:
    """Return E r'Dr / E r'r of residuals r = My, for each φ of ``CORRELATIONS``.

    M removes polynomials of degree < ``parameters`` (the exponential is one nearly), D sums the
    products of neighbours. Exact but for taking the ratio of expectations.
    """
    basis = np.linalg.qr(np.vander(np.linspace(-1.0, 1.0, n), parameters, increasing=True))[0]
    M = np.eye(n) - basis @ basis.T
    MDM = M[:, :-1] @ M[1:, :]
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n))).ravel()
    powers = CORRELATIONS[:, None] ** np.arange(n)
    products = powers @ np.bincount(lag, MDM.ravel())
    energies = powers @ np.bincount(lag, M.ravel())
    return np.maximum.accumulate(products / energies)

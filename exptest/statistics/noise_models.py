"""What the noise of a window may be: white, a slow part, long memory, a cycle.

A window of n losses sees a frequency as the number j of half waves that fit into it. A slow part
with corner j_c is AR(1) noise of φ = e^{−π j_c/n}: its power falls from j_c half waves on. The
prior over these models is the same for every n; what is measured are the energies of the
residuals in bands of frequencies (theory/05, section 5.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.fft import irfft, next_fast_len, rfft

from exptest.statistics.geometry import geometry
from exptest.statistics.phases import phase_centred

Lags = Float[np.ndarray, " n"]

# Corners j_c of the slow part, and its power at frequency 0 over that of the white part.
CORNERS = (1, 1.5, 2.2, 3.3, 5, 8, 12, 20, 32, 50, 80, 130, 200, 320, 500, 800)
POWERS = (0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
# A slow part without white noise has all corners, and those of a walk over the window.
WALKS, ACROSS = (0.05, 0.2, 0.5), 0.1
# The largest corner, of n, and the largest share of a slow part beside white noise.
FASTEST_CORNER, MOSTLY_SLOW = 0.45, 0.92
# Long memory: differencing parameter d and share of the variance.
MEMORIES = ((0.2, 1.0), (0.3, 1.0), (0.4, 1.0), (0.47, 1.0), (0.4, 0.5), (0.47, 0.5), (0.47, 0.2))
# Cycles: half waves of the slowest, the ratio of one to the next, the fastest of n; widths.
SLOWEST_CYCLE, NEXT_CYCLE, FASTEST_CYCLE = 4.0, 1.3, 0.6
WIDTHS = (0.02, 0.05, 0.12, 0.25, 0.5, 1.0)
# Tuned: the prior of white noise, a slow part beside it, one alone, long memory, a cycle.
WHITE, SLOW, WALK, MEMORY, CYCLE = 0.7, 0.1, 0.1, 0.05, 0.05
# Half waves that are a band each; further bands grow by this factor; waves measured in each.
SINGLE, GROWTH, SAMPLED = 8, 1.4, 6
# Of a band that the phases' means fill, so much of a dimension is taken to be left.
EMPTY = 1e-6


@dataclass(frozen=True)
class NoiseModels:
    """The models j of the noise of n losses, of variance 1 each, and what they predict.

    Attributes:
        log_prior: logarithm of the prior probability, less ½ Σ_b m_b log S_b, shape (j,).
        correlation: lag 1, shape (j,).
        edges: first half wave of each band, shape (b,).
        inverse: 1/S_b, S_b the expected energy of the residuals per dimension, shape (j, b).
        along: variance along ℓ and every e_k, shape (j, q), q = 1 + g.
        log_moments: its logarithm and the square of that, shape (j, 2q).
    """

    log_prior: Float[np.ndarray, " j"]
    correlation: Float[np.ndarray, " j"]
    edges: np.ndarray
    inverse: Float[np.ndarray, "j b"]
    along: Float[np.ndarray, "j q"]
    log_moments: Float[np.ndarray, "j 2*q"]


@lru_cache(maxsize=256)
def noise_models(n: int, parameters: int, period: int = 1) -> NoiseModels:
    """Return the models for n losses around a fit of so many coefficients and a mean per phase.

    The fit is taken to remove the polynomials of lower degree (the exponential does nearly).
    Beyond 99 losses they are those of n rounded down to two digits, with more waves in the last
    band: counted in half waves, frequencies below it hardly know n.
    """
    if period > 1:
        return _tabulated(n, parameters, period)
    digit = 10 ** max(int(np.log10(n)) - 1, 0)
    models = _tabulated(n // digit * digit, parameters, 1)
    more = np.log(models.inverse[:, -1]) * (n % digit) / 2.0
    return replace(models, log_prior=models.log_prior + more)


@lru_cache(maxsize=64)
def _tabulated(n: int, parameters: int, period: int) -> NoiseModels:
    prior, rows = zip(*_family(n), strict=True)
    correlations = np.array(rows)
    edges, freedom, spectra = _bands(n, parameters, period, correlations)
    shape = geometry(n, period)
    along = variance_along(np.vstack([shape.line, shape.off_line]), correlations)
    return NoiseModels(
        log_prior=np.log(prior) - 0.5 * np.log(spectra) @ freedom,
        correlation=correlations[:, 1],
        edges=edges,
        inverse=1.0 / spectra,
        along=along,
        log_moments=np.hstack([np.log(along), np.log(along) ** 2]),
    )


def variance_along(
    directions: Float[np.ndarray, "d n"], correlations: Float[np.ndarray, "j n"]
) -> Float[np.ndarray, "j d"]:
    """Return v'Rv for every direction v and stationary noise of autocorrelations R_{|s−t|}."""
    n = directions.shape[1]
    length = next_fast_len(2 * n, real=True)
    products = irfft(np.abs(rfft(directions, length)) ** 2, length)[:, :n]
    products[:, 1:] *= 2.0
    return correlations @ products.T


def effective_length(n: int, phi: float) -> float:
    """Return n (1 − φ)/(1 + φ): how many independent losses say as much about a slow trend.

    Of AR(1) noise, up to order 1/n (claim C6.2).
    """
    return n * (1.0 - phi) / (1.0 + phi)


def _family(n: int) -> Iterator[tuple[float, Lags]]:
    """Yield prior and autocorrelations of every model, the white one first."""
    lags = np.arange(n, dtype=float)
    yield WHITE, np.where(lags == 0, 1.0, 0.0)
    yield from _weighed(SLOW, _slow_beside_white(lags))
    yield from _weighed(WALK, _slow_alone(lags))
    yield from _weighed(MEMORY, _long_memory(lags))
    yield from _weighed(CYCLE, _cycles(lags))


def _weighed(total: float, models: Iterator[tuple[float, Lags]]) -> Iterator[tuple[float, Lags]]:
    found = list(models)
    whole = sum(weight for weight, _ in found)
    return ((total * weight / whole, rows) for weight, rows in found)


def _slow_beside_white(lags: Lags) -> Iterator[tuple[float, Lags]]:
    for corner in _corners(len(lags)):
        phi = np.exp(-np.pi * corner / len(lags))
        for power in POWERS:
            share = power / (power + (1.0 + phi) / (1.0 - phi))
            if share <= MOSTLY_SLOW:
                yield corner**-0.5, _with_white(share, phi**lags)


def _slow_alone(lags: Lags) -> Iterator[tuple[float, Lags]]:
    for corner in (*WALKS, *_corners(len(lags))):
        yield (1.0 if corner >= CORNERS[0] else ACROSS), np.exp(-np.pi * corner / len(lags)) ** lags


def _long_memory(lags: Lags) -> Iterator[tuple[float, Lags]]:
    """Yield fractionally differenced noise: ρ_l/ρ_{l−1} = (l − 1 + d)/(l − d)."""
    for d, share in MEMORIES:
        ratios = (lags[1:] - 1.0 + d) / (lags[1:] - d)
        yield 1.0, _with_white(share, np.cumprod(np.r_[1.0, ratios]))


def _cycles(lags: Lags) -> Iterator[tuple[float, Lags]]:
    """Yield AR(2) noise of roots r e^{±iω}: ρ_l = r^l (cos ωl + (1−r²)/(1+r²) sin ωl / tan ω)."""
    waves = SLOWEST_CYCLE
    while waves <= FASTEST_CYCLE * len(lags):
        omega = np.pi * waves / len(lags)
        for width in WIDTHS:
            r = np.exp(-omega * width)
            lean = (1.0 - r * r) / (1.0 + r * r) / np.tan(omega)
            yield 1.0, r**lags * (np.cos(omega * lags) + lean * np.sin(omega * lags))
        waves *= NEXT_CYCLE


def _corners(n: int) -> list[float]:
    return [corner for corner in CORNERS if corner <= max(FASTEST_CORNER * n, 1)]


def _with_white(share: float, rows: Lags) -> Lags:
    rows = share * rows
    rows[0] = 1.0
    return rows


def _bands(
    n: int, parameters: int, period: int, correlations: Float[np.ndarray, "j n"]
) -> tuple[np.ndarray, Float[np.ndarray, " b"], Float[np.ndarray, "j b"]]:
    """Return first wave, free dimensions and expected energies of the bands beyond the fit."""
    powers = np.vander(np.linspace(-1.0, 1.0, n), parameters, increasing=True)[:, 1:]
    fitted = np.linalg.qr(phase_centred(powers.T, period).T)[0]
    edges = _edges(n, parameters)
    freedom, spectra = [], []
    for first, last in zip(edges, [*edges[1:], n], strict=True):
        waves = np.unique(np.linspace(first, last - 1, min(last - first, SAMPLED)).round())
        left = phase_centred(_cosines(n, waves), period)
        left -= (left @ fitted) @ fitted.T
        dimensions = max(float((left**2).sum()) / len(waves), EMPTY)
        freedom.append(dimensions * (last - first))
        spectra.append(variance_along(left, correlations).mean(axis=1) / dimensions)
    return np.array(edges), np.array(freedom), np.array(spectra).T


def _edges(n: int, parameters: int) -> list[int]:
    """Return the first half wave of every band; those below the first are the fit's."""
    edges = [parameters]
    while (last := edges[-1]) < n:
        edges.append(last + 1 if last < SINGLE else int(np.ceil(last * GROWTH)))
    return edges[:-1]


def _cosines(n: int, waves: Float[np.ndarray, " w"]) -> Float[np.ndarray, "w n"]:
    """Return the orthonormal cosines of j ≥ 1 half waves over n losses (DCT-II)."""
    return np.sqrt(2.0 / n) * np.cos(np.pi / n * np.outer(waves, np.arange(n) + 0.5))

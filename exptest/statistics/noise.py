"""What the noise around a fit looks like, and how much information it leaves.

Two things make noise differ from n independent equal errors. It may be correlated: every model
of `noise_models` is weighed by the residuals, and its variance along a direction is averaged. And
its size may change over the window: the residuals' energy is read stretch by stretch. Residuals
too smooth for any noise are a curve that the fit missed (theory/05, section 5.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.fft import dct
from scipy.special import stdtr, stdtrit

from exptest.statistics.geometry import RATES, geometry
from exptest.statistics.noise_models import NoiseModels, noise_models
from exptest.statistics.phases import times_seen

Vector = Float[np.ndarray, " n"]
Curves = Float[np.ndarray, " g"]

# Below 8 losses noise cannot be told from independent; from 20 on it is judged in full.
BLIND, SEEING = 8, 20
# Tuned: losses at which the spread of the models' variances counts once against the df; fewer
# losses make it count more, up to this often.
DOUBTFUL, MOST_DOUBT, LEAST_DF = 110.0, 4.84, 0.7
# Where the stretches of a window begin, and the least losses of the first.
STRETCHES, SHORTEST = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4), 4
# Losses of average size that each stretch is lent; those of the first that a fast decay fits.
LENT, TAKEN = 1.0, 2.0
# Tuned: how often the uncertainty of a stretch counts against the df.
UNSURE = 2.0
# The least information: over models e^−8 times as likely as the best, noise 4 times as large at
# the start (16 in variance) as later.
PLAUSIBLE, SWOLLEN = 8.0, 16.0
# Residuals smoother than this (see `_is_missed_curve`) are a curve that the fit missed.
SMOOTH, SMOOTH_LONG, SLOWEST_WAVES = 0.2, 30.0, 5


@dataclass(frozen=True)
class Noise:
    """The noise around a fit.

    Attributes:
        correlation: φ̂, lag 1.
        variance: of the noise of one loss (beyond 4096, of one mean of several), loss units
            squared.
        information: m, such that m · fall²/SSE compares with a squared t of ``df``.
        df: degrees of freedom, fewer than losses to spare because the noise is uncertain.
        least: information that any plausible noise leaves, with ``free`` degrees of freedom.
        free: losses to spare.
        sizes: size of the noise in the stretches of the window, relative to the whole.
    """

    correlation: float
    variance: float
    information: float
    df: float
    least: float
    free: float
    sizes: tuple[float, ...]

    def tail(self, t: float) -> float:
        """Return P(T < t): doubtful noise has heavy tails, but no plausible one is beyond least."""
        surely = t * math.sqrt(self.least / self.information)
        return float(min(stdtr(self.df, t), stdtr(self.free, surely)))

    def quantile(self, probability: float) -> float:
        """Return the t above ½ of this probability, the inverse of ``tail``."""
        surely = stdtrit(self.free, probability) * math.sqrt(self.information / self.least)
        return float(min(stdtrit(self.df, probability), surely))


@dataclass(frozen=True)
class NoiseAlongDecays(Noise):
    """Noise, and what it leaves along every direction e_k in place of the line.

    Attributes:
        curves, curves_df, curves_least: information, df and least information there.
    """

    curves: Curves = field(repr=False, compare=False)
    curves_df: Curves = field(repr=False, compare=False)
    curves_least: Curves = field(repr=False, compare=False)

    def along_line(self, exponent: int) -> Noise:
        """Return the part that is about the line, of losses 2^exponent times as large."""
        parts = {part.name: getattr(self, part.name) for part in fields(Noise)}
        with np.errstate(over="ignore", under="ignore"):
            parts["variance"] = float(np.ldexp(self.variance, 2 * exponent))
        return Noise(**parts)


def describe_noise(residual: Vector, parameters: int, period: int = 1) -> NoiseAlongDecays:
    """Return the noise that the residuals of a fit of ``parameters`` coefficients speak of.

    ``period``: every phase has a mean of its own, and counts among the coefficients.
    """
    n = len(residual) - period + 1
    power = dct(residual, norm="ortho") ** 2
    energy = float(power.sum())
    if energy == 0.0 or n <= parameters + 1 or _is_missed_curve(power, energy):
        return independent_noise(residual, parameters, period)
    models = noise_models(len(residual), parameters, period)
    weight, scale = weigh(models, power, n - parameters)
    variance, spread, most = _average(models, weight, scale)
    sizes, swell, unsure = _sizes(residual, energy, period)
    least = energy / (most * np.maximum(swell, _stretches(len(residual), period).swollen))
    doubt = min((DOUBTFUL / n) ** 2, MOST_DOUBT) * spread / 2.0
    if n < SEEING:
        belief = max(n - BLIND, 0.0) / (SEEING - BLIND)
        variance = variance**belief * (energy / (n - parameters)) ** (1.0 - belief)
        doubt *= belief
    information = energy / (variance * swell)
    df = np.maximum(1.0 / (1.0 / (n - parameters) + doubt + unsure), LEAST_DF)
    return NoiseAlongDecays(
        correlation=float(weight @ models.correlation),
        variance=math.exp(float(weight @ np.log(scale))),
        information=float(information[0]),
        df=float(df[0]),
        least=float(min(least[0], information[0])),
        free=float(n - parameters),
        sizes=tuple(sizes.tolist()),
        curves=information[1:],
        curves_df=df[1:],
        curves_least=np.minimum(least, information)[1:],
    )


def independent_noise(residual: Vector, parameters: int, period: int = 1) -> NoiseAlongDecays:
    """Return the noise of equal, independent errors: as much information as losses to spare."""
    free = float(len(residual) - parameters - period + 1)
    variance = float(residual @ residual) / max(free, 1.0)
    each = np.full(RATES, free)
    sizes = (1.0,) * len(STRETCHES)
    return NoiseAlongDecays(0.0, variance, free, free, free, free, sizes, each, each, each)


def weigh(
    models: NoiseModels, power: Vector, freedom: int
) -> tuple[Float[np.ndarray, " j"], Float[np.ndarray, " j"]]:
    """Return the posterior probability of every model, and the variance that it gives the noise.

    log P(r | model) = −½ Σ_b m_b (log S_b + log s²),  s² = Σ_b E_b/S_b / Σ_b m_b:  the energies
    E_b of the bands are s² S_b times χ²_{m_b} / m_b, and s² is eliminated.
    """
    scale = models.inverse @ np.add.reduceat(power, models.edges) / freedom
    log = models.log_prior - 0.5 * freedom * np.log(scale)
    weight = np.exp(log - log.max())
    return weight / weight.sum(), scale


def _average(
    models: NoiseModels, weight: Float[np.ndarray, " j"], scale: Float[np.ndarray, " j"]
) -> tuple[Curves, Curves, Curves]:
    """Return the variance along ℓ and e_k: mean over models, variance of its logarithm, most.

    With log V_jk = c_j + a_jk, c of mean 0:  Var = E a² − (E a)² + 2 E ca + E c².
    """
    logs = np.log(scale)
    centred = logs - weight @ logs
    mean, square = np.split(weight @ models.log_moments, 2)
    mixed = (weight * centred) @ models.log_moments[:, : len(mean)]
    spread = square - mean * mean + 2.0 * mixed + weight @ (centred * centred)
    plausible = np.flatnonzero(weight > math.exp(-PLAUSIBLE) * weight.max())
    along = scale[plausible, None] * models.along.take(plausible, axis=0)
    return (weight * scale) @ models.along, spread, along.max(axis=0)


def _sizes(
    residual: Vector, energy: float, period: int
) -> tuple[Float[np.ndarray, " s"], Curves, Curves]:
    """Return the noise's size by stretch, and what follows along ℓ and e_k.

    That is the variance there, at least 1, and the share of 1/df that its uncertainty costs.
    """
    known = _stretches(len(residual), period)
    found = np.add.reduceat(residual * residual, known.starts) * (known.total / energy)
    relative = (found + LENT) / known.lent
    relative *= known.total / float(relative @ known.count)
    swell = known.shares @ relative
    unsure = known.squares @ (relative * relative / known.lent) / (swell * swell)
    swell = np.maximum(swell, 1.0)
    return np.sqrt(relative), swell, UNSURE * unsure * np.minimum(swell - 1.0, 1.0)


@dataclass(frozen=True)
class _Stretches:
    """Starts of the stretches, their dimensions and those that judge them, what ℓ and e_k have."""

    starts: np.ndarray
    count: Float[np.ndarray, " s"]
    total: float
    lent: Float[np.ndarray, " s"]
    shares: Float[np.ndarray, "q s"]
    squares: Float[np.ndarray, "q s"]
    swollen: Float[np.ndarray, " q"]


@lru_cache(maxsize=64)
def _stretches(n: int, period: int) -> _Stretches:
    starts = np.unique((np.array(STRETCHES) * n).round().astype(int))
    starts = np.array([0, *starts[starts >= SHORTEST]])
    count = np.add.reduceat(1.0 - 1.0 / times_seen(n, period), starts)
    total, free = float(count.sum()), count.copy()
    free[0] = max(free[0] - TAKEN, 0.5)
    shape = geometry(n, period)
    shares = np.add.reduceat(np.vstack([shape.line, shape.off_line]) ** 2, starts, axis=1)
    early = 1.0 + (SWOLLEN - 1.0) * np.tri(len(starts))  # row i: large up to the stretch i
    swollen = (shares @ (early / (early @ count / total)[:, None]).T).max(axis=1)
    return _Stretches(starts, count, total, free + LENT, shares, shares**2, swollen)


def _is_missed_curve(power: Vector, energy: float) -> bool:
    """Whether residuals with this power at j half waves are too smooth for noise.

    Their third difference has Σ_j (2 sin(πj/2n))⁶ P_j, 20 ‖r‖² for equal noise and about 180/n ‖r‖²
    for a walk; and most of it lies in the slowest waves, or it is a cycle.
    """
    n = len(power)
    smooth = float(power @ _third_difference(n)) < min(SMOOTH, SMOOTH_LONG / n) * energy
    return smooth and float(power[:SLOWEST_WAVES].sum()) > 0.5 * energy


@lru_cache(maxsize=64)
def _third_difference(n: int) -> Vector:
    return (2.0 * np.sin(np.pi * np.arange(n) / (2.0 * n))) ** 6

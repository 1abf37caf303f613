"""How long must one watch to see it?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from exptest import _checks
from exptest.statistics.calibration import pvalues
from exptest.statistics.geometry import CORRELATIONS
from exptest.statistics.noise import EXACT_BIAS, expected_autocorrelation, noise_of
from exptest.statistics.scenarios import ar1

SHORTEST, LONGEST = 8, 20_000
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(25)


@dataclass(frozen=True)
class RequiredWindow:
    """The shortest window that reaches the power asked for.

    Attributes:
        n: in steps; None if even the longest searched falls short.
        power: predicted at n (at the longest if n is None).
        asked: the power asked for.
        alpha: level of the test.
        test: its name.
    """

    n: int | None
    power: float
    asked: float
    alpha: float
    test: str

    def __str__(self) -> str:
        if self.n is None:
            return (
                f"No window of up to {LONGEST} steps gives the {self.test} test a power of "
                f"{self.asked:g} at α = {self.alpha:g}: the longest gives {self.power:.2f}."
            )
        return (
            f"{self.n} steps give the {self.test} test a power of {self.power:.2f} "
            f"at α = {self.alpha:g}."
        )


def required_window(
    test: str = "exponential",
    *,
    decline: float | None = None,
    amplitude: float | None = None,
    rate: float | None = None,
    correlation: float = 0.0,
    power: float = 0.8,
    alpha: float = 0.05,
    replications: int = 1000,
    seed: int = 0,
) -> RequiredWindow:
    """Return how many steps a test needs to see a decline or a decay.

    Slope: n³ ≈ 12 (z_α + z_power)² (1 + φ)/(1 − φ) / decline², made exact for the estimated φ.
    Exponential: simulated (a e^{−bt} with noise), bisecting n.

    Args:
        test: ``"slope"`` (give ``decline``) or ``"exponential"`` (``amplitude``, ``rate``).
        decline: fall per step, in standard deviations of the noise.
        amplitude: a, in standard deviations of the noise.
        rate: b, per step.
        correlation: φ of the noise, in [0, 1).
        power, alpha: probability of a claim where the signal is there, and where it is not.
        replications, seed: of each simulation.

    Raises:
        TypeError, ValueError: an argument is missing or out of range.

    >>> required_window("slope", decline=0.02).n  # 57 if φ were known: 57³ ≈ 12 · 6.18 / 0.02²
    60

    Claim C4.6.
    """
    _checks.one_of("test", test, ("slope", "exponential"))
    asked, level = _checks.open_unit("power", power, 0.8), _checks.open_unit("alpha", alpha, 0.05)
    phi = _correlation(correlation)
    reached: Callable[[int], float]
    if test == "slope":
        fall = _checks.positive("decline", decline, 0.02)
        reached = lambda n: slope_power(n, fall, correlation=phi, alpha=level)  # noqa: E731
    else:
        a, b = _checks.positive("amplitude", amplitude, 5), _checks.positive("rate", rate, 0.02)
        reached = lambda n: exponential_power(  # noqa: E731
            n, a, b, correlation=phi, alpha=level, replications=replications, seed=seed
        )
    n = _shortest(reached, asked)
    return RequiredWindow(n, reached(n or LONGEST), asked, level, test)


def slope_power(n: int, decline: float, *, correlation: float = 0.0, alpha: float = 0.05) -> float:
    """Return the power of the calibrated slope test on a straight decline, in closed form.

    The fall along the unit line is normal with mean decline · √(n(n² − 1)/12) and the variance
    of AR(1) noise along it; the test divides by what it believes of the noise, averaged over
    the normal distribution of the estimated correlation (25-point quadrature).

    Args:
        n: window, in steps.
        decline: fall per step, in standard deviations of the noise.
        correlation: φ, in [0, 1).
        alpha: level.
    """
    phi = _correlation(correlation)
    mean = decline * math.sqrt(n * (n * n - 1.0) / 12.0)
    line = np.arange(n) - (n - 1) / 2.0
    variance, energy = _moments(line / np.linalg.norm(line), phi)
    centre = _expected_r1(n, phi)
    spread = math.sqrt((1.0 - phi**2) / n)
    total = 0.0
    for node, weight in zip(NODES, WEIGHTS / WEIGHTS.sum(), strict=True):
        noise = noise_of(n, 2, centre + spread * node)
        needed = -float(stdtrit(noise.df, alpha)) * math.sqrt(energy / noise.information)
        total += weight * float(ndtr((mean - needed) / math.sqrt(variance)))
    return total


def exponential_power(
    n: int,
    amplitude: float,
    rate: float,
    *,
    correlation: float = 0.0,
    alpha: float = 0.05,
    replications: int = 1000,
    seed: int = 0,
) -> float:
    """Return the simulated power of the calibrated exponential test on a e^{−bt} with noise.

    Args:
        n: window, in steps.
        amplitude: a, in standard deviations of the noise.
        rate: b, per step.
        correlation: φ, in [0, 1).
        alpha: level.
        replications, seed: of the simulation.
    """
    rng = np.random.default_rng([seed, n])
    curve = amplitude * np.exp(-rate * np.arange(n))
    losses = curve + ar1(rng, (replications, n), _correlation(correlation))
    return float((pvalues("exponential", losses) < alpha).mean())


def _shortest(reached: Callable[[int], float], asked: float) -> int | None:
    """Double until the power is there, then bisect."""
    low, high = SHORTEST - 1, SHORTEST
    while reached(high) < asked:
        if high == LONGEST:
            return None
        low, high = high, min(2 * high, LONGEST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= asked else (middle, high)
    return high


def _moments(unit: np.ndarray, phi: float) -> tuple[float, float]:
    """Return the variance of AR(1) noise along a unit direction and the energy off the line."""
    n = len(unit)
    spectrum = np.abs(np.fft.rfft(unit, 2 * n)) ** 2
    weights = 2.0 * phi ** np.arange(n)
    weights[0] = 1.0
    along = float(weights @ np.fft.irfft(spectrum, 2 * n)[:n])
    mean = float(weights @ (1.0 - np.arange(n) / n))
    return along, n - along - mean


def _expected_r1(n: int, phi: float) -> float:
    if n <= EXACT_BIAS:
        return float(np.interp(phi, CORRELATIONS, expected_autocorrelation(n, 2)))
    return phi - (2.0 + 4.0 * phi) / n


def _correlation(value: float) -> float:
    phi = _checks.not_negative("correlation", value, 0.5)
    if phi >= 1.0:
        raise ValueError(f"correlation must be below 1, got {value!r}; try correlation=0.5.")
    return phi

"""How long must one watch to see it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.statistics.calibration import pvalues
from exptest.statistics.scenarios import ar1

SHORTEST, LONGEST = 8, 20_000
# Curves that are asked first, and the standard errors at which their answer is clear.
FEW, CLEAR = 100, 4.0


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

    Simulated (a line, or a e^{−bt}, with noise), bisecting n. With noise known to be independent
    a line would take n³ ≈ 12 (z_α + z_power)² / decline².

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

    >>> required_window("slope", decline=0.02, replications=100).n  # 57³ ≈ 12 · 6.18 / 0.02²
    70

    Claim C4.6.
    """
    _checks.one_of("test", test, ("slope", "exponential"))
    asked, level = _checks.open_unit("power", power, 0.8), _checks.open_unit("alpha", alpha, 0.05)
    phi = _correlation(correlation)
    if test == "slope":
        fall = _checks.positive("decline", decline, 0.02)
        curve = lambda n: -fall * np.arange(n)  # noqa: E731
    else:
        a, b = _checks.positive("amplitude", amplitude, 5), _checks.positive("rate", rate, 0.02)
        curve = lambda n: a * np.exp(-b * np.arange(n))  # noqa: E731
    losses = lambda n: _simulated(curve(n), phi, replications, seed)  # noqa: E731
    n = shortest(lambda n: _suffices(test, losses(n), level, asked))
    return RequiredWindow(n, _share(test, losses(n or LONGEST), level), asked, level, test)


def slope_power(
    n: int,
    decline: float,
    *,
    correlation: float = 0.0,
    alpha: float = 0.05,
    replications: int = 1000,
    seed: int = 0,
) -> float:
    """Return the simulated power of the calibrated slope test on a straight decline with noise.

    Args:
        n: window, in steps.
        decline: fall per step, in standard deviations of the noise.
        correlation: φ of AR(1) noise, in [0, 1).
        alpha: level.
        replications, seed: of the simulation.
    """
    losses = _simulated(-decline * np.arange(n), correlation, replications, seed)
    return _share("slope", losses, alpha)


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
    curve = amplitude * np.exp(-rate * np.arange(n))
    return _share("exponential", _simulated(curve, correlation, replications, seed), alpha)


def _simulated(
    curve: Float[np.ndarray, " n"], correlation: float, replications: int, seed: int
) -> Float[np.ndarray, "r n"]:
    rng = np.random.default_rng([seed, len(curve)])
    return curve + ar1(rng, (replications, len(curve)), _correlation(correlation))


def _share(test: str, losses: Float[np.ndarray, "r n"], alpha: float) -> float:
    return float((pvalues(test, losses) < alpha).mean())


def _suffices(test: str, losses: Float[np.ndarray, "r n"], alpha: float, asked: float) -> bool:
    """Whether the test finds enough of them; a few are asked first, and do if they are clear."""
    few = _share(test, losses[:FEW], alpha)
    clear = CLEAR * np.sqrt(asked * (1.0 - asked) / FEW)
    if abs(few - asked) > clear or len(losses) <= FEW:
        return few >= asked
    return _share(test, losses, alpha) >= asked


def shortest(suffices: Callable[[int], bool], fewest: int = SHORTEST) -> int | None:
    """Return the least number from ``fewest`` to LONGEST that suffices, or None: double, bisect."""
    low, high = fewest - 1, fewest
    while not suffices(high):
        if high == LONGEST:
            return None
        low, high = high, min(2 * high, LONGEST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def _correlation(value: float) -> float:
    phi = _checks.not_negative("correlation", value, 0.5)
    if phi >= 1.0:
        raise ValueError(f"correlation must be below 1, got {value!r}; try correlation=0.5.")
    return phi

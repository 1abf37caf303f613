"""How much does pairing buy? Power, and the batches needed, with and without it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from statsmodels.stats.power import TTestIndPower, TTestPower

from exptest import _checks
from exptest.statistics.paired import FEWEST
from exptest.statistics.required import shortest


@dataclass(frozen=True)
class PairedPower:
    """Probability that the better arm is named, by design.

    Attributes:
        paired: both arms on the same batches.
        unpaired: each arm on as many batches of its own.
        batches: m, of each arm.
        level: of the look.
    """

    paired: float
    unpaired: float
    batches: int
    level: float

    def __str__(self) -> str:
        return (
            f"On {self.batches} batches at level {self.level:.2g} the better arm is named with "
            f"probability {self.paired:.2f} if they are shared, {self.unpaired:.2f} if not."
        )


@dataclass(frozen=True)
class RequiredBatches:
    """Batches that reach the power asked for, by design; None where 20 000 do not.

    Attributes:
        paired, unpaired: as in `PairedPower`.
        asked: the power asked for.
        level: of the look.
    """

    paired: int | None
    unpaired: int | None
    asked: float
    level: float

    def __str__(self) -> str:
        return (
            f"A power of {self.asked:g} at level {self.level:.2g} takes {self.paired} shared "
            f"batches, or {self.unpaired} of each arm's own."
        )


def paired_power(
    batches: int,
    difference: float,
    sigma: float,
    correlation: float,
    *,
    alpha: float = 0.05,
    looks: int = 1,
) -> PairedPower:
    """Return the power of one look at m batches, paired and unpaired.

    t is noncentral Student's with m − 1 degrees of freedom and noncentrality
    δ √m / (σ √(2(1 − ρ))); unpaired with 2(m − 1) and δ √m / (σ √2). A race of K looks ends at or
    before its last one, so its power is no less than that of the last alone, but for the few
    races, at most α of them, that named the worse arm before.

    Args:
        batches: m, 2 or more.
        difference: δ > 0, the worse arm's mean loss less the better one's, loss units.
        sigma: standard deviation of a batch's loss, the same in both arms, loss units.
        correlation: ρ of the arms' losses on one batch, in (−1, 1).
        alpha: level of the race, in (0, 1).
        looks: K; the look has the level α/K.

    Raises:
        TypeError, ValueError: an argument is out of range.

    >>> print(paired_power(12, 0.1, 0.3, 0.9, looks=5))
    On 12 batches at level 0.01 the better arm is named with probability 0.48 if they are shared,
    0.06 if not.

    Claim C8.6.
    """
    m = _checks.at_least("batches", batches, FEWEST, 12)
    effects, level = _effects(difference, sigma, correlation), _level(alpha, looks)
    return PairedPower(_paired(m, effects[0], level), _unpaired(m, effects[1], level), m, level)


def required_batches(
    difference: float,
    sigma: float,
    correlation: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    looks: int = 1,
) -> RequiredBatches:
    """Return the fewest batches at which one look has the power asked for, paired and unpaired.

    Args:
        difference, sigma, correlation, alpha, looks: as in `paired_power`.
        power: probability of naming the better arm, in (0, 1).

    Raises:
        TypeError, ValueError: an argument is out of range.

    >>> print(required_batches(0.1, 0.3, 0.9))
    A power of 0.8 at level 0.05 takes 13 shared batches, or 112 of each arm's own.

    Claim C8.6.
    """
    effects, level = _effects(difference, sigma, correlation), _level(alpha, looks)
    asked = _checks.open_unit("power", power, 0.8)
    paired = shortest(lambda m: _paired(m, effects[0], level) >= asked, FEWEST)
    unpaired = shortest(lambda m: _unpaired(m, effects[1], level) >= asked, FEWEST)
    return RequiredBatches(paired, unpaired, asked, level)


def _paired(m: int, effect: float, level: float) -> float:
    return float(TTestPower().power(effect, m, level, alternative="larger"))


def _unpaired(m: int, effect: float, level: float) -> float:
    return float(TTestIndPower().power(effect, m, level, alternative="larger"))


def _effects(difference: float, sigma: float, correlation: float) -> tuple[float, float]:
    """Return δ in standard deviations of a paired difference, and in those of a loss."""
    effect = _checks.positive("difference", difference, 0.1) / _checks.positive("sigma", sigma, 0.3)
    rho = _checks.finite("correlation", correlation, 0.9)
    if not -1.0 < rho < 1.0:
        raise ValueError(
            f"correlation must lie strictly between −1 and 1, got {correlation!r}; "
            "try correlation=0.9."
        )
    return effect / math.sqrt(2.0 * (1.0 - rho)), effect


def _level(alpha: float, looks: int) -> float:
    return _checks.open_unit("alpha", alpha, 0.05) / _checks.at_least("looks", looks, 1, 5)

"""Looking again and again: keep the chance of any false claim in a whole run below α."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from jaxtyping import Float
from statsmodels.stats.proportion import proportion_confint

from exptest import _checks
from exptest.statistics.calibration import Test, pvalues
from exptest.statistics.scenarios import Scenario
from exptest.statistics.spending import spent


class Rule(Protocol):
    """What decides on the p-values of a run, one after the other."""

    def decide(self, pvalue: float) -> bool:
        """Return whether this look makes the claim."""


@dataclass
class EveryLook:
    """Spend the whole α at every look: honest for one look, not for many."""

    alpha: float = 0.05

    @property
    def level(self) -> float:
        """Level of the next look, α."""
        return self.alpha

    def decide(self, pvalue: float) -> bool:
        """Return whether p < α."""
        return _pvalue(pvalue) < self.level


class AlphaSpending:
    """Split α over the looks of a run, so that the sum is never more than α.

    αₖ = α/K for a known number K of looks; αₖ = α/(k(k + 1)) without one (Σ 1/(k(k+1)) = 1).

    Args:
        alpha: chance of any false claim in the whole run, in (0, 1).
        looks: K, or None when the run's length is not known.

    Raises:
        ValueError, TypeError: an argument is out of range.

    >>> run = AlphaSpending(0.05, looks=20)
    >>> run.level, run.decide(0.01), run.decide(0.001)
    (0.0025, False, True)

    Claim C6.5.
    """

    def __init__(self, alpha: float = 0.05, looks: int | None = None) -> None:
        self.alpha = _checks.open_unit("alpha", alpha, 0.05)
        self.looks = None if looks is None else _checks.at_least("looks", looks, 1, 20)
        self.taken = 0

    @property
    def level(self) -> float:
        """Level of the next look; 0 once K looks are taken."""
        if self.looks is not None:
            return self.alpha / self.looks if self.taken < self.looks else 0.0
        return spent(self.alpha, self.taken + 1)

    def decide(self, pvalue: float) -> bool:
        """Take one look; return whether p is below its level."""
        claimed = _pvalue(pvalue) < self.level
        self.taken += 1
        return claimed


class EProcess:
    """Bet against "nothing decreases", window by window: evidence that adds up, valid anytime.

    E_k = Π ½ pᵢ^{−1/2};  P(E_k ≥ 1/α for some k) ≤ α whenever no window decreases (Ville 1939).

    Each factor has mean at most 1 under the null, so E is a fair or losing game: stop, look
    again or go on as you like. It asks about the run as a whole ("has anything decreased since
    ``reset``?"): start a new one where the question starts anew.

    Args:
        alpha: chance that E ever exceeds 1/α if nothing decreases, in (0, 1).

    >>> process = EProcess(0.05)
    >>> process.decide(0.04), process.value  # ½ / √0.04
    (False, 2.5)
    >>> process.decide(0.001), process.decide(1.0), process.value < 1 / 0.05  # once claimed, kept
    (True, True, True)

    Claim C6.6.
    """

    def __init__(self, alpha: float = 0.05) -> None:
        self.alpha = _checks.open_unit("alpha", alpha, 0.05)
        self.reset()

    def reset(self) -> None:
        """Begin again with no evidence."""
        self._log = self._most = 0.0

    @property
    def value(self) -> float:
        """E, the evidence so far."""
        return math.exp(min(self._log, 700.0))

    def decide(self, pvalue: float) -> bool:
        """Add one p-value; return whether the evidence has reached 1/α, now or before."""
        self._log += math.log(0.5) - 0.5 * math.log(max(_pvalue(pvalue), 1e-300))
        self._most = max(self._most, self._log)
        return self._most >= -math.log(self.alpha)


def _pvalue(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"pvalue must lie between 0 and 1, got {value!r}; try result.pvalue.")
    return value


def any_claim(rule: Callable[[], Rule], runs: Float[np.ndarray, "r k"]) -> float:
    """Return the share of runs, rows of k p-values, in which the rule makes any claim."""
    claimed = 0
    for run in runs:
        fresh = rule()
        claimed += any(fresh.decide(float(p)) for p in run)
    return claimed / len(runs)


def run_level_error(
    test: Test = "slope",
    *,
    scenario: Scenario | None = None,
    looks: int = 20,
    alpha: float = 0.05,
    replications: int = 1000,
    seed: int = 0,
    method: str = "calibrated",
) -> pd.DataFrame:
    """Return how often a run of windows holds any false claim, by rule.

    Args:
        test: as in `pvalues`.
        scenario: one window; default 50 losses of flat iid noise.
        looks: windows per run.
        alpha: level.
        replications, seed: runs, and which.
        method: of the named tests.

    Returns:
        Columns rule, rate, low, high (95 % Wilson interval), replications.
    """
    window = scenario or Scenario("flat", "iid", 50)
    p = pvalues(test, window.simulate(replications * looks, seed), method=method)
    runs = p.reshape(replications, looks)
    rules: dict[str, Callable[[], Rule]] = {
        "α at every look": lambda: EveryLook(alpha),
        "α/K": lambda: AlphaSpending(alpha, looks),
        "α/(k(k+1))": lambda: AlphaSpending(alpha),
        "e-process": lambda: EProcess(alpha),
    }
    rows = []
    for name, rule in rules.items():
        rate = any_claim(rule, runs)
        low, high = proportion_confint(round(rate * len(runs)), len(runs), method="wilson")
        rows.append({"rule": name, "rate": rate, "low": float(low), "high": float(high)})
    return pd.DataFrame(rows).assign(replications=replications)

"""Falling, stopped, or undecided: a slope that is asked from both sides.

"Not significantly falling" is no evidence that a loss has stopped: a short or noisy window says
that of every loss. So the burden of proof lies on both sides, and a window may say neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from exptest import _checks
from exptest.statistics.results import SlopeTestResult
from exptest.statistics.slope import CONSTANT, slope_test
from exptest.statistics.tables import Rows, html_table, text_table

Verdict: TypeAlias = Literal["falling", "stopped", "undecided"]
TITLE = "Falling, or stopped?"


@dataclass(frozen=True)
class TrendResult:
    """What a window says about a decline worth having.

    Attributes:
        verdict: ``"falling"``, ``"stopped"`` or ``"undecided"``.
        slope: the slope test, on whose t both sides rest.
        horizon: steps for which declines are told.
        decline: −slope · horizon, loss units.
        at_most: its upper confidence bound, of level 1 − ``stop_alpha``; inf where unknown.
        worth: δ, the decline worth having, loss units.
        alpha: level at which a loss is falling.
        stop_alpha: level at which a decline worth having is excluded.
    """

    verdict: Verdict
    slope: SlopeTestResult
    horizon: int
    decline: float
    at_most: float
    worth: float
    alpha: float
    stop_alpha: float

    @property
    def excluded(self) -> bool:
        """Whether a decline worth having is excluded, however significant a smaller one is."""
        return self.verdict == "stopped" or self.at_most < self.worth

    @property
    def power(self) -> float:
        """About the chance that such losses, falling by δ, are called falling; nan if unknown.

        P(T < δ/(horizon · se) − t_{1−α}): the standard error is taken as known, and T's spread is
        that of noise as this window knows it. In independent and AR(.9) noise of 32 to 2000
        losses it lies within 0.3 of the measured share, mostly below it.
        """
        noise = self.slope.noise
        if noise is None or not self.slope.error:
            return math.nan
        shift = self.worth / (self.horizon * self.slope.error)
        return noise.tail(shift - noise.quantile(1.0 - self.alpha))

    @property
    def pvalue(self) -> float:
        """p-value of "not falling"."""
        return self.slope.pvalue

    @property
    def sentence(self) -> str:
        """The verdict with the numbers in it."""
        n = self.slope.n
        if self.slope.note and self.verdict == "undecided":
            return f"Nothing is claimed on these {n} losses: {self.slope.note}."
        if self.slope.note:
            return f"The {n} losses have stopped falling: {self.slope.note}."
        if self.verdict == "falling":
            return (
                f"The {n} losses are falling, by {self.decline:.3g} in {self.horizon} steps "
                f"(p = {self.pvalue:.2g} < {self.alpha:g})."
            )
        if self.verdict == "stopped":
            return f"The {n} losses have stopped falling{self.bound}."
        return f"The {n} losses do not say whether they fall (p = {self.pvalue:.2g}){self.bound}."

    @property
    def bound(self) -> str:
        """What they fall by, or at most, beside what would be worth having; empty if unknown."""
        if not self.worth < math.inf or not self.at_most < math.inf or not self.worth:
            return ""
        if self.verdict == "falling":
            return (
                f": in {self.horizon} steps they fall by {self.decline:.3g} (p = {self.pvalue:.2g})"
            )
        rising = f"rise by at least {-self.at_most:.3g}"
        most = rising if self.at_most < 0.0 else f"fall by at most {self.at_most:.3g}"
        text = f": in {self.horizon} steps they {most}, and "
        text += f"a fall of {self.worth:.3g} would be worth having"
        if self.verdict == "undecided":
            text += f" and be seen in about {self.power:.0%} of such windows"
        return text

    def _rows(self) -> Rows:
        return [
            ("verdict", self.verdict),
            ("losses", f"{self.slope.n}"),
            ("decline is told for", f"{self.horizon} steps"),
            ("decline", f"{self.decline:.4g}"),
            ("at most", f"{self.at_most:.4g}"),
            ("worth having", f"{self.worth:.4g}"),
            ("p-value of falling", f"{self.pvalue:.4g}"),
        ]

    def summary(self) -> str:
        """Return a table of every number and the verdict in one sentence."""
        return text_table(TITLE, self._rows(), self.sentence)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return html_table(TITLE, self._rows(), self.sentence)


def trend_test(
    losses: Any,
    *,
    horizon: int | None = None,
    worth: float | None = None,
    alpha: float = 0.05,
    stop_alpha: float | None = None,
    noise: str = "estimated",
    period: int = 1,
) -> TrendResult:
    """Test whether losses fall, or whether a decline worth having can be excluded.

    Falling:  P(T < t) < α,  t = slope / se.  Stopped:  (−slope + t_{1−α'} se) · horizon < δ.
    Else undecided: watch on. A loss that falls significantly by less than δ is falling.

    By default δ = σ/√2, σ² the variance of the noise of one loss: the height of a floor of one
    mode of Gaussian weights that makes all of this noise. A smaller rate can save no more than
    its floor, and is behind after ``horizon`` steps if the loss falls by more (theory/06).

    Args:
        losses: shape (n,), loss units, one per step.
        horizon: steps for which δ is meant, those to the next decision; default n.
        worth: δ, loss units, positive; default σ/√2.
        alpha, stop_alpha: levels α and α' (default α), in (0, 1).
        noise, period: as for `slope_test`.

    Raises:
        TypeError, ValueError: as `slope_test`, or an argument is out of range.

    >>> trend_test([5.0, 4.1, 3.0, 2.1, 0.9, 0.1, -1.1, -1.9]).verdict
    'falling'
    >>> trend_test([0.1, -0.1] * 100).verdict, trend_test([0.1, -0.1, 0.0, 0.1]).verdict
    ('stopped', 'undecided')

    Claims C6.9 to C6.12.
    """
    result = slope_test(losses, noise=noise, period=period)
    steps = result.n if horizon is None else _checks.at_least("horizon", horizon, 1, 32)
    level = _checks.open_unit("alpha", alpha, 0.05)
    stop = level if stop_alpha is None else _checks.open_unit("stop_alpha", stop_alpha, 0.05)
    delta = None if worth is None else _checks.positive("worth", worth, 0.01)
    # The line holds an early spike, t does not.
    known = 0.0 < result.error < math.inf
    decline = -steps * (result.statistic * result.error if known else result.line.slope)
    if result.noise is None:
        at_most = 0.0 if result.note == CONSTANT else math.inf
        delta = 0.0 if delta is None else delta
        stopped = result.note == CONSTANT
    else:
        at_most = decline + result.noise.quantile(1.0 - stop) * result.error * steps
        delta = math.sqrt(result.noise.variance / 2.0) if delta is None else delta
        stopped = at_most < delta < math.inf
    falling = result.pvalue < level
    verdict: Verdict = "falling" if falling else "stopped" if stopped else "undecided"
    return TrendResult(verdict, result, steps, decline, at_most, delta, level, stop)

"""Is the loss still going down?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr

from exptest import _checks
from exptest.statistics import paper
from exptest.statistics.fits import LineFit, fit_line
from exptest.statistics.noise import autocorrelation, effective_length
from exptest.statistics.results import Rows, html_table, text_table

Vector = Float[np.ndarray, " n"]

FEWEST = 3


@dataclass(frozen=True)
class SlopeTestResult:
    """Verdict on "these losses are still decreasing".

    Attributes:
        statistic: t = slope / standard error; nan where it could not be computed.
        pvalue: small: decreasing; 1 where the question could not be asked.
        df: degrees of freedom of the noise.
        method: ``"calibrated"`` or ``"paper"``.
        n: number of losses.
        line: the straight-line fit.
        correlation: ρ̂ of the noise, lag 1 (paper: 0, not estimated).
        note: why there is no ordinary verdict; empty otherwise.
    """

    statistic: float
    pvalue: float
    df: float
    method: str
    n: int
    line: LineFit
    correlation: float = 0.0
    note: str = ""

    def reject(self, alpha: float = 0.05) -> bool:
        """Return whether "not decreasing" is rejected: the losses are still going down."""
        return self.pvalue < _checks.open_unit("alpha", alpha, 0.05)

    @property
    def sentence(self) -> str:
        """The verdict at the 5 % level, with the numbers in it."""
        if self.note:
            return f"No decrease is claimed on these {self.n} losses: {self.note}."
        found = "are still decreasing" if self.reject() else "are not decreasing"
        return (
            f"The {self.n} losses {found}: slope {self.line.slope:.3g} per step, "
            f"t = {self.statistic:.3g}, p = {self.pvalue:.2g}."
        )

    def _rows(self) -> Rows:
        return [
            ("method", self.method),
            ("losses", f"{self.n}"),
            ("slope per step", f"{self.line.slope:.4g}"),
            ("t", f"{self.statistic:.4g}"),
            ("degrees of freedom", f"{self.df:.4g}"),
            ("p-value", f"{self.pvalue:.4g}"),
            ("noise correlation", f"{self.correlation:.3g}"),
        ]

    def summary(self) -> str:
        """Return a table of every number and the verdict in one sentence."""
        return text_table("Is the loss still decreasing?", self._rows(), self.sentence)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return html_table("Is the loss still decreasing?", self._rows(), self.sentence)


def slope_test(losses: Any, *, method: str = "calibrated") -> SlopeTestResult:
    """Test, one-sided, whether losses decrease over the window.

    t = slope / se, p = P(T < t).

    Args:
        losses: shape (n,), loss units, one per step.
        method: ``"calibrated"`` (default) or ``"paper"`` (ordinary least squares).

    Returns:
        The result; ``reject(alpha)`` says whether a decrease is claimed. Non-finite losses or
        fewer than three give p = 1 and say why.

    Raises:
        TypeError, ValueError: ``losses`` is not numeric, not one-dimensional or empty, or
            ``method`` is unknown.

    >>> slope_test([3.0, 2.0, 1.0, 0.0]).pvalue
    0.0

    Claims C6.1 to C6.4.
    """
    y = _checks.series("losses", losses)
    _checks.one_of("method", method, ("calibrated", "paper"))
    line, n = fit_line(y), len(y)
    if note := _unanswerable(y):
        return SlopeTestResult(np.nan, 1.0, float(max(n - 2, 0)), method, n, line, note=note)
    if method == "paper":
        statistic, pvalue = paper.t_test(y, line)
        return SlopeTestResult(statistic, pvalue, float(n - 2), method, n, line)
    rho = autocorrelation(y - line.predict(), 2)
    freedom = max(effective_length(n, rho) - 2.0, 1.0)
    statistic, _ = paper.t_test(y, line)
    statistic *= np.sqrt(freedom / (n - 2))
    return SlopeTestResult(
        statistic, float(stdtr(freedom, statistic)), freedom, method, n, line, rho
    )


def _unanswerable(y: Vector) -> str:
    if len(y) < FEWEST:
        return f"the test needs at least {FEWEST}"
    if bad := int((~np.isfinite(y)).sum()):
        return f"{bad} of them {'is' if bad == 1 else 'are'} not finite"
    if np.ptp(y) == 0:
        return "they are constant"
    return ""

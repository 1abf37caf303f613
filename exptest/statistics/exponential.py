"""Is this window of losses an exponential decay, or no better than a straight line?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import fdtrc

from exptest import _checks
from exptest.statistics import paper
from exptest.statistics.fits import ExponentialFit, LineFit, exponential_at, fit_line
from exptest.statistics.noise import autocorrelation, effective_length
from exptest.statistics.results import Rows, html_table, text_table
from exptest.statistics.scaling import rescaled
from exptest.statistics.varpro import Projector, rates

Vector = Float[np.ndarray, " n"]

FEWEST = {"calibrated": 5, "paper": 4}


@dataclass(frozen=True)
class ExponentialTestResult:
    """Verdict on "these losses decay exponentially" against "they follow a straight line".

    Attributes:
        statistic: F; nan where it could not be computed.
        pvalue: small: decay; 1 where the question could not be asked.
        df: degrees of freedom (1, those of the noise).
        method: ``"calibrated"`` or ``"paper"``.
        n: number of losses.
        line: the straight-line fit.
        exponential: the exponential fit; None when it failed or no decay fits.
        correlation: ρ̂ of the noise, lag 1 (paper: 0, not estimated).
        note: why there is no ordinary verdict; empty otherwise.
    """

    statistic: float
    pvalue: float
    df: tuple[float, float]
    method: str
    n: int
    line: LineFit
    exponential: ExponentialFit | None
    correlation: float = 0.0
    note: str = ""

    def reject(self, alpha: float = 0.05) -> bool:
        """Return whether the straight line is rejected: the losses decay exponentially."""
        return self.pvalue < _checks.open_unit("alpha", alpha, 0.05)

    @property
    def sentence(self) -> str:
        """The verdict at the 5 % level, with the numbers in it."""
        if self.note:
            return f"No decay is claimed on these {self.n} losses: {self.note}."
        found = "decay exponentially" if self.reject() else "show no exponential decay"
        text = f"The {self.n} losses {found}: F = {self.statistic:.3g}, p = {self.pvalue:.2g}"
        if self.reject() and self.exponential is not None:
            text += (
                f", rate {self.exponential.rate:.3g} per step, floor {self.exponential.floor:.3g}"
            )
        return text + "."

    def _rows(self) -> Rows:
        fit = self.exponential
        return [
            ("method", self.method),
            ("losses", f"{self.n}"),
            ("F", f"{self.statistic:.4g}"),
            ("degrees of freedom", f"{self.df[0]:g}, {self.df[1]:.4g}"),
            ("p-value", f"{self.pvalue:.4g}"),
            ("noise correlation", f"{self.correlation:.3g}"),
            ("SSE, line", f"{self.line.sse:.4g}"),
            ("SSE, exponential", f"{fit.sse:.4g}" if fit else "no fit"),
            ("amplitude", f"{fit.amplitude:.4g}" if fit else "no fit"),
            ("rate per step", f"{fit.rate:.4g}" if fit else "no fit"),
            ("floor", f"{fit.floor:.4g}" if fit else "no fit"),
        ]

    def summary(self) -> str:
        """Return a table of every number and the verdict in one sentence."""
        return text_table("Exponential decay against a straight line", self._rows(), self.sentence)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return html_table("Exponential decay against a straight line", self._rows(), self.sentence)


def exponential_test(losses: Any, *, method: str = "calibrated") -> ExponentialTestResult:
    """Test whether losses decay exponentially rather than follow a straight line.

    F = (SSE_lin − SSE_exp) / (SSE_exp / (n − 3)).

    Args:
        losses: shape (n,), loss units, one per step.
        method: ``"calibrated"`` (default) or ``"paper"`` (literal; theory/05 compares them).

    Returns:
        The result; ``reject(alpha)`` says whether decay is claimed. Non-finite losses or too
        few of them (calibrated 5, paper 4) give p = 1 and say why.

    Raises:
        TypeError, ValueError: ``losses`` is not numeric, not one-dimensional or empty, or
            ``method`` is unknown.

    >>> exponential_test([0.5**t for t in range(12)]).reject()
    True
    >>> exponential_test([12.0 - t for t in range(12)]).pvalue
    1.0

    Claims C5.3 to C5.8.
    """
    y = _checks.series("losses", losses)
    _checks.one_of("method", method, FEWEST)
    if note := _unanswerable(y, FEWEST[method]):
        df = (1.0, float(max(len(y) - 3, 0)))
        return ExponentialTestResult(np.nan, 1.0, df, method, len(y), fit_line(y), None, note=note)
    return _paper(y) if method == "paper" else _calibrated(y)


def _unanswerable(y: Vector, fewest: int) -> str:
    if len(y) < fewest:
        return f"the test needs at least {fewest}"
    if bad := int((~np.isfinite(y)).sum()):
        return f"{bad} of them {'is' if bad == 1 else 'are'} not finite"
    return ""


def _paper(y: Vector) -> ExponentialTestResult:
    line, exponential = fit_line(y), paper.fit_from_ones(y)
    df = (1.0, float(len(y) - 3))
    if exponential is None:
        note = "the exponential fit did not converge"
        return ExponentialTestResult(np.nan, 1.0, df, "paper", len(y), line, None, note=note)
    statistic, pvalue = paper.f_test(line, exponential)
    if np.isnan(pvalue):
        note, pvalue = "F is not a number", 1.0
    else:
        note = ""
    return ExponentialTestResult(
        statistic, pvalue, df, "paper", len(y), line, exponential, note=note
    )


@lru_cache(maxsize=64)
def _grid(n: int) -> Vector:
    return rates(0.02, n - 1.0)


def _calibrated(y: Vector) -> ExponentialTestResult:
    n = len(y)
    line = fit_line(y)
    z, exponent = rescaled(y)
    problem = Projector(np.linspace(0.0, 1.0, n), z)
    df = (1.0, float(n - 3))
    linear = float(np.ldexp(line.sse, -2 * exponent))
    if linear <= n * np.finfo(float).eps ** 2 * 64:
        note = "they follow a straight line to the last digit"
        return ExponentialTestResult(0.0, 1.0, df, "calibrated", n, line, None, note=note)
    grid = _grid(n)
    fits = [problem.at(k) for k in grid]
    sse = np.array([fit.sse if fit.gain < 0 else np.inf for fit in fits])
    best = int(np.argmin(sse))
    if not np.isfinite(sse[best]):
        note = "no decaying exponential fits better than a constant"
        return ExponentialTestResult(0.0, 1.0, df, "calibrated", n, line, None, note=note)
    k = problem.root_near(grid, best)
    fit = problem.at(k)
    exponential = exponential_at(k, problem, exponent, origin=0.0, span=n - 1.0)
    rho = autocorrelation(fit.residual, 3)
    freedom = max(effective_length(n, rho) - 3.0, 1.0)
    statistic = max(linear - fit.sse, 0.0) / max(fit.sse, 1e-300) * freedom
    rising = line.slope > 0 and linear / max(n - 2, 1) < (z - z.mean()) @ (z - z.mean()) / 3.0
    pvalue = 1.0 if rising else min(0.75 * float(fdtrc(1.0, freedom, statistic)), 1.0)
    return ExponentialTestResult(
        statistic, pvalue, (1.0, freedom), "calibrated", n, line, exponential, rho
    )

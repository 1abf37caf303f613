"""Exponential, or only convex? A power law is an exponential in logarithmic time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from exptest import _checks
from exptest.statistics.fits import ExponentialFit, fit_exponential
from exptest.statistics.noise import describe_noise
from exptest.statistics.scaling import rescaled
from exptest.statistics.tables import Rows, html_table, text_table


@dataclass(frozen=True)
class PowerLawFit:
    """y ≈ amplitude · (1 + step)^{−exponent} + floor.

    Attributes:
        amplitude: a, loss units.
        exponent: p > 0.
        floor: c, loss units.
        sse: sum of squared residuals, loss units squared.
        n: number of losses.
    """

    amplitude: float
    exponent: float
    floor: float
    sse: float
    n: int

    def predict(self, steps: ArrayLike | None = None) -> Float[np.ndarray, " m"]:
        """Return the curve at ``steps`` (default 0, …, n − 1)."""
        x = np.arange(self.n) if steps is None else _checks.series("steps", steps)
        return self.floor + self.amplitude * (1.0 + x) ** -self.exponent


@dataclass(frozen=True)
class CurveComparison:
    """Which of two curves with three parameters each fits the losses better.

    Attributes:
        exponential, power_law: the two fits.
        log_ratio: log of the likelihood ratio, power law over exponential, with the noise's
            correlation counted; beyond ±3 the evidence is strong (20 to 1).
    """

    exponential: ExponentialFit
    power_law: PowerLawFit
    log_ratio: float

    @property
    def better(self) -> str:
        """``"power law"``, ``"exponential"``, or ``"neither"`` within 20 to 1."""
        if abs(self.log_ratio) < math.log(20.0):
            return "neither"
        return "power law" if self.log_ratio > 0.0 else "exponential"

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        if math.isnan(self.log_ratio):
            return "The losses cannot be compared with either curve."
        verdict = {
            "neither": "A power law and an exponential fit about equally well",
            "power law": "A power law fits better than the exponential",
            "exponential": "The exponential fits better than a power law",
        }[self.better]
        return f"{verdict} (log likelihood ratio {self.log_ratio:+.3g})."

    def _rows(self) -> Rows:
        return [
            ("SSE, exponential", f"{self.exponential.sse:.4g}"),
            ("rate per step", f"{self.exponential.rate:.4g}"),
            ("floor, exponential", f"{self.exponential.floor:.4g}"),
            ("SSE, power law", f"{self.power_law.sse:.4g}"),
            ("exponent", f"{self.power_law.exponent:.4g}"),
            ("floor, power law", f"{self.power_law.floor:.4g}"),
        ]

    def summary(self) -> str:
        """Return a table of both fits and the verdict in one sentence."""
        return text_table("Exponential or power law?", self._rows(), self.sentence)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return html_table("Exponential or power law?", self._rows(), self.sentence)


def fit_power_law(losses: Any) -> PowerLawFit:
    """Fit a (1 + t)^{−p} + c by least squares, without a starting value.

    (1 + t)^{−p} = e^{−p ln(1 + t)}: the exponential fit on logarithmic steps.

    Args:
        losses: shape (n,), loss units.

    Returns:
        The fit; all its numbers are nan if a loss is not finite or fewer than three are given.

    Raises:
        TypeError, ValueError: as `fit_exponential`.

    >>> fit = fit_power_law([1 + 4 / (1 + t) ** 2 for t in range(30)])
    >>> round(fit.amplitude, 9), round(fit.exponent, 9), round(fit.floor, 9)
    (4.0, 2.0, 1.0)

    Claim C5.9.
    """
    y = _checks.series("losses", losses)
    fit = fit_exponential(y, steps=np.log1p(np.arange(len(y))))
    return PowerLawFit(fit.amplitude, fit.rate, fit.floor, fit.sse, fit.n)


def compare_curves(losses: Any) -> CurveComparison:
    """Compare the exponential with a power law on the same losses.

    ln LR = (m/2) ln(SSE_exp / SSE_pow), m the number of independent losses.

    Args:
        losses: shape (n,), loss units.

    Returns:
        Both fits and the log likelihood ratio (nan where neither can be fitted).

    Raises:
        TypeError, ValueError: as `fit_exponential`.

    >>> compare_curves([1 / (1 + t) for t in range(40)]).better
    'power law'

    Claim C5.9.
    """
    y = _checks.series("losses", losses)
    exponential, power_law = fit_exponential(y), fit_power_law(y)
    if not np.isfinite(y).all() or len(y) < 5:
        return CurveComparison(exponential, power_law, math.nan)
    z, _ = rescaled(y)
    residuals = [z - fit(z).predict() for fit in (fit_exponential, fit_power_law)]
    tiny = len(y) * float(np.finfo(float).eps) ** 2
    sse = [max(float(r @ r), tiny) for r in residuals]
    better = residuals[int(np.argmin(sse))]
    information = describe_noise(better, 3).information
    return CurveComparison(exponential, power_law, 0.5 * information * math.log(sse[0] / sse[1]))

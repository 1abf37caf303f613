"""What a real curve is made of: decay, floor, noise; and could the test have seen it?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from exptest import _checks
from exptest.statistics.calibration import pvalues
from exptest.statistics.exponential import unanswerable
from exptest.statistics.fits import ExponentialFit, fit_exponential
from exptest.statistics.noise import describe_noise
from exptest.statistics.scaling import rescaled
from exptest.statistics.scenarios import ar1
from exptest.statistics.tables import Rows, html_table, text_table


@dataclass(frozen=True)
class Diagnosis:
    """Signal and noise of a window of losses, as an exponential sees them.

    Attributes:
        fit: the exponential of least squares.
        sigma: standard deviation of the noise around it, loss units.
        correlation: φ̂ of that noise, lag 1.
        n: number of losses.
    """

    fit: ExponentialFit
    sigma: float
    correlation: float
    n: int

    @property
    def floor(self) -> float:
        """Where the decay ends, loss units."""
        return self.fit.floor

    @property
    def efolds(self) -> float:
        """k, e-folds in the window."""
        return self.fit.rate * (self.n - 1)

    @property
    def signal_to_noise(self) -> float:
        """a/σ: amplitude in standard deviations of the noise."""
        return abs(self.fit.amplitude) / self.sigma if self.sigma > 0.0 else math.inf

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        return (
            f"{self.efolds:.3g} e-folds of {self.signal_to_noise:.3g} standard deviations towards "
            f"{self.floor:.4g}; noise of {self.sigma:.3g} with correlation {self.correlation:.2f}."
        )

    def _rows(self) -> Rows:
        return [
            ("losses", f"{self.n}"),
            ("e-folds in the window", f"{self.efolds:.4g}"),
            ("amplitude / noise", f"{self.signal_to_noise:.4g}"),
            ("floor", f"{self.floor:.4g}"),
            ("noise", f"{self.sigma:.4g}"),
            ("noise correlation", f"{self.correlation:.3g}"),
        ]

    def summary(self) -> str:
        """Return a table of every number and the sentence."""
        return text_table("Signal and noise", self._rows(), self.sentence)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return html_table("Signal and noise", self._rows(), self.sentence)


def diagnose(losses: Any) -> Diagnosis:
    """Estimate decay, floor, noise and its correlation from a window of losses.

    Args:
        losses: shape (n,), loss units, one per step; at least five, all finite.

    Raises:
        TypeError, ValueError: the losses cannot be described.

    >>> found = diagnose([1 + 4 * 0.9**t for t in range(60)])
    >>> round(found.floor, 6), round(found.fit.amplitude, 6)
    (1.0, 4.0)

    Claim C5.11.
    """
    y = _checks.series("losses", losses)
    if why := unanswerable(y, 5):
        raise ValueError(f"losses cannot be described, got {len(y)}: {why}; try a finite window.")
    z, exponent = rescaled(y)
    residual = z - fit_exponential(z).predict()
    noise = describe_noise(residual, 3)
    with np.errstate(over="ignore"):
        sigma = float(np.ldexp(math.sqrt(noise.variance), exponent))
    return Diagnosis(fit_exponential(y), sigma, noise.correlation, len(y))


def power_on(
    diagnosis: Diagnosis,
    *,
    test: str = "exponential",
    alpha: float = 0.05,
    n: int | None = None,
    replications: int = 1000,
    seed: int = 0,
) -> float:
    """Return how often the test would see this decay, on windows like this one.

    Args:
        diagnosis: of a real window.
        test: ``"exponential"`` or ``"slope"``.
        alpha: level.
        n: another window, in steps; default the same.
        replications, seed: of the simulation.

    Raises:
        TypeError, ValueError: an argument is out of range.

    >>> clear = diagnose([1 + 4 * 0.9**t + 0.05 * (-1) ** t for t in range(60)])
    >>> power_on(clear, replications=50)
    1.0
    """
    _checks.open_unit("alpha", alpha, 0.05)
    steps = diagnosis.n if n is None else _checks.at_least("n", n, 5, diagnosis.n)
    rng = np.random.default_rng([seed, steps])
    noise = ar1(rng, (replications, steps), diagnosis.correlation)
    losses = diagnosis.fit.predict(np.arange(steps)) + diagnosis.sigma * noise
    return float((pvalues(test, losses) < alpha).mean())

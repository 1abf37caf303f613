"""One window of losses whose truth is known, judged by the calibrated test and the paper's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from exptest.statistics import ExponentialTestResult, exponential_test
from exptest.statistics.scenarios import TRUTHS, ar1
from exptest.widgets.wording import plain

METHODS = ("calibrated", "paper")
# What one chooses, and its name among the truths that the tests are tried on.
SHAPES = {
    "decay": "exponential",
    "straight line": "line",
    "flat": "flat",
    "growth": "saturating growth",
    "power law": "power law",
}
# Shapes that the number of e-folds changes, and those on which "decay" is no error.
CURVED = ("decay", "growth", "power law")
BENDING = ("decay", "power law")


@dataclass(frozen=True)
class Setting:
    """Where windows come from; the standard deviation of their noise is the unit of loss.

    Attributes:
        shape: key of ``SHAPES``.
        efolds: k, in the window, of shapes that bend.
        amplitude: a/σ.
        correlation: φ, lag 1, of the noise.
        n: losses in the window.
    """

    shape: str
    efolds: float
    amplitude: float
    correlation: float
    n: int

    @property
    def mean(self) -> Float[np.ndarray, " n"]:
        """The losses without noise."""
        x = np.linspace(0.0, 1.0, self.n)
        return self.amplitude * TRUTHS[SHAPES[self.shape]](x, self.efolds)

    @property
    def bends(self) -> bool:
        """Whether there is anything that deserves to be called a decay."""
        return self.shape in BENDING and self.amplitude > 0

    def windows(self, count: int, seed: int) -> Float[np.ndarray, "count n"]:
        """Return windows; of one seed, the same noise under every truth."""
        rng = np.random.default_rng(seed)
        return self.mean + ar1(rng, (count, self.n), self.correlation)

    def __str__(self) -> str:
        if self.shape == "flat" or self.amplitude == 0:
            return "noise and nothing else"
        size = f"{plain(self.amplitude)}σ"
        named = {
            "decay": f"a decay of {size} with {plain(self.efolds)} e-folds",
            "straight line": f"a straight line that falls by {size}",
            "growth": f"a growth of {size} that levels off",
            "power law": f"a power law of {size}, which bends like a decay",
        }
        return named[self.shape]


@dataclass(frozen=True)
class Trial:
    """One window and both verdicts on it at level ``alpha``."""

    setting: Setting
    seed: int
    alpha: float

    @cached_property
    def losses(self) -> Float[np.ndarray, " n"]:
        """One per step, in standard deviations of the noise."""
        return self.setting.windows(1, self.seed)[0]

    @cached_property
    def results(self) -> dict[str, ExponentialTestResult]:
        """What each method says, the calibrated one first."""
        return {method: exponential_test(self.losses, method=method) for method in METHODS}

    def verdict(self, method: str) -> str:
        """Return what a method claims, with its p-value.

        >>> Trial(Setting("growth", 5.0, 5.0, 0.0, 50), seed=0, alpha=0.05).verdict("calibrated")
        'no decay, p = 1'
        """
        result = self.results[method]
        claim = "decay" if result.reject(self.alpha) else "no decay"
        return f"{claim}, p = {plain(result.pvalue)}"

    def __str__(self) -> str:
        judged = "; ".join(
            f"{name} says {self.verdict(method)}{self._why(method)}"
            for method, name in zip(METHODS, ("the calibrated test", "the paper's"), strict=True)
        )
        losses = f"These {self.setting.n} losses are in truth {self.setting}"
        return f"{losses}; at α = {plain(self.alpha)} {judged}"

    def _why(self, method: str) -> str:
        note = self.results[method].note
        return f" ({note})" if note else ""

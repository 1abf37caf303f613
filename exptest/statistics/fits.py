"""The straight line and the exponential, by least squares, at any scale and offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from exptest import _checks
from exptest.statistics.scaling import rescaled
from exptest.statistics.varpro import Projection, Projector, rates

# e-folds: over the range, where the curve is a line; per step, where it is one point
# (−ln of the float64 rounding unit).
SLOWEST, FASTEST = 1e-3, 36.0


@dataclass(frozen=True)
class LineFit:
    """y ≈ intercept + slope · step.

    Attributes:
        slope: loss units per step.
        intercept: value at step 0, loss units.
        sse: sum of squared residuals, loss units squared.
        n: number of losses.
    """

    slope: float
    intercept: float
    sse: float
    n: int

    def predict(self, steps: ArrayLike | None = None) -> Float[np.ndarray, " m"]:
        """Return the line at ``steps`` (default 0, …, n − 1)."""
        x = np.arange(self.n) if steps is None else _checks.series("steps", steps)
        return self.intercept + self.slope * x

    def __str__(self) -> str:
        return f"line: {self.intercept:.4g} {self.slope:+.3g} · step (SSE {self.sse:.3g})"


@dataclass(frozen=True)
class ExponentialFit:
    """y ≈ amplitude · e^{−rate · (step − origin)} + floor.

    Attributes:
        amplitude: a, loss units.
        rate: b, per step.
        floor: c, loss units.
        sse: sum of squared residuals, loss units squared.
        n: number of losses.
        origin: step at which the curve is amplitude + floor.
        start: that value, loss units (kept apart: on a near-line a and −c are huge).
    """

    amplitude: float
    rate: float
    floor: float
    sse: float
    n: int
    origin: float = 0.0
    start: float = np.nan

    def predict(self, steps: ArrayLike | None = None) -> Float[np.ndarray, " m"]:
        """Return the curve at ``steps`` (default 0, …, n − 1)."""
        x = np.arange(self.n) if steps is None else _checks.series("steps", steps)
        return self.start + self.amplitude * np.expm1(-self.rate * (x - self.origin))

    def __str__(self) -> str:
        return (
            f"exponential: {self.amplitude:.4g} · exp(−{self.rate:.4g} · step) + {self.floor:.4g} "
            f"(SSE {self.sse:.3g})"
        )


def fit_line(losses: Any) -> LineFit:
    """Fit a straight line by ordinary least squares.

    minimise Σₜ (yₜ − intercept − slope · t)²,  t = 0, …, n − 1.

    Args:
        losses: shape (n,), loss units.

    Returns:
        The fit; all its numbers are nan if a loss is not finite.

    Raises:
        TypeError, ValueError: ``losses`` is not numeric, not one-dimensional or empty.

    >>> fit_line([5.0, 3.0, 1.0])
    LineFit(slope=-2.0, intercept=5.0, sse=0.0, n=3)
    """
    y = _checks.series("losses", losses)
    n = len(y)
    if not np.isfinite(y).all():
        return LineFit(np.nan, np.nan, np.nan, n)
    z, exponent = rescaled(y)
    t = np.arange(n) - (n - 1) / 2
    mean = float(z.sum()) / n
    slope = float(t @ z) / max(float(t @ t), 1.0)
    residual = z - mean - slope * t
    return line_in_units(slope, mean, float(residual @ residual), n, exponent)


def line_in_units(slope: float, mean: float, sse: float, n: int, exponent: int) -> LineFit:
    """Return a line fitted to n losses divided by 2ᵉ, in the units of the losses."""
    with np.errstate(over="ignore"):
        return LineFit(
            slope=float(np.ldexp(slope, exponent)),
            intercept=float(np.ldexp(mean - slope * (n - 1) / 2, exponent)),
            sse=float(np.ldexp(sse, 2 * exponent)),
            n=n,
        )


def fit_exponential(
    losses: Any, *, steps: Any | None = None, through_origin: bool = False
) -> ExponentialFit:
    """Fit an exponential by least squares, without a starting value.

    minimise Σₜ (yₜ − a e^{−b (xₜ − x₀)} − c)² over b > 0 and all a, c.

    Args:
        losses: shape (n,), loss units.
        steps: xₜ, shape (n,), in steps; default 0, …, n − 1. x₀ is the smallest.
        through_origin: keep x₀ = 0 and c = −a, so that the curve is c (1 − e^{−b x}).

    Returns:
        The fit of smallest SSE; all its numbers are nan if a loss is not finite or fewer than
        three steps differ. On a straight line b is the slowest rate searched, 1e-3 e-folds over
        the range; on a constant a = 0.

    Raises:
        TypeError, ValueError: input is not numeric, not one-dimensional or empty, or
            ``steps`` has another length, a non-finite entry or (through_origin) a negative one.

    >>> fit = fit_exponential([2 + 3 * 0.5**t for t in range(12)])
    >>> round(fit.amplitude, 9), round(float(np.exp(-fit.rate)), 9), round(fit.floor, 9)
    (3.0, 0.5, 2.0)

    Claims C5.1 and C5.2.
    """
    y = _checks.series("losses", losses)
    x = np.arange(len(y), dtype=float) if steps is None else _steps(steps, len(y), through_origin)
    distinct = np.unique(x)
    if not np.isfinite(y).all() or len(distinct) < 3:
        return ExponentialFit(np.nan, np.nan, np.nan, np.nan, len(y))
    origin, span = (0.0 if through_origin else float(distinct[0])), float(np.ptp(distinct))
    z, exponent = rescaled(y)
    problem = Projector((x - origin) / span, z, intercept=not through_origin)
    fastest = FASTEST * span / float(np.diff(distinct).min())
    fit = problem.best(rates(SLOWEST, fastest))
    return exponential_in_units(fit, exponent, origin=origin, span=span)


def exponential_in_units(
    fit: Projection, exponent: int, *, origin: float = 0.0, span: float
) -> ExponentialFit:
    """Return a fit to rescaled losses and steps in the units of the losses, per step."""
    with np.errstate(over="ignore"):
        return ExponentialFit(
            amplitude=-float(np.ldexp(fit.gain, exponent)),
            rate=fit.k / span,
            floor=float(np.ldexp(fit.start + fit.gain, exponent)),
            sse=float(np.ldexp(fit.sse, 2 * exponent)),
            n=len(fit.residual),
            origin=origin,
            start=float(np.ldexp(fit.start, exponent)),
        )


def _steps(steps: Any, n: int, through_origin: bool) -> Float[np.ndarray, " n"]:
    x = _checks.series("steps", steps)
    if len(x) != n:
        raise ValueError(f"steps must be as many as the losses, {n}, got {len(x)}.")
    if not np.isfinite(x).all():
        raise ValueError("steps must be finite, got nan or inf; drop those points first.")
    if through_origin and x.min() < 0:
        raise ValueError(f"steps must not be negative through the origin, got {x.min():g}.")
    return x

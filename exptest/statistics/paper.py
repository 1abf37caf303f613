"""The paper's two tests, to the letter, so that its numbers can be checked.

The exponential comes from a general-purpose fit that starts at all ones; a fit that fails is a
rejection; no sign is asked of a or b. theory/05 and theory/06 say what this gets wrong.
"""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import fdtrc, stdtr

from exptest.statistics.fits import ExponentialFit, LineFit

Vector = Float[np.ndarray, " n"]


def fit_from_ones(y: Vector) -> ExponentialFit | None:
    """Fit a e^{−bx} + c at x = 0, …, n − 1 from a = b = c = 1; None if the optimizer fails."""
    x = np.arange(len(y))
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            (a, b, c), _ = curve_fit(lambda x, a, b, c: a * np.exp(-b * x) + c, x, y)
            residual = y - (a * np.exp(-b * x) + c)
            sse = float(residual @ residual)
    except (RuntimeError, ValueError, TypeError, np.linalg.LinAlgError):
        return None
    return ExponentialFit(float(a), float(b), float(c), sse, len(y), start=float(a + c))


def f_test(line: LineFit, exponential: ExponentialFit) -> tuple[float, float]:
    """Return F = (SSE_lin − SSE_exp)/(SSE_exp/(n − 3)) and its upper tail in F(1, n − 3)."""
    df = line.n - 3
    with np.errstate(all="ignore"):
        statistic = np.float64(line.sse - exponential.sse) / (np.float64(exponential.sse) / df)
    return float(statistic), float(fdtrc(1, df, np.maximum(statistic, 0.0)))


def t_test(y: Vector, line: LineFit) -> tuple[float, float]:
    """Return t = slope / se of ordinary least squares and its lower tail in t(n − 2)."""
    n = line.n
    x = np.arange(n) - (n - 1) / 2
    with np.errstate(all="ignore"):
        se = np.sqrt(np.float64(line.sse) / (n - 2) / (x @ x))
        statistic = np.float64(line.slope) / se
    return float(statistic), float(stdtr(n - 2, statistic))

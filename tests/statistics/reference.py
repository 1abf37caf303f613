"""Slow, literal versions of the wing's algorithms."""

from __future__ import annotations

import math
import warnings

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.stats import f, linregress


def paper_exponential_pvalue(losses: np.ndarray) -> float:
    """The paper's search test, line by line; 1 where its fit fails."""
    y = np.asarray(losses, dtype=float)
    x = np.arange(len(y))
    line = linregress(x, y)
    sse_line = np.sum((y - line.intercept - line.slope * x) ** 2)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            (a, b, c), _ = curve_fit(lambda x, a, b, c: a * np.exp(-b * x) + c, x, y, p0=[1, 1, 1])
        except RuntimeError:
            return 1.0
        sse_exp = np.sum((y - a * np.exp(-b * x) - c) ** 2)
        statistic = (sse_line - sse_exp) / (sse_exp / (len(y) - 3))
    return float(f.sf(statistic, 1, len(y) - 3))


def dense_grid_sse(losses: np.ndarray) -> float:
    """Least squared error of a e^{−bx} + c over 2000 rates, by a linear fit at each."""
    y = np.asarray(losses, dtype=float)
    x = np.linspace(0.0, 1.0, len(y))
    best = math.inf
    for k in np.geomspace(1e-3, 30.0 * len(y), 2000):
        design = np.c_[np.expm1(-k * x), np.ones_like(x)]
        coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
        best = min(best, float(np.sum((design @ coefficients - y) ** 2)))
    return best


def window(initial_loss: float, lr: float) -> int:
    """round(2√2 L₀ / (e η)), from the formula."""
    return round(2 * math.sqrt(2) * initial_loss / (math.e * lr))


def path_ratio(gradients: list[np.ndarray]) -> float:
    """Σ‖g‖ / ‖Σg‖, from the definition."""
    return float(sum(np.linalg.norm(g) for g in gradients) / np.linalg.norm(sum(gradients)))

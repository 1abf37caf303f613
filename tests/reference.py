"""The paper's algorithm, slow and literal, to compare the library with."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import curve_fit


class Verdict(NamedTuple):
    step: int
    kind: str
    accepted: bool
    lr_after: float


def exponential_pvalue(losses: np.ndarray) -> float:
    n = len(losses)
    if n < 4:
        return 1.0
    x = np.arange(n, dtype=float)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            (a, b, c), _ = curve_fit(lambda x, a, b, c: a * np.exp(-b * x) + c, x, losses)
        except (RuntimeError, ValueError):
            return 1.0
        sse_exp = float(np.sum((losses - a * np.exp(-b * x) - c) ** 2))
        line = np.polyval(np.polyfit(x, losses, 1), x)
        sse_line = float(np.sum((losses - line) ** 2))
        if not math.isfinite(sse_exp):
            return 1.0
        statistic = (sse_line - sse_exp) / (sse_exp / (n - 3))
    return float(stats.f.sf(statistic, 1, n - 3))


def slope_pvalue(losses: np.ndarray) -> float:
    n = len(losses)
    if n < 3 or not np.isfinite(losses).all():
        return 1.0
    fit = stats.linregress(np.arange(n), losses)
    return float(stats.t.cdf(fit.slope / fit.stderr, n - 2))


def paper_decisions(
    losses: np.ndarray, max_lr: float, alpha: float = 0.05, beta: float = 0.33, rho: float = 1.0
) -> list[Verdict]:
    """Go through the curve step by step, as paper.md's steps 1 to 3 say."""
    lr, searching, window, verdicts = max_lr, True, [], []
    for step, loss in enumerate(losses):
        window.append(loss)
        n = round(2 * math.sqrt(2) * losses[0] / (math.e * lr))
        if len(window) < max(round(rho * n), 1):
            continue
        if searching:
            kind, p = "exponential", exponential_pvalue(np.array(window))
        else:
            kind, p = "slope", slope_pvalue(np.array(window))
        accepted = p < alpha
        if accepted:
            searching = False
        else:
            lr *= beta
        verdicts.append(Verdict(step, kind, accepted, lr))
        window = []
    return verdicts

"""Who cuts the rate? Rules that see only losses, on losses that fall and on flat ones."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import ndtr

from exptest.statistics import slope_test, trend_test
from exptest.statistics.repeated import AlphaSpending, EveryLook
from exptest.statistics.scenarios import Scenario

Losses = Float[np.ndarray, " n"]
WINDOW, PATIENCE = 500, 100
FALLS, NOISES = (0.0, 0.5, 1.0, 2.0, 4.0), ("iid", "AR(1) 0.9", "white + AR(1) 0.9")
GROWTH, WINDOWS = (1, 2, 4), 20


def plateau(losses: Losses) -> bool:
    """ReduceLROnPlateau: more than a hundred losses in a row not below the best, anywhere."""
    best = np.minimum.accumulate(losses)
    better = np.flatnonzero(np.diff(best, prepend=np.inf))
    return bool(np.diff(better, append=len(losses)).max() > PATIENCE + 1)


def suffixes(losses: Losses) -> bool:
    """dlib's rule: the longest suffix that does not fall with probability 0.51 is 0.9 n long."""
    n, tail = len(losses), losses[::-1]
    t = np.arange(1.0, n + 1.0)
    mean_x, mean_y = np.cumsum(t) / t, np.cumsum(tail) / t
    xx = np.cumsum(t * t) - t * mean_x**2
    xy = np.cumsum(t * tail) - t * mean_x * mean_y
    yy = np.cumsum(tail * tail) - t * mean_y**2
    with np.errstate(all="ignore"):
        slope = xy / xx  # backwards: positive if the loss falls
        error = np.sqrt(np.maximum(yy - slope * xy, 0.0) / np.maximum(t - 2.0, 1.0) / xx)
        falls = ndtr(slope / error)
    silent = np.flatnonzero((falls < 0.51) & (t > 2))
    return bool(len(silent) and silent[-1] + 1 >= 0.9 * n)


def looks(
    losses: Losses,
    window: int = WINDOW,
    budget: AlphaSpending | EveryLook | None = None,
    **options: Any,
) -> tuple[bool, int]:
    """Whether three verdicts cut, looking after one, two and four windows, and after how many."""
    budget = EveryLook() if budget is None else budget
    for windows in GROWTH:
        seen = losses[: windows * window]
        found = trend_test(seen, horizon=window, stop_alpha=budget.level, **options)
        budget.decide(found.pvalue)  # the look is taken
        if found.verdict != "undecided":
            break
    return found.verdict == "stopped", windows


def ever_stopped(
    losses: Losses, window: int, budget: AlphaSpending | EveryLook, **options: Any
) -> bool:
    """Whether a run of twenty windows, each watched until it is decided, is ever cut."""
    start = 0
    for _ in range(WINDOWS):
        stopped, windows = looks(losses[start:], window, budget, **options)
        if stopped:
            return True
        start += windows * window
    return False


RULES: dict[str, Callable[[Losses], bool]] = {
    "plateau, patience 100": plateau,
    "suffixes (dlib)": suffixes,
    "least squares": lambda y: not slope_test(y, method="paper").reject(),
    "calibrated": lambda y: not slope_test(y).reject(),
}


def shares(
    falls: Sequence[float] = FALLS, noises: Sequence[str] = NOISES, *, windows: int = 400
) -> pd.DataFrame:
    """Return the share of windows in which each rule cuts, one row a noise and decline.

    Args:
        falls: of the loss in one window of 500, in standard deviations of the noise.
        noises: names, as in `Scenario`.
        windows: how many.
    """
    rows = []
    for noise in noises:
        for fall in falls:
            curves = declines(fall, noise, GROWTH[-1], WINDOW, windows)
            row = {
                name: np.mean([rule(y[:WINDOW]) for y in curves]) for name, rule in RULES.items()
            }
            cut, took = zip(*map(looks, curves), strict=True)
            row |= {"three verdicts": np.mean(cut), "windows": np.mean(took)}
            rows.append({"noise": noise, "falls by": f"{fall:g}σ", **row})
    return pd.DataFrame(rows)


def false_stops(
    noises: Sequence[str] = NOISES,
    *,
    fall: float = 1.0,
    runs: int = 100,
    window: int = WINDOW,
    **options: Any,
) -> pd.DataFrame:
    """Return the share of runs, falling in all of their windows, that are ever called stopped.

    Args:
        noises: names, as in `Scenario`.
        fall: of the loss in a window, in standard deviations of the noise.
        runs: how many, of twenty windows each.
        window: losses in a window before it grows.
        options: of `trend_test`.
    """
    budgets = {"α at every look": EveryLook, "α/(k(k+1))": AlphaSpending}
    rows = []
    for noise in noises:
        curves = declines(fall, noise, WINDOWS * GROWTH[-1], window, runs)
        row = {
            name: np.mean([ever_stopped(y, window, budget(), **options) for y in curves])
            for name, budget in budgets.items()
        }
        rows.append({"noise": noise, "falls by": f"{fall:g}σ", **row})
    return pd.DataFrame(rows)


def declines(
    fall: float, noise: str, windows: int, window: int, runs: int
) -> Float[np.ndarray, "runs n"]:
    """Return curves that fall by so many σ in every window."""
    n = windows * window
    return Scenario("flat", noise, n).simulate(runs) - fall * np.arange(n) / window


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--windows", type=int, default=400, help="windows per row (400)")
    parser.add_argument("--runs", type=int, default=200, help="runs per row (200)")


def run(arguments: argparse.Namespace) -> int:
    """Print the shares of windows, then those of runs, as Markdown."""
    for frame in (shares(windows=arguments.windows), false_stops(runs=arguments.runs)):
        print("| " + " | ".join(frame.columns) + " |\n" + "|---" * frame.shape[1] + "|")
        for row in frame.itertuples(index=False):
            cells = (x if isinstance(x, str) else f"{x:.2f}" for x in row)
            print("| " + " | ".join(cells) + " |")
        print()
    return 0

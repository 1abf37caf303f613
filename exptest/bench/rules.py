"""Who cuts the rate? Rules that see only losses, on losses that fall and on flat ones."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import ndtr

from exptest.statistics import slope_test, trend_test
from exptest.statistics.scenarios import Scenario

Losses = Float[np.ndarray, " n"]
WINDOW, PATIENCE = 500, 100
FALLS, NOISES = (0.0, 0.5, 1.0, 4.0), ("iid", "AR(1) 0.9", "white + AR(1) 0.9", "t3")


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


def looks(losses: Losses) -> tuple[bool, int]:
    """Whether three verdicts cut, looking after one, two and four windows, and after how many."""
    for windows in (1, 2, 4):
        found = trend_test(losses[: windows * WINDOW], horizon=WINDOW)
        if found.verdict != "undecided":
            break
    return found.verdict == "stopped", windows


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
            curves = Scenario("flat", noise, 4 * WINDOW).simulate(windows)
            curves = curves - fall * np.arange(4 * WINDOW) / WINDOW
            row = {
                name: np.mean([rule(y[:WINDOW]) for y in curves]) for name, rule in RULES.items()
            }
            cut, took = zip(*map(looks, curves), strict=True)
            row |= {"three verdicts": np.mean(cut), "windows": np.mean(took)}
            rows.append({"noise": noise, "falls by": f"{fall:g}σ", **row})
    return pd.DataFrame(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--windows", type=int, default=400, help="windows per row (400)")


def run(arguments: argparse.Namespace) -> int:
    """Print the table as Markdown."""
    frame = shares(windows=arguments.windows)
    print("| " + " | ".join(frame.columns) + " |\n" + "|---" * frame.shape[1] + "|")
    for row in frame.itertuples(index=False):
        cells = (x if isinstance(x, str) else f"{x:.2f}" for x in row)
        print("| " + " | ".join(cells) + " |")
    return 0

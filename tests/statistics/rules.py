"""Who cuts the rate? Rules that see only losses, on losses that fall and on flat ones, printed.

python -m tests.statistics.rules [windows]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from exptest.statistics import slope_test, trend_test
from exptest.statistics.scenarios import Scenario

Losses = Float[np.ndarray, " n"]
WINDOW, PATIENCE = 500, 100
FALLS, NOISES = (0.0, 0.5, 1.0, 4.0), ("iid", "AR(1) 0.9", "white + AR(1) 0.9", "t3")


def plateau(losses: Losses) -> bool:
    """ReduceLROnPlateau: a hundred losses in a row not below the best before, anywhere."""
    best = np.minimum.accumulate(losses)
    better = np.flatnonzero(np.diff(best, prepend=np.inf))
    return bool(np.diff(better, append=len(losses)).max() > PATIENCE)


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


def looks(losses: Losses, *, stop_alpha: float = 0.05) -> tuple[bool, int]:
    """Whether three verdicts cut, looking after one, two and four windows, and after how many."""
    for windows in (1, 2, 4):
        found = trend_test(losses[: windows * WINDOW], horizon=WINDOW, stop_alpha=stop_alpha)
        if found.verdict != "undecided":
            break
    return found.verdict == "stopped", windows


RULES: dict[str, Callable[[Losses], bool]] = {
    "plateau, patience 100": plateau,
    "suffixes (dlib)": suffixes,
    "least squares": lambda y: not slope_test(y, method="paper").reject(),
    "calibrated": lambda y: not slope_test(y).reject(),
}


def row(noise: str, fall: float, windows: int) -> list[float]:
    """Return the share of cuts of each rule, of three verdicts, and how many windows these took."""
    curves = Scenario("flat", noise, 4 * WINDOW).simulate(windows)
    curves = curves - fall * np.arange(4 * WINDOW) / WINDOW
    shares = [float(np.mean([rule(y[:WINDOW]) for y in curves])) for rule in RULES.values()]
    cut, took = zip(*map(looks, curves), strict=True)
    return [*shares, float(np.mean(cut)), float(np.mean(took))]


def rules(windows: int) -> Iterator[str]:
    """Yield the table."""
    cells = [(noise, fall) for noise in NOISES for fall in FALLS]
    yield "| noise | falls by | " + " | ".join(RULES) + " | three verdicts | windows |"
    yield "|---" * (len(RULES) + 4) + "|"
    for noise, fall in cells:
        numbers = " | ".join(f"{share:.2f}" for share in row(noise, fall, windows))
        yield f"| {noise} | {fall:g}σ | {numbers} |"


if __name__ == "__main__":
    print(*rules(int(sys.argv[1]) if len(sys.argv) > 1 else 400), sep="\n")

"""The tables of size and power in theory/05 and theory/06, printed.

python -m tests.statistics.tables size [replications]
python -m tests.statistics.tables power [replications]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from exptest.statistics import exponential_test, slope_test
from exptest.statistics.calibration import power, size
from exptest.statistics.scenarios import NOISES

LENGTHS = (8, 20, 32, 50, 200, 1000, 3000)
# Noises that the tests are asked to be honest under; the limits of others are told.
PROMISED = (
    *("iid", "t3", "shrinking", "growing", "AR(1) 0.5", "AR(1) 0.9"),
    *("white + AR(1) 0.9", "cycle", "early", "epochs"),
)


def exponential_without_period(losses: Any) -> Any:
    """Not told that there are epochs."""
    return exponential_test(losses)


def slope_without_period(losses: Any) -> Any:
    """Not told that there are epochs."""
    return slope_test(losses)


UNTOLD = {"exponential": exponential_without_period, "slope": slope_without_period}


def sizes(test: str, replications: int, seed: int) -> Iterator[str]:
    """Yield, by noise, the most often that a null truth is rejected at 0.05 / at 0.01."""
    options: dict[str, Any] = {"replications": replications, "seed": seed, "n_jobs": -1}
    frame = size(test, lengths=LENGTHS, **options)
    untold = size(UNTOLD[test], noises=("epochs",), lengths=LENGTHS, **options)
    frame = pd.concat([frame, untold.assign(noise="epochs, untold")])
    worst = frame.groupby(["noise", "n", "alpha"]).rate.max()
    yield f"| {test} | " + " | ".join(f"n = {n}" for n in LENGTHS) + " |"
    yield "|---" * (len(LENGTHS) + 1) + "|"
    for noise in [*(name for name in NOISES if name != "random walk"), "epochs, untold"]:
        cells = [
            " / ".join(short(worst[noise, n, alpha]) for alpha in (0.05, 0.01))
            if (noise, n, 0.05) in worst.index
            else "–"
            for n in LENGTHS
        ]
        yield f"| {noise} | " + " | ".join(cells) + " |"
    limit = frame.alpha + 3 * np.sqrt(frame.alpha * (1 - frame.alpha) / replications)
    promised = frame.noise.isin(PROMISED)
    above = frame[promised & (frame.rate > limit)]
    yield f"{promised.sum()} rates promised, {len(above)} above by more than 3 standard errors"
    yield from above.to_string().splitlines() if len(above) else ()


def powers(replications: int) -> Iterator[str]:
    """Yield calibrated / paper power by k, and the means."""
    frames = [
        power("exponential", method=method, replications=replications, n_jobs=-1)
        for method in ("calibrated", "paper")
    ]
    ours, theirs = (f.set_index(["n", "size", "efolds"]).rate for f in frames)
    rates = sorted({k for _, _, k in ours.index})
    yield "| n | a/σ | " + " | ".join(f"k = {k}" for k in rates) + " |"
    yield "|---" * (len(rates) + 2) + "|"
    for n, amplitude in dict.fromkeys((n, a) for n, a, _ in ours.index):
        cells = [
            f"{short(ours[n, amplitude, k], 2)} / {short(theirs[n, amplitude, k], 2)}"
            for k in rates
        ]
        yield f"| {n} | {amplitude:g} | " + " | ".join(cells) + " |"
    for n in ours.index.unique("n"):
        worst = (ours[n] - theirs[n]).min()
        means = f"{ours[n].mean():.3f} / {theirs[n].mean():.3f}"
        yield f"n = {n}: mean {means}, worst cell {worst:+.3f}"


def short(rate: float, digits: int = 3) -> str:
    return "1" if rate == 1.0 else f"{rate:.{digits}f}".removeprefix("0")


if __name__ == "__main__":
    wanted, replications = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    if wanted == "power":
        print(*powers(replications), sep="\n")
    else:
        for test in UNTOLD:
            print(*sizes(test, replications, seed=4), "", sep="\n", flush=True)

"""The tables of size and power in theory/05 and theory/06, printed.

python -m tests.statistics.tables size [replications]
python -m tests.statistics.tables power [replications]
python -m tests.statistics.tables peers [replications]
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtr
from statsmodels.api import OLS, add_constant
from statsmodels.tsa.arima.model import ARIMA

from exptest.statistics import exponential_test, slope_test
from exptest.statistics.calibration import power, rejection_rates, size
from exptest.statistics.scenarios import NOISES, Scenario

LENGTHS = (8, 20, 32, 50, 200, 1000, 3000)
# Noises that the tests promise to be honest under (C5.6, C6.7); the limits of others are told.
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


def promised(frame: pd.DataFrame) -> pd.Series:
    """Which rows of a size table are promised to be honest."""
    early = (frame.test == "exponential") & (frame.n < 32) & frame.noise.isin(("early", "cycle"))
    return frame.noise.isin(PROMISED) & ~early


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
    kept = promised(frame)
    above = frame[kept & (frame.rate > limit)]
    yield f"{kept.sum()} rates promised, {len(above)} above by more than 3 standard errors"
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


def hac(losses: Any) -> float:
    """Least squares with statsmodels' HAC errors, lags by its rule 4(n/100)^(2/9)."""
    n = len(losses)
    return _hac(losses, int(4 * (n / 100) ** (2 / 9)))


def hac_long(losses: Any) -> float:
    """The same with 1.3 √n lags, against slow noise."""
    return _hac(losses, int(1.3 * np.sqrt(len(losses))))


def _hac(losses: Any, lags: int) -> float:
    steps = add_constant(np.arange(len(losses)))
    options = {"maxlags": lags, "use_correction": True}
    fit = OLS(losses, steps).fit(cov_type="HAC", cov_kwds=options, use_t=True)
    return float(stdtr(fit.df_resid, fit.tvalues[1]))


def arma(losses: Any) -> float:
    """A line with ARMA(1, 1) noise by statsmodels' exact likelihood; no fit, no claim."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ARIMA(losses, order=(1, 0, 1), trend="ct").fit()
    z = float(fit.tvalues[1])
    return float(ndtr(z)) if np.isfinite(z) else 1.0


PEERS = {
    "calibrated": slope_test,
    "least squares": lambda losses: slope_test(losses, method="paper"),
    "HAC": hac,
    "HAC, 1.3 √n lags": hac_long,
    "ARMA(1, 1)": arma,
}
PEER_LENGTHS = (32, 200, 1000)
WITH_PEERS = (
    *("iid", "AR(1) 0.5", "AR(1) 0.9", "white + AR(1) 0.9", "white + AR(1) 0.99"),
    *("long memory 0.4", "cycle", "early"),
)


def peers(replications: int) -> Iterator[str]:
    """Yield size at 0.05 on flat losses, power on lines of σ/2 and σ, and the time of a test."""
    truths = [("flat", 0.0, noise) for noise in WITH_PEERS]
    truths += [("line", fall, "iid") for fall in (0.5, 1.0)]
    cells = [Scenario(truth, noise, n, fall) for truth, fall, noise in truths for n in PEER_LENGTHS]
    options: dict[str, Any] = {"replications": replications, "alphas": (0.05,), "n_jobs": -1}
    rates = {
        name: rejection_rates(test, cells, **options).rate.to_numpy().reshape(len(truths), -1)
        for name, test in PEERS.items()
    }
    yield f"| n = {', '.join(map(str, PEER_LENGTHS))} | " + " | ".join(PEERS) + " |"
    yield "|---" * (len(PEERS) + 1) + "|"
    for row, (truth, fall, noise) in enumerate(truths):
        name = f"power, fall of {fall:g}σ" if truth == "line" else f"size, {noise}"
        found = (" / ".join(map(short, rate[row])) for rate in rates.values())
        yield f"| {name} | " + " | ".join(found) + " |"
    times = (f"{milliseconds(test):.2g} ms" for test in PEERS.values())
    yield f"| time, n = {PEER_LENGTHS[-1]} | " + " | ".join(times) + " |"


def milliseconds(test: Any) -> float:
    """Median over ten windows, after one untimed."""
    first, *others = Scenario("flat", "iid", PEER_LENGTHS[-1]).simulate(11)
    test(first)
    seconds = []
    for losses in others:
        start = perf_counter()
        test(losses)
        seconds.append(perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def short(rate: float, digits: int = 3) -> str:
    return "1" if rate == 1.0 else f"{rate:.{digits}f}".removeprefix("0")


if __name__ == "__main__":
    wanted, replications = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    if wanted in ("power", "peers"):
        rows = {"power": powers, "peers": peers}[wanted](replications)
        print(*rows, sep="\n")
    else:
        for test in UNTOLD:
            print(*sizes(test, replications, seed=1), "", sep="\n", flush=True)

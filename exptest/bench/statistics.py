"""The tests beside the paper's procedure: time, size and power, measured in one run."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import OptimizeWarning, curve_fit

from exptest.bench.published import published_figure, published_windows
from exptest.statistics import exponential_test, slope_test
from exptest.statistics.calibration import power, size
from exptest.statistics.geometry import geometry
from exptest.statistics.noise_models import noise_models

LENGTHS = (50, 200, 1000, 4000)
SIZE_LENGTHS = (20, 50, 200)
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "flat": lambda x: np.zeros_like(x),
    "line": lambda x: -10.0 * x,
    "decay": lambda x: 10.0 * np.exp(-5.0 * x),
    "growth": lambda x: 0.5 * np.exp(3.0 * x),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--repeats", type=int, default=40, help="timings per cell (40)")
    parser.add_argument(
        "--replications", type=int, default=200, help="curves per size and power cell (200)"
    )
    parser.add_argument("--jobs", type=int, default=-1, help="processes of the tables (all cores)")
    parser.add_argument("--no-tables", action="store_true", help="only the times")
    parser.add_argument(
        "--curves", type=Path, help="folder with the authors' curves: judge their windows too"
    )
    parser.add_argument("--out", type=Path, help="folder for the tables as CSV")


def run(arguments: argparse.Namespace) -> int:
    """Print times, the ratio on a straight decline at n = 1000, and the tables."""
    times = timings(arguments.repeats)
    print("median time per test, µs")
    print(times.round(0).to_string(index=False))
    thousand = times[times["n"] == 1000]
    line = thousand[thousand["curve"] == "line"].iloc[0]
    print(
        f"\nstraight decline, n = 1000: the paper's procedure takes "
        f"{line['paper'] / line['exponential']:.1f} times as long as the calibrated test"
    )
    worst = thousand[["exponential", "slope"]].to_numpy().max()
    print(f"slowest calibrated median at n = 1000: {worst / 1000:.3f} ms", end="")
    print(f"; at a new length {thousand['exponential, new n'].max() / 1000:.1f} ms")
    frames = {"times": times}
    if not arguments.no_tables:
        frames |= _tables(arguments.replications, arguments.jobs)
    if arguments.curves is not None:
        _, frames["published"] = published_windows(arguments.curves)
        print("\nthe authors' curves, every window under both methods")
        print(frames["published"].to_string(index=False, float_format="{:.3g}".format))
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            frame.to_csv(arguments.out / f"{name}.csv", index=False)
        if arguments.curves is not None:
            published_figure(arguments.curves).savefig(arguments.out / "published.png")
        print(f"tables: {arguments.out}")
    return 0


def timings(repeats: int = 40) -> pd.DataFrame:
    """Return median times in µs, by n and curve, of every kind on the same losses.

    What the tests know of a length they compute once; "new n" includes that.
    """
    kinds: dict[str, Callable[[np.ndarray], Any]] = {
        "exponential": exponential_test,
        "slope": slope_test,
        "paper": lambda y: exponential_test(y, method="paper"),
        "curve_fit, rescaled": _rescaled_curve_fit,
    }
    rng = np.random.default_rng(0)
    rows = []
    for n in LENGTHS:
        for name, curve in CURVES.items():
            noise = rng.standard_normal((repeats, n))
            losses = 2.0 + 0.1 * (curve(np.linspace(0.0, 1.0, n)) + noise)
            medians = {kind: _median_time(test, losses) for kind, test in kinds.items()}
            first = _median_time(exponential_test, losses, forget=True)
            rows.append({"n": n, "curve": name, **medians, "exponential, new n": first})
    return pd.DataFrame(rows)


def _median_time(
    test: Callable[[np.ndarray], Any], losses: Float[np.ndarray, "r n"], *, forget: bool = False
) -> float:
    """Return the median over rows, in µs, after one untimed call."""
    test(losses[0])
    seconds = []
    for row in losses:
        if forget:
            geometry.cache_clear()
            noise_models.cache_clear()
        start = perf_counter()
        test(row)
        seconds.append(perf_counter() - start)
    return 1e6 * float(np.median(seconds))


def _rescaled_curve_fit(y: Float[np.ndarray, " n"]) -> None:
    """The general-purpose fit with its best foot forward: losses and steps brought near 1."""
    x = np.linspace(0.0, 1.0, len(y))
    z = (y - y.min()) / max(float(np.ptp(y)), 1e-300)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            curve_fit(lambda x, a, b, c: a * np.exp(-b * x) + c, x, z)
        except RuntimeError:
            return


def _tables(replications: int, jobs: int) -> dict[str, pd.DataFrame]:
    """Size and power of both methods, on the same curves."""
    options: dict[str, Any] = {"replications": replications, "n_jobs": jobs, "progress": True}
    frames: dict[str, pd.DataFrame] = {}
    for test in ("exponential", "slope"):
        for method in ("calibrated", "paper"):
            frame = size(test, lengths=SIZE_LENGTHS, alphas=(0.05,), method=method, **options)
            frames[f"size-{test}-{method}"] = frame
            print(f"\nsize at α = 0.05, {test} test, {method}")
            print(_wide(frame, ["n", "truth", "size"], "noise"))
    for method in ("calibrated", "paper"):
        frame = power("exponential", lengths=(50, 200), method=method, **options)
        frames[f"power-exponential-{method}"] = frame
        print(f"\npower at α = 0.05, exponential test, {method}; columns: a/σ")
        print(_wide(frame, ["n", "efolds"], "size"))
        means = frame.groupby("n")["rate"].mean().round(3)
        print("mean: " + ", ".join(f"n = {n}: {mean}" for n, mean in means.items()))
    return frames


def _wide(frame: pd.DataFrame, index: list[str], columns: str) -> str:
    table = frame.pivot_table(index=index, columns=columns, values="rate", sort=False)
    return table.round(3).to_string()

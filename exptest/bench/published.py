"""The authors' ten published curves under both methods, window by window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from exptest.plots import plot_verdicts
from exptest.plots.statistics import verdict_legend
from exptest.plots.style import styled
from exptest.statistics import exponential_test, slope_test, window_length
from exptest.statistics.diagnosis import diagnose

ALPHA, BETA = 0.05, 0.33
# The MNIST curves come without path ratios. Assumed: one ratio per rate, rounded from what one
# run of the same experiment here measured (4.6 and 6.9 at η_max, 12.3 and 19.6 at β η_max).
MNIST_PATH_RATIOS = (5.0, 12.0, 20.0)
CURVES: tuple[tuple[str, str, str, float, tuple[float, ...]], ...] = (
    ("California", "california_mlp.npz", "exptest_train_loss", 0.986704, (1.0,)),
    ("MNIST", "mnist_logistic.npz", "exptest_train_loss_b32", 0.0493986, MNIST_PATH_RATIOS),
)


@dataclass(frozen=True)
class JudgedWindow:
    """One window of a published curve and both verdicts on it.

    Attributes:
        start, stop: first step, and the one after the last.
        test: ``"exponential"`` or ``"slope"``.
        lr: rate in force, by the paper's decisions.
        paper, calibrated: whether each keeps the rate.
        floor, sigma, correlation: of the exponential and the noise around it; nan in windows of
            fewer than five losses.
    """

    start: int
    stop: int
    test: str
    lr: float
    paper: bool
    calibrated: bool
    floor: float = math.nan
    sigma: float = math.nan
    correlation: float = math.nan


def judge(
    losses: Float[np.ndarray, " steps"], max_lr: float, path_ratios: Sequence[float]
) -> list[JudgedWindow]:
    """Walk through a curve by the paper's decisions; ask the calibrated tests beside them.

    ``path_ratios``: one for each number of rejections so far, the last for all later ones.
    """
    windows: list[JudgedWindow] = []
    start, lr, test, rejections = 0, max_lr, "exponential", 0
    while True:
        base = window_length(losses[0], lr)
        ratio = path_ratios[min(rejections, len(path_ratios) - 1)]
        stop = start + round(ratio * base)
        if stop > len(losses) or stop == start:
            return windows
        ask = exponential_test if test == "exponential" else slope_test
        window = losses[start:stop]
        paper = ask(window, method="paper").reject(ALPHA)
        verdicts = (paper, ask(window).reject(ALPHA))
        windows.append(JudgedWindow(start, stop, test, lr, *verdicts, *_estimates(window)))
        if not paper:
            lr, rejections = lr * BETA, rejections + 1
        elif test == "exponential":
            test = "slope"
        start = stop


def _estimates(window: Float[np.ndarray, " n"]) -> tuple[float, float, float]:
    if len(window) < 5:
        return math.nan, math.nan, math.nan
    found = diagnose(window)
    return found.floor, found.sigma, found.correlation


def published_windows(folder: Path) -> tuple[dict[str, list[JudgedWindow]], pd.DataFrame]:
    """Return the judged windows of every curve, and one row of noise, floor and counts each."""
    judged: dict[str, list[JudgedWindow]] = {}
    rows = []
    for name, losses, max_lr, ratios in _curves(folder):
        judged[name] = judge(losses, max_lr, ratios)
        longest = max(
            (w for w in judged[name] if w.test == "slope"), key=lambda w: w.stop - w.start
        )
        rows.append(
            {
                "curve": name,
                "windows": len(judged[name]),
                "kept, paper": sum(w.paper for w in judged[name]),
                "kept, calibrated": sum(w.calibrated for w in judged[name]),
                "differ": sum(w.paper != w.calibrated for w in judged[name]),
                "correlation": longest.correlation,
                "noise": longest.sigma,
                "floor": longest.floor,
            }
        )
    return judged, pd.DataFrame(rows)


@styled
def published_figure(folder: Path) -> Figure:
    """Draw the ten curves, each above its strips: correlation and both verdicts."""
    judged, _ = published_windows(folder)
    figure, axes = plt.subplots(5, 2, figsize=(13, 17))
    for ax, (name, losses, *_) in zip(axes.T.ravel(), _curves(folder), strict=True):
        plot_verdicts(losses, judged[name], ax, title=name)
    for ax in axes[-1]:
        ax.set_xlabel("training step (every window equally wide)")
    figure.legend(handles=verdict_legend(), loc="outside upper center", ncols=4)
    return figure


def _curves(folder: Path) -> list[tuple[str, Float[np.ndarray, " steps"], float, Sequence[float]]]:
    curves: list[tuple[str, Float[np.ndarray, " steps"], float, Sequence[float]]] = []
    for data, file, key, max_lr, ratios in CURVES:
        path = folder / file
        if not path.exists():
            raise FileNotFoundError(f"{path} is not there; try the folder of the authors' curves.")
        with np.load(path) as arrays:
            for trial, losses in enumerate(arrays[key].astype(float)):
                curves.append((f"{data}, trial {trial + 1}", losses, max_lr, ratios))
    return curves

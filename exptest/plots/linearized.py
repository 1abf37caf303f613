"""Linearized networks: predicted curves over measured ones, gaps against width, benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes

from exptest.plots.style import COLORS, axes_or_new, styled


@styled
def plot_prediction(measured: Any, predicted: Any, ax: Axes | None = None) -> Axes:
    """Draw a predicted loss curve over the measured one, one loss per step."""
    ax = axes_or_new(ax)
    ax.plot(measured, color=COLORS["accepted"], linewidth=6, alpha=0.6, label="trained")
    ax.plot(predicted, color=COLORS["ink"], linestyle="--", linewidth=1.5, label="predicted")
    ax.set(xlabel="training step", ylabel="training loss", yscale="log")
    ax.legend(loc="upper right")
    return ax


@styled
def plot_gap(
    widths: Float[np.ndarray, " w"],
    gaps: Float[np.ndarray, "s w"],
    order: float,
    error: float,
    ax: Axes | None = None,
) -> Axes:
    """Draw the gap to the linearization against width, every seed, with the fitted power."""
    ax = axes_or_new(ax)
    ax.plot(widths, gaps.T, ".", color=COLORS["muted"], markersize=9)
    middle = np.exp(np.log(gaps).mean())
    line = middle * (widths / np.exp(np.log(widths).mean())) ** -order
    ax.plot(widths, line, color=COLORS["exponential"], label=f"width^(−{order:.2f} ± {error:.2f})")
    ax.set(
        xlabel="width", ylabel="largest gap / initial loss", xscale="log", yscale="log",
        xticks=widths, xticklabels=[f"{w:g}" for w in widths],
    )  # fmt: skip
    ax.minorticks_off()
    ax.legend(loc="upper right")
    return ax


@styled
def plot_benchmark(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw every contestant's time as a multiple of ours, one line per task.

    Args:
        table: columns ``task``, ``method`` and ``time_ratio``; rows without a ratio are left out.
    """
    measured = table.dropna(subset=["time_ratio"])
    others = measured[measured["time_ratio"] != 1.0]
    tasks = list(dict.fromkeys(measured["task"]))[::-1]
    ax = axes_or_new(ax, figsize=(10, 1.6 + 0.7 * len(tasks)))
    ax.axvline(1.0, color=COLORS["ink"], linewidth=1.5)
    for y, task in enumerate(tasks):
        rows = others[others["task"] == task].sort_values("time_ratio")
        for k, (method, ratio) in enumerate(zip(rows["method"], rows["time_ratio"], strict=True)):
            up = k % 2 == 0
            ax.plot(ratio, y, "o", color=_color(method), markersize=9)
            ax.annotate(
                f"{method.removeprefix('neural-tangents, ')}\n{ratio:.3g}×", (ratio, y),
                xytext=(0, 9 if up else -9), textcoords="offset points", fontsize=9,
                ha="center", va="bottom" if up else "top", color=_color(method),
            )  # fmt: skip
    ax.set(
        xscale="log", xlabel="time as a multiple of exptest's", ylim=(-0.8, len(tasks) - 0.2),
        yticks=range(len(tasks)), yticklabels=tasks, title="Right of the line: slower than exptest",
    )  # fmt: skip
    ax.margins(x=0.12)
    return ax


def _color(method: str) -> str:
    if method.startswith("neural-tangents"):
        return COLORS["rate"]
    return {"torch.func recipe": COLORS["rejected"], "curvlinops": COLORS["theory"]}.get(
        method, COLORS["exponential"]
    )

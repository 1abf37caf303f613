"""Linearized networks: predicted curves over measured ones, gaps against width, benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from exptest.linearized.shape import SingleExponential
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
def plot_modes(
    times: Float[np.ndarray, " t"],
    parts: Float[np.ndarray, "k t"],
    eigenvalues: Float[np.ndarray, " k"],
    floor: float,
    ax: Axes | None = None,
) -> Axes:
    """Stack the losses that the modes carry on the floor: the slowest below, the fastest on top.

    Args:
        parts: a_k p_k², one row per mode, loss units.
        eigenvalues: λ_k, descending, as the rows of ``parts``.
    """
    ax = axes_or_new(ax)
    scale = ScalarMappable(LogNorm(eigenvalues[-1], eigenvalues[0]), colormaps["viridis_r"])
    ground = np.full((1, len(times)), floor)
    colors: list[Any] = ["#DDDDDD", *scale.to_rgba(eigenvalues[::-1])]
    ax.stackplot(times, np.concatenate([ground, parts[::-1]]), colors=colors)
    ax.plot(times, floor + parts.sum(0), color=COLORS["ink"], linewidth=2.0)
    ax.annotate("$L_\\infty$: what no step removes", (times[0], floor), xytext=(8, -8),
                textcoords="offset points", va="top")  # fmt: skip
    ax.set(xlabel="time τ = ηt", ylabel="loss", xscale="log", xlim=(times[0], times[-1]), ylim=0)
    ax.figure.colorbar(scale, ax=ax, label="λ of the mode")
    return ax


@styled
def plot_single_exponential(
    times: Float[np.ndarray, " t"],
    losses: Float[np.ndarray, " t"],
    fit: SingleExponential,
    ax: Axes | None = None,
) -> Axes:
    """Draw a window of a loss curve with the nearest single exponential, the gap shaded."""
    ax = axes_or_new(ax)
    nearest = fit.predict(times)
    ax.fill_between(times, losses, nearest, color=COLORS["line"], alpha=0.45, linewidth=0)
    ax.plot(times, losses, color=COLORS["loss"], linewidth=2.5, label="loss")
    ax.plot(times, nearest, "--", color=COLORS["exponential"], label="nearest a·exp(−bτ) + c")
    ax.set(xlabel="time τ = ηt", ylabel="loss", title=f"{fit.deviation:.1%} of the fall away")
    ax.legend(loc="upper right")
    return ax


@styled
def plot_forecasts(
    measured: Mapping[str, Any], predicted: Mapping[str, Any], ax: Axes | None = None
) -> Axes:
    """Draw several measured curves in colour and the prediction of each, dashed, over it."""
    ax = axes_or_new(ax)
    for name, curve in measured.items():
        ax.plot(curve, linewidth=5, alpha=0.55, label=name)
    for name in measured:
        ax.plot(predicted[name], color=COLORS["ink"], linestyle="--", linewidth=1.2)
    ax.set(xlabel="training step", ylabel="training loss", yscale="log")
    ax.legend(loc="upper right", title="trained; dashed: predicted")
    return ax


@styled
def plot_gap(
    widths: Float[np.ndarray, " w"],
    gaps: Float[np.ndarray, "s w"],
    order: float,
    error: float,
    ax: Axes | None = None,
    *,
    theory: Mapping[str, float] | None = None,
) -> Axes:
    """Draw the gap to the linearization against width, every seed, with the fitted power.

    Args:
        theory: orders to draw beside it, by what to call them.
    """
    ax = axes_or_new(ax)
    ax.plot(widths, gaps.T, ".", color=COLORS["muted"], markersize=9)
    middle, centred = np.exp(np.log(gaps).mean()), widths / np.exp(np.log(widths).mean())
    for style, (name, other) in zip((":", "--", "-."), (theory or {}).items(), strict=False):
        ax.plot(widths, middle * centred**-other, style, color=COLORS["theory"], label=name)
    line = middle * centred**-order
    ax.plot(widths, line, color=COLORS["exponential"], label=f"fitted: {order:.2f} ± {error:.2f}")
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
    ax = axes_or_new(ax, figsize=(10, 1.6 + 0.85 * len(tasks)))
    ax.axvline(1.0, color=COLORS["ink"], linewidth=1.5)
    for y, task in enumerate(tasks):
        rows = others[others["task"] == task].sort_values("time_ratio")
        for k, (method, ratio) in enumerate(zip(rows["method"], rows["time_ratio"], strict=True)):
            up = k % 2 == 0
            ax.plot(ratio, y, "o", color=_color(method), markersize=9)
            size = f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"
            ax.annotate(
                f"{method.replace(', ', chr(10))}\n{size}×", (ratio, y),
                xytext=(0, 9 if up else -9), textcoords="offset points", fontsize=9,
                ha="center", va="bottom" if up else "top", color=_color(method),
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
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

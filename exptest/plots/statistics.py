"""The tests: curves with their fits, null distributions, size and power, windows."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, ScalarFormatter

from exptest.plots.style import COLORS, axes_or_new, styled
from exptest.statistics import ExponentialTestResult, SlopeTestResult

NICE_STEPS = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]

# Under the curve of `plot_verdicts`, in fractions of its height.
STRIPS, STRIP_BOTTOMS = ("correlation", "paper", "calibrated"), (-0.15, -0.27, -0.39)
EDGE = "0.85"


@styled
def plot_fits(
    losses: Float[np.ndarray, " n"],
    result: ExponentialTestResult | SlopeTestResult,
    ax: Axes | None = None,
    *,
    alpha: float = 0.05,
) -> Axes:
    """Draw a window of losses, the fits that were compared, and the verdict as the title."""
    ax = axes_or_new(ax)
    steps = np.arange(len(losses))
    ax.plot(steps, losses, ".", color=COLORS["loss"], markersize=6, alpha=0.7, label="loss")
    ax.plot(steps, result.line.predict(), color=COLORS["line"], ls="--", label="straight line")
    fit = getattr(result, "exponential", None)
    if fit is not None:
        ax.plot(steps, fit.predict(), color=COLORS["exponential"], lw=2.4, label="exponential")
    kind = "F" if isinstance(result, ExponentialTestResult) else "t"
    claim = "decay" if kind == "F" else "decreasing"
    verdict = claim if result.reject(alpha) else f"no {claim}"
    if kind == "t" and not result.reject(alpha):
        verdict = "not decreasing"
    ax.set_title(f"{verdict}: {kind} = {result.statistic:.3g}, p = {result.pvalue:.2g}")
    ax.set(xlabel="step", ylabel="loss")
    ax.legend(loc="best")
    return ax


@styled
def plot_null(
    statistics: Float[np.ndarray, " r"],
    observed: float,
    ax: Axes | None = None,
    *,
    density: tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]] | None = None,
    label: str = "F",
    mark: str = "observed",
) -> Axes:
    """Draw the simulated null distribution, the observed statistic, and its p-value shaded.

    ``density``: x and height of a reference density, for example the F table's. ``mark`` names
    the vertical line.
    """
    ax = axes_or_new(ax)
    top = max(float(np.quantile(statistics, 0.999)), 1.15 * observed)
    bins = np.linspace(min(0.0, float(statistics.min())), top, 60)
    height, edges = np.histogram(statistics, bins=bins)
    density_height = height / (len(statistics) * np.diff(edges))
    beyond = edges[:-1] >= observed
    for part, colour, name in (
        (~beyond, COLORS["muted"], "null: simulated"),
        (beyond, COLORS["rejected"], f"p = {np.mean(statistics >= observed):.3f}"),
    ):
        ax.bar(
            edges[:-1][part],
            density_height[part],
            width=np.diff(edges)[part],
            align="edge",
            color=colour,
            alpha=0.75,
            label=name,
        )
    if density is not None:
        ax.plot(*density, color=COLORS["theory"], label=f"{label} table")
    ax.axvline(observed, color=COLORS["ink"], lw=1.6)
    far = observed > bins[0] + 0.6 * (top - bins[0])
    ax.annotate(
        f"{mark} {observed:.2f}",
        (observed, 0.42),
        xycoords=("data", "axes fraction"),
        xytext=(-6 if far else 6, 0),
        textcoords="offset points",
        ha="right" if far else "left",
        bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1.5},
    )
    highest = float(density_height.max())
    if density is not None:
        highest = max(highest, float(np.max(density[1][np.isfinite(density[1])])))
    ax.set(xlabel=label, ylabel="density", xlim=(bins[0], top))
    ax.set_yscale("log")
    ax.set_ylim(0.3 / (len(statistics) * np.diff(edges)[0]), 3 * highest)
    ax.legend(loc="upper left" if far else "upper right")
    return ax


@styled
def plot_rates(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    rows: str = "truth",
    columns: str = "noise",
    limit: float | None = None,
    title: str = "",
) -> Axes:
    """Draw a table of rejection rates as a heat map; rates above ``limit`` are boxed."""
    table = frame.pivot_table(index=rows, columns=columns, values="rate", sort=False)
    ax = axes_or_new(ax, figsize=(1.1 + 1.0 * table.shape[1] + 2.0, 1.2 + 0.42 * table.shape[0]))
    values = table.to_numpy()
    top = 1.0 if limit is None else 4.0 * limit
    ax.imshow(values, cmap="Blues", vmin=0.0, vmax=top, aspect="auto")
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if not np.isnan(value):
                over = limit is not None and value > limit
                ax.text(
                    j,
                    i,
                    f"{value:.2f}" if limit is None else f"{value:.3f}",
                    ha="center",
                    va="center",
                    fontsize=10,
                    color="white" if value > 0.6 * top else COLORS["ink"],
                    bbox={"boxstyle": "round,pad=0.15", "fc": "none", "ec": COLORS["rejected"]}
                    if over
                    else None,
                )
    ax.set_xticks(range(table.shape[1]), [fill(str(c), 10) for c in table.columns])
    ax.set_yticks(range(table.shape[0]), [str(r) for r in table.index])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.set(xlabel=columns, ylabel=rows, title=title)
    return ax


@styled
def plot_required_windows(
    frame: pd.DataFrame, ax: Axes | None = None, *, x: str = "decline", lines: str = "correlation"
) -> Axes:
    """Draw the required window n against a signal, one line per value of ``lines``."""
    ax = axes_or_new(ax)
    styles = ("-", "--", "-.", ":")
    for style, (value, part) in zip(styles * 3, frame.groupby(lines), strict=False):
        ax.loglog(part[x], part["n"], ls=style, marker="o", ms=4, label=f"{lines} {value:g}")
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ticks = [tick for tick in NICE_STEPS if frame["n"].min() / 1.5 < tick < 1.5 * frame["n"].max()]
    ax.set_yticks(ticks)
    ax.set(xlabel=f"{x} per step, in standard deviations", ylabel="window needed, steps")
    ax.legend()
    return ax


@styled
def plot_verdicts(
    losses: Float[np.ndarray, " steps"],
    windows: Sequence[Any],
    ax: Axes | None = None,
    *,
    title: str = "",
) -> Axes:
    """Draw a curve window by window, each equally wide, with what was found in it.

    Above: the losses and the estimated floor and noise. Below: the noise's correlation, and what
    both methods said; a triangle where they differ. A floor that the window does not show
    (outside its losses) is left out.

    ``windows``: objects with start, stop (steps), paper, calibrated (booleans: kept), floor,
    sigma (loss units) and correlation.
    """
    ax = axes_or_new(ax, figsize=(10, 3))
    for i, window in enumerate(windows):
        part = losses[window.start : window.stop]
        x = i + np.arange(len(part)) / len(part)
        ax.semilogy(x, np.where(part > 0, part, np.nan), color=COLORS["loss"], lw=0.6)
        if 0.0 < window.floor < part.max():
            ax.plot([i, i + 1], [window.floor] * 2, color=COLORS["exponential"], lw=1.8)
        ax.plot([i, i + 1], [window.sigma] * 2, color=COLORS["line"], lw=1.8)
        _verdict_strips(ax, i, window)
    for name, height in zip(STRIPS, STRIP_BOTTOMS, strict=True):
        ax.annotate(
            name, (0.0, height + 0.05), xycoords="axes fraction", xytext=(-5, 0),
            textcoords="offset points", ha="right", va="center", fontsize=9,
        )  # fmt: skip
    ticks = np.unique(np.linspace(0, len(windows), min(len(windows), 6) + 1).round().astype(int))
    ends = [*(window.start for window in windows), windows[-1].stop]
    ax.set_xticks(ticks, [f"{ends[tick]}" for tick in ticks])
    ax.tick_params(axis="x", pad=60)
    sigmas = [window.sigma for window in windows if window.sigma > 0]
    ax.set_ylim(0.5 * min([*sigmas, float(losses[0])]), 3.0 * float(losses[0]))
    ax.set(xlim=(0, len(windows)), ylabel="loss", title=title)
    return ax


def _verdict_strips(ax: Axes, i: int, window: Any) -> None:
    grey = f"{1.0 - np.nan_to_num(window.correlation):.3f}"
    verdicts = (
        COLORS["exponential" if kept else "rejected"] for kept in (window.paper, window.calibrated)
    )
    for colour, bottom in zip((grey, *verdicts), STRIP_BOTTOMS, strict=True):
        ax.axvspan(
            i, i + 1, ymin=bottom, ymax=bottom + 0.1, facecolor=colour, edgecolor=EDGE,
            linewidth=0.5, clip_on=False,
        )  # fmt: skip
    if window.paper != window.calibrated:
        ax.plot(
            i + 0.5, STRIP_BOTTOMS[-1] - 0.04, "^", color=COLORS["ink"], ms=4, clip_on=False,
            transform=ax.get_xaxis_transform(),
        )  # fmt: skip


def verdict_legend() -> list[Any]:
    """Return the legend of `plot_verdicts`."""
    return [
        Line2D([], [], color=COLORS["loss"], lw=1, label="loss"),
        Line2D([], [], color=COLORS["exponential"], label="estimated floor"),
        Line2D([], [], color=COLORS["line"], label="estimated noise σ"),
        Patch(facecolor="0.5", edgecolor=EDGE, label="noise correlation: 0 white, ½ grey, 1 black"),
        Patch(facecolor=COLORS["exponential"], label="window kept η"),
        Patch(facecolor=COLORS["rejected"], label="window rejected η"),
        Line2D([], [], color=COLORS["ink"], marker="^", ls="", ms=5, label="they differ"),
    ]

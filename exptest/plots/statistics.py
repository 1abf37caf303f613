"""The tests: curves with their fits, null distributions, size and power, windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, ScalarFormatter

from exptest.plots.style import COLORS, axes_or_new, styled
from exptest.statistics import ExponentialTestResult, SlopeTestResult

NICE_STEPS = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]


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
    ax.set_xticks(range(table.shape[1]), [str(c) for c in table.columns])
    ax.set_yticks(range(table.shape[0]), [str(r) for r in table.index])
    ax.tick_params(axis="x", labelrotation=25 if table.columns.dtype == object else 0)
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
    """Draw a curve over log steps and, below it, both methods' verdict on every window.

    ``windows``: objects with start, stop (steps), paper, calibrated (booleans: kept).
    """
    ax = axes_or_new(ax, figsize=(10, 3))
    steps = np.arange(1, len(losses) + 1)
    ax.loglog(steps, np.where(losses > 0, losses, np.nan), color=COLORS["loss"], lw=0.7)
    ax.set_ylim(0.8 * float(np.quantile(losses, 0.001)), 3.0 * float(losses[0]))
    for window in windows:
        for kept, bottom in ((window.paper, -0.16), (window.calibrated, -0.30)):
            ax.axvspan(
                window.start + 1,
                window.stop + 1,
                ymin=bottom,
                ymax=bottom + 0.11,
                facecolor=COLORS["exponential" if kept else "rejected"],
                edgecolor="white",
                linewidth=0.4,
                clip_on=False,
            )
    for name, height in (("paper", -0.105), ("calibrated", -0.245)):
        ax.annotate(
            name,
            (0.0, height),
            xycoords="axes fraction",
            xytext=(-5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=9,
        )
    ax.tick_params(axis="x", pad=32)
    ax.set(xlim=(1, len(losses) + 1), ylabel="loss", title=title)
    return ax


def verdict_legend() -> list[Patch]:
    """Return the legend of `plot_verdicts`."""
    return [
        Patch(facecolor=COLORS["exponential"], label="window kept η"),
        Patch(facecolor=COLORS["rejected"], label="window rejected η"),
    ]

"""A run of the tuner: the loss signal, the verdicts, the learning-rate staircase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter

from exptest.plots.style import COLORS, axes_or_new, styled
from exptest.record import Decision, Record, TestResult, Verdict

# Of a window, by its verdict: its shade, the marker of its p-value, its name.
SHADES: dict[Verdict, str] = {"keep": "accepted", "shrink": "rejected", "undecided": "muted"}
MARKERS: dict[Verdict, str] = SHADES | {"keep": "exponential"}
NAMES: dict[Verdict, str] = {
    "keep": "window kept η",
    "shrink": "window rejected η",
    "undecided": "too short to tell",
}
# Beyond this many windows, single fits are too narrow to see.
MOST_FITS = 40
# Beyond this many losses, dots run together; beyond twice as many as columns, so do lines.
DENSE = 300
COLUMNS = 1500


@styled
def plot_run(record: Record) -> Figure:
    """Draw the loss signal, the p-values and the learning rate on one shared step axis."""
    figure, (top, middle, bottom) = plt.subplots(
        3, 1, sharex=True, figsize=(10, 7.5), height_ratios=(3.2, 1.2, 1.2)
    )
    plot_signal(record, top)
    plot_pvalues(record, middle)
    plot_learning_rate(record, bottom)
    top.set_title(f"Training without a learning rate: η {record.max_lr:.3g} → {record.lr:.3g}")
    for ax in (top, middle):
        ax.set_xlabel("")
    bottom.set_xlim(-0.5, max(len(record.losses), 1) - 0.5)
    figure.align_ylabels()
    return figure


@styled
def plot_signal(record: Record, ax: Axes | None = None) -> Axes:
    """Draw the losses, each window shaded by its verdict, with the fits that were compared."""
    ax = axes_or_new(ax, figsize=(10, 4.5))
    losses = np.where(np.isfinite(record.losses), record.losses, np.nan)
    shade_windows(ax, record.decisions)
    draw_losses(ax, losses, dense=len(losses) > DENSE)
    if len(record.decisions) <= MOST_FITS:
        for decision in record.decisions:
            if decision.verdict != "undecided":
                draw_fits(ax, decision.test, decision.start)
    _mark_divergences(ax, record)
    _scale(ax, record)
    ax.set(xlabel="training step", ylabel="training loss", title="The loss signal")
    ax.legend(handles=_legend(record), loc="upper right", ncols=2)
    return ax


@styled
def plot_pvalues(record: Record, ax: Axes | None = None) -> Axes:
    """Draw the p-value of every window at its last step, against α."""
    ax = axes_or_new(ax, figsize=(10, 2))
    tested = [d for d in record.decisions if d.test is not None]
    mark_pvalues(ax, tested)
    ax.axhline(record.alpha, color=COLORS["ink"], linewidth=1, linestyle="--")
    ax.annotate(
        f"α = {record.alpha:g}",
        (1.0, record.alpha),
        xycoords=("axes fraction", "data"),
        xytext=(-4, -3),
        textcoords="offset points",
        ha="right",
        va="top",
    )
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.03 * min([1e-3, *(max(d.pvalue, 1e-16) for d in tested)]), top=3)
    ax.set(xlabel="training step", ylabel="p-value")
    return ax


@styled
def plot_learning_rate(record: Record, ax: Axes | None = None) -> Axes:
    """Draw the staircase of learning rates, a marker where a window was rejected."""
    ax = axes_or_new(ax, figsize=(10, 2))
    edges = [0, *(d.step + 1 for d in record.decisions), max(len(record.losses), 1)]
    rates = [record.max_lr, *(d.lr_after for d in record.decisions)]
    ax.stairs(rates, edges, baseline=None, color=COLORS["rate"], linewidth=2.5)
    ax.set_yscale("log")
    ax.set_ylim(min(rates) / 4, max(rates) * 4)
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="training step", ylabel="learning rate η")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


@styled
def plot_decision(
    decision: Decision, losses: Float[np.ndarray, " steps"], ax: Axes | None = None
) -> Axes:
    """Draw one decision in close-up: its window of ``losses`` (the whole run's), both fits, p."""
    ax = axes_or_new(ax)
    steps = np.arange(decision.start, decision.step + 1)
    ax.plot(steps, losses[steps], ".", color=COLORS["loss"], label="training loss", markersize=6)
    draw_fits(ax, decision.test, decision.start, label=True)
    ax.set(xlabel="training step", ylabel="training loss", title=_headline(decision))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="best")
    return ax


def shade_windows(ax: Axes, decisions: Sequence[Decision]) -> list[Artist]:
    """Shade what each decision saw first: blue if η was kept, orange if rejected, else grey."""
    across = ax.get_xaxis_transform()
    edges = [(d.start + d.seen - 0.5, d.step + 0.5) for d in decisions]
    windows = PolyCollection(
        [[(a, 0), (a, 1), (b, 1), (b, 0)] for a, b in edges],
        facecolors=[COLORS[SHADES[d.verdict]] for d in decisions],
        transform=across,
        alpha=0.16,
        linewidth=0,
    )
    borders = LineCollection(
        [[(b, 0), (b, 1)] for _, b in edges], colors="white", linewidth=1.5, transform=across
    )
    for collection in (windows, borders):
        ax.add_collection(collection, autolim=False)
    return [windows, borders]


def draw_losses(
    ax: Axes, losses: Float[np.ndarray, " n"], start: int = 0, *, dense: bool
) -> list[Line2D]:
    """Draw losses from step ``start`` on, as a line or as dots joined by one."""
    style: dict[str, Any] = (
        {"linewidth": 0.7, "alpha": 0.65} if dense else {"linewidth": 1.2, "marker": "."}
    )
    return ax.plot(*outline(losses, start), color=COLORS["loss"], **style)


def outline(
    losses: Float[np.ndarray, " n"], start: int = 0
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Return (steps, losses) to draw: of very many losses, each pixel's least and largest."""
    steps = np.arange(start, start + len(losses), dtype=np.float64)
    if (every := len(losses) // COLUMNS) > 1:
        blocks = losses[: len(losses) // every * every].reshape(-1, every)
        steps = steps[: blocks.size : every].repeat(2)
        losses = np.column_stack([blocks.min(1), blocks.max(1)]).ravel()
    return steps, losses


def mark_pvalues(ax: Axes, decisions: Sequence[Decision]) -> list[Artist]:
    """Mark p at every decision: ● exponential, ▼ slope, coloured by the verdict.

    A bar shows what p had to undercut in a search, where every look has its own share of α.
    """
    search = [d for d in decisions if d.kind == "exponential"]
    marks: list[Artist] = [
        ax.hlines(
            [d.alpha for d in search],
            [d.start + d.seen for d in search],
            [d.step for d in search],
            colors=COLORS["ink"], linewidth=1,
        )
    ]  # fmt: skip
    for kind, marker in (("exponential", "o"), ("slope", "v")):
        for verdict, color in MARKERS.items():
            some = [d for d in decisions if d.kind == kind and d.verdict == verdict]
            marks.append(
                ax.scatter(
                    [d.step for d in some],
                    [max(d.pvalue, 1e-16) for d in some],
                    marker=marker, s=30, color=COLORS[color], zorder=3,
                )
            )  # fmt: skip
    return marks


def draw_fits(
    ax: Axes, test: TestResult | None, start: int, *, label: bool = False, alpha: float = 1.0
) -> list[Line2D]:
    """Draw the fits that ``test`` compared, on a window whose first step is ``start``."""
    if test is None:
        return []
    steps = start + np.arange(test.line.n)
    exponential = getattr(test, "exponential", None)
    lines = ax.plot(
        steps,
        test.line.predict(),
        color=COLORS["line"],
        linewidth=2,
        linestyle="--" if exponential is not None else "-",
        label="straight line" if label else None,
        alpha=alpha,
    )
    if exponential is not None:
        lines += ax.plot(
            steps,
            exponential.predict(),
            color=COLORS["exponential"],
            linewidth=2.4,
            label="exponential" if label else None,
            alpha=alpha,
        )
    return lines


def _mark_divergences(ax: Axes, record: Record) -> None:
    exploded = [d.step for d in record.decisions if d.kind == "divergence"]
    if exploded:
        ax.plot(
            exploded,
            np.full(len(exploded), 0.96),
            "X",
            transform=ax.get_xaxis_transform(),
            color=COLORS["rejected"],
            markersize=9,
        )


def _scale(ax: Axes, record: Record) -> None:
    """Logarithmic where the losses span more than a factor of 20; cut where one exploded."""
    healthy = np.isfinite(record.losses) & (record.losses > 0)
    for decision in record.decisions:
        if decision.kind == "divergence":
            healthy[decision.start + 1 : decision.step + 1] = False
    shown = record.losses[healthy]
    if not shown.size or shown.max() <= 20 * shown.min():
        return
    exploded = len(shown) < len(record.losses)
    ax.set_yscale("log")
    # Below, one loss in a thousand may leave the picture: single examples reach any depth.
    ax.set_ylim(np.quantile(shown, 0.001) / 1.5, shown.max() * (30 if exploded else 1.5))


def _legend(record: Record) -> list[Line2D | Patch]:
    """What the picture shows, and nothing else."""
    decisions = record.decisions
    handles: list[Line2D | Patch] = [Line2D([], [], color=COLORS["loss"], label="loss")]
    for verdict, label in NAMES.items():
        if any(d.verdict == verdict for d in decisions):
            color = COLORS[SHADES[verdict]]
            handles.append(Patch(facecolor=color, alpha=0.3, label=label))
    if any(d.kind == "divergence" for d in decisions):
        handles.append(
            Line2D(
                [], [], color=COLORS["rejected"], marker="X", linestyle="", label="loss exploded"
            )
        )
    if len(decisions) <= MOST_FITS:
        if any(d.kind == "exponential" for d in decisions):
            handles.append(Line2D([], [], color=COLORS["exponential"], label="exponential fit"))
        if any(d.test is not None for d in decisions):
            handles.append(Line2D([], [], color=COLORS["line"], label="straight-line fit"))
    return handles


def _headline(decision: Decision) -> str:
    verdict = {"keep": "keep η", "shrink": "shrink η", "undecided": "too short to tell"}[
        decision.verdict
    ]
    if decision.test is None:
        return f"Divergence at step {decision.step}: {verdict}"
    test = {"exponential": "Exponential decay?", "slope": "Still decreasing?"}[decision.kind]
    return f"{test}  p = {decision.pvalue:.2g}: {verdict}"

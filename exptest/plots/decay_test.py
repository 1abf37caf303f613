"""Two tests on one window: their fits, their null distributions, how often they claim a decay."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from exptest.plots.legend import name_above
from exptest.plots.statistics import plot_fits
from exptest.plots.style import COLORS, axes_or_new, styled
from exptest.statistics import ExponentialTestResult

CALIBRATED, PAPER = COLORS["exponential"], COLORS["theory"]
# Densities that are shown.
RAREST, COMMONEST = 1e-4, 40.0
UNDER_TEXT = {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1.0}


@styled
def plot_rivals(
    losses: Float[np.ndarray, " n"],
    calibrated: ExponentialTestResult,
    paper: ExponentialTestResult,
    ax: Axes | None = None,
) -> Axes:
    """Draw a window of losses, the straight line, the best decay, and the paper's curve."""
    ax = plot_fits(losses, calibrated, axes_or_new(ax))
    for curve, name in zip(ax.lines, ("loss", "line", "decay"), strict=False):
        curve.set_label(name)
    if paper.exponential is not None:
        ax.plot(
            paper.exponential.predict(), color=PAPER, linestyle=(0, (1.5, 1.2)), linewidth=2.4,
            label="paper",
        )  # fmt: skip
    name_above(ax, "The window and its fits")
    return ax


@styled
def plot_tail(
    statistics: Float[np.ndarray, " f"],
    density: Float[np.ndarray, " f"],
    observed: float,
    critical: float,
    color: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw a null density, what lies beyond the observed statistic shaded: its area is p.

    Args:
        observed: F; beyond either end of the axis it becomes an arrow.
        critical: the F of which p = α; nan if not known.
    """
    ax = axes_or_new(ax)
    shown = np.maximum(density, RAREST / 10)
    ax.fill_between(statistics, shown, RAREST / 10, color=color, alpha=0.16, linewidth=0)
    ax.fill_between(
        statistics, shown, RAREST / 10, where=statistics >= observed, color=COLORS["rejected"],
        alpha=0.75, linewidth=0,
    )  # fmt: skip
    ax.plot(statistics, shown, color=color)
    if np.isfinite(critical):
        ax.axvline(critical, color=COLORS["muted"], linestyle="--", linewidth=1.4)
        _beside(ax, critical, 0.78, "α", COLORS["muted"])
    last = float(statistics[-1])
    if 0 <= observed <= last:
        ax.axvline(observed, color=COLORS["ink"], linewidth=1.8)
        _beside(ax, observed, 0.92, f"F = {observed:.2f}", COLORS["ink"], left=observed > last / 2)
    else:
        edge, text = (0.005, 0.34) if observed < 0 else (0.995, 0.66)
        ax.annotate(
            f"F = {observed:.4g}".replace("-", "−"), (edge, 0.92), xytext=(text, 0.92),
            xycoords="axes fraction", va="center", ha="left" if observed < 0 else "right",
            arrowprops={"arrowstyle": "->", "color": COLORS["ink"]}, bbox=UNDER_TEXT,
        )  # fmt: skip
    ax.set(yscale="log", ylim=(RAREST, COMMONEST), xlim=(0, last), ylabel="density")
    # Plain words: mathematics costs a third of the time to draw.
    ax.set_yticks([1e-2, 1], ["0.01", "1"])
    ax.minorticks_off()
    return ax


@styled
def plot_claims(
    amplitudes: Float[np.ndarray, " m"],
    shares: Float[np.ndarray, "2 m"],
    low: Float[np.ndarray, "2 m"],
    high: Float[np.ndarray, "2 m"],
    ax: Axes | None = None,
    *,
    faded: bool = False,
) -> Axes:
    """Draw the share of windows called a decay against their amplitude, with its uncertainty.

    Args:
        shares, low, high: rows calibrated, paper.
        faded: whether these are the rates of a setting that was left.
    """
    ax = axes_or_new(ax)
    strength = 0.2 if faded else 1.0
    for k, (name, color, marker) in enumerate(
        (("calibrated", CALIBRATED, "o"), ("paper", PAPER, "s"))
    ):
        ax.fill_between(
            amplitudes, low[k], high[k], color=color, alpha=0.16 * strength, linewidth=0
        )
        ax.plot(
            amplitudes, shares[k], marker, linestyle="-", color=color, alpha=strength, label=name
        )
    name_above(ax)
    return ax


def _beside(
    ax: Axes, x: float, height: float, text: str, color: str, *, left: bool = False
) -> None:
    ax.annotate(
        text, (x, height), xycoords=ax.get_xaxis_transform(), va="center", color=color,
        xytext=(-5 if left else 5, 0), textcoords="offset points", ha="right" if left else "left",
        bbox=UNDER_TEXT,
    )  # fmt: skip

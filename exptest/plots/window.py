"""How long to watch: the knee of a decay and the window that must hold it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from exptest.plots.legend import name_above
from exptest.plots.style import COLORS, axes_or_new, styled


@styled
def plot_knee(
    times: Float[np.ndarray, " t"],
    losses: Float[np.ndarray, " t"],
    knee: tuple[float, float] | None,
    latest: tuple[float, float],
    window: float,
    ax: Axes | None = None,
) -> Axes:
    """Draw a decay in gradient-flow time with its knee, the latest knee of all, and the window.

    Args:
        times, losses: the curve, in units of η · steps and loss units.
        knee: (time, loss) of this curve's knee; None if it bends from the start.
        latest: (time, loss) of the latest knee that any rate can have.
        window: length of the window, in units of η · steps.
    """
    ax = axes_or_new(ax)
    ax.axvspan(0, window, color=COLORS["accepted"], alpha=0.3, lw=0, label="window")
    ax.axvline(window / 2, color=COLORS["accepted"], linewidth=1.2)
    ax.plot(times, losses, color=COLORS["exponential"], label="loss")
    ax.plot(*latest, "d", color=COLORS["theory"], markersize=9, label="latest knee")
    if knee is not None:
        ax.plot(*knee, "o", color=COLORS["rejected"], markersize=10, label="knee")
    ax.set(xlabel="time τ = η · steps", ylabel="loss")
    name_above(ax, "The curve, in time")
    return ax


@styled
def plot_watched(
    losses: Float[np.ndarray, " n"],
    knee: float | None,
    window: int,
    stretched: int,
    ax: Axes | None = None,
    *,
    title: str = "What is seen, in steps",
) -> Axes:
    """Draw a noisy loss signal in steps, with the window N and its stretch by the path ratio.

    Args:
        losses: one per step, loss units.
        knee: step of the curve's knee; None if it bends from the start.
        window, stretched: N and ρN, in steps.
    """
    ax = axes_or_new(ax)
    ax.axvspan(-0.5, window - 0.5, color=COLORS["accepted"], alpha=0.3, lw=0, label="window N")
    if stretched > window:
        ax.axvspan(
            window - 0.5, stretched - 0.5, color=COLORS["line"], alpha=0.3, lw=0,
            label="× path ratio",
        )  # fmt: skip
    few = len(losses) <= 120
    style = {"marker": ".", "linewidth": 0.8} if few else {"linewidth": 0.7}
    ax.plot(losses, color=COLORS["loss"], **style)
    if knee is not None:
        ax.axvline(knee, color=COLORS["rejected"], linewidth=1.5, label="knee")
    ax.set(xlabel="training step", ylabel="training loss")
    name_above(ax, title)
    return ax

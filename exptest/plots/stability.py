"""How large a step: weights on the contours of their loss, losses against their prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from exptest.plots.legend import name_above
from exptest.plots.style import COLORS, axes_or_new, styled

STEEP, FLAT = COLORS["rejected"], COLORS["exponential"]
MODES = ("steep mode", "flat mode")
LEVELS = np.array([0.0, 0.02, 0.1, 0.3, 0.7, 1.4, 2.5, 4.0])
VIEW = 3.4
# A path is drawn until it is this far out: it has left the picture by then.
FAR = 30 * VIEW
# What a logarithmic axis can place.
SMALLEST, LARGEST = 1e-30, 1e30
# A mode that carries a smaller share of the loss is lost in the rounding of the other.
ROUNDED = 1e-26


@styled
def plot_paths(
    hessian: Float[np.ndarray, "2 2"],
    directions: Float[np.ndarray, "2 2"],
    best: Float[np.ndarray, " w"],
    paths: Float[np.ndarray, "r t 2"],
    ax: Axes | None = None,
) -> Axes:
    """Draw paths of two weights, the first one boldly, on the contours of ½(w − w*)ᵀH(w − w*).

    The columns of ``directions``, the steep mode's and the flat one's, go through w* in the
    colours of `plot_mode_losses`.
    """
    ax = axes_or_new(ax)
    offset = np.linspace(-1.6 * VIEW, 1.6 * VIEW, 80)
    a, b = np.meshgrid(offset, offset)
    loss = (hessian[0, 0] * a * a + 2 * hessian[0, 1] * a * b + hessian[1, 1] * b * b) / 2
    ax.contourf(best[0] + a, best[1] + b, loss, LEVELS, colors=_shades(), extend="max")
    for direction, color in zip(directions.T, (STEEP, FLAT), strict=True):
        ends = best + 3 * VIEW * np.outer([-1, 1], direction)
        ax.plot(*ends.T, color=color, linewidth=1.2, linestyle=(0, (5, 4)))
    for path in paths[:0:-1]:
        ax.plot(*_until_far(path, best).T, color=COLORS["muted"], linewidth=0.8, alpha=0.5)
    bold = _until_far(paths[0], best)
    ax.plot(*bold.T, "o-", color=COLORS["ink"], linewidth=1.2, markersize=3.5)
    ax.plot(*bold[0], "s", color=COLORS["ink"], markersize=9, linestyle="", label="start")
    ax.plot(
        *best, "*", color=COLORS["line"], markeredgecolor=COLORS["ink"], markersize=16,
        linestyle="", label="minimum",
    )  # fmt: skip
    ax.set(
        xlabel="weight $w_1$",
        ylabel="weight $w_2$",
    )
    ax.set_xlim(best[0] - VIEW, best[0] + VIEW)
    ax.set_ylim(best[1] - VIEW, best[1] + VIEW)
    ax.set_aspect("equal")
    name_above(ax, "The weights")
    ax.grid(False)
    return ax


@styled
def plot_mode_losses(
    measured: Float[np.ndarray, "2 t"],
    predicted: Float[np.ndarray, "2 t"],
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of the steep mode, of the flat one, and their sum: dots over lines."""
    ax = axes_or_new(ax)
    length = measured.shape[1]
    every = -(-length // 60)
    total, of_steps = measured.sum(0), {"markevery": every, "markersize": 4}
    shown = np.where(measured > ROUNDED * total, measured, np.nan)
    ax.plot(_placed(predicted.sum(0)), color=COLORS["muted"], linewidth=5, alpha=0.5)
    ax.plot(_placed(total), "o", color=COLORS["loss"], label="both", **of_steps | {"markersize": 7})
    for name, color, dots, line in zip(MODES, (STEEP, FLAT), shown, predicted, strict=True):
        ax.plot(_placed(line), color=color)
        ax.plot(_placed(dots), "o", color=color, label=name, **of_steps)
    _dress(ax, length, "The loss: dots measured, lines predicted")
    return ax


@styled
def plot_sgd_runs(
    losses: Float[np.ndarray, "r t"],
    expected: Float[np.ndarray, " t"],
    floor: float | None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the losses of several runs, faint, their mean, its expectation, and where that ends."""
    ax = axes_or_new(ax)
    ax.plot(_placed(losses[1:].T), color=COLORS["muted"], linewidth=0.7, alpha=0.45)
    ax.plot(_placed(losses[0]), color=COLORS["muted"], linewidth=0.8, label="runs")
    ax.plot(_placed(losses.mean(0)), color=COLORS["accepted"], linewidth=5, label="mean")
    ax.plot(_placed(expected), "--", color=COLORS["ink"], linewidth=1.6, label="expected")
    if floor is not None:
        ax.axhline(max(floor, SMALLEST), color=COLORS["theory"], linestyle=":", label="floor")
    _dress(ax, losses.shape[1], f"The loss of {len(losses)} runs")
    return ax


def _dress(ax: Axes, length: int, title: str) -> None:
    ax.set(xlabel="step", ylabel="loss above its minimum", yscale="log", xlim=(0, length - 1))
    ax.minorticks_off()
    name_above(ax, title)


def _placed(losses: Any) -> Float[np.ndarray, "*shape"]:
    return np.clip(losses, SMALLEST, LARGEST)


def _until_far(path: Float[np.ndarray, "t 2"], best: Float[np.ndarray, " w"]) -> np.ndarray:
    out = ~(np.abs(path - best).max(1) < FAR)
    return path[: int(out.argmax())] if out.any() else path


def _shades() -> list[tuple[float, float, float]]:
    """From the valley's colour to white, one per level."""
    valley = np.array(to_rgb(COLORS["accepted"]))
    shares = np.linspace(0.75, 0.0, len(LEVELS))
    return [tuple(s * valley + (1 - s)) for s in shares]

"""Network and linearization: the kernel's spectrum, and how far width lets anything move."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from exptest.plots.style import COLORS, axes_or_new, styled


@styled
def plot_spectra(
    before: Float[np.ndarray, " k"],
    after: Float[np.ndarray, " j"],
    lr: float,
    ax: Axes | None = None,
) -> Axes:
    """Draw the kernel's eigenvalues before and after training, and 2/η, which none may exceed."""
    ax = axes_or_new(ax)
    ax.axhline(2 / lr, color=COLORS["rejected"], linestyle="--", linewidth=1.5)
    ax.annotate(
        "2/η", (1, 2 / lr), xycoords=("axes fraction", "data"), xytext=(-4, 3), ha="right",
        textcoords="offset points", color=COLORS["rejected"],
    )  # fmt: skip
    ax.plot(
        1 + np.arange(len(before)), before, "o", color=COLORS["muted"], markersize=7,
        markerfacecolor="none", label="before",
    )  # fmt: skip
    ax.plot(
        1 + np.arange(len(after)), after, "o", color=COLORS["exponential"], markersize=4,
        label="after",
    )  # fmt: skip
    ax.set(xlabel="mode", ylabel="eigenvalue λ of Θ/n", yscale="log")
    ax.legend(loc="lower left", handletextpad=0.2)
    return ax


@styled
def plot_movement(
    widths: Float[np.ndarray, " w"],
    kernel: Float[np.ndarray, " w"],
    weights: Float[np.ndarray, " w"],
    here: float,
    ax: Axes | None = None,
) -> Axes:
    """Draw the relative distance moved by kernel and weights against width.

    Args:
        widths: ascending.
        kernel, weights: nan where training diverged: a cross at the top edge.
        here: the width to point out.
    """
    ax = axes_or_new(ax)
    ax.axvline(here, color=COLORS["muted"], linewidth=8, alpha=0.25)
    for name, moved, color, marker in (
        ("kernel", kernel, COLORS["exponential"], "o"),
        ("weights", weights, COLORS["rate"], "s"),
    ):
        ax.plot(widths, moved, marker, linestyle="-", color=color, label=name)
    lost = widths[np.isnan(kernel)]
    if lost.size:
        ax.plot(
            lost, np.full(len(lost), 0.96), "x", color=COLORS["rejected"], markeredgewidth=2.5,
            transform=ax.get_xaxis_transform(), label="diverged",
        )  # fmt: skip
    ax.set(xlabel="width", ylabel="relative distance moved", xscale="log", yscale="log")
    ax.legend(loc="lower left", handletextpad=0.4)
    return ax

"""One look for the whole project: colour-blind safe, legible when projected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes

P = ParamSpec("P")
R = TypeVar("R")

# Okabe & Ito's palette, named by what a colour means here.
COLORS = {
    "loss": "#4D4D4D",
    "exponential": "#0072B2",
    "line": "#E69F00",
    "rate": "#009E73",
    "accepted": "#56B4E9",
    "rejected": "#D55E00",
    "theory": "#CC79A7",
    "muted": "#999999",
    "ink": "#222222",
}

STYLE: dict[Any, Any] = {
    "axes.prop_cycle": cycler(
        color=[COLORS[k] for k in ("exponential", "rejected", "rate", "theory", "line", "accepted")]
    ),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLORS["ink"],
    "axes.labelcolor": COLORS["ink"],
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 12,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "font.size": 11.5,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "lines.linewidth": 2.0,
    "figure.figsize": (8.0, 4.5),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
}


def use_style() -> None:
    """Apply the project's style to every figure that follows (once, at the top of a notebook)."""
    mpl.rcParams.update(STYLE)


@contextmanager
def project_style(**other: Any) -> Iterator[None]:
    """The project's style, with ``other`` settings on top, for as long as the block runs."""
    # Not rc_context: it would also undo the "interactive" that a notebook's backend sets when
    # the first figure loads it, and no later figure would be shown.
    wanted = STYLE | other
    before = {key: mpl.rcParams[key] for key in wanted}
    mpl.rcParams.update(wanted)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


def styled(plot: Callable[P, R]) -> Callable[P, R]:
    """Draw ``plot`` in the project's style, whatever style is active around it."""

    @wraps(plot)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with project_style():
            return plot(*args, **kwargs)

    return wrapper


def axes_or_new(ax: Axes | None, *, figsize: tuple[float, float] | None = None) -> Axes:
    """Return ``ax``, or the single axes of a new figure."""
    return plt.subplots(figsize=figsize)[1] if ax is None else ax

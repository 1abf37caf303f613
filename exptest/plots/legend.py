"""A legend between an axes and its title, where no curve can run through it."""

from __future__ import annotations

from matplotlib.axes import Axes

# Points above the axes, for a title over such a legend.
TITLE_PAD = 26


def name_above(ax: Axes, title: str | None = None) -> None:
    """Put the legend above the axes, in one line, and ``title`` above it."""
    ax.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.2,
        columnspacing=1.2, handletextpad=0.5, handlelength=1.6,
    )  # fmt: skip
    if title is not None:
        ax.set_title(title, y=1.0, pad=TITLE_PAD)

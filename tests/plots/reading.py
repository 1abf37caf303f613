"""What the artists of a picture say."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from exptest.plots.style import COLORS


def meaning(color: Any) -> str:
    """The name that a colour has in the project's palette."""
    (name,) = [name for name, known in COLORS.items() if to_hex(known) == to_hex(color)]
    return name


def lines(ax: Axes, color: str) -> list[Line2D]:
    return [line for line in ax.lines if to_hex(line.get_color()) == to_hex(COLORS[color])]


def line(ax: Axes, color: str) -> Line2D:
    (only,) = lines(ax, color)
    return only


def legend(ax: Axes) -> dict[str, str]:
    """Label → colour."""
    drawn = ax.get_legend()
    assert drawn is not None
    colors = {}
    for handle in drawn.legend_handles:
        assert handle is not None
        get: Any = getattr(handle, "get_facecolor", None) or handle.get_color  # type: ignore
        colors[handle.get_label()] = meaning(get())
    return colors

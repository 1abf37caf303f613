"""Pictures of results: every function takes computed results and ``ax=None``, returns the Axes."""

from exptest.plots.style import COLORS, STYLE, use_style
from exptest.plots.tuner import (
    plot_decision,
    plot_learning_rate,
    plot_pvalues,
    plot_run,
    plot_signal,
)

__all__ = [
    "COLORS",
    "STYLE",
    "plot_decision",
    "plot_learning_rate",
    "plot_pvalues",
    "plot_run",
    "plot_signal",
    "use_style",
]

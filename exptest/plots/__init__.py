"""Pictures of results: every function takes computed results and ``ax=None``, returns the Axes."""

from exptest.plots.linearized import (
    plot_benchmark,
    plot_gap,
    plot_prediction,
)
from exptest.plots.statistics import (
    plot_fits,
    plot_null,
    plot_rates,
    plot_required_windows,
    plot_verdicts,
)
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
    "plot_benchmark",
    "plot_decision",
    "plot_fits",
    "plot_gap",
    "plot_learning_rate",
    "plot_null",
    "plot_prediction",
    "plot_pvalues",
    "plot_rates",
    "plot_required_windows",
    "plot_run",
    "plot_signal",
    "plot_verdicts",
    "use_style",
]

"""Pictures of results: every function takes computed results and ``ax=None``, returns the Axes."""

from exptest.plots.decay_test import plot_claims, plot_rivals, plot_tail
from exptest.plots.linearized import (
    plot_benchmark,
    plot_forecasts,
    plot_gap,
    plot_modes,
    plot_prediction,
    plot_single_exponential,
)
from exptest.plots.network import plot_movement, plot_spectra
from exptest.plots.stability import plot_mode_losses, plot_paths, plot_sgd_runs
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
from exptest.plots.window import plot_knee, plot_watched

__all__ = [
    "COLORS",
    "STYLE",
    "plot_benchmark",
    "plot_claims",
    "plot_decision",
    "plot_fits",
    "plot_forecasts",
    "plot_gap",
    "plot_knee",
    "plot_learning_rate",
    "plot_mode_losses",
    "plot_modes",
    "plot_movement",
    "plot_null",
    "plot_paths",
    "plot_prediction",
    "plot_pvalues",
    "plot_rates",
    "plot_required_windows",
    "plot_rivals",
    "plot_run",
    "plot_sgd_runs",
    "plot_signal",
    "plot_single_exponential",
    "plot_spectra",
    "plot_tail",
    "plot_verdicts",
    "plot_watched",
    "use_style",
]

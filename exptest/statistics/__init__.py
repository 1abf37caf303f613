"""The tests: losses in, verdicts out. Nothing here knows what a network is."""

from exptest.statistics.exponential import ExponentialTestResult, exponential_test
from exptest.statistics.fits import ExponentialFit, LineFit, fit_exponential, fit_line
from exptest.statistics.path_ratio import PathRatio
from exptest.statistics.slope import SlopeTestResult, slope_test
from exptest.statistics.window import knee_time, window_length

__all__ = [
    "ExponentialFit",
    "ExponentialTestResult",
    "LineFit",
    "PathRatio",
    "SlopeTestResult",
    "exponential_test",
    "fit_exponential",
    "fit_line",
    "knee_time",
    "slope_test",
    "window_length",
]

"""The tests: losses in, verdicts out. Nothing here knows what a network is."""

from exptest.statistics.exponential import exponential_test
from exptest.statistics.fits import ExponentialFit, LineFit, fit_exponential, fit_line
from exptest.statistics.intervals import Interval, confidence_interval
from exptest.statistics.paired import paired_test
from exptest.statistics.path_ratio import PathRatio
from exptest.statistics.power_law import (
    CurveComparison,
    PowerLawFit,
    compare_curves,
    fit_power_law,
)
from exptest.statistics.progress import progress_test
from exptest.statistics.results import ExponentialTestResult, PairedTestResult, SlopeTestResult
from exptest.statistics.slope import slope_test
from exptest.statistics.trend import TrendResult, trend_test
from exptest.statistics.window import knee_time, window_length

__all__ = [
    "CurveComparison",
    "ExponentialFit",
    "ExponentialTestResult",
    "Interval",
    "LineFit",
    "PairedTestResult",
    "PathRatio",
    "PowerLawFit",
    "SlopeTestResult",
    "TrendResult",
    "compare_curves",
    "confidence_interval",
    "exponential_test",
    "fit_exponential",
    "fit_line",
    "fit_power_law",
    "knee_time",
    "paired_test",
    "progress_test",
    "slope_test",
    "trend_test",
    "window_length",
]

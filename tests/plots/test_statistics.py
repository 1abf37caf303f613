"""Pictures of tests: verdicts in words and colours, areas that are p-values, boxed rates."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from exptest.bench.published import JudgedWindow
from exptest.plots import statistics as plots
from exptest.plots.style import COLORS
from exptest.statistics import exponential_test, slope_test
from tests.plots.reading import legend, line, lines, meaning

STEPS = np.arange(60.0)


def noisy(curve: np.ndarray) -> np.ndarray:
    return curve + 0.1 * np.random.default_rng(0).standard_normal(len(curve))


@pytest.mark.parametrize(
    ("test", "curve", "verdict"),
    [
        (exponential_test, 3 * np.exp(-STEPS / 10), "decay: F = "),
        (exponential_test, 0 * STEPS, "no decay: F = "),
        (slope_test, -STEPS / 10, "decreasing: t = "),
        (slope_test, 0 * STEPS, "not decreasing: t = "),
    ],
)
def test_the_verdict_is_the_title(test, curve: np.ndarray, verdict: str) -> None:
    losses = noisy(curve)
    result = test(losses)
    ax = plots.plot_fits(losses, result)
    title = ax.get_title(loc="left")
    assert title.startswith(verdict)
    assert title.endswith(f"p = {result.pvalue:.2g}")
    assert f"= {result.statistic:.3g}," in title


def test_the_title_s_verdict_is_that_of_its_alpha() -> None:
    losses = noisy(-STEPS / 250)
    p = slope_test(losses).pvalue
    assert 0.001 < p < 0.2
    for alpha, word in ((2 * p, "decreasing"), (p / 2, "not decreasing")):
        title = plots.plot_fits(losses, slope_test(losses), alpha=alpha).get_title(loc="left")
        assert title.startswith(f"{word}: ")


def test_fits_are_those_of_the_result() -> None:
    losses = noisy(3 * np.exp(-STEPS / 10))
    result = exponential_test(losses)
    assert result.exponential is not None
    ax = plots.plot_fits(losses, result)
    np.testing.assert_array_equal(line(ax, "loss").get_ydata(), losses)
    np.testing.assert_array_equal(line(ax, "line").get_ydata(), result.line.predict())
    drawn = line(ax, "exponential").get_ydata()
    np.testing.assert_array_equal(drawn, result.exponential.predict())


def test_the_shaded_bars_are_the_p_value() -> None:
    statistics = np.random.default_rng(0).exponential(size=5000)
    observed = 2.0
    x, height = np.linspace(0, 8, 30), np.exp(-np.linspace(0, 8, 30))
    ax = plots.plot_null(statistics, observed, density=(x, height), label="F", mark="seen")
    areas: dict[str, float] = {}
    for bar in ax.patches:
        name = meaning(bar.get_facecolor()[:3])
        areas[name] = areas.get(name, 0.0) + bar.get_width() * bar.get_height()
        assert (name == "rejected") == (bar.get_x() >= observed)
    p = np.mean(statistics >= observed)
    assert sum(areas.values()) == pytest.approx(1.0, abs=0.003)
    assert areas["rejected"] == pytest.approx(p, abs=0.02)
    assert list(line(ax, "ink").get_xdata()) == [observed, observed]
    assert ax.texts[0].get_text() == "seen 2.00"
    np.testing.assert_array_equal(line(ax, "theory").get_ydata(), height)
    labels = ax.get_legend_handles_labels()[1]
    assert f"p = {p:.3f}" in labels
    assert ax.get_ylim()[1] == pytest.approx(3.0)


def test_rates_stand_where_they_belong_and_only_those_above_are_boxed() -> None:
    rows = [("a", "x", 0.05), ("b", "x", 0.3), ("a", "y", 0.19), ("b", "y", 0.01)]
    frame = pd.DataFrame(rows, columns=["truth", "noise", "rate"])
    ax = plots.plot_rates(frame, limit=0.05, title="size")
    found = {text.get_position(): text.get_text() for text in ax.texts}
    assert found == {(0, 0): "0.050", (0, 1): "0.300", (1, 0): "0.190", (1, 1): "0.010"}
    boxed = {text.get_text() for text in ax.texts if text.get_bbox_patch() is not None}
    assert boxed == {"0.300", "0.190"}
    white = {text.get_text() for text in ax.texts if text.get_color() == "white"}
    assert white == {"0.300", "0.190"}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x", "y"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    (image,) = ax.images
    assert image.get_clim() == (0.0, 0.2)
    free = plots.plot_rates(frame)
    assert [text.get_text() for text in free.texts] == ["0.05", "0.19", "0.30", "0.01"]
    assert all(text.get_bbox_patch() is None for text in free.texts)
    named = plots.plot_rates(frame.replace({"x": "white + AR(1) 0.9"}))
    assert named.get_xticklabels()[0].get_text() == "white +\nAR(1) 0.9"


def test_required_windows_are_the_frame_s() -> None:
    frame = pd.DataFrame({"decline": [1, 2] * 2, "n": [9, 5, 20, 11], "correlation": [0, 0, 1, 1]})
    ax = plots.plot_required_windows(frame)
    drawn = {curve.get_label(): list(curve.get_ydata()) for curve in ax.lines}
    assert drawn == {"correlation 0": [9, 5], "correlation 1": [20, 11]}
    assert all(list(curve.get_xdata()) == [1, 2] for curve in ax.lines)
    assert list(ax.get_yticks()) == [5, 10, 20]


def test_strips_have_the_verdicts_colours_and_the_correlation_s_grey() -> None:
    windows = [
        JudgedWindow(0, 5, "slope", 0.1, True, False, 0.3, 0.01, 0.75),
        JudgedWindow(5, 10, "slope", 0.1, False, False, 7.0, 0.02, 0.0),
    ]
    losses = np.geomspace(1, 0.1, 10)
    ax = plots.plot_verdicts(losses, windows, title="a curve")
    colors = [patch.get_facecolor()[:3] for patch in ax.patches]
    grey, paper, calibrated = colors[:3]
    assert grey == pytest.approx((0.25,) * 3)
    assert (meaning(paper), meaning(calibrated)) == ("exponential", "rejected")
    assert colors[3] == pytest.approx((1.0,) * 3)
    assert [meaning(color) for color in colors[4:]] == ["rejected", "rejected"]
    heights = [text.xy[1] for text in ax.texts]
    assert [text.get_text() for text in ax.texts] == ["correlation", "paper", "calibrated"]
    assert heights == sorted(heights, reverse=True)
    bottoms = [patch.get_y() for patch in ax.patches[:3]]
    assert heights == pytest.approx([bottom + 0.05 for bottom in bottoms])
    (triangle,) = [found for found in ax.lines if found.get_marker() == "^"]
    assert list(triangle.get_xdata()) == [0.5]
    floors = [list(found.get_ydata()) for found in lines(ax, "exponential")]
    assert floors == [[0.3, 0.3]]  # the other lies above its losses
    sigmas = [list(found.get_ydata()) for found in lines(ax, "line")]
    assert sigmas == [[0.01, 0.01], [0.02, 0.02]]
    shown = np.concatenate([found.get_ydata() for found in lines(ax, "loss")])
    np.testing.assert_array_equal(shown, losses)
    assert ax.get_ylim() == pytest.approx((0.005, 3.0))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "5", "10"]


def test_the_legend_of_verdicts_names_their_colours() -> None:
    ax = plt.subplots()[1]
    handles = plots.verdict_legend()
    ax.legend(handles=[handle for handle in handles if "correlation" not in handle.get_label()])
    assert legend(ax) == {
        "loss": "loss",
        "estimated floor": "exponential",
        "estimated noise σ": "line",
        "window kept η": "exponential",
        "window rejected η": "rejected",
        "they differ": "ink",
    }


def test_colours_differ_and_no_two_are_confused() -> None:
    assert len(set(COLORS.values())) == len(COLORS)
    palette = {"accepted": "#56B4E9", "rejected": "#D55E00", "exponential": "#0072B2"}
    assert COLORS | palette == COLORS

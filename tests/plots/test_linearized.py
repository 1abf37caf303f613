"""Pictures of linearized networks: the prediction over the training, modes, gaps, ratios."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps

from exptest.linearized.shape import SingleExponential
from exptest.plots import linearized as plots
from tests.plots.reading import legend, line, lines, meaning


def test_the_prediction_is_dashed_over_the_training() -> None:
    ax = plots.plot_prediction([4.0, 2.0], [4.0, 1.0])
    assert list(line(ax, "accepted").get_ydata()) == [4, 2]
    assert list(line(ax, "ink").get_ydata()) == [4, 1]
    assert line(ax, "ink").get_linestyle() == "--"
    assert legend(ax) == {"trained": "accepted", "predicted": "ink"}


def test_modes_are_stacked_on_the_floor_the_slowest_lowest() -> None:
    times = np.geomspace(0.1, 10, 20)
    eigenvalues = np.array([4.0, 1.0])
    parts = np.array([[3.0], [2.0]]) * np.exp(-2 * eigenvalues[:, None] * times)
    ax = plots.plot_modes(times, parts, eigenvalues, 0.5)
    tops = [band.get_paths()[0].vertices[:, 1].max() for band in ax.collections]
    total = 0.5 + parts.sum(0)
    assert tops == pytest.approx([0.5, 0.5 + parts[1, 0], total[0]])
    np.testing.assert_allclose(line(ax, "ink").get_ydata(), total)
    slow, fast = (band.get_facecolor()[0] for band in ax.collections[1:])
    ends = colormaps["viridis_r"]([0.0, 1.0])
    np.testing.assert_allclose([slow, fast], ends)


def test_the_nearest_exponential_lies_over_its_curve_the_gap_between_them() -> None:
    times = np.linspace(0, 1, 10)
    fit = SingleExponential(2.0, 3.0, 0.5, 1.0, 0.123, 0.01)
    losses = fit.predict(times) + 0.1
    ax = plots.plot_single_exponential(times, losses, fit)
    np.testing.assert_array_equal(line(ax, "loss").get_ydata(), losses)
    np.testing.assert_array_equal(line(ax, "exponential").get_ydata(), fit.predict(times))
    (gap,) = ax.collections
    heights = gap.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (fit.predict(times)[-1], losses[0])
    assert ax.get_title(loc="left") == "12.3% of the fall away"


def test_forecasts_lie_over_their_own_curves() -> None:
    measured = {"a": [2.0, 1.0], "b": [3.0, 1.5]}
    predicted = {"b": [3.0, 1.4], "a": [2.0, 0.9]}
    ax = plots.plot_forecasts(measured, predicted)
    assert [list(each.get_ydata()) for each in lines(ax, "ink")] == [[2.0, 0.9], [3.0, 1.4]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_the_gap_falls_with_the_fitted_power() -> None:
    widths = np.array([16.0, 64.0])
    gaps = np.array([[0.4, 0.1], [0.5, 0.125]])
    ax = plots.plot_gap(widths, gaps, 1.0, 0.05, theory={"½": 0.5})
    fitted = line(ax, "exponential").get_ydata()
    assert fitted[0] / fitted[1] == pytest.approx(4.0)
    assert np.log(fitted).mean() == pytest.approx(np.log(gaps).mean())
    reference = line(ax, "theory").get_ydata()
    assert reference[0] / reference[1] == pytest.approx(2.0)
    assert line(ax, "exponential").get_label() == "fitted: 1.00 ± 0.05"


def test_a_contestant_stands_at_its_ratio_and_exptest_at_one() -> None:
    rows = [
        ("NTK", "exptest", 1.0),
        ("NTK", "torch.func recipe", 200.0),
        ("NTK", "curvlinops", 0.5),
        ("curve", "exptest", 1.0),
        ("curve", "training", 7.123),
        ("curve", "failed", np.nan),
    ]
    table = pd.DataFrame(rows, columns=["task", "method", "time_ratio"])
    ax = plots.plot_benchmark(table)
    assert list(line(ax, "ink").get_xdata()) == [1.0, 1.0]
    points = {
        (each.get_xdata()[0], int(each.get_ydata()[0])): meaning(each.get_color())
        for each in ax.lines[1:]
    }
    assert points == {(7.123, 0): "exponential", (0.5, 1): "theory", (200.0, 1): "rejected"}
    names = {text.get_text() for text in ax.texts}
    assert names == {"training\n7.12×", "curvlinops\n0.5×", "torch.func recipe\n200×"}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["curve", "NTK"]
    assert ax.get_xscale() == "log"

"""The pictures of the panels: knees, paths, modes, tails and claims, read by their artists."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from exptest.plots import decay_test, network, stability, window
from exptest.statistics import exponential_test
from tests.plots.reading import legend, line, lines, meaning

# -- how long to watch -------------------------------------------------------------------------


def spans(ax) -> dict[str, tuple[float, float]]:
    return {
        patch.get_label(): (patch.get_x(), patch.get_x() + patch.get_width())
        for patch in ax.patches
    }


def test_the_window_the_knee_and_the_latest_knee_are_where_they_are() -> None:
    times = np.linspace(0, 5, 50)
    ax = window.plot_knee(times, np.exp(-times), (0.35, 0.7), (2.0, 0.3), 4.0)
    assert spans(ax) == {"window": (0.0, 4.0)}
    assert list(line(ax, "accepted").get_xdata()) == [2.0, 2.0]
    np.testing.assert_array_equal(line(ax, "exponential").get_xydata()[:, 0], times)
    assert line(ax, "rejected").get_xydata().tolist() == [[0.35, 0.7]]
    assert line(ax, "theory").get_xydata().tolist() == [[2.0, 0.3]]
    assert line(ax, "rejected").get_label() == "knee"
    assert line(ax, "theory").get_label() == "latest knee"
    assert not lines(window.plot_knee(times, np.exp(-times), None, (2.0, 0.3), 4.0), "rejected")


def test_the_stretch_begins_where_the_window_ends() -> None:
    losses = np.arange(30.0)
    ax = window.plot_watched(losses, 12.0, 10, 25)
    assert spans(ax) == {"window N": (-0.5, 9.5), "× path ratio": (9.5, 24.5)}
    np.testing.assert_array_equal(line(ax, "loss").get_ydata(), losses)
    assert list(line(ax, "rejected").get_xdata()) == [12.0, 12.0]
    unstretched = window.plot_watched(losses, None, 10, 10)
    assert list(spans(unstretched)) == ["window N"]
    assert not lines(unstretched, "rejected")


# -- how large a step --------------------------------------------------------------------------


def test_the_steep_direction_has_the_steep_mode_s_colour() -> None:
    hessian, directions = np.diag([9.0, 1.0]), np.eye(2)
    path = np.array([[3.0, 2.0], [2.0, 1.0], [1.5, 0.8]])
    best = np.array([1.0, 0.5])
    ax = stability.plot_paths(hessian, directions, best, np.stack([path, path + 1]))
    steep, flat = line(ax, "rejected"), line(ax, "exponential")
    assert np.ptp(steep.get_ydata()) == 0
    assert np.ptp(flat.get_xdata()) == 0
    assert steep.get_ydata()[0] == best[1]
    bold, start = lines(ax, "ink")
    np.testing.assert_array_equal(bold.get_xydata(), path)
    np.testing.assert_array_equal(start.get_xydata(), path[:1])
    assert start.get_label() == "start"
    np.testing.assert_array_equal(line(ax, "muted").get_xydata(), path + 1)
    assert line(ax, "line").get_xydata().tolist() == [[1.0, 0.5]]
    assert line(ax, "line").get_label() == "minimum"


def test_contours_are_those_of_the_loss() -> None:
    hessian = np.array([[3.0, 1.0], [1.0, 2.0]])
    ax = stability.plot_paths(hessian, np.eye(2), np.zeros(2), np.zeros((1, 1, 2)))
    (contours,) = ax.collections
    edges = contours.get_paths()[1].vertices  # between the second level and the third
    losses = np.einsum("pi,ij,pj->p", edges, hessian, edges) / 2
    inner, outer = stability.LEVELS[1:3]
    assert losses.min() == pytest.approx(inner, rel=0.35)
    assert losses.max() == pytest.approx(outer, rel=0.1)


def test_a_path_is_drawn_until_it_is_far_out() -> None:
    best, far = np.zeros(2), 2 * stability.FAR
    path = np.array([[1.0, 0.0], [-2.0, 0.0], [far, 0.0], [0.0, 0.0]])
    ax = stability.plot_paths(np.eye(2), np.eye(2), best, path[None])
    np.testing.assert_array_equal(lines(ax, "ink")[0].get_xydata(), path[:2])


def test_modes_are_dots_over_lines_in_their_colours() -> None:
    measured = np.array([[4.0, 1.0, 1e-40], [1.0, 0.9, 0.8]])
    predicted = 2 * measured
    ax = stability.plot_mode_losses(measured, predicted)
    for row, color in enumerate(("rejected", "exponential")):
        drawn, dots = lines(ax, color)
        assert drawn.get_ydata()[:2] == pytest.approx(predicted[row, :2])
        assert dots.get_ydata()[:2] == pytest.approx(measured[row, :2])
        assert dots.get_label() == stability.MODES[row]
    assert np.isnan(lines(ax, "rejected")[1].get_ydata()[2])  # lost in the rounding of the other
    assert line(ax, "loss").get_ydata() == pytest.approx(measured.sum(0))
    assert line(ax, "muted").get_ydata() == pytest.approx(predicted.sum(0))
    assert ax.get_yscale() == "log"


def test_runs_their_mean_its_expectation_and_the_floor() -> None:
    losses = np.array([[4.0, 2.0, 1.0], [4.0, 4.0, 3.0]])
    ax = stability.plot_sgd_runs(losses, np.array([4.0, 3.0, 2.5]), 0.5)
    assert line(ax, "accepted").get_ydata() == pytest.approx([4, 3, 2])
    assert line(ax, "ink").get_ydata() == pytest.approx([4, 3, 2.5])
    assert list(line(ax, "theory").get_ydata()) == [0.5, 0.5]
    assert len(lines(ax, "muted")) == 2
    assert legend(ax) == {
        "runs": "muted",
        "mean": "accepted",
        "expected": "ink",
        "floor": "theory",
    }
    assert not lines(stability.plot_sgd_runs(losses, losses[0], None), "theory")


# -- is it a decay? ----------------------------------------------------------------------------


def test_rivals_are_the_calibrated_fits_and_the_paper_s_curve() -> None:
    x = np.linspace(0, 1, 60)
    losses = 5 * np.exp(-5 * x) + 0.2 * np.random.default_rng(0).standard_normal(60)
    calibrated, paper = exponential_test(losses), exponential_test(losses, method="paper")
    assert calibrated.exponential is not None
    assert paper.exponential is not None
    ax = decay_test.plot_rivals(losses, calibrated, paper)
    np.testing.assert_array_equal(
        line(ax, "exponential").get_ydata(), calibrated.exponential.predict()
    )
    np.testing.assert_array_equal(line(ax, "theory").get_ydata(), paper.exponential.predict())
    colors = {"loss": "loss", "line": "line", "decay": "exponential", "paper": "theory"}
    assert legend(ax) == colors


def test_the_tail_beyond_the_statistic_is_shaded() -> None:
    grid = np.linspace(0.05, 16, 160)
    ax = decay_test.plot_tail(grid, np.exp(-grid), 4.0, 3.0, decay_test.CALIBRATED)
    whole, tail = (part for part in ax.collections if isinstance(part, PolyCollection))
    assert meaning(tail.get_facecolor()[0][:3]) == "rejected"
    assert meaning(whole.get_facecolor()[0][:3]) == "exponential"
    shaded = np.concatenate([path.vertices[:, 0] for path in tail.get_paths()])
    assert 4.0 <= shaded.min() < 4.2
    assert shaded.max() == 16.0
    assert list(line(ax, "muted").get_xdata()) == [3.0, 3.0]
    assert list(line(ax, "ink").get_xdata()) == [4.0, 4.0]
    assert [text.get_text() for text in ax.texts] == ["α", "F = 4.00"]


@pytest.mark.parametrize(("observed", "edge", "text"), [(-3.0, 0.005, "−3"), (40.0, 0.995, "40")])
def test_a_statistic_off_the_axis_is_an_arrow(observed: float, edge: float, text: str) -> None:
    grid = np.linspace(0.05, 16, 160)
    args = (observed, float("nan"), decay_test.PAPER)
    ax = decay_test.plot_tail(grid, np.exp(-grid), *args)
    (arrow,) = ax.texts
    assert arrow.xy[0] == edge
    assert arrow.get_text() == f"F = {text}"
    assert not lines(ax, "muted")
    assert not lines(ax, "ink")


def test_claims_have_a_colour_each_and_their_intervals() -> None:
    a = np.array([0.0, 1.0, 2.0])
    shares = np.array([[0.05, 0.5, 0.9], [0.2, 0.4, 0.6]])
    ax = decay_test.plot_claims(a, shares, shares - 0.02, shares + 0.03)
    for row, color in enumerate(("exponential", "theory")):
        np.testing.assert_array_equal(line(ax, color).get_ydata(), shares[row])
        band = ax.collections[row].get_paths()[0].vertices[:, 1]
        assert (band.min(), band.max()) == (shares[row].min() - 0.02, shares[row].max() + 0.03)
        assert meaning(ax.collections[row].get_facecolor()[0][:3]) == color
    assert legend(ax) == {"calibrated": "exponential", "paper": "theory"}
    faded = decay_test.plot_claims(a, shares, shares, shares, faded=True)
    assert line(faded, "exponential").get_alpha() == 0.2


# -- the network and its tangent ---------------------------------------------------------------


def test_no_eigenvalue_may_exceed_two_over_the_rate() -> None:
    before, after = np.array([3.0, 1.0]), np.array([2.0, 0.5])
    ax = network.plot_spectra(before, after, 0.8)
    assert list(line(ax, "rejected").get_ydata()) == [2.5, 2.5]
    np.testing.assert_array_equal(line(ax, "muted").get_xydata(), [[1, 3], [2, 1]])
    np.testing.assert_array_equal(line(ax, "exponential").get_xydata(), [[1, 2], [2, 0.5]])
    assert legend(ax) == {"before": "muted", "after": "exponential"}


def test_kernel_and_weights_move_in_their_colours_and_crosses_diverged() -> None:
    widths = np.array([4.0, 8.0, 16.0])
    kernel, weights = np.array([np.nan, 0.5, 0.1]), np.array([np.nan, 0.3, 0.2])
    ax = network.plot_movement(widths, kernel, weights, 8.0)
    np.testing.assert_array_equal(line(ax, "exponential").get_ydata(), kernel)
    np.testing.assert_array_equal(line(ax, "rate").get_ydata(), weights)
    assert list(line(ax, "rejected").get_xdata()) == [4.0]
    assert list(line(ax, "muted").get_xdata()) == [8.0, 8.0]
    named = {"kernel": "exponential", "weights": "rate", "diverged": "rejected"}
    assert legend(ax) == named


def test_a_legend_and_a_title_stand_above_the_curves() -> None:
    ax = window.plot_watched(np.arange(30.0), 12.0, 10, 25, title="What is seen")
    ax.figure.draw_without_rendering()
    frame = ax.get_window_extent()
    drawn = ax.get_legend()
    assert drawn is not None
    assert drawn.get_window_extent().y0 >= frame.y1
    (title,) = [text for text in (ax.title, ax._left_title) if text.get_text()]
    assert title.get_text() == "What is seen"
    assert title.get_window_extent().y0 >= drawn.get_window_extent().y1 - 1

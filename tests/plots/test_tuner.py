"""A run's picture: verdicts, p-values, rates and fits are where and in the colours they must be."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from exptest.plots import tuner as plots
from exptest.record import Record
from exptest.recorded import replay
from tests.plots.reading import legend, line, lines, meaning


@pytest.fixture(scope="module")
def record() -> Record:
    """Two divergences, a decay, a fall, then two windows that fall no more."""
    noise = 0.02 * np.random.default_rng(0).standard_normal(1100)
    decay = 0.5 + 2 * np.exp(-np.arange(1100) / 20) + noise
    return replay(np.concatenate([[2.0, 50.0, 900.0, np.nan], decay]), 0.2)


def test_the_run_has_every_kind_of_decision(record: Record) -> None:
    kinds = [(decision.kind, decision.verdict) for decision in record.decisions]
    assert kinds[:4] == [
        ("divergence", "shrink"),
        ("divergence", "shrink"),
        ("exponential", "keep"),
        ("slope", "keep"),
    ]
    assert set(kinds[4:]) == {("slope", "undecided"), ("slope", "shrink")}


def test_a_kept_window_is_blue_a_rejected_one_orange_and_an_open_one_grey(record: Record) -> None:
    windows, borders = plots.shade_windows(plt.subplots()[1], record.decisions)
    assert isinstance(windows, PolyCollection)
    for decision, path, color in zip(
        record.decisions, windows.get_paths(), windows.get_facecolor(), strict=True
    ):
        shades = {"keep": "accepted", "shrink": "rejected", "undecided": "muted"}
        assert meaning(color[:3]) == shades[decision.verdict]
        edges = set(path.vertices[:, 0])
        assert edges == {decision.start + decision.seen - 0.5, decision.step + 0.5}
    assert [float(path.vertices[0, 0]) for path in borders.get_paths()] == [
        decision.step + 0.5 for decision in record.decisions
    ]


def test_p_values_stand_at_the_window_s_end_in_the_verdict_s_colour(record: Record) -> None:
    tested = [decision for decision in record.decisions if decision.test is not None]
    _, *marks = plots.mark_pvalues(plt.subplots()[1], tested)
    found = {}
    for mark in marks:
        for step, p in mark.get_offsets():
            shape = len(mark.get_paths()[0].vertices)
            found[int(step)] = (p, meaning(mark.get_facecolor()[0][:3]), shape)
    shapes = {"exponential": found[99][2], "slope": found[195][2]}
    assert shapes["exponential"] != shapes["slope"]
    for decision in tested:
        colors = {"keep": "exponential", "shrink": "rejected", "undecided": "muted"}
        color = colors[decision.verdict]
        expected = (max(decision.pvalue, 1e-16), color, shapes[decision.kind])
        assert found[decision.step] == expected


def test_a_search_s_p_has_its_own_level_under_it_over_what_it_saw_first() -> None:
    losses = 0.5 + 1.5 * np.exp(-np.arange(400) / 300)
    looks = replay(losses + 0.1 * np.random.default_rng(1).standard_normal(400), 0.05).decisions
    assert [d.verdict for d in looks[:2]] == ["undecided", "undecided"]
    levels, *_ = plots.mark_pvalues(plt.subplots()[1], looks)
    assert [path.vertices.tolist() for path in levels.get_paths()] == [
        [[d.start + d.seen, d.alpha], [d.step, d.alpha]] for d in looks if d.kind == "exponential"
    ]
    assert looks[1].alpha < looks[0].alpha < 0.05


def test_alpha_is_drawn_and_named_where_it_is(record: Record) -> None:
    ax = plots.plot_pvalues(record)
    assert list(line(ax, "ink").get_ydata()) == [0.05, 0.05]
    (name,) = ax.texts
    assert name.get_text() == "α = 0.05"
    assert name.xy == (1.0, 0.05)
    low, high = ax.get_ylim()
    assert ax.get_yscale() == "log"
    assert low < 1e-16
    assert high == 3


def test_the_staircase_falls_one_step_after_each_rejection(record: Record) -> None:
    ax = plots.plot_learning_rate(record)
    (stairs,) = ax.patches
    values, edges, _ = stairs.get_data()
    drawn = np.repeat(values, np.diff(edges).astype(int))
    np.testing.assert_array_equal(drawn, record.lrs)
    assert meaning(stairs.get_edgecolor()) == "rate"
    assert ax.get_yscale() == "log"
    assert ax.get_ylim() == pytest.approx((record.lrs.min() / 4, record.lrs.max() * 4))


def test_fits_lie_on_their_window(record: Record) -> None:
    ax = plt.subplots()[1]
    decay = record.decisions[2]
    straight, curve = plots.draw_fits(ax, decay.test, decay.start, label=True)
    np.testing.assert_array_equal(straight.get_xdata(), np.arange(4, 100))
    np.testing.assert_array_equal(straight.get_ydata(), decay.test.line.predict())
    np.testing.assert_array_equal(curve.get_ydata(), decay.test.exponential.predict())
    np.testing.assert_array_equal(curve.get_xdata(), straight.get_xdata())
    assert (meaning(straight.get_color()), meaning(curve.get_color())) == ("line", "exponential")
    assert (straight.get_label(), curve.get_label()) == ("straight line", "exponential")
    assert (straight.get_linestyle(), curve.get_linestyle()) == ("--", "-")
    fall = record.decisions[3]
    (only,) = plots.draw_fits(ax, fall.test, fall.start)
    assert only.get_linestyle() == "-"
    assert plots.draw_fits(ax, None, 0) == []


def test_the_signal_shows_losses_divergences_and_a_legend_that_names_them(record: Record) -> None:
    ax = plots.plot_signal(record)
    shown = line(ax, "loss").get_ydata()
    np.testing.assert_array_equal(shown[4:], record.losses[4:])
    assert np.isnan(shown[3])
    (crosses,) = lines(ax, "rejected")
    assert list(crosses.get_xdata()) == [1, 3]
    assert crosses.get_marker() == "X"
    assert legend(ax) == {
        "loss": "loss",
        "window kept η": "accepted",
        "window rejected η": "rejected",
        "too short to tell": "muted",
        "loss exploded": "rejected",
        "exponential fit": "exponential",
        "straight-line fit": "line",
    }
    assert len(lines(ax, "line")) == 4
    assert len(lines(ax, "exponential")) == 1


def test_what_exploded_does_not_set_the_scale_and_a_long_way_down_is_logarithmic() -> None:
    steps = np.arange(200.0)
    narrow = plots.plot_signal(replay(1.0 + np.exp(-steps / 9), 0.1))
    assert narrow.get_yscale() == "linear"
    wide = plots.plot_signal(replay(np.exp(-steps / 9), 0.1))
    assert wide.get_yscale() == "log"
    assert wide.get_ylim()[1] == pytest.approx(1.5)
    exploded = plots.plot_signal(replay([1.0, 1e9, *np.exp(-steps / 9)], 0.1))
    assert exploded.get_ylim()[1] == pytest.approx(30.0)
    nothing = plots.plot_signal(replay([1.0, 0.5], 0.1))
    assert legend(nothing) == {"loss": "loss"}


def test_very_many_losses_are_drawn_by_their_extremes() -> None:
    losses = np.random.default_rng(0).standard_normal(2 * plots.COLUMNS + 7)
    steps, drawn = plots.outline(losses, start=10)
    assert len(drawn) == 2 * plots.COLUMNS + 6
    np.testing.assert_array_equal(drawn.reshape(-1, 2), np.sort(losses[:-1].reshape(-1, 2)))
    np.testing.assert_array_equal(steps[:4], [10, 10, 12, 12])
    few = losses[:20]
    np.testing.assert_array_equal(plots.outline(few, 3), (3 + np.arange(20.0), few))


@pytest.mark.parametrize(
    ("place", "title"),
    [
        (0, "Divergence at step 1: shrink η"),
        (2, "Exponential decay?  p = "),
        (3, "Still decreasing?  p = "),
        (4, "Still decreasing?  p = "),
        (-1, "Still decreasing?  p = "),
    ],
)
def test_a_close_up_is_the_decision_s_window(record: Record, place: int, title: str) -> None:
    decision = record.decisions[place]
    ax = plots.plot_decision(decision, record.losses)
    shown = line(ax, "loss")
    np.testing.assert_array_equal(shown.get_xdata(), np.arange(decision.start, decision.step + 1))
    np.testing.assert_array_equal(
        shown.get_ydata(), record.losses[decision.start : decision.step + 1]
    )
    said = ax.get_title(loc="left")
    assert said.startswith(title[:25])
    words = {"keep": "keep η", "shrink": "shrink η", "undecided": "too short to tell"}
    assert said.endswith(words[decision.verdict])


def test_a_run_is_three_pictures_on_one_axis(record: Record) -> None:
    figure = plots.plot_run(record)
    top, middle, bottom = figure.axes
    assert top.get_title(loc="left") == "Training without a learning rate: η 0.2 → 0.00237"
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "", "training step"]
    assert bottom.get_xlim() == top.get_xlim() == (-0.5, len(record.losses) - 0.5)
    assert middle.get_ylabel() == "p-value"
    assert "loss" in top.get_ylabel()

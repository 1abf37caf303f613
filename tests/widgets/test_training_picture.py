"""The live picture of a run: what moves and what is settled is the run's own."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from exptest._judge import Judgement
from exptest.record import Decision, Verdict
from exptest.statistics import slope_test
from exptest.widgets.canvas import Canvas
from exptest.widgets.training_live import LiveWindow, finite
from exptest.widgets.training_picture import RunPicture
from exptest.widgets.training_run import FEWEST, Settings, WatchedRun
from exptest.widgets.training_words import status, table
from tests.plots.reading import line, lines, meaning

LINEAR = "linear regression, known spectrum"


def begun(steps: int, **settings: Any) -> WatchedRun:
    run = WatchedRun(Settings(task=LINEAR, **settings))
    for _ in range(steps):
        run.step()
    return run


def live(run: WatchedRun) -> LiveWindow:
    axes = Figure().subplots(3, 1)
    axes[1].set_ylim(1e-20, 1)
    return LiveWindow(tuple(axes), dense=False)


def test_the_open_window_moves_with_the_run() -> None:
    run = begun(20, batch_size=8)
    window = live(run)
    window.moved(run)
    assert run.tuner.window is not None
    assert list(window.losses.get_ydata()) == run.losses
    assert window.progress.get_x() == -0.5
    assert window.progress.get_width() == 20
    assert [list(end.get_xdata()) for end in window.ends] == [[run.tuner.window - 0.5] * 2] * 3
    assert list(window.rate.get_xdata()) == [0, 20]
    assert list(window.rate.get_ydata()) == [run.tuner.lr] * 2
    assert meaning(window.rate.get_color()) == "rate"
    while not run.decisions:
        run.step()
    for _ in range(5):
        run.step()
    window.moved(run)
    assert window.progress.get_x() == run.start - 0.5 > 0
    assert window.progress.get_width() == 5


@pytest.mark.parametrize(
    ("verdict", "color"), [("keep", "exponential"), ("shrink", "rejected"), ("undecided", "muted")]
)
def test_p_as_it_stands_has_the_colour_of_its_verdict(
    verdict: Verdict, color: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(20)
    test = slope_test(np.random.default_rng(0).standard_normal(20))
    monkeypatch.setattr(run, "provisional", lambda: Judgement(verdict, test, None, 0.05))
    window = live(run)
    moved = window.moved(run)
    assert window.p in moved
    assert meaning(window.p.get_color()) == color
    assert window.p.get_xydata()[0] == pytest.approx([19, test.pvalue])
    (fit,) = window.fits
    np.testing.assert_array_equal(fit.get_ydata(), test.line.predict())
    monkeypatch.setattr(run, "provisional", lambda: None)
    assert window.p not in window.moved(run)


def test_losses_are_joined_to_the_one_before_and_gaps_stay_open() -> None:
    run = begun(6)
    run.losses[4] = float("inf")
    losses, begin = finite(run, 3, 6)
    assert begin == 2
    np.testing.assert_array_equal(losses, [*run.losses[2:4], np.nan, run.losses[5]])
    assert finite(run, 0, 2)[1] == 0


def test_a_settled_window_is_painted_in_its_verdict_s_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = begun(0, batch_size=8, start=0.2)
    picture = RunPicture(Canvas(400, 300))
    painted: list[Any] = []

    def settle(decision: Any) -> None:
        """As `frame` does, without a redraw for a new kind of verdict."""
        monkeypatch.setattr(picture.canvas, "paint", painted.extend)
        picture._settle(run, [decision])

    picture.frame(run, None)
    while not run.decisions:
        run.step()
    decision = run.decisions[0]
    settle(decision := replace(decision, lr_after=decision.lr_before / 3))
    assert decision.test is not None
    shades, *_ = (part for part in painted if isinstance(part, PolyCollection))
    verdict = "accepted" if decision.accepted else "rejected"
    assert meaning(shades.get_facecolor()[0][:3]) == verdict
    marks = [part for part in painted if isinstance(part, PathCollection)]
    points = [tuple(point) for mark in marks for point in mark.get_offsets()]
    assert points == [(decision.step, max(decision.pvalue, 1e-16))]
    (rates,) = (
        part
        for part in painted
        if isinstance(part, Line2D) and part.get_drawstyle() == "steps-post"
    )
    assert list(rates.get_xdata()) == [0, decision.step + 1]
    assert list(rates.get_ydata()) == [decision.lr_before, decision.lr_after]
    assert picture._painted == 1
    painted.clear()
    settle(replace(decision, verdict="undecided"))
    drawn = [meaning(part.get_color()) for part in painted if isinstance(part, Line2D)]
    assert drawn == ["loss", "rate"]


def test_a_redrawn_run_has_its_prediction_and_the_earlier_run_under_it() -> None:
    run, earlier = begun(40), begun(60, seed=3).record()
    picture = RunPicture(Canvas(400, 300))
    picture.frame(run, earlier)
    signal, _, rates = picture.axes
    start, curve = run.predictions[0]
    shown = line(signal, "theory")
    assert shown.get_xdata()[0] == start == 0
    np.testing.assert_allclose(shown.get_ydata()[:40], curve[:40])
    behind = [each for each in lines(signal, "muted") if len(each.get_xdata()) == 60]
    np.testing.assert_array_equal(behind[0].get_ydata(), earlier.losses)
    dashed = [each for each in lines(rates, "muted") if each.get_linestyle() == "--"]
    np.testing.assert_array_equal(dashed[0].get_ydata(), earlier.lrs)
    names = [text.get_text() for text in signal.get_legend().get_texts()]
    assert {"loss", "exponential fit", "straight-line fit", "predicted"} <= set(names)
    assert signal.get_title(loc="left") == LINEAR


def test_a_run_that_leaves_its_axes_is_redrawn() -> None:
    run = begun(10)
    picture = RunPicture(Canvas(400, 300))
    picture.frame(run, None)
    assert not picture._outgrown(run, None)
    high = picture.axes[0].get_ylim()[1]
    run.losses.append(0.9 * high)
    assert not picture._outgrown(run, None)
    run.losses.append(1.1 * high)
    assert picture._outgrown(run, None)


def test_a_provisional_test_is_of_the_open_window_and_the_phase_s_kind() -> None:
    run = begun(FEWEST - 1, batch_size=8)
    assert run.provisional() is None
    run.step()
    first = run.provisional()
    assert first is not None
    assert first.kind == "exponential"
    assert first.test.line.n == FEWEST
    while not run.decisions:
        run.step()
    if run.tuner.phase == "tune":
        for _ in range(FEWEST):
            run.step()
        later = run.provisional()
        assert later is not None
        assert later.test == slope_test(np.array(run.losses[run.start : run.start + FEWEST]))


def test_status_and_table_say_where_the_run_is() -> None:
    run = begun(12, batch_size=8)
    said = status(run, limit=100)
    assert "<b>searching</b>" in said
    assert f"η = <b>{run.tuner.lr:.4g}</b>" in said
    assert "step 12 &nbsp;" in said
    assert f"window: 12 of {run.tuner.window}" in said
    assert "(the limit)" in status(run, limit=12)
    assert table(run) == ""
    while len(run.decisions) < 2:
        run.step()
    rows = table(run).split("<tr>")[2:]
    for row, decision in zip(rows, reversed(run.decisions), strict=True):
        cells = row.replace("</td>", "").split("<td>")[1:]
        verdict = "keep" if decision.accepted else "shrink"
        assert cells[:3] == [str(decision.step), str(decision.window), decision.kind]
        assert cells[4] == verdict
        assert cells[5].startswith(f"{decision.lr_after:.4g}")
    assert ("tuning" if run.tuner.phase == "tune" else "searching") in status(run, limit=100)
    assert f"window: {len(run.losses) - run.start} of" in status(run, limit=10**6)


def test_the_record_of_a_run_and_of_its_settled_windows() -> None:
    run = begun(0, batch_size=8, alpha=0.1, beta=0.4)
    while not run.decisions:
        run.step()
    for _ in range(5):
        run.step()
    whole, settled = run.record(), run.settled()
    assert whole.losses.tolist() == run.losses
    assert len(settled.losses) == run.start == run.decisions[0].step + 1
    assert settled.decisions == whole.decisions == tuple(run.decisions)
    assert (whole.alpha, whole.beta, whole.max_lr) == (0.1, 0.4, run.tuner.max_lr)


def test_an_undecided_window_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(40)
    lr = run.tuner.lr
    look = Decision(
        40, "exponential", "undecided", None, lr, lr, 31, 1.0, 1.0, 0.05, run.tuner.phase
    )
    step = SimpleNamespace(loss=torch.tensor(1.0), decision=look)
    monkeypatch.setattr(run.training, "step", lambda: step)
    assert run.step() is look
    assert (run.start, run.looks, run.judged) == (10, 1, 41)
    assert run.settled().losses.tolist() == run.losses
    assert len(run.predictions) == 1
    assert "<td>undecided</td>" in table(run)

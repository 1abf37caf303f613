"""A window that is too short to tell grows: what TrainingLab shows of it, and when it stops."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from exptest.record import Decision
from exptest.widgets import TrainingLab
from exptest.widgets.canvas import Canvas
from exptest.widgets.training_live import LiveWindow
from exptest.widgets.training_picture import RunPicture
from exptest.widgets.training_run import Settings, WatchedRun
from exptest.widgets.training_words import status
from tests.plots.reading import legend, meaning

LINEAR = "linear regression, known spectrum"


@pytest.fixture(scope="module")
def run() -> WatchedRun:
    """Two divergences, and a search that was too short to tell once."""
    run = WatchedRun(Settings(task=LINEAR, batch_size=4))
    while not run.decisions or run.decisions[-1].verdict != "undecided":
        run.step()
    for _ in range(9):
        run.step()
    return run


def test_a_look_is_painted_at_once_and_its_window_stays_open(run: WatchedRun) -> None:
    look = run.decisions[-1]
    picture = RunPicture(Canvas(400, 300))
    picture.frame(run, None)
    signal, pvalues, _ = picture.axes
    (shades,) = (part for part in signal.collections if isinstance(part, PolyCollection))
    assert meaning(np.asarray(shades.get_facecolor())[-1][:3]) == "muted"
    assert legend(signal)["too short to tell"] == "muted"
    marked = [tuple(p) for c in pvalues.collections[1:] for p in np.asarray(c.get_offsets())]
    assert marked == [(look.step, look.pvalue)]
    window: LiveWindow = picture._window
    assert window.progress.get_x() == run.judged - 0.5 == look.step + 0.5
    assert window.progress.get_width() == 9
    assert run.tuner.window == 2 * look.window
    assert run.start == look.start
    assert {np.asarray(end.get_xdata())[0] for end in window.ends} == {
        look.start + 2 * look.window - 0.5
    }
    assert window.fits[0].get_xdata()[0] == look.start
    assert len(window.fits[0].get_xdata()) > look.window


def test_the_status_says_that_a_window_has_grown(run: WatchedRun) -> None:
    planned = run.decisions[-1].window
    assert f"window: {planned + 9} of {2 * planned}, grown from {planned}" in status(run, 10**6)
    assert "grown" not in status(WatchedRun(Settings(task=LINEAR)), 10**6)


@pytest.mark.parametrize("later", [0, 1])
def test_a_provisional_verdict_is_the_tuner_s(later: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exptest.widgets.training_run.FEWEST", 124 * 2**later)
    run = WatchedRun(Settings(task=LINEAR, batch_size=4))
    tested = 0
    while tested <= later:
        decision = run.step()
        tested += decision is not None and decision.test is not None
    decision = run.decisions.pop()
    assert decision.window == 124 * 2**later
    monkeypatch.setattr(WatchedRun, "tuner", as_before(run, decision))
    judged = run.provisional()
    assert judged is not None
    assert (judged.verdict, judged.alpha) == (decision.verdict, decision.alpha)
    assert judged.test.pvalue == decision.pvalue
    assert judged.trend == decision.trend


def as_before(run: WatchedRun, decision: Decision) -> SimpleNamespace:
    """The tuner before that decision."""
    tuner = run.tuner
    known = {name: getattr(tuner, name) for name in ("alpha", "method", "period")}
    assert decision.trend is not None
    levels = (decision.trend.alpha, decision.trend.stop_alpha)
    return SimpleNamespace(window=decision.window, phase=decision.phase, levels=levels, **known)


def test_the_legend_lies_over_the_open_window(
    run: WatchedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = RunPicture(Canvas(400, 300))
    picture.frame(run, None)
    painted: list = []
    monkeypatch.setattr(picture.canvas, "paint", painted.extend)
    picture.frame(run, None)
    assert painted[-1] is picture.axes[0].get_legend()
    assert picture._window.progress in painted


@pytest.fixture
def lab() -> Iterator[TrainingLab]:
    panel = TrainingLab(task=LINEAR, speed="full speed")
    panel.join()
    yield panel
    panel.close()


def test_step_one_window_goes_on_while_the_window_grows(
    lab: TrainingLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = [None, "undecided", None, "undecided", None, "shrink", None, "keep"]
    coming = iter(verdicts)

    def step() -> SimpleNamespace | None:
        verdict = next(coming)
        return None if verdict is None else SimpleNamespace(verdict=verdict)

    monkeypatch.setattr(lab.run, "step", step)
    lab.advance(windows=1)
    assert [*coming] == verdicts[6:]

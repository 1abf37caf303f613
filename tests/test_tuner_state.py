"""A tuner's state holds everything that decides what comes next, whatever the settings."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptest.record import Record
from exptest.statistics import window_length
from exptest.tuner import Tuner

pytestmark = pytest.mark.usefixtures("as_users_do")

SETTINGS = st.fixed_dictionaries(
    {
        "max_lr": st.floats(0.05, 2.0),
        "alpha": st.floats(0.001, 0.4),
        "beta": st.floats(0.2, 0.8),
        "method": st.sampled_from(["paper", "calibrated"]),
        "min_lr": st.floats(1e-4, 1e-2),
        "min_window": st.integers(5, 20),
        "divergence_factor": st.floats(2.0, 40.0),
        "loss_floor": st.floats(-3.0, 0.0),
        "period": st.integers(1, 8),
    }
)


def curve(seed: int, steps: int = 260) -> list[float]:
    """A descent of single examples, with holes and an explosion."""
    draw = np.random.default_rng(seed)
    losses = 2 * np.exp(-np.arange(steps) / 40) * draw.standard_normal(steps) ** 2 + 0.02
    losses[draw.random(steps) < 0.05] = math.nan
    losses[150:160] = 1e6
    return losses.tolist()


def inside(tuner: Tuner) -> dict[str, Any]:
    known = vars(tuner)
    return {name: known[name] for name in known if name not in ("_losses", "_factors")}


@pytest.mark.claim("C7.13")
@given(SETTINGS, st.integers(0, 1000), st.integers(1, 259), st.sampled_from([None, 1.0, 1.7]))
def test_a_tuner_resumed_is_the_one_that_was_stopped(
    settings: dict[str, Any], seed: int, cut: int, path_ratio: float | None
) -> None:
    losses, whole = curve(seed), Tuner(**settings)
    for step, loss in enumerate(losses[:cut]):
        whole.observe(loss, path_ratio=path_ratio, factor=1 + step)
    state = whole.state_dict()
    kept = copy.deepcopy(state)
    resumed = Tuner.from_state_dict(state)
    assert inside(resumed) == inside(whole)
    held = len(whole._window.losses)
    for name in ("losses", "factors"):
        mine, theirs = (getattr(t.record, name)[cut - held :] for t in (resumed, whole))
        assert np.array_equal(mine, theirs, equal_nan=True)
    for loss in losses[cut:]:
        whole.observe(loss, path_ratio=path_ratio)
        resumed.observe(loss, path_ratio=path_ratio)
        assert inside(resumed) == inside(whole)
    assert repr(state) == repr(kept), "what was saved does not change afterwards"


def test_a_loss_below_its_floor_is_not_told_again_after_resuming() -> None:
    tuner = Tuner(0.5, min_window=8)
    assert [tuner.observe(0.5**t) for t in range(8)][-1]
    with pytest.warns(UserWarning, match="below loss_floor"):
        tuner.observe(-1.0)
    Tuner.from_state_dict(tuner.state_dict()).observe(-1.0)  # a warning would be an error


@pytest.mark.claim("C7.13")
@settings(max_examples=30)
@given(SETTINGS, st.integers(0, 1000), st.integers(1, 259), st.sampled_from([None, 1.0, 1.7]))
def test_losses_that_have_not_come_decide_nothing(
    settings: dict[str, Any], seed: int, cut: int, path_ratio: float | None
) -> None:
    here, there = Tuner(**settings), Tuner(**settings)
    for loss, other in zip(curve(seed), curve(seed)[:cut] + curve(seed + 1)[cut:], strict=True):
        here.observe(loss, path_ratio=path_ratio)
        there.observe(other, path_ratio=path_ratio)
    known = [[d for d in t.record.decisions if d.step < cut] for t in (here, there)]
    assert repr(known[0]) == repr(known[1])


def test_a_record_says_with_what_it_was_made() -> None:
    settings = {"max_lr": 0.3, "alpha": 0.2, "beta": 0.6, "method": "paper"}
    tuner = Tuner(**settings)
    for step, loss in enumerate((math.nan, 2.0, 1.5, math.nan)):
        tuner.observe(loss, factor=0.5 + step)
    record: Record = tuner.record
    assert {name: getattr(record, name) for name in settings} == settings
    assert record.losses[1:3].tolist() == [2.0, 1.5]
    assert record.factors is not None
    assert record.factors.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert (record.window, record.initial_loss, record.skipped) == (tuner.window, 2.0, 1)


def test_a_decision_says_what_it_was_taken_on() -> None:
    tuner, decision = Tuner(0.05, alpha=0.01, beta=0.4), None
    losses = iter([3.0, math.nan, *(3.0 * 0.9**t for t in range(300))])
    while decision is None:
        last = next(losses)
        decision = tuner.observe(last, path_ratio=lambda: 1.25)
    assert decision.accepted
    assert decision.path_ratio == 1.25
    assert (decision.loss, decision.alpha, decision.phase) == (last, 0.01 / 4, "search")
    assert (decision.skipped, decision.start, decision.step) == (1, 0, decision.window)
    assert (decision.lr_before, decision.lr_after) == (0.05, 0.05)
    assert decision.window == round(1.25 * window_length(3.0, 0.05))
    found = [d for loss in (*[1.0] * 8, *[1e9] * 8) if (d := tuner.observe(loss, path_ratio=1.0))]
    assert (found[0].phase, found[0].kind) == ("tune", "divergence")
    assert (found[0].lr_before, found[0].lr_after) == (0.05, pytest.approx(0.02))
    assert math.isnan(found[0].pvalue)
    assert not found[0].restarts
    assert "exploded to 1e+09" in found[0].reason
    assert "η 0.05 → 0.02" in found[0].reason

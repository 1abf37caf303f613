"""What losses are measured with: L₀, and what is harmless; one loss of a mini-batch is no scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptest.statistics import window_length
from exptest.tuner import MIN_WINDOW, Tuner


def test_mini_batches_diverge_when_eight_losses_in_a_row_are_too_high() -> None:
    tuner = Tuner(0.01)
    losses = [*[1.0] * 8, *[50.0] * 7, 2.0, *[50.0] * 7]
    assert [tuner.observe(loss, path_ratio=1.0) for loss in losses] == [None] * 23
    decision = tuner.observe(11.0, path_ratio=1.0)
    assert decision is not None
    assert (decision.kind, decision.window) == ("divergence", 24)


def test_a_loss_that_grows_tenfold_a_step_diverges_at_once_on_mini_batches_too() -> None:
    tuner = Tuner(0.01)
    steps = [tuner.observe(12.0**t, path_ratio=1.0) for t in range(10)]
    assert [d.kind for d in steps if d] == ["divergence"]


@given(st.floats(1e-9, 0.1), st.floats(-3.0, 3.0))
@pytest.mark.usefixtures("as_users_do")
def test_a_first_loss_that_is_tiny_by_chance_neither_diverges_nor_shortens_a_search(
    first: float, floor: float
) -> None:
    several = [floor + first, *[floor + 1 + 0.1 * i for i in range(7)]]
    expected = window_length(np.mean(several) - floor, 0.01)
    for method, path_ratio, length in (
        ("calibrated", 1.0, expected),
        ("calibrated", None, max(window_length(first, 0.01), MIN_WINDOW)),
        ("paper", 1.0, max(window_length(several[0] - floor, 0.01), 1)),
    ):
        tuner = Tuner(0.01, method=method, loss_floor=floor, divergence_factor=1e3)
        decisions = [
            tuner.observe(loss, path_ratio=path_ratio)
            for loss in (*several, *[floor + 1.0] * expected)
        ]
        decision = next(d for d in decisions if d)
        if path_ratio is not None or first > 1e-3:  # one loss of a full batch is its scale
            assert (decision.kind, decision.window) == ("exponential", length)


def test_each_window_of_a_search_is_planned_by_its_own_losses_and_tuning_by_the_last() -> None:
    tuner, windows = Tuner(0.02, beta=0.5), []
    for height in (3.0, 2.0, 0.5):
        losses = iter([height] * 1000)
        if height == 2.0:  # the middle one decays, and is accepted, but for one high loss
            losses = iter(height * 0.99 ** max(t - 8, 0) + 0.1 * (t == 9) for t in range(1000))
        first = [1.0] if height == 3.0 else []
        decision = None
        while decision is None or decision.verdict == "undecided":
            loss = first.pop() if first else next(losses)
            decision = tuner.observe(loss, path_ratio=1.0)
        assert decision.trend is not None
        windows.append((decision.phase, decision.trend.horizon, decision.accepted))
    assert windows == [
        ("search", window_length((1 + 7 * 3) / 8, 0.02), False),
        ("search", window_length(2.0, 0.01), True),
        ("tune", window_length(2.0, 0.01), False),
    ]


@pytest.mark.parametrize("floor", [0.0, -5.0])
def test_what_an_accepted_window_held_is_no_divergence(floor: float) -> None:
    tuner = Tuner(1.0, loss_floor=floor)
    decay = [8.0, *(9.0 * 0.85**t for t in range(31))]
    decision = [tuner.observe(floor + height, path_ratio=1.0) for height in decay][-1]
    assert decision is not None
    assert decision.accepted
    later = (*[0.01] * 8, *[85.0] * 19)
    assert [tuner.observe(floor + height, path_ratio=1.0) for height in later] == [None] * 27


def test_what_was_harmless_once_stays_so_though_lower_windows_are_accepted() -> None:
    tuner = Tuner(10.0)
    losses = [*[10.0] * MIN_WINDOW, *(0.8**t for t in range(MIN_WINDOW))]
    assert [d.accepted for loss in losses if (d := tuner.observe(loss))] == [False, True]
    assert [tuner.observe(loss) for loss in (0.001, 99.0)] == [None, None]
    decision = tuner.observe(101.0)
    assert decision is not None
    assert decision.kind == "divergence"


def test_weights_left_at_a_high_loss_are_given_the_time_to_come_down() -> None:
    tuner = Tuner(0.01)
    exploded = [1.0, 50.0]
    recovery = [50.0 * 0.9**t for t in range(60)]
    kinds = [d.kind for loss in exploded + recovery if (d := tuner.observe(loss))]
    assert kinds == ["divergence"]
    assert tuner.observe(501.0) is not None

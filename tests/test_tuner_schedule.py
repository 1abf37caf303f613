"""What the rule for the window makes of rejections: how windows lengthen, how rates fall."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptest.linearized import LossModel
from exptest.record import Decision
from exptest.recorded import replay
from exptest.statistics import PathRatio, window_length
from exptest.tuner import Tuner

pytestmark = pytest.mark.usefixtures("as_users_do")
D = 2 * math.sqrt(2) / math.e  # of a first loss of 1


def rejections(
    tuner: Tuner, steps: int, path_ratio: Callable[[], float] | None = None, scale: float = 1.0
) -> list[Decision]:
    """Show losses that rise, which every test of three or more rejects at its first look."""
    rising = (scale * (1 + 1e-9 * t) for t in range(steps))
    decisions = [d for loss in rising if (d := tuner.observe(loss, path_ratio=path_ratio))]
    assert all(decision.rejected for decision in decisions)
    return decisions


@pytest.mark.claim("C7.2")
@given(st.floats(0.05, 20.0), st.floats(1e-4, 1.0), st.floats(0.05, 0.9))
def test_windows_lengthen_as_one_over_the_rate(
    initial_loss: float, max_lr: float, beta: float
) -> None:
    tuner, span = Tuner(max_lr, beta=beta, min_window=3), D * initial_loss
    first = window_length(initial_loss, max_lr)
    for loss in (initial_loss, *[math.nan] * 6):  # each nan rejects at once
        tuner.observe(loss)
        r = len(tuner.record.decisions)
        if span / max_lr > 2.5:  # else the first windows hold three losses, the fewest
            assert tuner.window is not None
            assert abs(tuner.window - span / tuner.lr) <= 0.5 + 1e-9 * tuner.window
            assert abs(tuner.window * beta**r - first) <= 0.5 * (1 + beta**r) + 1e-9 * first
    assert tuner.lr == pytest.approx(max_lr * beta**r)


@pytest.mark.claim("C7.4")
@given(st.floats(0.05, 20.0), st.floats(0.01, 50.0), st.floats(0.1, 0.9), st.integers(3, 40))
def test_the_whole_search_costs_little_more_than_its_last_window(
    initial_loss: float, max_lr: float, beta: float, min_window: int
) -> None:
    tuner = Tuner(max_lr, beta=beta, min_window=min_window)
    shorter = 0
    for r, decision in enumerate(rejections(tuner, 2000, scale=initial_loss)):
        wished = D * initial_loss / decision.lr_before
        shorter += wished < min_window
        steps = decision.step + 1
        least = (1 - beta ** (r + 1 - shorter)) / (1 - beta) * wished
        assert steps <= shorter * min_window + least + (r + 1) / 2 + 1e-6
        assert steps >= shorter * min_window + least - (r + 1) / 2 - 1e-6


@pytest.mark.claim("C7.5")
@pytest.mark.parametrize("beta", [0.33, 0.5, 0.8])
def test_rejecting_every_window_makes_a_robbins_monro_schedule(beta: float) -> None:
    record = replay(1.0 + 1e-9 * np.arange(100_000), 0.25, beta=beta, min_window=3)
    ends = record.decisions
    assert all(d.rejected for d in ends)
    assert len(ends) >= 9
    for r, end in enumerate(ends):
        steps = end.step + 1
        exact = D * (1 - beta ** (r + 1)) / (1 - beta)
        assert end.lr_before * steps == pytest.approx(exact, abs=(r + 1) / 2 * end.lr_before)
        used = record.lrs[:steps]
        assert used.sum() == pytest.approx(D * (r + 1), abs=0.5 / (1 - beta))
        assert (used**2).sum() <= (D * 0.25 + 0.5 * 0.25**2) / (1 - beta)


@pytest.mark.claim("C7.12")
@pytest.mark.parametrize("beta", [0.33, 0.5, 0.8])
@pytest.mark.parametrize("ω", [0.25, 0.5])
def test_noise_makes_the_schedule_fall_more_slowly(beta: float, ω: float) -> None:
    tuner = Tuner(0.1, beta=beta, min_window=1)
    ends = rejections(tuner, 100_000, lambda: (D / tuner.lr) ** ω)
    assert len(ends) >= 5
    for r, end in enumerate(ends):
        steps = np.array([(D / d.lr_before) ** (1 + ω) for d in ends[: r + 1]])
        rates = np.array([d.lr_before for d in ends[: r + 1]])
        # each window is rounded twice, its planned length by ½ at most
        off = 0.5 * (rates / D) ** -ω + 0.5
        assert abs(end.step + 1 - steps.sum()) <= off.sum()
    last, q = ends[-1], beta ** (1 + ω)
    law = D * ((1 - q ** len(ends)) / ((1 - q) * (last.step + 1))) ** (1 / (1 + ω))
    assert last.lr_before == pytest.approx(law, rel=0.02)


@pytest.mark.claim("C7.16")
@pytest.mark.parametrize("beta", [0.33, 0.5, 0.8])
def test_on_one_mode_the_search_finds_the_critical_rate_within_beta(beta: float) -> None:
    draw = np.random.default_rng(0)
    for power, height, above in draw.uniform([-2, -2, 0], [2, 1, 4], (20, 3)):
        model = LossModel.from_kernel([[10**power]], [math.sqrt(2 * 10**height)])
        critical = model.critical_learning_rate
        tuner = Tuner(10**above * critical, beta=beta)
        while tuner.phase == "search":
            curve, decision = iter(model.gradient_descent(tuner.lr, 4000)), None
            while decision is None or decision.verdict == "undecided":
                decision = tuner.observe(float(next(curve)))
        assert beta * critical <= tuner.lr < critical


@pytest.mark.claim("C7.12")
def test_gradients_of_noise_alone_have_a_path_ratio_of_root_n() -> None:
    draw = np.random.default_rng(0)
    for n in (64, 400):
        squares = []
        for _ in range(100):
            path = PathRatio()
            for gradient in draw.standard_normal((n, 20)) / math.sqrt(20):
                path.update(gradient)
            squares.append(n * path.value**-2)
        # E ‖Σg‖² = n E‖g‖², and Σ‖g‖ is n times its mean but for noise of order 1/√n
        assert np.mean(squares) == pytest.approx(1.0, abs=0.1)

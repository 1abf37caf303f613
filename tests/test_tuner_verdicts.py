"""Keep on evidence, shrink on evidence, else watch on: the burden of proof lies on both sides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exptest.optim import ExpTest
from exptest.optim.loss_stream import LossStream
from exptest.record import Record
from exptest.recorded import replay
from exptest.statistics import slope_test
from exptest.tuner import MIN_WINDOW, Tuner

pytestmark = pytest.mark.usefixtures("as_users_do")


def tuned(losses: np.ndarray, **settings: Any) -> Record:
    """The record of a tuner that has its rate already; windows hold 32 losses."""
    tuner = Tuner(50.0, beta=0.9, **settings)
    tuner.observe(losses[0])
    tuner.phase = "tune"
    for loss in losses[1:]:
        tuner.observe(loss)
    return tuner.record


def noise(n: int, seed: int) -> np.ndarray:
    return 0.05 * np.random.default_rng(seed).standard_normal(n)


@pytest.mark.claim("C7.18")
@given(st.integers(0, 10_000), st.floats(0.0, 0.1))
def test_a_window_is_decided_once_its_noise_is_small_enough(seed: int, fall: float) -> None:
    n = 8 * MIN_WINDOW
    record = tuned(10 - fall * np.arange(n) / MIN_WINDOW + noise(n, seed))
    looks = 0
    for d in record.decisions:
        assert d.window == MIN_WINDOW * 2**looks
        looks = looks + 1 if d.verdict == "undecided" else 0
        trend = d.trend
        assert trend is not None
        assert trend.slope.noise is not None
        quantile, error = trend.slope.noise.quantile, trend.slope.error * MIN_WINDOW
        told = (quantile(1 - trend.alpha) + quantile(1 - trend.stop_alpha)) * error
        if told < trend.worth:
            assert d.verdict != "undecided"


@pytest.mark.claim("C7.19")
def test_a_run_that_falls_throughout_is_shrunk_once_in_twenty_at_most() -> None:
    runs, shrunk, n = 50, 0, 16 * MIN_WINDOW
    for seed in range(runs):
        record = tuned(10 - 0.05 * np.arange(n) / MIN_WINDOW + noise(n, seed))
        shrunk += any(d.rejected for d in record.decisions)
    assert stats.binomtest(shrunk, runs, 0.05, alternative="greater").pvalue > 0.001


def test_a_flat_loss_is_shrunk_within_four_windows() -> None:
    runs = [tuned(1 + noise(4 * MIN_WINDOW, seed)) for seed in range(50)]
    assert sum(any(d.rejected for d in run.decisions) for run in runs) >= 45


@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.1])
def test_a_decay_of_which_the_first_window_holds_too_little_is_found_in_a_longer_one(
    sigma: float,
) -> None:
    """2e^(−t/120) + 0.3 has fallen by a quarter in 32 steps: nobody can tell it from a line."""
    decay = 0.3 + 2 * np.exp(-np.arange(300) / 120)
    for seed in range(5):
        found = replay(decay + sigma * noise(300, seed) / 0.05, 0.1).found
        assert found is not None
        assert found.lr_after == 0.1
        assert (found.window > MIN_WINDOW) == (sigma > 0)


def test_a_search_goes_on_watching_a_straight_descent() -> None:
    record = replay(10 - 0.01 * np.arange(500) + noise(500, 0), 50.0)
    assert {d.verdict for d in record.decisions} == {"undecided"}
    assert [d.window for d in record.decisions] == [32, 64, 128, 256]
    assert "they fall by" in record.decisions[-1].reason


def test_in_a_search_a_fall_too_small_to_be_worth_it_does_not_keep_a_rate() -> None:
    losses = 1 - 0.0004 * np.arange(4 * MIN_WINDOW) + noise(4 * MIN_WINDOW, 0)
    assert slope_test(losses).pvalue < 0.05
    assert any(d.rejected for d in replay(losses, 50.0).decisions)


def test_paper_mode_knows_two_verdicts() -> None:
    record = replay(1 + np.abs(noise(500, 0)), 0.05, method="paper")
    assert {d.verdict for d in record.decisions} <= {"keep", "shrink"}
    assert {d.trend for d in record.decisions} == {None}


def test_an_undecided_window_changes_nothing_and_a_later_rejection_goes_back_before_it() -> None:
    """Losses that are not the weights' own: a search that is undecided once, then rejected."""
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    sgd, gone_back = torch.optim.SGD([weight], lr=1.0), []
    exptest = ExpTest(sgd, max_lr=0.1, min_window=8, on_restart=gone_back.append)
    told, here = np.full(200, 1.0) + noise(200, 3), []
    for step, loss in enumerate(told):
        sgd.zero_grad()
        (0.1 * weight).sum().backward()
        before = weight.item()
        sgd.step()
        here.append(weight.item())
        decision = exptest.step(float(loss))
        if decision is None:
            continue
        if decision.verdict == "undecided":
            assert weight.item() == here[-1] == pytest.approx(before - 0.01)
            assert (exptest.get_last_lr(), gone_back) == ([0.1], [])
            assert exptest.tuner.window == 2 * (step + 1)
        else:
            break
    assert decision is not None
    assert decision.restarts
    assert decision.seen > 0
    assert gone_back == [decision]
    assert weight.item() == 3.0


@pytest.mark.parametrize("method", ["paper", "calibrated"])
def test_windows_that_hold_too_few_losses_to_test(method: str) -> None:
    """The paper's machine rejects them; two losses say nothing, so that the other one waits."""
    tuner = Tuner(1.0, method=method, min_window=2)
    decision = [tuner.observe(loss) for loss in (1.0, 1.1)][-1]
    assert decision is not None
    assert decision.verdict == ("shrink" if method == "paper" else "undecided")
    assert not math.isnan(decision.pvalue)


def test_what_an_undecided_window_held_is_not_harmless() -> None:
    losses = 1 + noise(MIN_WINDOW + 1, 0)
    losses[[0, 16, MIN_WINDOW]] = 1.0, 5.0, 20.0
    found = [(d.kind, d.verdict) for d in tuned(losses).decisions]
    assert found == [("slope", "undecided"), ("divergence", "shrink")]


def test_a_skipped_loss_was_seen_by_the_look_after_it() -> None:
    losses, tuner = 1 + noise(100, 0), Tuner(50.0)
    losses[5] = math.nan
    first, second = [d for x in losses if (d := tuner.observe(x, path_ratio=1.0))][:2]
    assert (first.verdict, first.start, first.step, first.seen) == ("undecided", 0, 32, 0)
    assert (second.start, second.seen, second.window) == (0, 33, 64)


def test_an_undecided_look_drops_no_loss_that_came_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_threes(stream: LossStream, *, wait: bool) -> list[float]:
        ready = stream._ready if len(stream._ready) == 3 else []
        stream._ready = stream._ready[len(ready) :]
        return ready

    monkeypatch.setattr(LossStream, "arrived", in_threes)
    sgd, told = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0), 1 + noise(9, 3)
    exptest = ExpTest(sgd, max_lr=1.0, min_window=8, path_correction=False)
    made = []
    for loss in told:
        sgd.step()
        made.append(exptest.step(float(loss)))
    assert made[:8] == [None] * 8
    assert (made[8].verdict, made[8].step) == ("undecided", 7)
    assert exptest.record.losses.tolist() == told.tolist()


def test_a_window_that_a_divergence_ends_spends_nothing() -> None:
    tuner = Tuner(1.0)
    first = tuner.levels
    assert [tuner.observe(loss) is None for loss in (1.0, 1e3, 1.0)] == [True, False, True]
    assert tuner.levels == first == (0.05, 0.05 / 4)

"""What the tuner makes of losses that are no healthy training: NaN, negative, too few."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from exptest.optim import ExpTest
from exptest.record import Record
from exptest.recorded import replay
from exptest.statistics import window_length
from exptest.tuner import MIN_WINDOW, PERSISTENCE, Tuner

pytestmark = pytest.mark.usefixtures("as_users_do")


def falling(n: int, floor: float = 0.5) -> list[float]:
    noise = np.random.default_rng(0).standard_normal(n)
    return (floor + 2.0 * np.exp(-np.arange(n) / 25) + 0.02 * noise).tolist()


def verdicts(record: Record) -> list[tuple]:
    return [(d.step, d.kind, d.accepted, d.lr_after) for d in record.decisions]


# -- losses that are not finite ------------------------------------------------------------


@pytest.mark.claim("C7.17")
@pytest.mark.parametrize("seed", range(5))
def test_bad_losses_of_mini_batches_take_no_place_and_reject_nothing(seed: int) -> None:
    clean, draw = falling(400), np.random.default_rng(seed)
    holes = draw.integers(0, 8, 200)
    bad = [draw.choice([math.nan, math.inf, -math.inf], count).tolist() for count in holes]
    both = zip(clean, [*bad, *[[]] * 200], strict=True)
    holed = [value for loss, some in both for value in (*some, loss)]
    whole, record = (replay(losses, 0.05, path_ratio=1.5) for losses in (clean, holed))
    seen, expected = (
        [(d.kind, d.accepted, d.window, d.lr_after, d.pvalue) for d in r.decisions]
        for r in (record, whole)
    )
    assert seen == expected
    assert len(seen) >= 2
    at = np.cumsum(np.isfinite(holed))
    assert [at[d.step] - 1 for d in record.decisions] == [d.step for d in whole.decisions]
    assert record.skipped == sum(holes)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_loss_of_a_mini_batch_takes_no_place_and_rejects_nothing(bad: float) -> None:
    clean = falling(400)
    holed = [*clean[:10], bad, *clean[10:20], bad, *clean[20:]]
    whole, record = (replay(losses, 0.05, path_ratio=1.5) for losses in (clean, holed))
    assert [(d.accepted, d.window, d.pvalue) for d in record.decisions] == [
        (d.accepted, d.window, d.pvalue) for d in whole.decisions
    ]
    assert [d.step - 2 for d in record.decisions] == [d.step for d in whole.decisions]
    assert (record.decisions[0].skipped, record.decisions[0].start) == (2, 0)
    assert record.skipped == 2
    assert "2 non-finite losses skipped" in str(record)


def test_seven_bad_losses_in_a_row_are_borne_and_the_eighth_rejects() -> None:
    tuner = Tuner(0.01)
    for loss in (1.0, *[math.nan] * 7, 0.9, *[math.nan] * 7):
        assert tuner.observe(loss, path_ratio=1.0) is None
    decision = tuner.observe(math.nan, path_ratio=1.0)
    assert decision is not None
    assert (decision.kind, decision.lr_after) == ("divergence", pytest.approx(0.0033))
    assert PERSISTENCE == 8


def test_broken_weights_reject_at_the_first_bad_loss_and_healthy_ones_do_not() -> None:
    healthy, broken = Tuner(0.01), Tuner(0.01)
    for tuner in (healthy, broken):
        tuner.observe(1.0, path_ratio=1.0)
    assert healthy.observe(math.nan, path_ratio=1.0, broken=lambda: False) is None
    assert broken.observe(math.nan, path_ratio=1.0, broken=lambda: True) is not None


def test_weights_are_looked_at_only_when_a_loss_is_not_finite() -> None:
    asked: list[int] = []
    tuner = Tuner(0.01)
    for loss in (1.0, 0.9, math.nan, 0.8):
        tuner.observe(loss, path_ratio=1.0, broken=lambda: bool(asked.append(1)))
    assert len(asked) == 1


def test_a_full_batch_rejects_at_its_first_bad_loss() -> None:
    tuner = Tuner(0.01)
    tuner.observe(1.0)
    assert tuner.observe(math.nan) is not None


def test_weights_that_nothing_restores_are_an_error() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    exptest = ExpTest(optimizer, max_lr=0.1, restart=None)
    weight.grad = torch.full((2,), math.nan)
    optimizer.step()
    with pytest.raises(RuntimeError, match="weights are not finite, and nothing restores them"):
        exptest.step(math.nan)


# -- losses below zero ---------------------------------------------------------------------


@pytest.mark.claim("C7.11")
@pytest.mark.parametrize("shift", [-64.0, -2.0, 32.0])
def test_the_origin_of_the_loss_does_not_matter_once_its_floor_is_known(shift: float) -> None:
    losses = falling(700, floor=0.0)
    lowest = min(losses)
    losses[0] = lowest + 0.25
    plain = replay(losses, 0.05, loss_floor=lowest, path_ratio=1.0)
    moved = replay([x + shift for x in losses], 0.05, loss_floor=lowest + shift, path_ratio=1.0)
    assert verdicts(moved) == verdicts(plain)
    assert [d.pvalue for d in moved.decisions] == pytest.approx(
        [d.pvalue for d in plain.decisions], rel=1e-6, abs=1e-12
    )
    assert len(plain.decisions) >= 3


@pytest.mark.parametrize("losses", [[-1.0], [0.3, 0.2, -0.1], [0.2, -0.3]])
def test_a_loss_below_its_floor_is_refused_whichever_sample_comes_first(
    losses: list[float],
) -> None:
    tuner = Tuner(0.1)
    for loss in losses[:-1]:
        tuner.observe(loss, path_ratio=1.0)
    with pytest.raises(ValueError, match=r"below loss_floor = 0, .*; pass loss_floor=\.\.\."):
        tuner.observe(losses[-1], path_ratio=1.0)
    assert len(tuner.record.losses) == len(losses) - 1


def test_a_loss_that_falls_below_its_floor_late_is_said_once_and_goes_on() -> None:
    tuner = Tuner(0.05)
    for loss in falling(MIN_WINDOW + 200):
        tuner.observe(loss, path_ratio=1.0)
    assert tuner.record.decisions
    with pytest.warns(UserWarning, match="the loss is -3, below loss_floor = 0"):
        tuner.observe(-3.0, path_ratio=1.0)
    assert tuner.observe(-3.0, path_ratio=1.0) is None  # a second warning would be an error


def test_rounding_below_the_floor_is_borne_up_to_a_millionth_of_the_start() -> None:
    tuner = Tuner(0.1)
    assert [tuner.observe(loss) for loss in (2.0, -1.9e-6)] == [None, None]
    with pytest.raises(ValueError, match="below loss_floor"):
        tuner.observe(-2.1e-6)


@pytest.mark.parametrize("ratio", [math.inf, math.nan])
def test_a_path_ratio_that_overflowed_changes_nothing(ratio: float) -> None:
    tuner = Tuner(0.01)
    made = [tuner.observe(loss, path_ratio=ratio) for loss in falling(400)]
    decision = next(d for d in made if d)
    assert decision.window == window_length(tuner.initial_loss, 0.01)
    assert decision.path_ratio == 1.0


def test_the_path_ratio_is_asked_for_once_a_window_before_its_last_loss() -> None:
    tuner, asked = Tuner(0.01), []
    for step, loss in enumerate(falling(300)):
        tuner.observe(loss, path_ratio=lambda step=step: asked.append(step) or 1.0)
    windows = [d.window for d in tuner.record.decisions]
    assert asked[: len(windows)] == [end - 2 for end in np.cumsum(windows)]


def test_a_refused_first_loss_leaves_the_weights_where_they_began() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    exptest = ExpTest(optimizer, max_lr=0.1)
    weight.grad = torch.ones(2)
    optimizer.step()
    with pytest.raises(ValueError, match="below loss_floor"):
        exptest.step(-2.0)
    assert weight.tolist() == [1.0, 1.0]


# -- silence -------------------------------------------------------------------------------


def test_a_run_without_a_decision_says_how_much_was_missing() -> None:
    record = replay(falling(50), 1e-3)
    window = Tuner(1e-3)
    window.observe(falling(1)[0])
    for text in (record.table(), record.summary(), str(record)):
        assert f"the first window holds {window.window} losses" in text
        assert "50 have come; raise max_lr" in text
    holed = replay([*falling(25), math.nan, *falling(25)], 1e-3, path_ratio=1.0)
    assert "50 have come; raise max_lr" in holed.table()
    assert "none of the 3 losses is finite and above the floor" in replay([0.0] * 3, 0.1).table()


def test_the_next_decision_is_announced() -> None:
    tuner = Tuner(0.05)
    assert tuner.next_decision_in is None
    made = 0
    for loss in falling(600):
        ahead = tuner.next_decision_in
        decision = tuner.observe(loss)
        if ahead is not None:
            assert (ahead == 1) == (decision is not None)
            made += decision is not None
    assert made >= 3


# -- what a long run costs -----------------------------------------------------------------


def test_reading_the_record_copies_no_loss() -> None:
    tuner = Tuner(1e-6)
    for loss in falling(3000):
        tuner.observe(loss)
    first, second = tuner.record, tuner.record
    assert np.shares_memory(first.losses, second.losses)
    assert first.decisions is second.decisions
    with pytest.raises(ValueError, match="read-only"):
        first.losses[0] = 1.0


def test_what_was_read_stays_as_it_was() -> None:
    tuner = Tuner(0.05)
    for loss in falling(500):
        tuner.observe(loss)
    early = tuner.record
    before = early.losses.tolist()
    for loss in falling(5000):
        tuner.observe(loss)
    assert early.losses.tolist() == before


def test_a_state_does_not_grow_with_the_losses(tmp_path: Path) -> None:
    sizes = []
    for steps in (2_000, 40_000):
        tuner = Tuner(0.05, min_window=500)
        for loss in np.abs(1 + 0.1 * np.random.default_rng(0).standard_normal(steps)):
            tuner.observe(loss)
        state = tuner.state_dict()
        assert len(state["window"]["losses"]) == tuner.filled
        state["window"]["losses"], made = [], len(state["decisions"])
        state["factors"] = []
        sizes.append(len(pickle.dumps(state)) / (made + 1))
    assert sizes[1] < 2 * sizes[0]


def test_a_resumed_record_says_that_it_does_not_know_the_earlier_losses() -> None:
    losses = falling(300)
    tuner = Tuner(0.05)
    for loss in losses:
        tuner.observe(loss)
    resumed = Tuner.from_state_dict(tuner.state_dict())
    record, held = resumed.record, resumed.filled
    assert record.decisions == tuner.record.decisions
    assert held > 0
    assert record.losses[-held:].tolist() == losses[-held:]
    assert np.isnan(record.losses[:-held]).all()
    assert len(record.losses) == 300
    assert record.skipped == 0


# -- a schedule beside it ------------------------------------------------------------------


def test_recorded_rates_carry_the_schedules_factor() -> None:
    tuner = Tuner(0.05)
    factors = np.linspace(0.1, 1.0, 300)
    for loss, factor in zip(falling(300), factors, strict=True):
        tuner.observe(loss, factor=factor)
    plain = replay(falling(300), 0.05)
    assert np.array_equal(tuner.record.lrs, plain.lrs * factors)

"""Schedulers: beside ExpTest they are an error, handed over they multiply its rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from exptest.optim import ExpTest
from tests.optim.bases import Training, base

pytestmark = [
    pytest.mark.usefixtures("as_users_do"),
    # torch's SequentialLR calls its parts as older versions of torch themselves advise against.
    pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning"),
]

SCHEDULES: dict[str, Any] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 50),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, [0.25, 0.5], total_steps=900),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, [0.1, 0.2], [0.5, 1.0], step_size_up=9),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=20),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.97),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.ExponentialLR(o, 0.9)],
        milestones=[5],
    ),
}


def training() -> Training:
    return Training(base("SGD momentum"), rate=1.0, ratios=(0.5, 1.0))


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_scheduler_beside_is_named_with_its_group_and_both_rates(name: str) -> None:
    run = training()
    exptest = ExpTest(run.optimizer, max_lr=0.02, path_correction=False)
    beside = SCHEDULES[name](run.optimizer)

    def train() -> None:
        for number in range(30):
            loss = run.update(number)
            beside.step()
            exptest.step(loss)

    named = r"parameter group 0 is [\d.e-]+, but ExpTest has set 0\.01: .* schedule="
    with pytest.raises(RuntimeError, match=named):
        train()
    assert exptest.record.lrs.tolist() == [0.02] * len(exptest.record.losses)


def test_a_plateau_beside_is_named_when_it_writes() -> None:
    run = training()
    exptest = ExpTest(run.optimizer, max_lr=0.02)
    beside = lr_scheduler.ReduceLROnPlateau(run.optimizer, factor=0.1, patience=2)
    for number in range(3):
        exptest.step(run.update(number))
        beside.step(1.0)
    loss = run.update(3)
    beside.step(1.0)
    with pytest.raises(RuntimeError, match=r"group 0 is 0\.001, but ExpTest has set 0\.01"):
        exptest.step(loss)


def test_a_trainers_constant_rate_is_named() -> None:
    """A scheduler that writes its own base again and again, as a Trainer's "constant" does."""
    run = training()
    exptest = ExpTest(run.optimizer, max_lr=0.5)
    other = lr_scheduler.LambdaLR(run.optimizer, lambda _: 1.0)
    other.base_lrs = [0.01, 0.01]
    exptest.step(run.update(0))
    other.step()
    with pytest.raises(RuntimeError, match=r"group 0 is 0\.01, but ExpTest has set 0\.25"):
        run.update(1)


def test_a_checkpoint_of_the_optimizer_alone_is_another_writer() -> None:
    run = training()
    exptest = ExpTest(run.optimizer, max_lr=0.5)
    state = run.optimizer.state_dict()
    state["param_groups"][1]["lr"] = 0.125
    run.optimizer.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"group 1 is 0\.125, but ExpTest has set 0\.5"):
        exptest.step(run.update(0))


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_multiplies_the_rate_and_starts_again_with_it(name: str) -> None:
    run = training()
    exptest = ExpTest(
        run.optimizer, max_lr=0.02, min_window=8, schedule=SCHEDULES[name](run.optimizer)
    )
    used, decisions = [], []
    for number in range(60):
        used.append([group["lr"] for group in run.optimizer.param_groups])
        run.update(number)
        decisions += filter(None, [exptest.step(0.2 + 0.001 * number)])
    record = exptest.record
    assert [rate for _, rate in used] == record.lrs.tolist()
    np.testing.assert_allclose([small / large for small, large in used], 0.5, rtol=1e-12)
    restarted = decisions[0].step + 1
    assert decisions[0].restarts
    factors = record.factors
    assert factors is not None
    assert factors.max() <= 1 + 1e-12
    assert len(set(factors.tolist())) > 5
    assert factors[restarted : restarted + 9].tolist() == factors[:9].tolist()


def test_a_schedule_goes_on_at_updates_and_not_at_the_losses_between() -> None:
    run = training()
    exptest = ExpTest(
        run.optimizer, max_lr=0.02, schedule=SCHEDULES["ExponentialLR"](run.optimizer)
    )
    for number in range(15):
        loss = run.loss(number)
        loss.backward()
        if number % 3 == 2:
            run.optimizer.step()
        exptest.step(loss)
    assert exptest.record.factors == pytest.approx(0.97 ** np.arange(5))


def test_a_divergence_while_tuning_does_not_begin_the_schedule_again() -> None:
    run, decisions = training(), []
    schedule = SCHEDULES["ExponentialLR"](run.optimizer)
    exptest = ExpTest(
        run.optimizer, max_lr=0.02, min_window=8, path_correction=False, schedule=schedule
    )
    for number, loss in enumerate([*(0.1 * 0.8**t for t in range(10)), float("nan"), 0.1, 0.1]):
        run.update(number)
        decisions.append(exptest.step(loss))
    assert decisions[10].kind == "divergence"
    assert not decisions[10].restarts
    assert exptest.record.factors == pytest.approx(0.97 ** np.arange(13))


def test_each_group_has_its_own_factor_and_the_record_that_of_the_largest() -> None:
    run = Training(base("SGD"), rate=1.0, ratios=(0.0, 0.5, 1.0))
    factors = [lambda step: 1.0, lambda step: 0.5**step, lambda step: 0.8**step]
    schedule = lr_scheduler.LambdaLR(run.optimizer, factors)
    exptest = ExpTest(run.optimizer, max_lr=0.02, schedule=schedule)
    for number in range(2):
        exptest.step(run.update(number))
    assert exptest.get_last_lr() == pytest.approx([0.0, 0.01 * 0.25, 0.02 * 0.64])
    assert exptest.record.factors == pytest.approx(np.array([1.0, 0.8]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lr_scheduler.ReduceLROnPlateau, TypeError, "needs no metric, got ReduceLROnPlateau"),
        (lambda _: 0.1, TypeError, "needs no metric, got float"),
        (
            lambda _: lr_scheduler.ExponentialLR(training().optimizer, 0.9),
            ValueError,
            "belongs to another optimizer",
        ),
    ],
)
def test_what_cannot_be_handed_over_is_refused(
    make: Any, error: type[Exception], message: str
) -> None:
    run = training()
    with pytest.raises(error, match=message):
        ExpTest(run.optimizer, max_lr=0.1, schedule=make(run.optimizer))
    assert [group["lr"] for group in run.optimizer.param_groups] == [0.5, 1.0]


def test_a_group_that_comes_after_a_schedule_is_refused() -> None:
    run = training()
    schedule = lr_scheduler.ExponentialLR(run.optimizer, 0.9)
    exptest = ExpTest(run.optimizer, max_lr=0.1, schedule=schedule)
    run.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    with pytest.raises(ValueError, match="1 parameter groups came after the schedule"):
        run.update(0)
    assert len(exptest.record.losses) == 0

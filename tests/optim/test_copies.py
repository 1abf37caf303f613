"""What is kept is a copy: training changes no state, saved or loaded, and no place to return to."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

from exptest.optim import ExpTest
from tests.optim.bases import Training, base
from tests.optim.test_states import Normal, exponential, made

pytestmark = pytest.mark.usefixtures("as_users_do")


def alike(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(alike(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(alike, left, right))
    return repr(left) == repr(right)  # nan is nan


def show(run: Training, exptest: ExpTest, losses: list[float]) -> None:
    for number, loss in enumerate(losses):
        run.update(number)
        exptest.step(loss)


def test_a_state_stays_as_it_was_though_training_goes_on_and_it_is_loaded() -> None:
    run, exptest = made(base=Normal("Adam", torch.optim.Adam), schedule=exponential)
    number = 0
    while exptest.tuner.phase == "search" or exptest.tuner.filled < 3:
        show(run, exptest, [0.8**number])
        number += 1
    assert exptest.tuner.measuring
    state = exptest.state_dict()
    kept = copy.deepcopy(state)
    for _ in range(2):
        show(run, exptest, [0.8 ** (number + t) for t in range(60)])
        later = exptest.record.decisions[len(state["tuner"]["decisions"]) :]
        assert any(decision.accepted for decision in later)  # a new place is taken
        assert alike(state, kept)
        exptest.load_state_dict(state)


class Remembering(lr_scheduler.LRScheduler):
    """A schedule of one's own whose memory grows in place."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.seen: list[int] = []
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        self.seen.append(self.last_epoch)
        return [rate * 0.9 ** len(self.seen) for rate in self.base_lrs]


def test_a_second_restart_finds_all_memory_as_the_first_did() -> None:
    run = Training(base("Adagrad"), rate=0.1)
    schedule = Remembering(run.optimizer)
    exptest = ExpTest(run.optimizer, max_lr=0.1, model=run.model, schedule=schedule)
    before = copy.deepcopy((run.optimizer.state_dict()["state"], schedule.seen))
    for _ in range(3):
        show(run, exptest, [1.0, 1.0, *[float("nan")] * 8])
        assert alike((run.optimizer.state_dict()["state"], schedule.seen), before)
    assert [d.restarts for d in exptest.record.decisions] == [True] * 3


def test_a_restart_forgets_the_gradients_of_an_accumulation_under_way() -> None:
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    base = torch.optim.SGD([weight], lr=1.0)
    exptest = ExpTest(base, max_lr=0.1, path_correction=False)
    for scale in (1.0, 1.0, float("inf")):  # an update of two, then an explosion in the first half
        loss = (scale * weight).square().sum()
        loss.backward()
        if scale == 1.0 and weight.grad.item() == 4.0:
            base.step()
            base.zero_grad()
        decision = exptest.step(loss)
    assert decision is not None
    assert decision.kind == "divergence"
    assert weight.grad is None

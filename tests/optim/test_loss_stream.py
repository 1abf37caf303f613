"""Losses on their way to the host: nobody waits for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exptest.optim.loss_stream import ABSENT, CAPACITY, LossStream
from tests.optim.run import OPTIMIZERS, Run


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_synchronises_between_window_ends(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(optimizer, max_lr=0.01)
    run.step(0)

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("the host waited for the device")

    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "is_cpu", False)  # go the way of an accelerator
        for name in ("item", "tolist", "cpu", "__float__", "__bool__", "__int__", "__index__"):
            patch.setattr(Tensor, name, forbidden)
        for step in range(1, run.exptest.tuner.attention_in - 1):
            gradients_of_a_step(run, step)
            assert run.exptest.step(run.last_loss) is None


def gradients_of_a_step(run: Run, step: int) -> None:
    """A step by hand: torch's own optimizers may call item."""
    for p in run.model.parameters():
        p.grad = torch.full_like(p, 0.01 * (step % 3))
    run.exptest._before_update()
    run.exptest._updates._run_after()
    run.last_loss = torch.full((), 1.0 / step, dtype=torch.float64)


@pytest.mark.usefixtures("as_users_do")
def test_losses_that_come_only_when_waited_for_lead_to_the_same_decisions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collect = LossStream._collect

    def slow(self: LossStream, *, wait: bool) -> None:
        if wait:
            collect(self, wait=True)

    told = []
    for late in (False, True):
        with monkeypatch.context() as patch:
            if late:
                patch.setattr(Tensor, "is_cpu", False)
                patch.setattr(LossStream, "_collect", slow)
            run = Run("sgd", max_lr=0.1)
            for step in range(2450):
                run.step(step)
        told.append([(d.step, d.accepted, d.window) for d in run.exptest.record.decisions])
    assert told[0] == told[1]
    assert len(told[0]) >= 2


def test_losses_that_have_not_arrived_are_waited_for_only_when_told() -> None:
    stream = LossStream()
    sent = [float(x) for x in range(CAPACITY + 300)]
    taken: list[float] = []
    for count, value in enumerate(sent):
        stream._send(torch.tensor(value, dtype=torch.float64))
        if count == 5:
            late = (stream._first + 3) % CAPACITY
            arrived_value = stream._ring[late].clone()
            stream._bits()[late] = ABSENT[torch.float64]
            taken += stream.arrived(wait=False)
            assert taken == sent[:3]
            stream._ring[late] = arrived_value
    taken += stream.arrived(wait=True)
    assert taken == sent
    assert len(stream) == 0


def test_on_the_next_lap_a_loss_on_its_way_is_not_the_one_that_lay_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = LossStream()
    for lap in range(2 * CAPACITY):
        stream._send(torch.tensor(float(lap)))
        assert stream.arrived(wait=False) == [float(lap)]
    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "copy_", lambda place, *_, **__: place)  # still under way
        stream._send(torch.tensor(7.0))
        assert stream.arrived(wait=False) == []
    stream._ring[stream._first] = 7.0
    assert stream.arrived(wait=False) == [7.0]


def test_a_nan_loss_arrives_as_a_nan() -> None:
    stream = LossStream()
    stream._send(torch.tensor(float("nan")))
    assert np.isnan(stream.arrived(wait=False)).tolist() == [True]

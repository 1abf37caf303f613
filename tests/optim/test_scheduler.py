"""ExpTest around torch optimizers: rates, restarts, resuming, bad input."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exptest.models import mlp
from exptest.optim import ExpTest
from tests.optim.run import OPTIMIZERS, Run, same

# -- rates ---------------------------------------------------------------------------------


@pytest.mark.claim("C7.15")
def test_the_rate_starts_at_the_largest_and_groups_keep_their_ratios() -> None:
    model = mlp([4, 3, 1])
    groups = [
        {"params": list(model[1].parameters()), "lr": 0.1},
        {"params": list(model[3].parameters()), "lr": 0.4},
    ]
    optimizer = torch.optim.SGD(groups)
    held = optimizer.param_groups[1]
    exptest = ExpTest(optimizer, max_lr=0.8, path_correction=False)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.2, 0.8])
    exptest.step(1.0)
    exptest.step(float("nan"))
    assert exptest.get_last_lr() == pytest.approx([0.2 * 0.33, 0.8 * 0.33])
    assert held is optimizer.param_groups[1]
    assert held["lr"] == pytest.approx(0.8 * 0.33)
    for number in range(2, 40):  # down to the smallest rate
        exptest.step(float("nan"))
        rate = max(0.8 * 0.33**number, 0.8e-12)
        assert exptest.tuner.lr == pytest.approx(rate, rel=1e-12)
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([rate / 4, rate])


def test_a_tensor_rate_changes_in_place() -> None:
    weight = nn.Parameter(torch.ones(1))
    rate = torch.tensor(1.0)
    optimizer = torch.optim.Adam([weight], lr=rate, foreach=False, capturable=False)
    exptest = ExpTest(optimizer, max_lr=0.25, path_correction=False)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25
    assert exptest.step(float("nan")).restarts
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(0.25 * 0.33)


# -- restarts ------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_rejected_search_goes_back_to_where_it_began(optimizer: str) -> None:
    run = Run(optimizer)
    before, state = run.weights(), copy.deepcopy(run.optimizer.state_dict()["state"])
    for step in range(5):
        run.step(step)
    assert not same(before, run.weights())
    decision = run.diverge()
    assert decision.kind == "divergence"
    assert decision.restarts
    assert same(before, run.weights())
    assert run.optimizer.state_dict()["state"] == state


def test_restart_none_leaves_the_weights() -> None:
    run = Run(restart=None)
    for step in range(5):
        run.step(step)
    before = run.weights()
    for _ in range(8):
        run.exptest.step(float("inf"))
    assert run.exptest.tuner.lr < 0.02
    assert same(before, run.weights())
    assert all(p.grad is not None for p in run.model.parameters()), "gradients stay as well"


def test_restart_may_be_a_function() -> None:
    calls = []
    run = Run(restart=lambda: calls.append(1))
    run.step(0)
    assert [run.exptest.step(float("inf")) for _ in range(7)] == [None] * 7
    assert run.exptest.step(float("inf")).kind == "divergence"
    assert calls == [1]


def test_a_restart_function_is_called_whenever_weights_are_lost() -> None:
    calls: list[str] = []

    def fresh() -> None:
        calls.append("restart")
        with torch.no_grad():
            for p in run.model.parameters():
                p.fill_(0.1)

    run = Run(max_lr=0.2, restart=fresh, on_restart=lambda d: calls.append(d.phase))
    assert run.diverge().restarts
    step = 0
    while run.exptest.tuner.phase == "search":
        run.step(step)
        step += 1
    assert calls == ["restart", "search"]
    decision = run.diverge()
    assert (decision.phase, calls[2:]) == ("tune", ["restart", "tune"])
    assert torch.isfinite(next(run.model.parameters())).all()


def test_the_beginning_stays_what_it_was_whatever_on_restart_does() -> None:
    found = []

    @torch.no_grad()
    def shrink(_: Any) -> None:
        found.append(run.weights())
        next(run.model.parameters()).mul_(0.5)

    run = Run(on_restart=shrink)
    before = run.weights()
    for step in range(2):
        run.step(step)
        assert run.diverge().restarts
    assert [same(weights, before) for weights in found] == [True, True]


def test_a_divergence_while_tuning_goes_back_to_the_start_of_its_window() -> None:
    run = Run(max_lr=0.2)
    step = 0
    while run.exptest.tuner.phase == "search":
        run.step(step)
        step += 1
    at_window_start = run.weights()
    for extra in range(3):
        run.step(step + extra)
    decision = run.diverge()
    assert decision.phase == "tune"
    assert not decision.restarts
    assert same(at_window_start, run.weights())


# -- stop and resume -----------------------------------------------------------------------


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("optimizer", "method", "cut"),  # every pair of them
    [
        (optimizer, *pair)
        for place, optimizer in enumerate(OPTIMIZERS)
        for pair in zip(["paper", "calibrated"], [[8, 130], [130, 8]][place % 2], strict=True)
    ],
)
def test_resuming_mid_window_is_exact_to_the_bit(optimizer: str, method: str, cut: int) -> None:
    settings = {"max_lr": 0.6, "method": method}
    whole = Run(optimizer, **settings)
    for step in range(600):
        whole.step(step)

    killed = Run(optimizer, **settings)
    for step in range(cut):
        killed.step(step)
    assert killed.exptest.tuner.filled > 0
    file = io.BytesIO()
    torch.save([x.state_dict() for x in (killed.model, killed.optimizer, killed.exptest)], file)
    file.seek(0)

    resumed = Run(optimizer, seed=99, **settings)
    resumed.inputs, resumed.targets = whole.inputs, whole.targets
    states = torch.load(file, weights_only=True)
    for part, state in zip(
        (resumed.model, resumed.optimizer, resumed.exptest), states, strict=True
    ):
        part.load_state_dict(state)
    for step in range(cut, 600):
        resumed.step(step)
    assert same(whole.weights(), resumed.weights())
    assert str(resumed.exptest.record) == str(whole.exptest.record)
    assert whole.exptest.record.decisions


def test_a_divergence_after_resuming_restores_the_momentum_of_its_window() -> None:
    settings = {"max_lr": 0.05, "path_correction": False}
    whole, resumed = (Run("momentum", **settings) for _ in range(2))
    step = 0
    while whole.exptest.tuner.phase == "search":
        whole.step(step)
        step += 1
    file = io.BytesIO()
    torch.save([x.state_dict() for x in (whole.model, whole.optimizer, whole.exptest)], file)
    file.seek(0)
    parts = (resumed.model, resumed.optimizer, resumed.exptest)
    for part, state in zip(parts, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    for run in (whole, resumed):
        run.step(step)
        assert run.diverge().phase == "tune"
        run.step(step + 1)
    assert same(whole.weights(), resumed.weights())


def test_a_state_of_other_settings_is_refused() -> None:
    state = Run(restart=None).exptest.state_dict()
    with pytest.raises(ValueError, match="has restart = None, this ExpTest 'initial'"):
        Run().exptest.load_state_dict(state)


def test_a_state_of_another_model_changes_nothing() -> None:
    run, other = Run(), nn.Linear(3, 1)
    stranger = ExpTest(torch.optim.SGD(other.parameters(), lr=1.0), max_lr=0.02)
    run.step(0)
    run.step(1)
    with pytest.raises(ValueError, match=r"an optimizer of shapes \[\[\(1, 3\), \(1,\)\]\]"):
        run.exptest.load_state_dict(stranger.state_dict())
    with pytest.raises(ValueError, match="its state lacks observations, optimizer, path"):
        run.exptest.load_state_dict(run.optimizer.state_dict())
    assert len(run.exptest.record.losses) == 2
    assert run.exptest.tuner.max_lr == 0.02


def test_a_group_that_comes_later_trains_at_its_share_and_restarts_where_it_came() -> None:
    run, late = Run(), nn.Parameter(torch.full((3,), 2.0))
    run.step(0)
    run.optimizer.add_param_group({"params": [late], "lr": 0.5})
    late.grad = torch.ones(3)
    run.optimizer.step()
    run.exptest.step(1.0)
    assert run.exptest.get_last_lr() == pytest.approx([0.02, 0.01])
    assert late.tolist() == pytest.approx([1.99] * 3)
    assert run.diverge().restarts
    assert late.tolist() == [2.0] * 3


# -- bad input -----------------------------------------------------------------------------


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (torch.ones(3), ValueError, r"loss must be a scalar, got shape \(3,\); try loss.mean"),
        ("0.3", TypeError, "loss must be a scalar tensor or a float, got str"),
        (torch.tensor(1j), TypeError, "loss must be real, got torch.complex64"),
    ],
)
def test_a_loss_that_is_no_scalar_is_refused_and_not_counted(
    loss: Any, error: type[Exception], message: str
) -> None:
    run = Run()
    with pytest.raises(error, match=message):
        run.exptest.step(loss)
    assert len(run.exptest.record.losses) == 0


@pytest.mark.usefixtures("as_users_do")
def test_bad_settings_change_nothing() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.7)
    with pytest.raises(ValueError, match="alpha must lie strictly between 0 and 1"):
        ExpTest(optimizer, max_lr=0.1, alpha=2)
    with pytest.raises(ValueError, match="max_lr must be positive"):
        ExpTest(optimizer, max_lr=-1)
    with pytest.raises(ValueError, match="restart must be 'initial', None or a function"):
        ExpTest(optimizer, max_lr=0.1, restart="fresh")
    with pytest.raises(TypeError, match="on_restart must be a function, got int"):
        ExpTest(optimizer, max_lr=0.1, on_restart=1)
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got int"):
        ExpTest(optimizer, max_lr=0.1, model=1)
    assert optimizer.param_groups[0]["lr"] == 0.7


@pytest.mark.usefixtures("as_users_do")
def test_an_optimizer_without_parameters_is_named() -> None:
    empty = torch.optim.SGD([{"params": []}], lr=0.1)
    with pytest.raises(ValueError, match="the optimizer has no parameters"):
        ExpTest(empty, max_lr=0.1)
    with pytest.raises(TypeError, match=r"optimizer must be a torch\.optim\.Optimizer, got list"):
        ExpTest([], max_lr=0.1)


@pytest.mark.usefixtures("as_users_do")
def test_a_numpy_scalar_is_a_loss() -> None:
    run = Run()
    run.optimizer.step()
    run.exptest.step(np.float32(0.5))
    assert run.exptest.record.losses.tolist() == [0.5]

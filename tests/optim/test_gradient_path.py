"""The path ratio, read off the weights or summed, is that of the gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exptest.optim import ExpTest
from exptest.optim.gradient_path import GradientPath
from exptest.statistics import PathRatio, window_length
from exptest.tuner import MIN_WINDOW
from tests.optim.run import OPTIMIZERS, Run

pytestmark = pytest.mark.usefixtures("as_users_do")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_path_ratio_is_that_of_the_gradients(optimizer: str) -> None:
    """Read off the weights (SGD) or summed (others), it equals the definition, streamed."""
    run = Run(optimizer, max_lr=0.1, restart=None)
    reference, decision, step, base = PathRatio(), None, 0, MIN_WINDOW
    while decision is None:
        decision = run.step(step)
        if decision is None:  # L₀ may rise before ρ is measured
            base = max(window_length(run.exptest.tuner.initial_loss, 0.1), MIN_WINDOW)
        if step < base - 1:
            gradient = torch.cat([p.grad.flatten() for p in run.model.parameters()])
            reference.update(gradient.numpy())
        step += 1
    assert decision.path_ratio == pytest.approx(reference.value, rel=1e-10)
    assert decision.window == round(reference.value * base)


@pytest.mark.parametrize(
    ("method", "alpha", "steps"),
    [("paper", 0.999, 1500), ("paper", 0.05, 1500), ("calibrated", 0.999, 4000)],
)
def test_only_paper_mode_keeps_summing_over_accepted_windows_at_one_rate(
    method: str, alpha: float, steps: int
) -> None:
    run = Run(max_lr=0.2, method=method, restart=None, alpha=alpha, min_window=1)
    reference, decisions, filled = PathRatio(), [], 0
    for step in range(steps):
        base = window_length(run.exptest.tuner.initial_loss or 1.0, run.exptest.tuner.lr)
        decision = run.step(step)
        if step == 0:
            base = window_length(run.exptest.tuner.initial_loss, 0.2)
        filled += 1
        if filled < base:
            gradient = torch.cat([p.grad.flatten() for p in run.model.parameters()])
            reference.update(gradient.numpy())
        if decision:
            assert decision.path_ratio == pytest.approx(reference.value, rel=1e-9)
            decisions.append(decision)
            filled = 0
            if method == "calibrated" or not decision.accepted:
                reference.reset()
    verdicts = [decision.accepted for decision in decisions]
    assert verdicts.count(True) >= 3 or verdicts == [True, False, False]


def test_paper_mode_keeps_its_sums_where_a_rejected_rate_cannot_shrink() -> None:
    run = Run(max_lr=0.2, min_lr=0.2, method="paper", restart=None, alpha=1e-12)
    decision, step = None, 0
    while decision is None:
        decision, step = run.step(step), step + 1
    assert not decision.accepted
    assert decision.lr_after == 0.2
    assert run.exptest.state_dict()["path"]["length"] > 0


def test_a_group_at_rest_does_not_hide_the_path_ratio() -> None:
    torch.manual_seed(0)
    moving, resting = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    groups = [{"params": [moving], "lr": 1.0}, {"params": [resting], "lr": 0.0}]
    exptest = ExpTest(torch.optim.SGD(groups, lr=1.0), max_lr=0.1, min_window=8)
    path = PathRatio()
    for step in range(exptest.tuner.min_window + 4):
        for p in (moving, resting):
            p.grad = torch.randn(3)
        if step < 7:
            path.update(np.concatenate([moving.grad.numpy(), resting.grad.numpy()]))
        exptest.optimizer.step()
        exptest.step(0.1)
    assert exptest.tuner.window is not None
    assert exptest.tuner._window.path_ratio == pytest.approx(path.value, rel=1e-5)


def test_sparse_gradients_are_summed_as_dense_ones() -> None:
    ratios = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = nn.Embedding(5, 2, sparse=sparse)
        exptest = ExpTest(torch.optim.SGD(table.parameters(), lr=1.0), max_lr=0.1, min_window=8)
        for step in range(8):
            exptest.optimizer.zero_grad()
            table(torch.tensor([step % 5, 1])).square().sum().backward()
            exptest.optimizer.step()
            exptest.step(0.1)
        ratios.append(exptest.tuner._window.path_ratio)
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-6)
    assert ratios[0] > 1.1


def test_a_window_without_any_gradient_is_said_and_one_of_overflows_is_not() -> None:
    for gradient in (None, torch.full((2,), float("inf"))):
        weight = nn.Parameter(torch.ones(2))
        path = GradientPath(torch.optim.SGD([weight], lr=1.0))
        weight.grad = gradient
        path.add()
        if gradient is None:
            with pytest.warns(UserWarning, match="at 1 updates in this window none of the"):
                assert path.ratio() == 1.0
        else:
            assert path.ratio() == 1.0


def test_rounding_never_makes_a_path_shorter_than_its_chord() -> None:
    for seed in range(20):
        weight = nn.Parameter(torch.ones(7))
        path = GradientPath(torch.optim.SGD([weight], lr=1.0))
        weight.grad = torch.randn(7, generator=torch.Generator().manual_seed(seed))
        for _ in range(seed + 1):
            path.add()
        assert 1.0 <= path.ratio() < 1.0 + 1e-5


def test_where_nobody_waits_for_the_norm_an_overflow_is_in_neither_sum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight = nn.Parameter(torch.ones(2))
    path = GradientPath(torch.optim.SGD([weight], lr=1.0))
    monkeypatch.setattr(Tensor, "is_cpu", False)  # go the way of an accelerator
    for gradient in ((3.0, 4.0), (float("inf"), 1.0), (float("nan"), 0.0), (3.0, -4.0)):
        weight.grad = torch.tensor(gradient)
        path.add()
    assert path.ratio() == pytest.approx(10 / 6)


def test_a_window_without_gradients_is_said_after_resuming_too() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=1.0)
    path, resumed = GradientPath(optimizer), GradientPath(optimizer)
    path.add()
    resumed.load_state_dict(path.state_dict())
    resumed.add()
    with pytest.warns(UserWarning, match="at 2 updates in this window none of the"):
        resumed.ratio()
    resumed.begin_window()
    resumed.add()
    with pytest.warns(UserWarning, match="at 1 updates in this window none of the"):
        resumed.ratio()


def test_a_gradient_that_is_overwritten_in_place_stays_in_the_sum() -> None:
    weight = nn.Parameter(torch.ones(2))
    path = GradientPath(torch.optim.SGD([weight], lr=1.0))
    weight.grad = torch.tensor([3.0, 4.0])
    path.add()
    weight.grad.copy_(torch.tensor([3.0, -4.0]))
    path.add()
    assert path.ratio() == pytest.approx(10 / 6)
    assert weight.grad.tolist() == [3.0, -4.0]

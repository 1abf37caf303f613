"""The loops that people have: how updates are made, and what ExpTest sees of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exptest.optim import ExpTest
from exptest.record import Decision
from exptest.statistics import PathRatio
from tests.optim.bases import Training, base
from tests.optim.run import same

pytestmark = pytest.mark.usefixtures("as_users_do")
BASES, STEPS = {"SGD": 0.1, "SGD momentum": 0.4, "Adam": 0.1}, 400  # and their largest rates


def pair(name: str = "SGD", **settings: Any) -> tuple[Training, ExpTest]:
    run = Training(base(name), rate=1.0)
    settings = {"max_lr": BASES[name], "min_window": 8} | settings
    return run, ExpTest(run.optimizer, model=run.model, **settings)


def backward(run: Training, number: int, share: float = 1.0) -> Tensor:
    loss = run.loss(number)
    (share * loss).backward()
    return loss


def gradient(run: Training) -> Any:
    return torch.cat([p.grad.flatten() for p in run.model.parameters()]).double().numpy()


def plain(name: str) -> tuple[Training, ExpTest]:
    """The README's loop."""
    run, exptest = pair(name)
    for number in range(STEPS):
        run.optimizer.zero_grad()
        loss = backward(run, number)
        run.optimizer.step()
        exptest.step(loss)
    return run, exptest


def told(exptest: ExpTest) -> list[Decision]:
    decisions = exptest.record.decisions
    assert decisions
    return [*decisions]


# -- the order of things -------------------------------------------------------------------


@pytest.mark.parametrize("name", BASES)
def test_zero_grad_may_come_before_step(name: str) -> None:
    run, exptest = pair(name)
    for number in range(STEPS):
        loss = backward(run, number)
        run.optimizer.step()
        run.optimizer.zero_grad()
        exptest.step(loss)
    other, usual = plain(name)
    assert told(exptest) == told(usual)
    assert any(decision.path_ratio > 1.5 for decision in told(exptest))
    assert same(run.weights(), other.weights())


def test_clipped_gradients_are_measured_as_the_optimizer_gets_them() -> None:
    run, exptest = pair(restart=None)
    reference, decision, number = PathRatio(), None, 0
    while decision is None:
        run.optimizer.zero_grad()
        loss = backward(run, number)
        nn.utils.clip_grad_norm_(run.model.parameters(), 0.1)
        measuring = exptest.tuner.measuring
        run.optimizer.step()
        if measuring:
            reference.update(gradient(run))
        decision, number = exptest.step(loss), number + 1
    assert decision.path_ratio == pytest.approx(reference.value, rel=1e-9)


@pytest.mark.parametrize("name", BASES)
def test_an_accumulation_is_one_observation_whether_shown_in_parts_or_as_a_mean(name: str) -> None:
    runs = [pair(name), pair(name)]
    for number in range(STEPS):
        for (run, exptest), parts in zip(runs, (True, False), strict=True):
            run.optimizer.zero_grad()
            losses = []
            for micro in range(4):
                losses.append(backward(run, 4 * number + micro, 0.25).detach())
                if micro == 3:
                    run.optimizer.step()
                if parts:
                    exptest.step(losses[-1])
            if not parts:
                exptest.step(torch.stack(losses).mean())
    shown, meant = (told(exptest) for _, exptest in runs)
    for a, b in zip(shown, meant, strict=True):
        assert (a.step, a.accepted, a.lr_after) == (b.step, b.accepted, b.lr_after)
        assert a.path_ratio == pytest.approx(b.path_ratio, rel=1e-12)
        assert a.loss == pytest.approx(b.loss, rel=1e-12)
    assert len(runs[0][1].record.losses) == STEPS
    assert same(runs[0][0].weights(), runs[1][0].weights())


def test_several_updates_between_two_losses_are_an_error() -> None:
    run, exptest = pair()
    exptest.step(run.update(0))
    run.update(1)
    loss = run.update(2)
    with pytest.raises(RuntimeError, match="the optimizer made 2 updates since the last loss"):
        exptest.step(loss)
    assert len(exptest.record.losses) == 1


def test_many_losses_without_an_update_are_asked_about() -> None:
    run, exptest = pair()
    run.loss(0).backward()
    for _ in range(99):
        exptest.step(1.0)
    with pytest.warns(UserWarning, match="100 losses came without an update of this optimizer"):
        exptest.step(1.0)
    assert len(exptest.record.losses) == 0


# -- skipped steps -------------------------------------------------------------------------

SKIPPED = {0, 1, 2, 9, 20, 31, 42, 53, 64, 75}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_steps_that_a_scaler_skips_are_in_neither_sum_and_no_divergence(
    kind: Any, fused: bool
) -> None:
    def train(scaled: bool) -> tuple[ExpTest, PathRatio, nn.Module]:
        run = Training(base("SGD"), rate=1.0)
        run.model.float()
        optimizer = kind(run.model.parameters(), lr=1.0, fused=fused and scaled)
        exptest, path = ExpTest(optimizer, max_lr=0.1), PathRatio()
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=7)
        for number in range(400):
            draw = torch.Generator().manual_seed(number)
            inputs = torch.randn(8, 4, generator=draw)
            loss = (run.model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            (scaler.scale(loss) if scaled else loss).backward()
            if number in SKIPPED:
                next(run.model.parameters()).grad.fill_(float("inf"))
            elif not exptest.record.decisions and exptest.tuner.measuring:
                scale = scaler.get_scale() if scaled else 1.0
                path.update(gradient(run) / scale)
            if scaled:
                scaler.step(optimizer)
                scaler.update()
            elif number not in SKIPPED:
                optimizer.step()
            exptest.step(loss)
        return exptest, path, run.model

    (scaled, path, model), (usual, _, other) = train(True), train(False)
    for a, b in zip(told(scaled), told(usual), strict=True):
        assert (a.step, a.kind, a.accepted, a.window) == (b.step, b.kind, b.accepted, b.window)
        assert a.path_ratio == pytest.approx(b.path_ratio, rel=1e-4)
    assert told(scaled)[0].path_ratio == pytest.approx(path.value, rel=1e-4)
    assert told(scaled)[0].path_ratio > 1.2
    assert all(decision.kind != "divergence" for decision in told(scaled))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)


def test_one_step_without_an_update_leaves_the_ratio_that_of_the_steps_made() -> None:
    weight = nn.Parameter(torch.ones(50))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    exptest = ExpTest(optimizer, max_lr=0.01, min_window=50)
    path, decision, number, draw = PathRatio(), None, 0, torch.Generator().manual_seed(0)
    while decision is None:
        weight.grad = 0.1 + torch.randn(50, generator=draw)
        if number == 3:
            weight.grad = torch.full((50,), float("inf"))
        else:
            if exptest.tuner.measuring:
                path.update(weight.grad.numpy())
            optimizer.step()
        decision, number = exptest.step(1.0 - 1e-4 * number), number + 1
    assert decision.path_ratio == pytest.approx(path.value, rel=1e-5)
    assert decision.path_ratio > 5


# -- closures and wrappers -----------------------------------------------------------------


def test_a_closure_is_one_observation_however_often_it_is_called() -> None:
    run = Training(base("LBFGS"), rate=0.1)
    exptest = ExpTest(run.optimizer, max_lr=0.1, min_window=8)
    losses = []
    for number in range(12):
        losses.append(run.update(number).item())
        exptest.step(losses[-1])
    assert exptest.record.losses.tolist() == losses
    assert run.optimizer.state_dict()["state"][0]["func_evals"] > 12


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimization: a step at the gradient of the worst nearby weights."""

    def __init__(self, base_optimizer: torch.optim.Optimizer, radius: float) -> None:
        super().__init__([p for g in base_optimizer.param_groups for p in g["params"]], {})
        self.base_optimizer, self.radius = base_optimizer, radius

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        closure = torch.enable_grad()(closure)
        loss = closure()
        weights = [p for g in self.param_groups for p in g["params"]]
        norm = torch.stack([p.grad.norm() for p in weights]).norm()
        moves = [self.radius * p.grad / norm for p in weights]
        torch._foreach_add_(weights, moves)
        closure()
        torch._foreach_sub_(weights, moves)
        self.base_optimizer.step()
        return loss


def test_of_sam_the_base_optimizer_is_measured_at_the_gradient_that_it_steps_with() -> None:
    run, exptest = pair(restart=None)
    sam, path, decision, number = SAM(run.optimizer, 0.05), PathRatio(), None, 0
    while decision is None:

        def closure(number: int = number) -> Tensor:
            sam.zero_grad()
            return backward(run, number)

        measuring = exptest.tuner.measuring
        loss = sam.step(closure)
        if measuring:
            path.update(gradient(run))
        decision, number = exptest.step(loss), number + 1
    assert decision.path_ratio == pytest.approx(path.value, rel=1e-9)


def test_two_optimizers_have_one_exptest_each_and_a_list_is_refused() -> None:
    run = Training(base("SGD"), rate=1.0)
    first, last = run.model[0], run.model[2]
    optimizers = [torch.optim.SGD(first.parameters(), lr=1.0), torch.optim.Adam(last.parameters())]
    with pytest.raises(TypeError, match=r"got list; try .* of several make one ExpTest each"):
        ExpTest(optimizers, max_lr=0.1)  # type: ignore[arg-type]
    tests = [
        ExpTest(optimizer, max_lr=rate, min_window=8)
        for optimizer, rate in zip(optimizers, (0.2, 0.05), strict=True)
    ]
    before = [part.weight.detach().clone() for part in (first, last)]
    run.optimizer = optimizers[0]
    decided: list[Any] = [None, None]
    number = 0
    while not decided[0]:
        run.model.zero_grad()
        loss = backward(run, number)
        for optimizer in optimizers:
            optimizer.step()
        decided = [exptest.step(1.0 + 0.001 * number + 0 * loss) for exptest in tests]
        number += 1
    assert decided[0].restarts
    assert torch.equal(first.weight, before[0])
    assert decided[1] is None
    assert not torch.equal(last.weight, before[1])


def test_of_two_on_one_optimizer_the_earlier_one_says_so() -> None:
    run, earlier = pair()
    later = ExpTest(run.optimizer, max_lr=0.05)
    loss = run.update(0)
    with pytest.raises(RuntimeError, match="another ExpTest has been made on this optimizer"):
        earlier.step(loss)
    later.step(loss)
    assert later.record.losses.tolist() == [loss.item()]

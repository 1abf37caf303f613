"""Optimizers and models inside others: accelerate's, compiled ones, schedule-free modes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from exptest.optim import ExpTest
from tests.optim.bases import Training, base, through_a_file
from tests.optim.run import same
from tests.optim.window import error, small, weights

pytestmark = pytest.mark.usefixtures("as_users_do")


def test_in_accelerates_accumulation_every_micro_batch_may_be_shown() -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
    plain, wrapped = Training(base("Adam"), rate=1.0), Training(base("Adam"), rate=1.0)
    model, optimizer = accelerator.prepare(wrapped.model, wrapped.optimizer)
    tests = [ExpTest(some, max_lr=1.0, min_window=8) for some in (plain.optimizer, optimizer)]
    for number in range(600):
        loss = plain.loss(number)
        (loss / 4).backward()
        if number % 4 == 3:
            plain.optimizer.step()
            plain.optimizer.zero_grad()
        tests[0].step(loss)
        with accelerator.accumulate(model):
            loss = wrapped.loss(number)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            tests[1].step(loss)
    assert len(tests[1].record.losses) == 150
    assert tests[0].record.decisions
    assert tests[1].record.decisions == tests[0].record.decisions
    assert same(plain.weights(), wrapped.weights())


def test_a_state_saved_with_a_wrapped_optimizer_is_that_of_the_inner_one() -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    wrapped, plain, other = (Training(base(name), rate=1.0) for name in ("Adam", "Adam", "SGD"))
    optimizer = accelerator.prepare(wrapped.optimizer)
    exptest = ExpTest(optimizer, max_lr=0.1)
    exptest.step(wrapped.update(0))
    load = through_a_file(exptest)
    load(ExpTest(plain.optimizer, max_lr=0.1))
    with pytest.raises(ValueError, match="of class Adam, this one's is SGD"):
        load(ExpTest(accelerator.prepare(other.optimizer), max_lr=0.1))


def test_data_prepared_by_accelerate_change_nothing() -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    run = Training(base("SGD"), rate=1.0)
    data = TensorDataset(torch.randn(32, 4, dtype=torch.float64))
    model, optimizer, loader = accelerator.prepare(
        run.model, run.optimizer, DataLoader(data, batch_size=8)
    )
    exptest = ExpTest(optimizer, max_lr=0.05, model=model)
    for (inputs,) in loader:
        loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        exptest.step(loss)
        optimizer.zero_grad()
    assert len(exptest.record.losses) == 4


def compiled(kind: Any, whole: bool) -> tuple[ExpTest, list[torch.Tensor]]:
    """The same 30 steps, plain or with model and step compiled."""
    model = small()
    optimizer = kind(model.parameters(), lr=1.0)
    exptest = ExpTest(optimizer, max_lr=0.1, min_window=8, model=model)
    net, step = model, optimizer.step
    if whole:
        net = torch.compile(model, backend="eager")
        step = torch.compile(optimizer.step, backend="eager")
    for number in range(30):
        optimizer.zero_grad()
        error(net, number).backward()
        step()
        exptest.step(0.5 + 0.001 * number)
    return exptest, weights(model)


# torch's compiler warns of torch's own older parts.
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_a_compiled_model_and_a_compiled_step_change_nothing(kind: Any) -> None:
    torch.compiler.reset()
    (usual, before), (test, after) = compiled(kind, False), compiled(kind, True)
    for a, b in zip(usual.record.decisions, test.record.decisions, strict=True):
        assert (a.step, a.accepted, a.window) == (b.step, b.accepted, b.window)
        assert a.path_ratio == pytest.approx(b.path_ratio, rel=1e-4)
    assert usual.record.decisions[0].restarts
    for p, q in zip(before, after, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_hooks_stay_out_of_what_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled, they would be so anew at every rate."""
    seen = []
    run_after = ExpTest._after_update

    def spied(self: ExpTest) -> None:
        seen.append(torch.compiler.is_compiling())
        run_after(self)

    monkeypatch.setattr(ExpTest, "_after_update", spied)
    torch.compiler.reset()
    test, _ = compiled(torch.optim.SGD, True)
    assert len(test.record.losses) == 30
    assert seen == [False] * 30


def test_schedule_free_restarts_in_training_mode_after_an_evaluation() -> None:
    pytest.importorskip("schedulefree")
    run = Training(base("schedulefree.AdamWScheduleFree"), rate=0.01)
    exptest = ExpTest(run.optimizer, max_lr=0.01, min_window=8, model=run.model)
    before, decision, number = run.weights(), None, 0
    while decision is None:
        run.update(number)
        run.optimizer.eval()
        decision = exptest.step(0.1 + 0.001 * number)
        run.optimizer.train()
        number += 1
    assert decision.restarts
    assert same(run.weights(), before)
    assert run.optimizer.param_groups[0]["train_mode"]

"""On an accelerator: nothing waits between window ends, and a divergence is still found."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exptest.models import mlp
from exptest.optim import ExpTest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def setup(max_lr: float) -> tuple[nn.Module, torch.optim.Optimizer, ExpTest, torch.Tensor]:
    torch.manual_seed(0)
    model = mlp([8, 32, 1]).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return model, optimizer, ExpTest(optimizer, max_lr=max_lr), torch.randn(64, 8, device="cuda")


def test_no_step_between_window_ends_synchronises() -> None:
    model, optimizer, exptest, inputs = setup(max_lr=1e-3)
    for step in range(200):
        optimizer.zero_grad()
        loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimizer.step()
        if step == 0:
            exptest.step(loss)
            continue
        torch.cuda.set_sync_debug_mode("error")
        try:
            assert exptest.step(loss) is None
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert len(exptest.tuner.record.losses) > 0


def test_a_divergence_is_found_before_the_window_ends() -> None:
    model, optimizer, exptest, inputs = setup(max_lr=50.0)
    decision = None
    for _ in range(500):
        optimizer.zero_grad()
        loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimizer.step()
        decision = decision or exptest.step(loss)
    assert decision is not None
    assert decision.kind == "divergence"
    assert all(torch.isfinite(p).all() for p in model.parameters())

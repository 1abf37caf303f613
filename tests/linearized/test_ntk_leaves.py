"""The structured kernel of any graph of known layers is the literal one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exptest.linearized.ntk_structured import plan_of, structured_ntk
from tests.linearized.graphs import drawn, every_network, examples_of
from tests.linearized.reference import literal_ntk

NETWORKS = every_network()


def by_example(out: Tensor) -> Tensor:
    return out.reshape(len(out), -1)


def structured(
    model: nn.Module, x1: Any, x2: Any = None, *, traced: bool = False, rows: int = 64
) -> Tensor | None:
    plan = plan_of(model, (x1,), by_example)
    if plan is None:
        return None
    m, outputs = len(x1 if x2 is None else x2), by_example(model(x1.clone())).shape[1]
    shape = (len(x1), m) if traced else (len(x1), outputs, m, outputs)
    kernel = torch.zeros(shape, dtype=torch.float64)
    return structured_ntk(plan, (x1,), None if x2 is None else (x2,), kernel, rows)


def relative(kernel: Tensor | None, exact: Tensor) -> float:
    assert kernel is not None
    return ((kernel - exact).abs().max() / exact.abs().max()).item()


@pytest.mark.claim("C1.3")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_structured_kernel_is_the_literal_one(name: str) -> None:
    make, shape = NETWORKS[name]
    model, x1, x2 = drawn(make()), examples_of(shape, 7), examples_of(shape, 4)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    exact, own = (literal_ntk(model, x1.clone(), x.clone()) for x in (x2, x1))
    for x, truth in ((x2, exact), (None, own)):
        traced = torch.einsum("icjc->ij", truth)
        for rows in (64, 3):
            assert relative(structured(model, x1, x, rows=rows), truth) < 1e-12
            assert relative(structured(model, x1, x, traced=True, rows=rows), traced) < 1e-12
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())
    assert torch.equal(x1, examples_of(shape, 7))

"""Which way a network goes is decided by rules, even where the structured way would be right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from exptest.linearized.ntk_record import NotStructuredError, Plan, leaves_of, recorded
from exptest.linearized.ntk_structured import plan_of
from tests.linearized.graphs import Graph, drawn, examples_of
from tests.linearized.test_ntk_leaves import by_example
from tests.linearized.test_ntk_left_alone import graph, routed


def straight(m: Graph, x: Tensor) -> Tensor:
    return m.b(torch.tanh(m.a(x)))


def patched_with_the_same() -> nn.Module:
    model = graph(straight)
    model.a.forward = lambda h: linear(h, model.a.weight, model.a.bias)
    return model


def called_in_vain_first(m: Graph, x: Tensor) -> Tensor:
    m.a(2 * x)
    return straight(m, x)


def called_in_vain_after(m: Graph, x: Tensor) -> Tensor:
    out = straight(m, x)
    m.a(2 * x)
    return out


@pytest.mark.parametrize(
    "make",
    [
        patched_with_the_same,
        lambda: graph(called_in_vain_first),
        lambda: graph(called_in_vain_after),
    ],
    ids=["patched", "called twice", "called again"],
)
def test_the_rule_holds_where_no_gradient_would_betray_it(make: Callable) -> None:
    x = examples_of((4,), 5)
    assert plan_of(drawn(graph(straight)), (x,), by_example) is not None
    assert plan_of(drawn(make()), (x,), by_example) is None


def plan_for(model: nn.Module) -> Plan:
    leaves = leaves_of(model)
    assert leaves is not None
    return Plan(model, by_example, leaves)


@pytest.mark.parametrize("some", [[], [0], [0, 1, 2]], ids=str)
def test_a_layer_that_sees_some_of_the_examples_is_noticed_whatever_their_number(
    some: list[int],
) -> None:
    x = -examples_of((4,), 4).abs()
    x[some, 0] *= -1.0
    with pytest.raises(NotStructuredError):
        recorded(plan_for(drawn(graph(routed))), (x,))


def test_what_a_layer_takes_and_gives_is_recorded_in_the_order_of_the_layers() -> None:
    model, x = drawn(graph(lambda m, x: m.b(m.a(x).tanh_()))), examples_of((4,), 3)
    out, (first, second) = recorded(plan_for(model), (x,))
    assert torch.equal(out, model(x))
    assert first.layer is model.a
    assert second.layer is model.b
    assert torch.equal(first.input, x)
    assert torch.equal(first.output, model.a(x))  # before it was changed in place
    assert torch.equal(second.input, torch.tanh(model.a(x)))

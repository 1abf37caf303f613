"""A copy computes with its own weights, or is refused; derivatives that contradict are refused."""

from __future__ import annotations

import types
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import LossModel, critical_learning_rate, empirical_ntk, linearize
from exptest.linearized.copies import copied
from tests.linearized.reference import literal_ntk


def doubled(self: nn.Linear, h: Tensor) -> Tensor:
    return nn.functional.linear(h, 2 * self.weight, self.bias)


def closure(layer: nn.Linear) -> Callable:
    return lambda h: doubled(layer, h)


def default(layer: nn.Linear) -> Callable:
    return lambda h, held=layer: doubled(held, h)


def tensor(layer: nn.Linear) -> Callable:
    weight = layer.weight
    return lambda h: nn.functional.linear(h, 2 * weight)


def nested(layer: nn.Linear) -> Callable:
    inner = closure(layer)
    return lambda h: inner(h)


def network() -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return model, torch.randn(4, 3, dtype=torch.float64)


@pytest.mark.parametrize("patch", [closure, default, tensor, nested])
def test_a_patch_that_holds_the_old_weights_is_not_copied(patch: Callable) -> None:
    model, x = network()
    model[0].forward = patch(model[0])
    uses: list[Callable] = [
        lambda: linearize(model),
        lambda: empirical_ntk(model, x, dtype=torch.float32),
        lambda: LossModel.from_network(model, x, torch.zeros(4, 2)),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"forward of Linear at '0' is a function that holds"):
            use()
    found = empirical_ntk(model, x, method="general") if patch is not tensor else None
    if found is not None:
        assert torch.allclose(found, literal_ntk(model, x, x), rtol=1e-10)


def test_weights_that_names_do_not_reach_are_found_by_plain_autograd() -> None:
    model, x = network()
    model[0].forward = tensor(model[0])
    with pytest.warns(UserWarning, match=r"wrong Jacobian \(off by .* in parameter '0.weight'"):
        found = empirical_ntk(model, x, method="general")
    assert torch.allclose(found, literal_ntk(model, x, x), rtol=1e-10)


def test_a_patch_bound_to_its_layer_and_a_harmless_function_are_copied() -> None:
    model, x = network()
    model[0].forward = types.MethodType(doubled, model[0])
    model.act = lambda h: torch.relu(h)
    line = linearize(model)
    with torch.no_grad():
        line.network[0].weight += 1.0
    change = 2 * x.sum(1, keepdim=True) * (1 - torch.tanh(model[0](x)) ** 2) @ model[2].weight.T
    assert torch.allclose(line(x), model(x) + change, rtol=1e-10)


def test_a_copy_shares_nothing_with_the_model() -> None:
    model, x = network()
    model.seen = model(x)  # a tensor of a graph, which torch does not copy by itself
    copy = copied(model, torch.float32)
    assert not {id(p) for p in copy.parameters()} & {id(p) for p in model.parameters()}
    assert torch.equal(copy.seen, model.seen)
    assert copy[0].weight.dtype == torch.float32


class Detached(torch.autograd.Function):
    """tanh whose backward cuts the graph."""

    @staticmethod
    def forward(ctx: types.SimpleNamespace, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx: types.SimpleNamespace, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return g.detach() * (1 - x.tanh() ** 2)


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(Detached.apply(self.layer(x)))


class Listed(Cut):
    """Keeps a weight in a list beside its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.held = [self.layer.weight]

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(x @ self.held[0].T))


class Sparse(Cut):
    """Its gradient is sparse, and torch forgets how that depends on what is pulled back."""

    def forward(self, x: Tensor) -> Tensor:
        rows = (x > 0).long()
        return self.out(nn.functional.embedding(rows, self.out.weight, sparse=True).sum(1))


@pytest.mark.filterwarnings("ignore:torch.func .* plain autograd differentiates:UserWarning")
@pytest.mark.parametrize("make", [Cut, Listed, Sparse])
def test_derivatives_that_contradict_each_other_are_refused(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model, x = make().double(), torch.randn(4, 3, dtype=torch.float64)
    assert torch.allclose(empirical_ntk(model, x), literal_ntk(model, x, x), rtol=1e-10)
    with pytest.raises(ValueError, match=r"derivatives contradict each other"):
        linearize(model)(x)
    if make is Cut:
        with pytest.raises(ValueError, match=r"derivatives contradict each other"):
            critical_learning_rate(model, nn.MSELoss(), x, torch.zeros(4, 2, dtype=x.dtype))


def test_weights_frozen_before_the_first_call_are_checked_all_the_same() -> None:
    torch.manual_seed(0)
    linear, x = linearize(Cut().double()), torch.randn(4, 3, dtype=torch.float64)
    for p in linear.network.layer.parameters():
        p.requires_grad_(False)
    with pytest.raises(ValueError, match=r"derivatives contradict each other"):
        linear(x)

"""The linearized network: the same parameters, the tangent plane's outputs, LossModel's curve."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import LossModel, empirical_ntk, linearize, wide_network


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2)).double()


def losses(model: nn.Module, x: Tensor, y: Tensor, lr: float, steps: int, **options: float) -> list:
    """Full-batch ½MSE of torch's own SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, **options)
    curve = []
    for _ in range(steps + 1):
        optimizer.zero_grad()
        loss = (model(x) - y).square().sum() / (2 * len(x))
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    return torch.randn(20, 6, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)


def test_it_starts_as_the_network_with_the_same_parameters(data: tuple[Tensor, Tensor]) -> None:
    model = network()
    linear = linearize(model)
    assert torch.equal(linear(data[0]), model(data[0]))
    ours = [(name.removeprefix("network."), p.shape) for name, p in linear.named_parameters()]
    assert ours == [(name, p.shape) for name, p in model.named_parameters()]


def test_it_is_linear_in_its_parameters_with_the_networks_jacobian(
    data: tuple[Tensor, Tensor],
) -> None:
    model, x = network(), data[0]
    linear, start = linearize(model), model(x).detach()
    moves = [torch.randn_like(p) for p in linear.parameters()]
    outputs = []
    for _ in range(3):
        outputs.append(linear(x).detach() - start)
        with torch.no_grad():
            for p, move in zip(linear.parameters(), moves, strict=True):
                p += move
    assert torch.allclose(outputs[2], 2 * outputs[1], rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        for p, move in zip(model.parameters(), moves, strict=True):
            p += 1e-6 * move
    slope = (model(x) - start) / 1e-6
    assert torch.allclose(slope, outputs[1], rtol=1e-4, atol=1e-4)


@pytest.mark.claim("C1.1")
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_on_it_follows_the_closed_form(
    momentum: float, data: tuple[Tensor, Tensor]
) -> None:
    model, (x, y) = network(), data
    predicted = LossModel.from_network(model, x, y)
    lr = 0.9 * predicted.critical_learning_rate
    measured = losses(linearize(model), x, y, lr, 300, momentum=momentum)
    expected = predicted.gradient_descent(lr, 300, momentum=momentum)
    assert measured == pytest.approx(expected, rel=1e-8)


@pytest.mark.claim("C1.1")
def test_its_kernel_never_moves(data: tuple[Tensor, Tensor]) -> None:
    model, (x, y) = network(), data
    linear = linearize(model)
    before = empirical_ntk(linear, x)
    losses(linear, x, y, 0.1, 20)
    assert linear.distance() > 0.1
    assert torch.allclose(empirical_ntk(linear, x), before, rtol=1e-10, atol=1e-12)
    assert torch.allclose(before, empirical_ntk(model, x), rtol=1e-10, atol=1e-12)


@pytest.mark.claim("C1.8")
def test_the_network_leaves_its_tangent_at_second_order(data: tuple[Tensor, Tensor]) -> None:
    model, x = network(), data[0][:4]
    start = nn.utils.parameters_to_vector(model.parameters()).detach()
    v = torch.randn(len(start), dtype=torch.float64)
    linear, sizes, errors = linearize(model), [0.02, 0.01, 0.005], []
    bent = second_derivative(model, x, v / v.norm())
    for s in sizes:
        for moved in (model, linear):
            nn.utils.vector_to_parameters(start + s * v / v.norm(), moved.parameters())
        errors.append((model(x) - linear(x)).detach())
    halved = [(a.norm() / b.norm()).log2().item() for a, b in pairwise(errors)]
    assert halved == pytest.approx([2.0, 2.0], abs=0.05)
    off = [(error / s**2 - bent / 2).norm() for error, s in zip(errors, sizes, strict=True)]
    assert [(a / b).log2().item() for a, b in pairwise(off)] == pytest.approx([1, 1], abs=0.1)


def second_derivative(model: nn.Module, x: Tensor, v: Tensor) -> Tensor:
    """vᵀ∇²f v of every output, by two backward passes."""
    weights, bent = list(model.parameters()), []
    along = torch.split(v, [p.numel() for p in weights])

    def change(output: Tensor) -> Tensor:
        slopes = torch.autograd.grad(output, weights, create_graph=True, materialize_grads=True)
        return torch.stack([g.flatten() @ a for g, a in zip(slopes, along, strict=True)]).sum()

    for output in model(x).flatten():
        bent.append(change(change(output)).detach())
    return torch.stack(bent).view(len(x), -1)


def gaps(make: Callable[[int, int], nn.Module], widths: list[int], seeds: int) -> Tensor:
    """Largest gap between real and linearized loss, relative to L₀, per seed and width."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(10, 5, dtype=torch.float64, generator=generator)
    y = torch.randn(10, 1, dtype=torch.float64, generator=generator)
    found = torch.zeros(seeds, len(widths), dtype=torch.float64)
    for seed in range(seeds):
        for k, width in enumerate(widths):
            model = make(width, seed).double()
            predicted = LossModel.from_network(model, x, y)
            lr = 0.5 * predicted.critical_learning_rate
            line = torch.tensor(predicted.gradient_descent(lr, 60))
            real = torch.tensor(losses(model, x, y, lr, 60), dtype=torch.float64)
            found[seed, k] = (real - line).abs().max() / line[0]
    return found


@pytest.mark.claim("C1.4")
def test_the_real_curve_approaches_the_linearized_one_as_width_grows() -> None:
    """Divided by the proven √(ln m / m) the gap still shrinks, by three standard errors."""
    widths = [32, 128, 512, 2048]
    found = gaps(lambda width, seed: wide_network(5, width, 1, seed=seed), widths, seeds=6)
    x = torch.tensor(widths, dtype=torch.float64).log()
    beyond = (found / (x / x.exp()).sqrt()).log()
    orders = -(beyond @ (x - x.mean())) / (x - x.mean()).square().sum()
    assert orders.mean() - 3 * orders.std() / len(orders) ** 0.5 > 0
    assert found[:, -1].max() < 0.1


def test_the_distance_is_the_norm_of_the_move() -> None:
    linear = linearize(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)))
    moves = [0.3 * torch.randn_like(p) for p in linear.parameters()]
    with torch.no_grad():
        for p, move in zip(linear.parameters(), moves, strict=True):
            p += move
    norm = torch.cat([move.flatten() for move in moves]).norm().item()
    assert linear.distance() == pytest.approx(norm, rel=1e-5)


def test_frozen_parameters_stay_out_of_the_expansion(data: tuple[Tensor, Tensor]) -> None:
    model = network()
    model[0].weight.requires_grad_(False)
    linear = linearize(model)
    losses(linear, *data, 0.1, 3)
    assert torch.equal(linear.network[0].weight, model[0].weight)


def test_train_leaves_the_mode_of_the_network_inside_alone(data: tuple[Tensor, Tensor]) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)).double().eval()
    linear = linearize(model).train()
    assert torch.equal(linear(data[0]), model(data[0]))
    with pytest.raises(ValueError, match="BatchNorm1d at '1' normalizes by its batch"):
        linearize(model.train())


def test_saved_and_loaded_it_is_the_same_function(data: tuple[Tensor, Tensor]) -> None:
    x, y = data
    linear, other = linearize(network()), linearize(network())
    losses(linear, x, y, 0.1, 3)
    other.load_state_dict(linear.state_dict())
    assert torch.equal(other(x), linear(x))


@pytest.mark.usefixtures("as_users_do")
def test_what_is_no_module_is_named() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got int"):
        linearize(3)
    with pytest.raises(ValueError, match=r"width must be a whole number"):
        wide_network(3, 0, 1)

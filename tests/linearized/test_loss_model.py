"""The closed form against training itself: every step, every rate, with and without momentum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from exptest.data import load_california_housing, load_digits
from exptest.linearized import LossModel, empirical_ntk, linearize

SHARED = Path(__file__).parents[3] / "shared" / "data"
FACTORS = [0.1, 0.9, 1.0, 1.9, 2.1]


def trained(
    X: torch.Tensor, Y: torch.Tensor, lr: float, steps: int, momentum: float, loss: str = "half_mse"
) -> np.ndarray:
    """Losses of torch's own SGD on a linear layer, float64, full batch."""
    layer = nn.Linear(X.shape[1], Y.shape[1], bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=lr, momentum=momentum)
    curve = []
    for _ in range(steps + 1):
        optimizer.zero_grad()
        residual = layer(X) - Y
        half = residual.square().sum() / (2 * len(X))
        objective = half if loss == "half_mse" else nn.functional.mse_loss(layer(X), Y)
        objective.backward()
        optimizer.step()
        curve.append(objective.item())
    return np.array(curve)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load_digits()
    return data.inputs.double(), torch.eye(10, dtype=torch.float64)[data.targets]


def california() -> tuple[torch.Tensor, torch.Tensor]:
    if not SHARED.exists():
        pytest.skip("no data beside the checkout")
    data = load_california_housing(SHARED)
    return data.inputs.double(), data.targets.double()


@pytest.mark.claim("C2.1")
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("data", [digits, california], ids=lambda f: f.__name__)
def test_the_predicted_curve_is_the_trained_one(data: Any, factor: float, momentum: float) -> None:
    X, Y = data()
    model = LossModel.from_linear(X, Y)
    lr = factor / model.eigenvalues[0]
    predicted = model.gradient_descent(lr, 1000, momentum=momentum)
    measured = trained(X, Y, lr, 1000, momentum)
    tolerance = 1e-9 * np.maximum(measured, 1e-12 * measured[0])
    assert (abs(predicted - measured) <= tolerance).all()


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_torchs_mse_is_twice_half_mse_over_its_outputs(momentum: float) -> None:
    X, Y = digits()
    model = LossModel.from_linear(X, Y, loss="mse")
    lr = 0.9 * model.critical_learning_rate
    measured = trained(X, Y, lr, 200, momentum, loss="mse")
    assert model.gradient_descent(lr, 200, momentum=momentum) == pytest.approx(measured, rel=1e-9)


def random_model(seed: int, n: int = 12, d: int = 5) -> tuple[LossModel, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, d)), rng.standard_normal((n, 2))
    return LossModel.from_linear(X, y), X, y


@given(st.integers(0, 1000))
def test_the_kernel_gives_the_same_model_as_the_inputs(seed: int) -> None:
    model, X, y = random_model(seed)
    shared = LossModel.from_kernel(X @ X.T, -y)
    full = np.einsum("ij,cd->icjd", X @ X.T, np.eye(2))
    lr = 0.7 * model.critical_learning_rate
    curve = model.gradient_descent(lr, 50)
    assert shared.gradient_descent(lr, 50) == pytest.approx(curve, rel=1e-9)
    whole = LossModel.from_kernel(full, -y)
    assert whole.gradient_descent(lr, 50) == pytest.approx(curve, rel=1e-9)


@pytest.mark.claim("C2.2")
@given(st.integers(0, 1000))
def test_gradient_flow_is_the_limit_of_small_steps_of_order_one(seed: int) -> None:
    model, *_ = random_model(seed)
    time = 1.0 / model.eigenvalues[0]
    exact = model.gradient_flow(time)
    steps = np.array([64, 128, 256])
    errors = [abs(model.gradient_descent(time / n, n)[-1] - exact) for n in steps.tolist()]
    order = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert order == pytest.approx(1.0, abs=0.05)


@pytest.mark.claim("C2.3")
@given(st.integers(0, 1000), st.floats(0.01, 2.0))
def test_at_every_stable_rate_the_loss_is_completely_monotone(seed: int, share: float) -> None:
    """(−1)^j Δ^j L ≥ 0 for every j: decreasing, convex, and so on for ever."""
    model, *_ = random_model(seed)
    differences = model.gradient_descent(share / model.eigenvalues[0], 40)
    for _ in range(8):
        assert (differences >= -1e-13 * model.amplitudes.sum()).all()
        differences = -np.diff(differences)


def test_above_it_the_loss_may_rise_and_fall() -> None:
    model = LossModel.from_linear(np.diag([1.0, 0.1]), [0.01, 1.0])
    curve = model.gradient_descent(2.1 / model.eigenvalues[0], 200)
    assert np.diff(curve).min() < 0 < np.diff(curve).max()


@pytest.mark.claim("C2.4")
@given(st.integers(0, 1000))
def test_the_effective_rate_only_falls(seed: int) -> None:
    model, *_ = random_model(seed)
    times = np.linspace(0, 50 / model.eigenvalues[-1], 200)
    rates = model.effective_rate(times)
    assert (np.diff(rates) <= 1e-12 * rates[0]).all()
    start = 2 * (model.eigenvalues * model.amplitudes).sum() / model.amplitudes.sum()
    assert rates[0] == pytest.approx(start, rel=1e-12)
    last = float(model.effective_rate(1e9 / model.eigenvalues[-1]))
    assert last == pytest.approx(2 * model.eigenvalues[-1], rel=1e-6)


@pytest.mark.claim("C2.5")
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_critical_rate_separates_decay_from_growth(momentum: float) -> None:
    model, *_ = random_model(1)
    critical = model.critical_learning_rate_with(momentum)
    below, above = (
        model.gradient_descent(share * critical, 4000, momentum=momentum) for share in (0.99, 1.01)
    )
    assert below[-1] - model.floor < 1e-3 * below[0]
    assert above[-1] > 1e3 * above[0]


@pytest.mark.claim("C2.9")
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(("seed", "rank"), [(0, 1), (1, 2), (2, 3), (3, 4)])
def test_the_floor_is_the_least_loss_that_any_weights_reach(
    seed: int, rank: int, wide: bool
) -> None:
    """Fewer directions than weights and examples; with more weights than examples there is none."""
    draw = np.random.default_rng(seed)
    X = draw.standard_normal((6, rank)) @ draw.standard_normal((rank, 5))
    X, y = draw.standard_normal((6, 9)) if wide else X, draw.standard_normal((6, 2))
    for loss, scale in (("half_mse", 1 / 12), ("mse", 1 / 12)):
        model = LossModel.from_linear(X, y, loss=loss)
        best = X @ np.linalg.lstsq(X, y, rcond=1e-10)[0]
        assert model.floor == pytest.approx(scale * ((best - y) ** 2).sum(), rel=1e-9, abs=1e-20)
        kernel = LossModel.from_kernel(X @ X.T, -y, loss=loss)
        assert kernel.floor == pytest.approx(model.floor, rel=1e-9, abs=1e-20)
        spent = model.gradient_descent(model.optimal_learning_rate, 3)
        assert (spent >= model.floor).all()
        assert wide == (model.floor < 1e-20)


def test_the_optimal_rate_shrinks_the_slowest_mode_fastest() -> None:
    model, *_ = random_model(2)
    best = model.optimal_learning_rate

    def slowest(lr: float) -> float:
        return float(abs(1 - lr * model.eigenvalues).max())

    assert all(slowest(best) <= slowest(share * best) for share in (0.9, 0.99, 1.01, 1.1))


def test_curves_are_vectorized_over_rates() -> None:
    model, *_ = random_model(3)
    rates = np.array([[0.1, 0.2], [0.3, 0.4]])
    curves = model.gradient_descent(rates, 300)
    assert curves.shape == (2, 2, 301)
    assert np.array_equal(curves[1, 0], model.gradient_descent(0.3, 300))


def test_modes_say_when_each_is_gone() -> None:
    model, *_ = random_model(4)
    lr = 0.5 * model.critical_learning_rate
    for k, row in model.modes(lr, gone=0.01).iterrows():
        left = (1 - lr * model.eigenvalues[k]) ** (2 * row["gone_by_step"])
        assert left <= 0.01 * (1 + 1e-9)
    assert model.modes(lr)["share"].sum() == pytest.approx(
        model.amplitudes.sum() / (model.amplitudes.sum() + model.floor)
    )


@pytest.mark.claim("C2.8")
@given(st.integers(0, 1000), st.integers(0, 30))
def test_predictions_on_other_inputs_are_those_of_the_trained_weights(seed: int, step: int) -> None:
    model, X, y = random_model(seed)
    other = np.random.default_rng(seed + 1).standard_normal((3, 5))
    lr, W = 0.8 * model.critical_learning_rate, np.zeros((5, 2))
    for _ in range(step):
        W -= lr * X.T @ (X @ W - y) / len(X)
    predicted = model.outputs_at(other @ X.T, np.zeros((3, 2)), lr=lr, step=step)
    assert predicted == pytest.approx(other @ W, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("outputs", [1, 2])
def test_predictions_on_other_inputs_are_those_of_the_linearized_network(outputs: int) -> None:
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs)).double()
    x, others = (torch.randn(n, 3, dtype=torch.float64) for n in (6, 4))
    y = torch.randn(6, outputs, dtype=torch.float64)
    model = LossModel.from_network(network, x, y)
    lr, linear = 0.7 * model.critical_learning_rate, linearize(network)
    predicted = model.outputs_at(empirical_ntk(network, others, x), network(others), lr=lr, step=25)
    optimizer = torch.optim.SGD(linear.parameters(), lr=lr)
    for _ in range(25):
        optimizer.zero_grad()
        ((linear(x) - y).square().sum() / 12).backward()
        optimizer.step()
    assert predicted == pytest.approx(linear(others).detach().numpy(), rel=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_diverging_loss_becomes_infinite_but_a_mode_without_loss_does_not(
    momentum: float,
) -> None:
    model = LossModel.from_linear(np.diag([2.0, 0.5]), [1.0, 1.0])
    curve = model.gradient_descent(1e6, 400, momentum=momentum)
    assert np.isinf(curve[-1])
    assert not np.isnan(curve).any()
    silent = LossModel.from_linear(np.diag([2.0, 0.5]), [0.0, 1.0])
    lr = 0.5 / silent.eigenvalues[1]
    assert lr > 2 * silent.critical_learning_rate
    assert silent.gradient_descent(lr, 4000, momentum=momentum)[-1] < 1e-12

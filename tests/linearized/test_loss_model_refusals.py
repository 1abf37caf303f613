"""What has no loss curve is refused, by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from exptest.linearized import LossModel


@pytest.fixture
def model() -> LossModel:
    """Twelve examples, five inputs, two outputs."""
    rng = np.random.default_rng(0)
    return LossModel.from_linear(rng.standard_normal((12, 5)), rng.standard_normal((12, 2)))


@pytest.mark.parametrize(
    ("cross", "initial", "settings", "message"),
    [
        (
            np.ones((2, 11)),
            np.ones((2, 2)),
            {},
            r"of 12 values for 2 outputs, got shapes \(2, 11\)",
        ),
        (np.ones((2, 12)), np.ones((2, 3)), {}, r"got shapes \(2, 12\) and \(2, 3\)"),
        (np.ones((3, 12)), np.ones((2, 2)), {}, r"got shapes \(3, 12\) and \(2, 2\)"),
        (np.full((2, 12), np.nan), np.ones((2, 2)), {}, "cross_kernel hold 24 non-finite"),
        (np.ones((2, 12)), np.ones((2, 2)), {"lr": 0.0}, "lr must be positive"),
        (np.ones((2, 12)), np.ones((2, 2)), {"step": -1}, "step must be a whole number"),
    ],
)
def test_predictions_need_what_belongs_together(
    model: LossModel, cross: np.ndarray, initial: np.ndarray, settings: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.outputs_at(cross, initial, **({"lr": 0.1, "step": 3} | settings))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.0], [0.0]], [1.0, 2.0]), "no step changes the outputs"),
        (([[1.0]], [1.0, 2.0]), "inputs and targets differ in length: 1 and 2"),
        (([[np.nan]], [1.0]), "inputs hold 1 non-finite values"),
        (([[1.0]], [1.0], [1.0, 2.0]), r"weights must have shape \(1, 1\)"),
        ((np.zeros((0, 2)), np.zeros(0)), "inputs must be a non-empty matrix"),
    ],
)
def test_bad_input_is_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossModel.from_linear(*arguments)


def test_a_kernel_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="the kernel is not symmetric"):
        LossModel.from_kernel([[1.0, 2.0], [0.0, 1.0]], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"kernel must have shape \(2, 2\) .* got \(3, 3\)"):
        LossModel.from_kernel(np.eye(3), [1.0, 1.0])
    with pytest.raises(ValueError, match=r"no negative eigenvalue, this one has -0\.5"):
        LossModel.from_kernel(np.diag([1.0, -0.5]), [1.0, 1.0])
    with pytest.raises(TypeError, match="inputs must be real numbers"):
        LossModel.from_linear([[1j]], [1.0])
    with pytest.raises(ValueError, match="loss must be one of 'half_mse', 'mse'"):
        LossModel.from_kernel(np.eye(2), [1.0, 1.0], loss="huber")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "lr must be positive and finite"),
        ({"lr": [0.1, np.nan]}, "lr must be positive and finite"),
        ({"steps": -1}, "steps must be a whole number of at least 0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
    ],
)
def test_settings_without_a_curve_are_named(model: LossModel, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.gradient_descent(**({"lr": 0.1, "steps": 3} | settings))


def test_what_lies_outside_the_curve_is_named(model: LossModel) -> None:
    for curve in (model.gradient_flow, model.effective_rate):
        with pytest.raises(ValueError, match="times must be finite and not negative, got -1"):
            curve([0.0, -1.0])
    with pytest.raises(ValueError, match="the loss starts at its floor"):
        LossModel.from_linear([[1.0]], [0.0]).effective_rate(0.0)
    with pytest.raises(ValueError, match="gone must lie strictly between 0 and 1"):
        model.modes(0.1, gone=1.0)
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\)"):
        model.critical_learning_rate_with(1.0)


def test_a_networks_model_is_computed_in_double_precision_and_checks_its_targets() -> None:
    network, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(5, 3)
    model = LossModel.from_network(network, x, torch.zeros(5, 2))
    residual = network.double()(x.double()).detach()
    assert model.amplitudes.sum() + model.floor == pytest.approx(
        residual.square().sum().item() / 10, rel=1e-12
    )
    with pytest.raises(ValueError, match=r"shape of the model's outputs, \(5, 2\), got \(5, 1\)"):
        LossModel.from_network(network.float(), x, torch.zeros(5))
    with pytest.raises(TypeError, match="inputs must be floating point"):
        LossModel.from_network(network, x.long(), torch.zeros(5, 2))

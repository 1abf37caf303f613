"""Cross-entropy in function space against a linear classifier trained by torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from exptest.linearized import CrossEntropyModel

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(20, 5, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(3, (20,), generator=GENERATOR)


def model() -> CrossEntropyModel:
    return CrossEntropyModel.from_kernel(X @ X.T, np.zeros((20, 3)), LABELS)


@pytest.mark.claim("C2.7")
@pytest.mark.parametrize("lr", [0.1, 1.0, 3.0])
def test_the_iteration_is_training_itself(lr: float) -> None:
    layer = nn.Linear(5, 3, bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    optimizer, measured = torch.optim.SGD(layer.parameters(), lr=lr), []
    for _ in range(201):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(layer(X), LABELS)
        loss.backward()
        optimizer.step()
        measured.append(loss.item())
    assert model().gradient_descent(lr, 200) == pytest.approx(np.array(measured), rel=1e-10)


def test_the_local_rates_are_the_hessians_eigenvalues() -> None:
    def objective(flat: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(X @ flat.view(5, 3), LABELS)

    hessian = torch.autograd.functional.hessian(objective, torch.zeros(15, dtype=torch.float64))
    largest = torch.linalg.eigvalsh(hessian)[-1].item()
    assert model().local_rates()[0] == pytest.approx(largest, rel=1e-10)
    assert model().critical_learning_rate() == pytest.approx(2 / largest, rel=1e-10)


def test_a_full_kernel_is_taken_too() -> None:
    full = np.einsum("ij,cd->icjd", (X @ X.T).numpy(), np.eye(3))
    whole = CrossEntropyModel.from_kernel(full, np.zeros((20, 3)), LABELS)
    assert np.allclose(whole.gradient_descent(1.0, 20), model().gradient_descent(1.0, 20))


@pytest.mark.parametrize(
    ("kernel", "outputs", "labels", "message"),
    [
        (np.eye(2), np.zeros((2, 3)), [0, 3], "labels must be 2 whole numbers from 0 to 2"),
        (np.eye(3), np.zeros((2, 3)), [0, 1], r"kernel must have shape \(2, 2\)"),
        (np.eye(2), [[np.nan, 0.0]] * 2, [0, 1], "outputs hold 2 non-finite values"),
        (np.full((2, 2), np.inf), np.zeros((2, 3)), [0, 1], "kernel hold 4 non-finite values"),
        ([[1.0, 0.5], [0.0, 1.0]], np.zeros((2, 3)), [0, 1], "the kernel is not symmetric"),
    ],
)
def test_bad_input_is_named(
    kernel: np.ndarray, outputs: object, labels: list, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CrossEntropyModel.from_kernel(kernel, outputs, labels)


@pytest.mark.parametrize("settings", [{"lr": 0.0, "steps": 3}, {"lr": 0.1, "steps": -1}])
def test_settings_without_a_curve_are_named(settings: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        model().gradient_descent(**settings)


def test_one_class_is_stable_at_every_step() -> None:
    alone = CrossEntropyModel.from_kernel(X @ X.T, np.zeros((20, 1)), np.zeros(20))
    assert alone.critical_learning_rate() == math.inf

"""Complex weights, inputs, outputs and losses are refused everywhere in this wing, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import (
    CrossEntropyModel,
    LossModel,
    critical_learning_rate,
    curvature_spectrum,
    empirical_ntk,
    expected_sgd_loss,
    linearize,
    max_learning_rate,
    noise_floor,
)

X, Y = torch.randn(4, 3, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.float64)
LINE = nn.Linear(3, 2).double()


class ComplexWeights(nn.Module):
    """Real in, real out, complex between."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = nn.Linear(3, 2, dtype=torch.complex128)

    def forward(self, x: Tensor) -> Tensor:
        return self.phase(x.to(torch.complex128)).abs()


class ComplexOutputs(nn.Module):
    """Real weights, complex outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(self.inner(x))


NETWORKS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "empirical_ntk": empirical_ntk,
    "LossModel": lambda model, x: LossModel.from_network(model, x, Y),
    "curvature_spectrum": lambda model, x: curvature_spectrum(model, nn.MSELoss(), x, Y),
    "critical_learning_rate": lambda model, x: critical_learning_rate(model, nn.MSELoss(), x, Y),
}


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize("entrance", NETWORKS)
def test_a_complex_network_is_refused(entrance: str) -> None:
    call = NETWORKS[entrance]
    with pytest.raises(
        TypeError, match=r"parameter 'phase\.weight' must be real, got .*complex128"
    ):
        call(ComplexWeights(), X)
    with pytest.raises(TypeError, match="the model's outputs must be real, got"):
        call(ComplexOutputs(), X)
    with pytest.raises(TypeError, match=r"(inputs|x1) must be real, got torch\.complex128"):
        call(LINE, X.to(torch.complex128))


@pytest.mark.usefixtures("as_users_do")
def test_complex_weights_are_not_linearized_and_a_complex_loss_is_no_loss() -> None:
    with pytest.raises(TypeError, match=r"parameter 'phase\.weight' must be real"):
        linearize(ComplexWeights())
    with pytest.raises(TypeError, match="the loss must be real"):
        curvature_spectrum(LINE, lambda f, y: (f * 1j - y).sum(), X, Y)


Z = np.ones((4, 3)) * 1j
MATRICES: dict[str, Callable[[Any], Any]] = {
    "inputs": lambda z: LossModel.from_linear(z, Y),
    "targets": lambda z: LossModel.from_linear(X, z),
    "kernel": lambda z: LossModel.from_kernel(z @ z.T, Y),
    "residual": lambda z: LossModel.from_kernel(X @ X.T, z),
    "outputs": lambda z: CrossEntropyModel.from_kernel(X @ X.T, z, [0, 1, 1, 0]),
    "cross_kernel": lambda z: LossModel.from_linear(X, Y).outputs_at(z @ z.T, Y, lr=1, step=1),
    "initial": lambda z: LossModel.from_linear(X, Y).outputs_at(X @ X.T, z, lr=1, step=1),
    "inputs of a bound": max_learning_rate,
    "inputs of a floor": lambda z: noise_floor(z, Y, lr=0.1, batch_size=1),
    "weights": lambda z: expected_sgd_loss(X, Y, z, lr=0.1, batch_size=1, steps=1),
}


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize("place", MATRICES)
@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
def test_a_complex_matrix_is_refused(place: str, make: Callable[[np.ndarray], Any]) -> None:
    with pytest.raises(TypeError, match=f"{place.split()[0]} must be real numbers"):
        MATRICES[place](make(Z))

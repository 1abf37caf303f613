"""Where the loss curves downwards, or not at all: the largest eigenvalue, and what it means."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import critical_learning_rate, curvature_spectrum
from tests.linearized.reference import dense_ggn, dense_hessian


def saddle(f: Tensor, y: Tensor) -> Tensor:
    """Upwards in the first output, twenty times as much downwards in the second."""
    return (f[:, 0] - y[:, 0]).square().mean() - 20 * f[:, 1].square().mean()


def maximum(f: Tensor, y: Tensor) -> Tensor:
    return -(f - y).square().mean()


def data(features: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return torch.randn(30, features, dtype=dtype), torch.randn(30, 2, dtype=dtype)


@pytest.mark.parametrize("curvature", ["hessian", "ggn"])
@pytest.mark.parametrize("features", [3, 25])
def test_the_largest_is_found_where_a_negative_one_is_larger_in_size(
    features: int, curvature: str
) -> None:
    model, (x, y) = nn.Linear(features, 2).double(), data(features)
    dense = {"hessian": dense_hessian, "ggn": dense_ggn}[curvature](model, saddle, x, y)
    exact = torch.linalg.eigvalsh(dense)
    assert -exact[0] > 5 * exact[-1] > 0
    found = curvature_spectrum(model, saddle, x, y, curvature=curvature, k=3)
    assert found.eigenvalues == pytest.approx(exact.flip(0)[:3].tolist(), rel=1e-9)
    assert f"stable below η = {2 / exact[-1].item():.6g}" in str(found)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("features", "zero"), [(3, False), (20, False), (60, True)])
def test_at_a_maximum_no_rate_is_stable_and_it_says_so(
    features: int, zero: bool, dtype: torch.dtype
) -> None:
    model, (x, y) = nn.Linear(features, 2).to(dtype), data(features, dtype)
    found = curvature_spectrum(model, maximum, x, y, curvature="hessian")
    dense = dense_hessian(model.double(), maximum, x.double(), y.double())
    exact = torch.linalg.eigvalsh(dense)[-1].item()
    if zero:  # more weights than examples: directions that change no output
        assert found.eigenvalues[0] == 0.0
    else:
        assert exact < 0
        assert found.eigenvalues[0] == pytest.approx(exact, rel=1e-3)
    assert math.isnan(found.critical_learning_rate)
    assert "curves downwards and nowhere upwards, and no η is stable" in found.summary()
    assert "inf" not in str(found)
    with pytest.raises(ValueError, match=r"no learning rate is stable .* sign in loss_fn"):
        critical_learning_rate(model, maximum, x.double(), y.double(), curvature="hessian")


@pytest.mark.parametrize("curvature", ["ggn", "ntk"])
def test_zero_is_found_where_every_other_eigenvalue_is_negative(curvature: str) -> None:
    """Twenty distinct negative eigenvalues and 2102 zeros, which Lanczos may pass over."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(50, 40), nn.Tanh(), nn.Linear(40, 2)).double()
    x, y = torch.randn(10, 50, dtype=torch.float64), torch.randn(10, 2, dtype=torch.float64)
    for seed in range(4):
        found = curvature_spectrum(model, maximum, x, y, curvature=curvature, seed=seed)
        assert found.eigenvalues[0] == 0.0
        assert found.norm > 0.0


def test_a_flat_loss_limits_no_rate_and_it_says_so() -> None:
    model, (x, y) = nn.Linear(30, 2).double(), data(30)
    found = curvature_spectrum(model, lambda f, y: (f - y).mean(), x, y)
    assert found.norm == 0.0
    assert found.critical_learning_rate == math.inf
    assert "the loss is flat and its curvature limits no η" in str(found)


@pytest.mark.parametrize("features", [3, 40])
def test_the_norm_is_an_estimate_of_the_matrixs(features: int) -> None:
    model, (x, y) = nn.Linear(features, 2).double(), data(features)
    dense = dense_ggn(model, nn.MSELoss(), x, y)
    norms = [curvature_spectrum(model, nn.MSELoss(), x, y, seed=s).norm ** 2 for s in range(20)]
    assert np.mean(norms) == pytest.approx(dense.square().sum().item(), rel=0.5)


class Half(nn.Module):
    """A network that computes in half precision inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.bfloat16(), self.inner.weight.bfloat16())


class HalfWeights(nn.Module):
    """Weights in half precision, outputs in single."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2).half()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.inner.weight.float())


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Half(), r"torch\.bfloat16 is too coarse for derivatives .*, got the model's outputs"),
        (HalfWeights(), r"torch\.float16 is too coarse for derivatives .*, got parameter 'inner\."),
    ],
)
def test_half_precision_anywhere_is_too_coarse(model: nn.Module, message: str) -> None:
    x, y = data(3, torch.float32)
    with pytest.raises(TypeError, match=message):
        curvature_spectrum(model, nn.MSELoss(), x, y)


def test_positive_ones_are_found_among_negative_ones_of_their_size() -> None:
    model, (x, y) = nn.Linear(25, 2).double(), data(25)

    def even(f: Tensor, y: Tensor) -> Tensor:
        return (f[:, 0] - y[:, 0]).square().mean() - f[:, 1].square().mean()

    exact = torch.linalg.eigvalsh(dense_hessian(model, even, x, y)).flip(0)[:4]
    found = curvature_spectrum(model, even, x, y, curvature="hessian", k=4)
    assert found.eigenvalues == pytest.approx(exact.tolist(), rel=1e-9)

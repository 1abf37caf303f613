"""The largest stable rate: the factor of each loss, and what makes it infinite or undefined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits as load_sklearn_digits
from torch import nn

from exptest.data import load_mnist
from exptest.linearized import bounds, max_learning_rate

SHARED = Path(__file__).parents[3] / "shared" / "data"


def largest_hessian_eigenvalue(X: torch.Tensor, loss: str, weights: torch.Tensor) -> float:
    n, outputs = len(X), weights.shape[1]

    def objective(flat: torch.Tensor) -> torch.Tensor:
        z = X @ flat.view(-1, outputs)
        if loss == "half_mse":
            return z.square().sum() / (2 * n)
        if loss == "mse":
            return nn.functional.mse_loss(z, torch.zeros_like(z))
        if loss == "cross_entropy":
            return nn.functional.cross_entropy(z, torch.zeros(n, dtype=torch.long))
        return nn.functional.binary_cross_entropy_with_logits(z, torch.zeros_like(z))

    hessian = torch.autograd.functional.hessian(objective, weights.flatten())
    return torch.linalg.eigvalsh(hessian)[-1].item()


@pytest.mark.claim("C3.1")
@given(st.integers(0, 10_000), st.sampled_from(sorted(bounds.CURVATURE)))
def test_the_bound_is_two_over_the_largest_curvature(seed: int, loss: str) -> None:
    """Attained with zero weights, where every softmax and every logistic is at one half."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    outputs = 2 if loss == "cross_entropy" else 1
    weights = torch.zeros(3, outputs, dtype=torch.float64)
    bound = max_learning_rate(X, loss=loss)
    assert bound == pytest.approx(2 / largest_hessian_eigenvalue(X, loss, weights), rel=1e-9)
    weights = 3 * torch.randn(3, outputs, generator=generator, dtype=torch.float64)
    assert bound <= 2 / largest_hessian_eigenvalue(X, loss, weights) * (1 + 1e-9)


def test_on_standardized_columns_it_is_the_papers_formula(rng: np.random.Generator) -> None:
    X = rng.standard_normal((50, 4)) @ rng.standard_normal((4, 4))
    X = (X - X.mean(0)) / X.std(0)
    largest = np.linalg.eigvalsh(np.cov(X.T))[-1]
    assert max_learning_rate(X) == pytest.approx(2 * 50 / (49 * largest), rel=1e-12)


def test_a_rate_from_standardized_columns_guarantees_nothing_for_pixels_normalized_as_one() -> None:
    """Cross-entropy allows half_mse's rate twice over, but for the inputs that it is taken from."""
    pixels = load_sklearn_digits().data
    together = (pixels - pixels.mean()) / pixels.std()
    deviations = pixels.std(0)
    columns = (pixels - pixels.mean(0)) / np.where(deviations > 0, deviations, 1.0)
    start = max_learning_rate(columns)
    assert start == pytest.approx(max_learning_rate(columns, loss="cross_entropy") / 2, rel=1e-12)
    assert start > 1.5 * max_learning_rate(together, loss="cross_entropy")


@pytest.mark.slow
def test_the_papers_start_on_mnist_is_three_times_above_the_guarantee_of_its_inputs() -> None:
    if not SHARED.exists():
        pytest.skip("no data beside the checkout")
    data = load_mnist(SHARED)
    pixels = data.inputs.double().flatten(1)
    start = max_learning_rate(data.standardized())
    assert start == pytest.approx(0.0493986, abs=5e-8)
    assert 2 / max_learning_rate(pixels) == pytest.approx(249.1, abs=0.05)
    bound = max_learning_rate(pixels, loss="cross_entropy")
    assert bound == pytest.approx(0.01606, abs=5e-6)
    assert start / bound == pytest.approx(3.08, abs=0.005)
    with_bias = max_learning_rate(pixels, loss="cross_entropy", bias=True)
    assert with_bias == pytest.approx(0.01600, abs=5e-6)


@pytest.mark.parametrize("shape", [(40, 8), (8, 40)])
def test_lanczos_agrees_with_the_dense_solver(
    shape: tuple[int, int], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = rng.standard_normal(shape)
    dense = max_learning_rate(X)
    monkeypatch.setattr(bounds, "DENSE_UP_TO", 0)
    assert max_learning_rate(X) == pytest.approx(dense, rel=1e-10)


def test_a_bias_is_a_column_of_ones(rng: np.random.Generator) -> None:
    X = rng.standard_normal((30, 3)) + 5
    with_ones = np.column_stack([X, np.ones(30)])
    assert max_learning_rate(X, bias=True) == max_learning_rate(with_ones)
    assert max_learning_rate(X, bias=True) < max_learning_rate(X)


def test_array_tensor_and_list_agree(rng: np.random.Generator) -> None:
    X = rng.standard_normal((10, 3))
    assert (
        max_learning_rate(X) == max_learning_rate(torch.tensor(X)) == max_learning_rate(X.tolist())
    )


def test_single_constant_columns_are_fine(rng: np.random.Generator) -> None:
    X = np.column_stack([rng.standard_normal(20), np.zeros(20)])
    assert max_learning_rate(X) == pytest.approx(max_learning_rate(X[:, :1]), rel=1e-12)


@pytest.mark.parametrize(
    ("inputs", "settings", "error", "message"),
    [
        ([[1.0, float("nan")]], {}, ValueError, "inputs hold 1 non-finite values"),
        (np.ones((5, 2)), {}, ValueError, "inputs are all constant"),
        (np.zeros((1, 2)), {}, ValueError, "inputs are all constant"),
        (np.ones((0, 2)), {}, ValueError, r"a non-empty matrix, got shape \(0, 2\)"),
        (np.ones((2, 3, 3)), {}, ValueError, r"try inputs.reshape\(len\(inputs\), -1\)"),
        ([["a"]], {}, TypeError, "inputs must be real numbers"),
        ([[1j]], {}, TypeError, "inputs must be real numbers"),
        ([[1.0]], {"loss": "hinge"}, ValueError, "loss must be one of 'half_mse', 'mse'"),
    ],
)
def test_bad_input_is_named(
    inputs: Any, settings: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        max_learning_rate(inputs, **settings)

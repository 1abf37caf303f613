"""Which modes are rounding: every kernel has the rank that exact arithmetic gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from exptest.data import load_digits
from exptest.linearized import CrossEntropyModel, LossModel, empirical_ntk, noise_floor
from exptest.linearized.moments import Moments
from exptest.linearized.rounding import precision_of

CONVERSIONS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda K: K,
    "float32": lambda K: K.astype(np.float32),
    "a tensor": lambda K: torch.as_tensor(K).float(),
    "widened": lambda K: K.astype(np.float32).astype(np.float64),
    "widened tensor": lambda K: torch.as_tensor(K).float().double(),
    "widened and scaled": lambda K: 0.3 * K.astype(np.float32).astype(np.float64),
}


def exact(G: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, float]:
    """Eigenvalues of GGᵀ/n and the floor of ½MSE, from float64 algebra on the thin factor."""
    Q, _ = np.linalg.qr(G)
    rest = r - Q @ (Q.T @ r)
    return np.linalg.eigvalsh(G.T @ G / len(G))[::-1], float((rest**2).sum() / (2 * len(G)))


@given(st.integers(0, 1000), st.sampled_from(list(CONVERSIONS)), st.integers(1, 12))
def test_a_kernel_of_low_rank_has_that_many_modes_in_every_precision(
    seed: int, conversion: str, rank: int
) -> None:
    rng = np.random.default_rng(seed)
    G, r = rng.normal(size=(60, rank)) * np.geomspace(1, 0.05, rank), rng.normal(size=60)
    eigenvalues, floor = exact(G, r)
    model = LossModel.from_kernel(CONVERSIONS[conversion](G @ G.T), r)
    scale = 0.3 if "scaled" in conversion else 1.0
    assert model.eigenvalues == pytest.approx(scale * eigenvalues, rel=1e-3)
    assert model.floor == pytest.approx(floor, rel=1e-5)
    assert model.cut.modes == 60 - rank


@pytest.mark.parametrize("conversion", ["float64", "float32"])
def test_rate_and_floor_are_those_of_the_exact_kernel(conversion: str) -> None:
    rng = np.random.default_rng(0)
    X, r = rng.normal(size=(200, 5)), rng.normal(size=200)
    eigenvalues, floor = exact(X, r)
    model = LossModel.from_kernel(CONVERSIONS[conversion](X @ X.T), r)
    assert len(model.eigenvalues) == len(model.modes(0.1)) == 5
    assert model.optimal_learning_rate == pytest.approx(1.0184, abs=5e-5)
    assert model.optimal_learning_rate == pytest.approx(
        2 / (eigenvalues[0] + eigenvalues[-1]), rel=1e-6
    )
    assert model.floor == pytest.approx(floor, rel=1e-7)
    assert f"195 of 200 modes cut as rounding, at most {model.cut.share:.2g}" in str(model)
    unit = "8 eps of float32" if conversion == "float32" else "√200 eps of float64"
    assert f"({unit})" in model.summary()


def images(repeats: int) -> torch.Tensor:
    return load_digits().inputs[:16].double().reshape(-1, 1, 8, 8).repeat(repeats, 1, 1, 1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 3)).double()


def cnn() -> nn.Module:
    stack = [nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.Tanh(), nn.Flatten()]
    return nn.Sequential(*stack, nn.Linear(96, 2)).double()


@pytest.mark.parametrize("make", [mlp, cnn])
@pytest.mark.parametrize("method", ["structured", "general"])
def test_repeated_examples_add_no_modes_to_a_networks_float32_kernel(
    make: Callable[[], nn.Module], method: str
) -> None:
    network, x = make(), images(3)
    y = torch.randn(48, len(network(x)[0]), dtype=torch.float64)
    truth = LossModel.from_network(network, x, y)
    assert len(truth.eigenvalues) == 16 * y.shape[1]
    kernel = empirical_ntk(network, x, dtype=torch.float32, method=method)
    single = LossModel.from_kernel(kernel, (network(x) - y).detach())
    assert len(single.eigenvalues) == len(truth.eigenvalues)
    assert single.floor == pytest.approx(truth.floor, rel=1e-6)
    assert single.optimal_learning_rate == pytest.approx(truth.optimal_learning_rate, rel=1e-5)
    others = images(1)[:5].flip(3)
    cross, start = empirical_ntk(network, others, x), network(others).detach()
    lr = truth.optimal_learning_rate
    assert single.outputs_at(cross, start, lr=lr, step=10**6) == pytest.approx(
        truth.outputs_at(cross, start, lr=lr, step=10**6), rel=1e-2, abs=1e-2
    )


@pytest.mark.parametrize("conversion", ["float64", "float32"])
def test_inputs_have_the_same_modes_everywhere(conversion: str) -> None:
    """Singular values from 1 to 1e-12: no kernel in float64 holds their squares."""
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.normal(size=(n, 10)))[0] for n in (40, 20))
    sizes = np.geomspace(1, 1e-12 if conversion == "float64" else 1e-4, 10)
    X = CONVERSIONS[conversion](left * sizes @ right.T)
    y = rng.normal(size=40)
    floor = float(((y - left @ (left.T @ y)) ** 2).sum() / 80)
    model = LossModel.from_linear(X, y)
    assert len(model.eigenvalues) == len(Moments.of(X, y, None, loss="half_mse").eigenvalues) == 10
    assert model.floor == pytest.approx(floor, rel=1e-3)
    lr = 0.1 * model.critical_learning_rate
    at_rest = noise_floor(X, y, lr=lr, batch_size=40, replacement=False)  # no noise at all
    assert at_rest == pytest.approx(model.floor, rel=1e-6)
    assert noise_floor(X, y, lr=1e-8 * lr, batch_size=4) == pytest.approx(model.floor, rel=1e-6)
    assert model.cut.modes == 10


def test_cross_entropy_cuts_where_the_loss_model_does() -> None:
    rng = np.random.default_rng(2)
    X, labels = rng.normal(size=(30, 4)), rng.integers(3, size=30)
    truth = CrossEntropyModel.from_kernel(X @ X.T, np.zeros((30, 3)), labels)
    single = CrossEntropyModel.from_kernel((X @ X.T).astype("f"), np.zeros((30, 3)), labels)
    for model in (truth, single):
        assert model.cut.modes == 26
        assert (model.local_rates() > 0).sum() == 4 * 2  # softmax ignores what all outputs share
        assert "26 of 30 modes cut as rounding" in str(model)
        assert np.linalg.eigvalsh(model.kernel)[0] > -1e-13 * np.linalg.norm(model.kernel)
    assert single.local_rates() == pytest.approx(truth.local_rates(), rel=1e-5)
    curve = truth.gradient_descent(0.5, 100)
    assert single.gradient_descent(0.5, 100) == pytest.approx(curve, rel=1e-5)


def test_whole_and_dyadic_numbers_are_exact() -> None:
    rng = np.random.default_rng(3)
    X = rng.integers(0, 17, size=(40, 6)) * [1, 1, 1, 1, 1, 0]
    X[:, 5] = np.arange(40) == 7
    eigenvalues, _ = exact(X.astype(float), np.ones(40))
    whole = (1000 * X) @ (1000 * X).T
    for kernel in (whole, whole.astype(float), (X / 16) @ (X / 16).T):
        model = LossModel.from_kernel(kernel, np.ones(40))
        assert len(model.eigenvalues) == 6
        assert "float64" in model.cut.reason
    assert LossModel.from_kernel(np.eye(3, dtype=bool), np.ones(3)).cut.modes == 0
    assert LossModel.from_linear(X, np.ones(40)).eigenvalues == pytest.approx(eigenvalues)


def test_a_user_who_knows_better_says_so() -> None:
    kernel = np.diag([1.0, 1e-3, 3e-7])
    assert len(LossModel.from_kernel(kernel, np.ones(3)).eigenvalues) == 3
    for name in ("float32", np.float32, torch.float32, np.dtype("float32")):
        assert len(LossModel.from_kernel(kernel, np.ones(3), computed_in=name).eigenvalues) == 2
        assert LossModel.from_linear(kernel, np.ones(3), computed_in=name).cut.modes == 1
    exact = LossModel.from_kernel(kernel.astype("f"), np.ones(3), computed_in="float64")
    assert len(exact.eigenvalues) == 3
    said = CrossEntropyModel.from_kernel(kernel, np.zeros((3, 2)), [0, 1, 1], computed_in="float32")
    assert said.cut.modes == 1


@pytest.mark.usefixtures("as_users_do")
def test_what_is_too_coarse_or_no_precision_is_named() -> None:
    for half in (torch.eye(3).half(), torch.eye(3).bfloat16(), np.eye(3, dtype=np.float16)):
        with pytest.raises(TypeError, match=r"kernel in b?float16 hold too little"):
            LossModel.from_kernel(half, np.ones(3))
        with pytest.raises(TypeError, match=r"kernel in b?float16"):
            CrossEntropyModel.from_kernel(half, np.zeros((3, 2)), [0, 1, 1])
        with pytest.raises(TypeError, match=r"inputs in b?float16"):
            LossModel.from_linear(half, np.ones(3))
        with pytest.raises(TypeError, match=r"inputs in b?float16"):
            noise_floor(half, np.ones(3), lr=0.1, batch_size=1)
        with pytest.raises(TypeError, match=r"cross_kernel in b?float16"):
            LossModel.from_kernel(np.eye(3), np.ones(3)).outputs_at(half, np.ones(3), lr=1, step=1)
    with pytest.raises(ValueError, match=r"computed_in must be .* got 'int8'; try computed_in="):
        LossModel.from_kernel(np.eye(3), np.ones(3), computed_in="int8")
    with pytest.raises(ValueError, match=r"no negative eigenvalue, this one has -0\.0003"):
        CrossEntropyModel.from_kernel(np.diag([1.0, -3e-4]), np.zeros((2, 2)), [0, 1])


@pytest.mark.parametrize(("gap", "kept"), [(8e-7, True), (5e-6, False)])
def test_symmetry_is_asked_for_to_the_precision(gap: float, kept: bool) -> None:
    kernel = np.array([[1.0, 0.5], [0.5 + gap, 1.0]])
    LossModel.from_kernel(kernel.astype("f"), np.ones(2))
    if kept:
        assert LossModel.from_kernel(kernel, np.ones(2)).cut.modes == 0
    else:
        with pytest.raises(ValueError, match="the kernel is not symmetric"):
            LossModel.from_kernel(kernel, np.ones(2))


def test_widened_numbers_keep_their_precision_and_large_whole_ones_are_exact() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(30, 3)).astype("f") @ rng.normal(size=(3, 8)).astype("f")
    assert precision_of("inputs", X.astype(np.float64)) == "float32"
    assert LossModel.from_linear(X.astype(np.float64), np.ones(30)).cut.modes == 5
    whole = rng.integers(2**23, 2**24, size=(30, 8)).astype(np.float64)
    assert precision_of("inputs", whole) == precision_of("inputs", rng.normal(size=9)) == "float64"

"""Largest curvature against dense eigensolves, and what it promises against training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import (
    LossModel,
    critical_learning_rate,
    curvature_spectrum,
    empirical_ntk,
    max_learning_rate,
)
from tests.linearized.reference import dense_ggn, dense_hessian

LOSSES: dict[str, tuple[Callable, Callable[[int], Tensor]]] = {
    "mse": (nn.MSELoss(), lambda n: torch.randn(n, 3, dtype=torch.float64)),
    "sum of squares": (
        nn.MSELoss(reduction="sum"),
        lambda n: torch.randn(n, 3, dtype=torch.float64),
    ),
    "cross-entropy": (nn.CrossEntropyLoss(), lambda n: torch.arange(n) % 3),
    "logistic": (nn.BCEWithLogitsLoss(), lambda n: torch.rand(n, 3, dtype=torch.float64).round()),
}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 10), nn.Tanh(), nn.Linear(10, 3)).double()


@pytest.mark.claim("C3.2")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("curvature", ["hessian", "ggn"])
def test_the_largest_eigenvalues_are_those_of_the_dense_matrix(curvature: str, loss: str) -> None:
    model, x = network(), torch.randn(30, 8, dtype=torch.float64)
    loss_fn, make = LOSSES[loss]
    y = make(30)
    dense = {"hessian": dense_hessian, "ggn": dense_ggn}[curvature](model, loss_fn, x, y)
    found = curvature_spectrum(model, loss_fn, x, y, curvature=curvature, k=3, batch_size=7)
    exact = torch.linalg.eigvalsh(dense).flip(0)[:3]
    assert found.eigenvalues == pytest.approx(exact.tolist(), rel=1e-9)
    assert found.residuals.max() < 1e-8
    assert critical_learning_rate(model, loss_fn, x, y, curvature=curvature) == pytest.approx(
        2 / exact[0].item(), rel=1e-9
    )


@pytest.mark.claim("C3.3")
@pytest.mark.parametrize("loss", LOSSES)
def test_the_kernel_bounds_gauss_newton_and_is_it_for_squared_error(loss: str) -> None:
    model, x = network(), torch.randn(20, 8, dtype=torch.float64)
    loss_fn, make = LOSSES[loss]
    y = make(20)
    ntk = curvature_spectrum(model, loss_fn, x, y, curvature="ntk", batch_size=6)
    ggn = curvature_spectrum(model, loss_fn, x, y, curvature="ggn")
    theta = empirical_ntk(model, x).reshape(60, 60)
    unit = 1 if loss == "sum of squares" else 20
    share = torch.softmax(model(x), 1).detach()
    blocks = torch.diag_embed(share) - share[:, :, None] * share[:, None, :]
    half = torch.sigmoid(model(x)).detach()
    curvatures = {
        "mse": 2 / 3,
        "sum of squares": 2.0,
        "cross-entropy": torch.linalg.eigvalsh(blocks).max().item(),
        "logistic": (half * (1 - half)).max().item() / 3,
    }
    assert ntk.output_curvature == pytest.approx(curvatures[loss], rel=1e-9)
    largest = ntk.output_curvature * torch.linalg.eigvalsh(theta)[-1].item() / unit
    assert ntk.eigenvalues[0] == pytest.approx(largest, rel=1e-9)
    if "mse" in loss or "squares" in loss:
        assert ggn.eigenvalues[0] == pytest.approx(largest, rel=1e-9)
    else:
        assert ggn.eigenvalues[0] < largest


@pytest.mark.parametrize(
    ("loss", "factor"), [("mse", 2 / 3), ("sum of squares", 2.0), ("logistic", 0.25 / 3)]
)
def test_the_factor_of_the_loss_is_reported(loss: str, factor: float) -> None:
    model = nn.Linear(8, 3).double()
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    loss_fn, make = LOSSES[loss]
    x = torch.randn(9, 8, dtype=torch.float64)
    found = curvature_spectrum(model, loss_fn, x, make(9))
    assert found.output_curvature == pytest.approx(factor)
    assert f"a factor of {factor:.4g}" in str(found)


def test_for_a_linear_model_it_is_the_bound_from_the_inputs() -> None:
    x = torch.randn(40, 5, dtype=torch.float64)
    model, y = nn.Linear(5, 1, bias=False).double(), torch.randn(40, 1, dtype=torch.float64)
    for curvature in ("hessian", "ggn", "ntk"):
        rate = critical_learning_rate(model, nn.MSELoss(), x, y, curvature=curvature)
        assert rate == pytest.approx(max_learning_rate(x, loss="mse"), rel=1e-9)
    assert LossModel.from_network(model, x, y, loss="mse").critical_learning_rate == pytest.approx(
        rate, rel=1e-9
    )


def descend(
    model: nn.Module, loss_fn: Callable, x: Tensor, y: Tensor, lr: float, steps: int
) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    loss = None
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
    return loss_fn(model(x), y).item()


def minimized(kind: str) -> tuple[nn.Module, Callable, Tensor, Tensor]:
    """A linear model at its minimum: least squares, or a logistic regression with overlap."""
    x = torch.randn(60, 4, dtype=torch.float64)
    model = nn.Linear(4, 1).double()
    noisy = x.sum(1, keepdim=True) + 2 * torch.randn(60, 1, dtype=torch.float64)
    if kind == "quadratic":
        loss_fn, y = nn.MSELoss(), noisy
    else:
        loss_fn, y = nn.BCEWithLogitsLoss(), (noisy > 0).double()
    closure_optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=500, tolerance_grad=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        closure_optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        return loss

    closure_optimizer.step(closure)
    return model, loss_fn, x, y


@pytest.mark.claim("C3.2")
@pytest.mark.parametrize("kind", ["quadratic", "logistic"])
def test_gradient_descent_converges_just_below_and_not_just_above(kind: str) -> None:
    model, loss_fn, x, y = minimized(kind)
    critical = curvature_spectrum(model, loss_fn, x, y, curvature="hessian")
    best = loss_fn(model(x), y).item()
    start = {name: w.clone() for name, w in model.state_dict().items()}
    push = torch.as_tensor(critical.vectors[:, 0]) * 1e-3
    excess = {}
    for share in (0.98, 1.02):
        model.load_state_dict(start)
        with torch.no_grad():
            model.weight += push[:4]
            model.bias += push[4:]
        before = loss_fn(model(x), y).item() - best
        lr = share * critical.critical_learning_rate
        excess[share] = (descend(model, loss_fn, x, y, lr, 120) - best) / before
    assert excess[0.98] < 1e-3
    assert excess[1.02] > 100


def test_the_answer_depends_on_neither_batches_nor_seed_and_repeats_bit_for_bit() -> None:
    model, x = network(), torch.randn(30, 8, dtype=torch.float64)
    y = torch.arange(30) % 3
    runs = [
        curvature_spectrum(model, nn.CrossEntropyLoss(), x, y, seed=seed, batch_size=batch)
        for seed, batch in ((0, None), (0, None), (1, 4))
    ]
    assert np.array_equal(runs[0].vectors, runs[1].vectors)
    assert runs[0].eigenvalues == pytest.approx(runs[2].eigenvalues, rel=1e-9)
    assert all(p.grad is None for p in model.parameters())


def test_in_single_precision_it_reports_what_it_reached() -> None:
    model, x = network().float(), torch.randn(30, 8)
    found = curvature_spectrum(model, nn.CrossEntropyLoss(), x, torch.arange(30) % 3)
    assert 0 < found.residuals[0] < 1e-4
    assert f"{found.products} products" in found.summary()


def test_where_nothing_curves_upwards_any_rate_is_stable() -> None:
    model, x = nn.Linear(2, 1).double(), torch.randn(5, 2, dtype=torch.float64)
    rate = critical_learning_rate(
        model, lambda f, y: (f - y).mean(), x, torch.zeros(5, 1, dtype=torch.float64)
    )
    assert rate == math.inf


@pytest.mark.parametrize("curvature", ["hessian", "ggn", "ntk"])
def test_a_loss_without_curvature_has_none_for_many_weights_either(curvature: str) -> None:
    model, x = nn.Linear(50, 2).double(), torch.randn(6, 50, dtype=torch.float64)
    target = torch.zeros(6, 2, dtype=torch.float64)
    found = curvature_spectrum(
        model, lambda f, y: (f - y).mean(), x, target, curvature=curvature, k=2
    )
    assert found.eigenvalues.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_mean_is_told_from_a_sum_where_nothing_is_lost(reduction: str) -> None:
    model, x = nn.Linear(8, 3).double(), torch.randn(30, 8, dtype=torch.float64)
    loss_fn = nn.MSELoss(reduction=reduction)
    for gap in (0.0, 1e-9):
        y = model(x).detach() + gap
        whole = curvature_spectrum(model, loss_fn, x, y)
        parts = curvature_spectrum(model, loss_fn, x, y, batch_size=7)
        exact = torch.linalg.eigvalsh(dense_ggn(model, loss_fn, x, y))[-1].item()
        assert whole.eigenvalues == pytest.approx([exact], rel=1e-9)
        assert parts.eigenvalues == pytest.approx([exact], rel=1e-9)


@pytest.mark.parametrize(
    ("loss_fn", "targets"),
    [
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 20.0]).double()), torch.arange(30) % 3),
        (nn.CrossEntropyLoss(ignore_index=2), torch.arange(30) % 3),
    ],
    ids=["class weights", "ignored targets"],
)
def test_a_loss_that_does_not_add_up_over_batches_is_taken_whole(
    loss_fn: nn.Module, targets: Tensor
) -> None:
    model, x = network(), torch.randn(30, 8, dtype=torch.float64)
    exact = torch.linalg.eigvalsh(dense_ggn(model, loss_fn, x, targets))[-1].item()
    found = curvature_spectrum(model, loss_fn, x, targets)
    assert found.eigenvalues[0] == pytest.approx(exact, rel=1e-9)
    with pytest.raises(ValueError, match=r"batches of 4 do not add up .* try batch_size=None"):
        curvature_spectrum(model, loss_fn, x, targets, batch_size=4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"inputs": torch.ones(4, 8).long()}, TypeError, "inputs must be floating point"),
        (
            {"inputs": torch.randn(3, 8)},
            ValueError,
            r"one row per example, got .*\(3, 8\) and \(4,",
        ),
        ({"targets": torch.tensor(1)}, ValueError, r"one row per example, got .* and \(\)"),
        ({"inputs": torch.randn(4, 8).half()}, TypeError, "float16 is too coarse for derivatives"),
        ({"loss_fn": nn.MultiMarginLoss()}, ValueError, "loss_fn cannot be differentiated twice"),
        (
            {"loss_fn": nn.MSELoss(), "targets": torch.zeros(4, 1)},
            ValueError,
            "loss_fn refuses .* Using a target size",
        ),
        ({"targets": [0, 1, 2, 0]}, TypeError, r"targets must be a torch\.Tensor, got list"),
        ({"targets": torch.zeros(4, 2)}, ValueError, r"loss_fn refuses outputs of shape \(4, 3\)"),
        ({"loss_fn": nn.CrossEntropyLoss(reduction="none")}, ValueError, "must return one number"),
        ({"loss_fn": lambda f, y: f.square().sum() ** 2}, ValueError, "a mean or a sum over"),
        ({"loss_fn": lambda f, y: f.sum() * math.nan}, ValueError, "the loss is nan"),
        ({"curvature": "fisher"}, ValueError, "curvature must be one of 'ggn', 'hessian', 'ntk'"),
        ({"k": 0}, ValueError, "k must be a whole number of at least 1"),
        ({"k": 1000}, ValueError, "k must not exceed the 123 trainable weights"),
    ],
)
@pytest.mark.usefixtures("as_users_do")
def test_bad_input_is_named(call: dict[str, Any], error: type[Exception], message: str) -> None:
    settings = {
        "model": network().float(),
        "loss_fn": nn.CrossEntropyLoss(),
        "inputs": torch.randn(4, 8),
        "targets": torch.arange(4) % 3,
    }
    with pytest.raises(error, match=message):
        curvature_spectrum(**(settings | call))


def test_what_did_not_converge_is_said() -> None:
    model, x = network(), torch.randn(30, 8, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"of 6 eigenvalues converged .* within 10 products"):
        curvature_spectrum(
            model,
            nn.CrossEntropyLoss(),
            x,
            torch.arange(30) % 3,
            curvature="hessian",
            k=6,
            max_products=10,
        )

"""What a batch does to the mean square: larger ones, Gaussian inputs, the longest example."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.optimize import brentq

from exptest.linearized import (
    LossModel,
    critical_batch_size,
    expected_sgd_loss,
    mean_square_critical_rate,
    noise_floor,
)


def problem(seed: int, n: int = 9, d: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    X = draw.standard_normal((n, d)) * draw.lognormal(size=(n, 1))
    return X, draw.standard_normal((n, 2)), draw.standard_normal((d, 2))


@pytest.mark.claim("C3.11")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("replacement", [True, False])
def test_no_larger_batch_has_a_larger_loss_at_any_step(seed: int, replacement: bool) -> None:
    X, y, start = problem(seed)
    share = np.random.default_rng(seed).uniform(0.05, 1.5)
    model = LossModel.from_linear(X, y, start)
    way: dict = {"lr": share * model.critical_learning_rate, "replacement": replacement}
    sizes = (1, 2, 5, 8, 9) if not replacement else (1, 2, 5, 20, 10**14)
    curves = [expected_sgd_loss(X, y, start, batch_size=B, steps=12, **way) for B in sizes]
    for smaller, larger in pairwise(curves):
        assert (larger <= smaller * (1 + 1e-12)).all()
    assert curves[-1] == pytest.approx(model.gradient_descent(way["lr"], 12), rel=1e-9)


@pytest.mark.claim("C3.11")
@pytest.mark.parametrize("replacement", [True, False])
def test_no_larger_batch_has_a_larger_floor(replacement: bool) -> None:
    X, y, _ = problem(4)
    lr = 0.9 * mean_square_critical_rate(X, batch_size=1, replacement=replacement)
    floors = [
        noise_floor(X, y, lr=lr, batch_size=B, replacement=replacement) for B in (1, 2, 4, 8, 9)
    ]
    assert (np.diff(floors) < 0).all()
    least = LossModel.from_linear(X, y).floor
    assert replacement or floors[-1] == pytest.approx(least, rel=1e-12)


def gaussian(eigenvalues: list[float]) -> np.ndarray:
    """Examples with all moments of N(0, diag λ) up to order five, three values a coordinate."""
    values = np.sqrt(3.0) * np.array([-1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    return np.array(list(product(values, repeat=len(eigenvalues)))) * np.sqrt(eigenvalues)


@pytest.mark.claim("C3.12")
@pytest.mark.parametrize("eigenvalues", [[2.0], [1.0, 1.0], [1.5, 0.2], [1.0, 0.5, 0.1]])
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_for_gaussian_inputs_the_critical_rate_solves_one_equation(
    eigenvalues: list[float], batch: int
) -> None:
    λ, χ, X = np.array(eigenvalues), 1 / batch, gaussian(eigenvalues)
    last = 2 / ((1 + χ) * λ[0]) * (1 - 1e-12)
    root = brentq(lambda η: (η * χ * λ / (2 - η * (1 + χ) * λ)).sum() - 1, 0, last, rtol=1e-14)
    assert mean_square_critical_rate(X, batch_size=batch) == pytest.approx(root, rel=1e-9)


@pytest.mark.claim("C3.12")
@pytest.mark.parametrize("d", [1, 2, 3])
def test_of_d_equal_directions_the_critical_batch_size_is_d_and_one(d: int) -> None:
    X = gaussian([0.7] * d)
    for batch in (1, 5):
        rate = 2 / (0.7 * (1 + (d + 1) / batch))
        assert mean_square_critical_rate(X, batch_size=batch) == pytest.approx(rate, rel=1e-9)
    assert critical_batch_size(X, share=0.5 - 1e-9) == d + 1


@pytest.mark.claim("C3.14")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("batch", "replacement"), [(1, True), (4, True), (1, False), (5, False)])
def test_two_over_the_longest_example_is_stable_for_every_batch(
    seed: int, batch: int, replacement: bool
) -> None:
    X, _, start = problem(seed)
    longest = (X**2).sum(1).max()
    rate = mean_square_critical_rate(X, batch_size=batch, replacement=replacement)
    full = LossModel.from_linear(X, X @ start).critical_learning_rate
    assert 2 / longest <= rate * (1 + 1e-12) <= full * (1 + 1e-9)


@pytest.mark.claim("C3.14")
def test_for_examples_of_one_direction_and_length_no_larger_rate_is_stable() -> None:
    alike = np.outer([1.0, -1.0, 1.0], [0.6, 0.8])
    for batch in (1, 2, 3):
        rate = mean_square_critical_rate(alike, batch_size=batch, replacement=False)
        assert rate == pytest.approx(2.0, rel=1e-12)

"""The expected loss of SGD, its critical rate and its floor, against every batch there is."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from exptest.linearized import (
    LossModel,
    critical_batch_size,
    expected_sgd_loss,
    mean_square_critical_rate,
    noise_floor,
)
from exptest.linearized.moments import Moments

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 4)) * [1.0, 0.8, 0.5, 0.3]
Y = X @ RNG.standard_normal((4, 2)) + 0.3 * RNG.standard_normal((80, 2))
# Of four examples every sequence of batches can be gone through.
SAMPLING = [(1, True), (2, True), (3, True), (1, False), (2, False), (3, False), (4, False)]


def batches_of(n: int, batch: int, replacement: bool) -> np.ndarray:
    """Every batch that may be drawn, all as likely: how often each example is in it."""
    drawn = product(range(n), repeat=batch) if replacement else combinations(range(n), batch)
    return np.array([np.bincount(rows, minlength=n) for rows in drawn])


def mean_over_all_sequences(
    x: np.ndarray, y: np.ndarray, lr: float, batch: int, replacement: bool, W: np.ndarray
) -> np.ndarray:
    """The mean loss at steps 0 to 3, over every sequence of batches: no chance, no formula."""
    times = batches_of(len(x), batch, replacement)[:, None, :, None]
    weights, means = W[None], []
    for t in range(4):
        if t:
            step = lr * (x.T @ (times * (x @ weights - y))) / batch
            weights = (weights - step).reshape(-1, *W.shape)
        means.append(((x @ weights - y) ** 2).sum((1, 2)).mean() / (2 * len(x)))
    return np.array(means)


@pytest.mark.claim("C3.4")
@pytest.mark.parametrize(
    ("n", "batch", "replacement"),
    [*((4, *way) for way in SAMPLING), (2, 1, False), (1, 1, False), (1, 2, True)],
)
@pytest.mark.usefixtures("as_users_do")
def test_the_mean_over_every_sequence_of_batches_is_the_expected_loss(
    n: int, batch: int, replacement: bool
) -> None:
    """Fewer weights than examples, where there are many, so that some of the loss stays."""
    x, y, start = X[:n, : max(n - 2, 1)], Y[:n], np.ones((max(n - 2, 1), 2))
    settings: dict = {"batch_size": batch, "replacement": replacement, "lr": 0.4}
    exact = mean_over_all_sequences(x, y, 0.4, batch, replacement, start)
    assert expected_sgd_loss(x, y, start, steps=3, **settings) == pytest.approx(exact, rel=1e-13)
    mse = {**settings, "lr": 0.3, "loss": "mse"}  # one output: twice half_mse
    alone = expected_sgd_loss(x, y[:, 0], start[:, 0], steps=3, **mse)
    half = expected_sgd_loss(x, y[:, 0], start[:, 0], steps=3, **{**settings, "lr": 0.6})
    assert alone == pytest.approx(2 * half, rel=1e-13)


def test_a_batch_of_everything_is_gradient_descent() -> None:
    model = LossModel.from_linear(X, Y)
    lr = 0.5 * model.critical_learning_rate
    sgd = expected_sgd_loss(X, Y, lr=lr, batch_size=80, steps=100, replacement=False)
    assert sgd == pytest.approx(model.gradient_descent(lr, 100), rel=1e-9)


def test_torchs_mse_is_half_mse_in_other_units() -> None:
    half = expected_sgd_loss(X, Y, lr=0.02, batch_size=4, steps=50)
    mse = expected_sgd_loss(X, Y, lr=0.02, batch_size=4, steps=50, loss="mse")
    assert mse == pytest.approx(half, rel=1e-12)  # two outputs: 2/C = 1


def steps_of(x: np.ndarray, lr: float, batch: int, replacement: bool) -> np.ndarray:
    """I − ηH_B of every batch that may be drawn, shape (s, d, d)."""
    times = batches_of(len(x), batch, replacement)
    return np.eye(x.shape[1]) - lr * np.einsum("sn,ni,nj->sij", times, x, x) / batch


def moment_operator(steps: np.ndarray) -> np.ndarray:
    """E[(I − ηH_B) ⊗ (I − ηH_B)], the mean over all batches."""
    d = steps.shape[1]
    return np.einsum("sij,skl->ikjl", steps, steps).reshape(d * d, d * d) / len(steps)


@pytest.mark.claim("C3.5")
@pytest.mark.parametrize(("batch", "replacement"), SAMPLING[:-1])
def test_at_the_critical_rate_the_moment_operator_has_spectral_radius_one(
    batch: int, replacement: bool
) -> None:
    x = X[:4, :3]
    settings: dict = {"batch_size": batch, "replacement": replacement}
    critical = mean_square_critical_rate(x, **settings)
    for share in (0.5, 0.99, 1.0, 1.01):
        steps = steps_of(x, share * critical, batch, replacement)
        radius = abs(np.linalg.eigvals(moment_operator(steps))).max()
        assert (
            radius == pytest.approx(1.0, abs=1e-10) if share == 1.0 else (radius < 1) == (share < 1)
        )
    mse = mean_square_critical_rate(x, loss="mse", targets=Y[:4], **settings)
    assert mse == pytest.approx(critical, rel=1e-10)  # two outputs: 2/C = 1
    assert mean_square_critical_rate(x, loss="mse", **settings) == pytest.approx(critical / 2)


@pytest.mark.claim("C3.5")
def test_where_all_examples_are_alike_no_batch_is_too_small() -> None:
    """The rate does not fall with the batch; that it grows is not promised."""
    same = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    for batch, replacement in SAMPLING:
        rate = mean_square_critical_rate(same, batch_size=batch, replacement=replacement)
        assert rate == pytest.approx(2.0, rel=1e-12)


@pytest.mark.claim("C3.5")
def test_the_critical_rate_grows_with_the_batch_up_to_gradient_descents() -> None:
    rates = [mean_square_critical_rate(X, batch_size=b) for b in (1, 2, 4, 8, 16, 64, 10**9)]
    assert (np.diff(rates) > 0).all()
    assert rates[-1] == pytest.approx(LossModel.from_linear(X, Y).critical_learning_rate, rel=1e-6)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_the_critical_batch_size_is_where_the_share_of_the_rate_is_reached(share: float) -> None:
    batch = critical_batch_size(X, share=share)
    full = LossModel.from_linear(X, Y).critical_learning_rate
    assert mean_square_critical_rate(X, batch_size=batch) >= share * full
    assert batch == 1 or mean_square_critical_rate(X, batch_size=batch - 1) < share * full


@pytest.mark.claim("C3.13")
def test_half_a_batch_costs_between_a_half_and_what_its_share_of_the_full_rate_allows() -> None:
    full = LossModel.from_linear(X, Y).critical_learning_rate
    for batch in (2, 4, 8, 64, 512):
        whole, half = (mean_square_critical_rate(X, batch_size=b) for b in (batch, batch // 2))
        assert 0.5 <= half / whole <= 1 / (2 - whole / full)


@pytest.mark.claim("C3.6")
@pytest.mark.parametrize(("batch", "replacement"), [(1, True), (8, True), (8, False)])
@pytest.mark.parametrize("loss", ["half_mse", "mse"])
def test_the_floor_is_where_the_expected_loss_comes_to_rest(
    loss: str, batch: int, replacement: bool
) -> None:
    y = Y[:, :1]  # one output, so that the two losses differ
    settings: dict = {"batch_size": batch, "replacement": replacement, "loss": loss}
    lr = 0.4 * mean_square_critical_rate(X, **settings)
    curve = expected_sgd_loss(X, y, lr=lr, steps=1000, **settings)
    assert abs(curve[-1] - curve[-2]) < 1e-11
    assert noise_floor(X, y, lr=lr, **settings) == pytest.approx(curve[-1], rel=1e-9)


@pytest.mark.claim("C3.6")
@pytest.mark.parametrize(("batch", "replacement"), SAMPLING)
def test_the_floor_is_the_mean_loss_at_the_fixed_point_of_every_batch(
    batch: int, replacement: bool
) -> None:
    """The moments of (w, 1), which a step maps linearly; those that the mean step keeps."""
    x, y = X[:4, :2], Y[:4, 0]
    lr = 0.4 * mean_square_critical_rate(x, batch_size=batch, replacement=replacement)
    both = np.column_stack([x, -y])
    steps = steps_of(both, lr, batch, replacement)
    steps[:, 2] = [0.0, 0.0, 1.0]
    values, vectors = np.linalg.eig(moment_operator(steps))
    kept = vectors[:, np.argmin(abs(values - 1.0))].reshape(3, 3)
    loss = np.einsum("ni,ij,nj->n", both, kept / kept[2, 2], both).mean() / 2
    found = noise_floor(x, y, lr=lr, batch_size=batch, replacement=replacement)
    assert found == pytest.approx(loss, rel=1e-9)


@pytest.mark.claim("C3.6")
@pytest.mark.parametrize("replacement", [True, False])
def test_the_floors_excess_is_proportional_to_a_small_rate(replacement: bool) -> None:
    best = LossModel.from_linear(X, Y).floor
    w = np.linalg.lstsq(X, Y, rcond=None)[0]
    trace = (((Y - X @ w) ** 2).sum(1) * (X**2).sum(1)).mean()
    share = 1 / 4 if replacement else (80 - 4) / (4 * 79)
    rates = np.array([1e-3, 5e-4, 2.5e-4])
    excess = np.array(
        [noise_floor(X, Y, lr=lr, batch_size=4, replacement=replacement) - best for lr in rates]
    )
    ratio = excess / (rates * share / 4 * trace)
    assert ratio[-1] == pytest.approx(1.0, abs=2e-3)
    order = np.polyfit(np.log(rates), np.log(abs(ratio - 1)), 1)[0]
    assert order == pytest.approx(1.0, abs=0.05)


def test_a_floor_of_torchs_mse_is_found_up_to_its_own_critical_rate() -> None:
    """Over three outputs torch's MSE allows rates 3/2 times as large."""
    y = np.column_stack([Y, Y[:, 0]])
    settings: dict = {"batch_size": 8, "loss": "mse", "targets": y}
    lr = 0.9 * mean_square_critical_rate(X, **settings)
    curve = expected_sgd_loss(X, lr=lr, steps=800, **settings)
    assert noise_floor(X, lr=lr, **settings) == pytest.approx(curve[-1], rel=1e-8)


@pytest.mark.claim("C3.7")
@pytest.mark.parametrize(("batch", "replacement"), [(1, True), (1, False), (2, False)])
def test_every_product_of_steps_together_grows_no_faster_than_the_mean_square(
    batch: int, replacement: bool
) -> None:
    """All products P_t: E tr P_tᵀP_t = tr T_η^t(I) ≤ dρ^t, and E ln‖P_t‖/t ≤ half its logarithm.

    E ln‖P_t‖/t is at least γ for every t: where it is negative, almost every run converges.
    """
    x, T = np.array([[1.0, 0.0], [0.0, 1.5], [1.5, 2.0]]), 6
    critical = mean_square_critical_rate(x, batch_size=batch, replacement=replacement)
    problem = Moments.of(x, np.zeros(3), None, loss="half_mse")
    c = problem.noise_share(batch, replacement=replacement)
    for share in (0.5, 1.0, 1.1):
        steps = steps_of(x, share * critical, batch, replacement)
        radius = abs(np.linalg.eigvals(moment_operator(steps))).max()
        products, M = np.eye(2)[None], np.eye(2)
        for t in range(1, T + 1):
            products = (steps[:, None] @ products).reshape(-1, 2, 2)
            M = problem.transport(M, share * critical, c)
            assert (products**2).sum((1, 2)).mean() == pytest.approx(np.trace(M), rel=1e-12)
            assert np.trace(M) <= 2 * radius**t * (1 + 1e-12)
            typical = np.log(np.linalg.norm(products, 2, axis=(1, 2))).mean() / t
            assert typical < np.log(np.trace(M)) / (2 * t)
    assert typical < 0 < np.log(radius)


def test_a_linearized_network_is_least_squares_on_its_jacobian() -> None:
    """More weights than examples: the directions that no example sees stay where they are."""
    rng = np.random.default_rng(3)
    J, residual = rng.standard_normal((6, 40)), rng.standard_normal(6)
    model = LossModel.from_kernel(J @ J.T, residual)
    lr = 0.5 * model.critical_learning_rate
    full = expected_sgd_loss(J, -residual, lr=lr, batch_size=6, steps=50, replacement=False)
    assert full == pytest.approx(model.gradient_descent(lr, 50), rel=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"batch_size": 100, "replacement": False}, "batch_size = 100 exceeds the 80 examples"),
        ({"lr": -1.0}, "lr must be positive"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"weights": np.ones((4, 1))}, r"weights must have shape \(4, 2\), got \(4, 1\)"),
        ({"inputs": 0 * X}, "inputs are all zero"),
    ],
)
def test_bad_input_is_named(settings: dict, message: str) -> None:
    arguments = {"inputs": X, "targets": Y, "lr": 0.1, "batch_size": 4, "steps": 3} | settings
    with pytest.raises(ValueError, match=message):
        expected_sgd_loss(**arguments)


def test_there_is_no_floor_above_the_critical_rate() -> None:
    with pytest.raises(ValueError, match="the expected loss diverges; try less than"):
        noise_floor(X, Y, lr=50.0, batch_size=1)


def test_a_diverging_loss_becomes_infinite_without_a_warning() -> None:
    curve = expected_sgd_loss(X, Y, lr=50.0, batch_size=1, steps=500)
    assert np.isinf(curve[-1])
    assert not np.isnan(curve).any()

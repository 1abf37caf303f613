"""The expected loss of SGD against simulation, and its critical rate against Kronecker products."""

from __future__ import annotations

import numpy as np
import pytest

from exptest.linearized import (
    LossModel,
    critical_batch_size,
    expected_sgd_loss,
    mean_square_critical_rate,
    noise_floor,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 4)) * [1.0, 0.8, 0.5, 0.3]
Y = X @ RNG.standard_normal((4, 2)) + 0.3 * RNG.standard_normal((80, 2))


def simulated(lr: float, batch: int, steps: int, runs: int, replacement: bool) -> np.ndarray:
    """Losses of ``runs`` independent SGD runs, shape (runs, steps + 1)."""
    rng, n = np.random.default_rng(1), len(X)
    W = np.zeros((runs, 4, 2))
    curves = np.empty((runs, steps + 1))
    for t in range(steps + 1):
        residual = X @ W - Y
        curves[:, t] = (residual**2).sum((1, 2)) / (2 * n)
        if replacement:
            rows = rng.integers(n, size=(runs, batch))
        else:
            rows = rng.random((runs, n)).argpartition(batch)[:, :batch]
        cells = rows + n * np.arange(runs)[:, None]
        times = np.bincount(cells.ravel(), minlength=runs * n).reshape(runs, n, 1)
        W = W - lr * (X.T @ (times * residual)) / batch
    return curves


@pytest.mark.claim("C3.4")
@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("batch", [1, 8, 64])
@pytest.mark.usefixtures("as_users_do")
def test_the_mean_of_many_runs_is_the_expected_loss(batch: int, replacement: bool) -> None:
    lr = 0.3 * mean_square_critical_rate(X, batch_size=batch, replacement=replacement)
    expected = expected_sgd_loss(X, Y, lr=lr, batch_size=batch, steps=500, replacement=replacement)
    curves = simulated(lr, batch, 500, 2000, replacement)
    error = curves.std(0, ddof=1) / np.sqrt(len(curves))
    assert (abs(curves.mean(0) - expected) <= 4.5 * error + 1e-12).all()


def test_a_batch_of_everything_is_gradient_descent() -> None:
    model = LossModel.from_linear(X, Y)
    lr = 0.5 * model.critical_learning_rate
    sgd = expected_sgd_loss(X, Y, lr=lr, batch_size=80, steps=100, replacement=False)
    assert sgd == pytest.approx(model.gradient_descent(lr, 100), rel=1e-9)


def test_torchs_mse_is_half_mse_in_other_units() -> None:
    half = expected_sgd_loss(X, Y, lr=0.02, batch_size=4, steps=50)
    mse = expected_sgd_loss(X, Y, lr=0.02, batch_size=4, steps=50, loss="mse")
    assert mse == pytest.approx(half, rel=1e-12)  # two outputs: 2/C = 1


def dense_moment_operator(lr: float, batch: int) -> np.ndarray:
    """E[(I − ηH_B) ⊗ (I − ηH_B)], written out with Kronecker products."""
    n, d = X.shape
    H, eye = X.T @ X / n, np.eye(d)
    single = sum(np.kron(np.outer(x, x), np.outer(x, x)) for x in X) / n
    pair = single / batch + (1 - 1 / batch) * np.kron(H, H)
    return np.eye(d * d) - lr * (np.kron(H, eye) + np.kron(eye, H)) + lr**2 * pair


@pytest.mark.claim("C3.5")
@pytest.mark.parametrize("batch", [1, 8, 64])
def test_at_the_critical_rate_the_moment_operator_has_spectral_radius_one(batch: int) -> None:
    critical = mean_square_critical_rate(X, batch_size=batch)
    radius = abs(np.linalg.eigvals(dense_moment_operator(critical, batch))).max()
    assert radius == pytest.approx(1.0, abs=1e-8)
    assert abs(np.linalg.eigvals(dense_moment_operator(0.99 * critical, batch))).max() < 1


def test_the_critical_rate_grows_with_the_batch_up_to_gradient_descents() -> None:
    rates = [mean_square_critical_rate(X, batch_size=b) for b in (1, 2, 4, 8, 16, 64, 10**9)]
    assert (np.diff(rates) > 0).all()
    assert rates[-1] == pytest.approx(LossModel.from_linear(X, Y).critical_learning_rate, rel=1e-6)


def test_the_critical_batch_size_is_where_half_the_rate_is_reached() -> None:
    batch = critical_batch_size(X)
    full = mean_square_critical_rate(X, batch_size=10**12)
    assert mean_square_critical_rate(X, batch_size=batch) >= full / 2
    assert batch == 1 or mean_square_critical_rate(X, batch_size=batch - 1) < full / 2


@pytest.mark.claim("C3.6")
@pytest.mark.parametrize("batch", [1, 8])
def test_the_floor_is_where_the_expected_loss_comes_to_rest(batch: int) -> None:
    lr = 0.4 * mean_square_critical_rate(X, batch_size=batch)
    curve = expected_sgd_loss(X, Y, lr=lr, batch_size=batch, steps=4000)
    assert noise_floor(X, Y, lr=lr, batch_size=batch) == pytest.approx(curve[-1], rel=1e-8)


@pytest.mark.claim("C3.6")
def test_the_floors_excess_is_proportional_to_a_small_rate() -> None:
    best = LossModel.from_linear(X, Y).floor
    w = np.linalg.lstsq(X, Y, rcond=None)[0]
    trace = (((Y - X @ w) ** 2).sum(1) * (X**2).sum(1)).mean()
    rates = np.array([1e-3, 5e-4, 2.5e-4])
    excess = np.array([noise_floor(X, Y, lr=lr, batch_size=4) - best for lr in rates])
    ratio = excess / (rates / 4 * trace / 4)
    assert ratio[-1] == pytest.approx(1.0, abs=2e-3)
    order = np.polyfit(np.log(rates), np.log(abs(ratio - 1)), 1)[0]
    assert order == pytest.approx(1.0, abs=0.05)


def growth(lr: float, batch: int, steps: int, runs: int) -> tuple[float, float]:
    """Growth rates per step of the error of typical runs, and its mean-square one."""
    rng, n = np.random.default_rng(2), len(X)
    errors, log_norm = rng.standard_normal((runs, 4)), np.zeros(runs)
    for _ in range(steps):
        picked = X[rng.integers(n, size=(runs, batch))]
        push = np.einsum("rbd,rb->rd", picked, np.einsum("rbd,rd->rb", picked, errors)) / batch
        errors = errors - lr * push
        norms = np.linalg.norm(errors, axis=1)
        log_norm += np.log(norms)
        errors /= norms[:, None]
    radius = np.linalg.eigvals(dense_moment_operator(lr, batch)).real.max()
    return float(np.median(log_norm) / steps), float(np.log(radius) / 2)


@pytest.mark.claim("C3.7")
@pytest.mark.parametrize("batch", [1, 4])
def test_typical_runs_shrink_a_little_above_the_mean_square_critical_rate(batch: int) -> None:
    critical = mean_square_critical_rate(X, batch_size=batch)
    for share in (0.5, 1.0, 1.1):
        typical, mean_square = growth(share * critical, batch, steps=2000, runs=200)
        assert typical < mean_square
    assert typical < 0 < mean_square


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

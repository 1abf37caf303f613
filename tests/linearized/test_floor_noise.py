"""The noise of the mini-batch loss at the floor: every batch there is, and real SGD runs."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from numpy.polynomial import Polynomial

from exptest.linearized import loss_autocovariance, mean_square_critical_rate
from tests.linearized.floors import floor_root, losses_at_the_floor

RNG = np.random.default_rng(4)
X, Y = RNG.standard_normal((4, 2)), RNG.standard_normal(4)
SAMPLING = [(1, True), (2, True), (3, True), (1, False), (2, False), (3, False)]


def batches_of(n: int, batch: int, replacement: bool) -> np.ndarray:
    """Every batch that may be drawn, all as likely, one a row."""
    drawn = product(range(n), repeat=batch) if replacement else combinations(range(n), batch)
    return np.array(list(drawn))


def gaussian_start(
    x: np.ndarray, y: np.ndarray, lr: float, batch: int, replacement: bool
) -> tuple[np.ndarray, np.ndarray]:
    """A few weights and their chances, with the moments of the floor's Gaussian up to order 5."""
    nodes = np.array(list(product([-(3**0.5), 0.0, 3**0.5], repeat=x.shape[1])))
    chances = np.prod(np.where(nodes == 0.0, 2 / 3, 1 / 6), axis=1)
    away = nodes @ floor_root(x, y, lr, batch, replacement).T
    return np.linalg.lstsq(x, y, rcond=None)[0] + away, chances


def over_all_batches(
    x: np.ndarray, y: np.ndarray, lr: float, rows: np.ndarray, replacement: bool
) -> np.ndarray:
    """Φ₀, Φ₁ and Φ₂ over every sequence of batches: no chance, no formula."""
    weights, chances = gaussian_start(x, y, lr, rows.shape[1], replacement)
    weights, Φ = weights[:, None], []
    for j in range(3):
        residual = weights @ x.T - y
        losses = 0.5 * (residual[..., rows] ** 2).mean(-1)  # (start, path, batch)
        if j == 0:
            first = losses[:, 0] - chances @ losses[:, 0].mean(1)
        later = losses.reshape(len(chances), len(rows), -1).mean(2) if j else first
        Φ.append(chances @ (first * later).mean(1))
        steps = np.einsum("spkb,kbd->spkd", residual[..., rows], x[rows]) / rows.shape[1]
        weights = (weights[:, :, None] - lr * steps).reshape(len(chances), -1, x.shape[1])
    return np.array(Φ)


@pytest.mark.claim("C3.9")
@pytest.mark.parametrize(("batch", "replacement"), SAMPLING)
@pytest.mark.parametrize("modes", [1, 2])
@pytest.mark.usefixtures("as_users_do")
def test_over_every_batch_the_autocovariance_is_the_predicted_one(
    modes: int, batch: int, replacement: bool
) -> None:
    x, settings = X[:, :modes], {"batch_size": batch, "replacement": replacement}
    lr = 0.5 * mean_square_critical_rate(x, **settings)
    exact = over_all_batches(x, Y, lr, batches_of(4, batch, replacement), replacement)
    noise = loss_autocovariance(x, Y, lr=lr, lags=2, **settings)
    assert noise.autocovariance == pytest.approx(exact, rel=1e-9, abs=1e-12 * exact[0])
    assert noise.wander + noise.batch == pytest.approx(exact[0], rel=1e-12)
    assert noise.weights.sum() == pytest.approx(exact[1], rel=1e-9)
    assert noise.coefficients == pytest.approx(
        (1 - lr * np.linalg.eigvalsh(x.T @ x / 4)[::-1]) ** 2, rel=1e-12
    )


@pytest.mark.claim("C3.9")
@pytest.mark.parametrize("batch", [1, 5])
def test_one_mode_of_equal_examples_is_white_noise_and_one_decay(batch: int) -> None:
    x, lr = RNG.choice([-2.0, 2.0], 30), 0.05
    noise = loss_autocovariance(x, RNG.standard_normal(30), lr=lr, batch_size=batch, lags=40)
    later = noise.autocovariance[1] * (1 - lr * 4) ** (2.0 * np.arange(40))
    assert noise.autocovariance[1:] == pytest.approx(later, rel=1e-9)
    assert noise.memory == pytest.approx(1 / (1 - (1 - lr * 4) ** 2), rel=1e-9)


@pytest.mark.usefixtures("as_users_do")
def test_the_long_run_variance_is_the_sum_over_all_lags() -> None:
    lr = 0.4 * mean_square_critical_rate(X, batch_size=1)
    noise = loss_autocovariance(X, Y, lr=lr, batch_size=1, lags=1000)
    total = noise.autocovariance[0] + 2 * noise.autocovariance[1:].sum()
    assert noise.long_run == pytest.approx(total, rel=1e-9)
    assert noise.inflation == pytest.approx(total / noise.autocovariance[0], rel=1e-9)


def without_closure(x: np.ndarray, y: np.ndarray, lr: float, lags: int) -> np.ndarray:
    """Φ_j of one weight at its true floor, B = 2: four moments of ξ from every batch."""
    rows, ε = batches_of(len(x), 2, True), y - x * (x @ y) / (x @ x)
    steps = [Polynomial([lr * (x[r] * ε[r]).mean(), 1 - lr * (x[r] ** 2).mean()]) for r in rows]
    losses = [sum(Polynomial([-ε[i], x[i]]) ** 2 for i in r) / 4 for r in rows]
    moments = np.ones(1)
    for k in range(1, 5):
        power = np.mean([(step**k).coef for step in steps], axis=0)
        moments = np.append(moments, power[:k] @ moments / (1 - power[k]))

    def mean(polynomials: list[Polynomial]) -> float:
        return float(np.mean([p.coef @ moments[: len(p.coef)] for p in polynomials]))

    off = [loss - mean(losses) for loss in losses]
    first, second = (
        mean([loss * step**k for loss, step in zip(off, steps, strict=True)]) for k in (1, 2)
    )
    once = np.mean([step.coef for step in steps], axis=0)
    twice = np.mean([(step**2).coef for step in steps], axis=0)
    Φ = [mean([loss**2 for loss in off])]
    for _ in range(lags):
        Φ.append((x @ x) / len(x) * second / 2)
        first, second = once[1] * first, twice[2] * second + twice[1] * first
    return np.array(Φ)


@pytest.mark.claim("C3.10")
@pytest.mark.usefixtures("as_users_do")
def test_the_gaussian_is_off_by_one_order_of_the_rate_more_than_the_slow_part() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.exponential(size=4) + 0.2, rng.exponential(size=4) ** 2
    rates = 0.02 * mean_square_critical_rate(x, batch_size=2) * 0.5 ** np.arange(3)
    wrong = []
    for lr in rates:
        exact, lags = without_closure(x, y, lr, 20_000), int(4 / lr)
        noise = loss_autocovariance(x, y, lr=lr, batch_size=2, lags=lags)
        off = noise.autocovariance - exact[: lags + 1]
        total = exact[0] + 2 * exact[1:].sum()
        wrong.append([abs(off[0]), abs(off[1:]).max(), abs(noise.long_run - total)])
    order = np.polyfit(np.log(rates), np.log(wrong), 1)[0]
    assert order == pytest.approx([2.0, 3.0, 2.0], abs=0.1)


def paired(zeros: int) -> tuple[np.ndarray, np.ndarray]:
    """Residuals −1, 1 and zeros, each beside every input, so that neither knows the other."""
    ε = np.r_[-1.0, 1.0, np.zeros(zeros)]
    return np.repeat(X, len(ε), axis=0), np.tile(ε, len(X))


@pytest.mark.claim("C3.10")
@pytest.mark.usefixtures("as_users_do")
def test_where_residuals_know_nothing_of_the_inputs_each_mode_decays_by_itself() -> None:
    x, y = paired(1)
    rates, wrong = 0.01 * 0.5 ** np.arange(3), []
    for lr in rates:
        noise = loss_autocovariance(x, y, lr=lr, batch_size=2, lags=int(2 / lr))
        modes = noise.coefficients ** np.arange(int(2 / lr))[:, None] @ noise.weights
        wrong.append(abs(modes - noise.autocovariance[1:]).max())
    assert np.polyfit(np.log(rates), np.log(wrong), 1)[0] == pytest.approx(3.0, abs=0.1)


@pytest.mark.claim("C3.10")
@pytest.mark.parametrize("zeros", [0, 3, 20])
@pytest.mark.parametrize(("batch", "replacement"), [(1, True), (4, True), (6, False)])
@pytest.mark.usefixtures("as_users_do")
def test_for_small_rates_the_tails_of_the_residuals_decide(
    zeros: int, batch: int, replacement: bool
) -> None:
    (x, y), H, σ2 = paired(zeros), X.T @ X / len(X), 2 / (2 + zeros)
    n, χ, χ3 = len(x), 1 / batch, 1 / batch**2
    if not replacement:
        χ *= (n - batch) / (n - 1)
        χ3 *= (n - batch) * (n - 2 * batch) / ((n - 1) * (n - 2))
    kicks = χ3 * (σ2 - σ2**2) / 2 - 0.75 * χ**2 * σ2**2
    rates, off = 1e-3 * 0.5 ** np.arange(3), []
    for lr in rates:
        settings: dict = {"batch_size": batch, "replacement": replacement, "lr": lr}
        noise = loss_autocovariance(x, y, lags=1, **settings)
        one, more = noise.autocovariance[1] / lr**2, (noise.long_run - noise.autocovariance[0]) / lr
        off.append([abs(one - kicks * (H**2).sum() / 2), abs(more - kicks * np.trace(H) / 2)])
    assert np.polyfit(np.log(rates), np.log(off), 1)[0] == pytest.approx([1.0, 1.0], abs=0.02)


@pytest.mark.claim("C3.10")
@pytest.mark.parametrize(
    ("n", "modes", "batch", "replacement"), [(60, 12, 8, True), (12, 4, 8, False)]
)
@pytest.mark.usefixtures("as_users_do")
def test_real_runs_have_the_predicted_autocovariance(
    n: int, modes: int, batch: int, replacement: bool
) -> None:
    """Twelve modes: the next loss remembers 4 %. Eight of twelve examples a batch: −5 %."""
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((n, modes)), rng.standard_t(3, n)
    lr = 0.35 * mean_square_critical_rate(x, batch_size=batch, replacement=replacement)
    settings: dict = {"lr": lr, "replacement": replacement}
    noise = loss_autocovariance(x, y, batch_size=batch, lags=4, **settings)
    losses = losses_at_the_floor(x, y, batch=batch, steps=300, runs=2000, seed=1, **settings)
    off = (losses - losses.mean()) / noise.autocovariance[0] ** 0.5
    for j, Φ in enumerate(noise.autocovariance / noise.autocovariance[0]):
        seen = (off[:, : 300 - j] * off[:, j:]).mean(1)
        assert abs(seen.mean() - Φ) <= 4.5 * seen.std() / 2000**0.5 + 0.005
    assert 300 * off.mean(1).var() == pytest.approx(noise.inflation, rel=4.5 / 1000**0.5)


def test_torchs_mse_is_half_mse_in_other_units() -> None:
    half = loss_autocovariance(X, Y, lr=0.1, batch_size=2, lags=3)
    mse = loss_autocovariance(X, Y, lr=0.05, batch_size=2, lags=3, loss="mse")
    assert mse.autocovariance == pytest.approx(4 * half.autocovariance, rel=1e-9)
    assert mse.weights == pytest.approx(4 * half.weights, rel=1e-9)
    assert [mse.wander, mse.batch] == pytest.approx([4 * half.wander, 4 * half.batch], rel=1e-9)
    assert [mse.inflation, mse.memory] == pytest.approx([half.inflation, half.memory], rel=1e-9)
    assert mse.coefficients == pytest.approx(half.coefficients, rel=1e-12)


def test_the_summary_says_how_much_is_remembered_and_for_how_long() -> None:
    noise = loss_autocovariance([[1.0], [1.0]], [1.0, -1.0], lr=0.5, batch_size=1)
    assert noise.summary() == (
        "Noise of standard deviation 0.6236, 85.71% of its variance from the batch; the next loss "
        "remembers -17.857% of it, for 1.33 steps. So n losses are worth n/0.5238 independent ones."
    )
    assert noise.summary() in noise._repr_html_()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lags": 0}, "lags must be a whole number of at least 1"),
        ({"lr": 50.0}, "the expected loss diverges; try less than"),
        (
            {"lr": 0.6 * mean_square_critical_rate(X, batch_size=2)},
            "far from Gaussian; try at most",
        ),
        ({"batch_size": 5, "replacement": False}, "batch_size = 5 exceeds the 4 examples"),
        ({"batch_size": 4, "replacement": False}, "the batch holds every example"),
        ({"targets": X @ np.ones(2)}, "the model fits every example"),
        ({"targets": np.c_[Y, Y]}, "targets must be of one output, got 2"),
        ({"loss": "hinge"}, "loss must be one of"),
    ],
)
@pytest.mark.usefixtures("as_users_do")
def test_bad_input_is_named(settings: dict, message: str) -> None:
    arguments = {"inputs": X, "targets": Y, "lr": 0.1, "batch_size": 2} | settings
    with pytest.raises(ValueError, match=message):
        loss_autocovariance(**arguments)

"""How fast a sum of decays can fall: the best rate, the best momentum, the time of a mode."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exptest.linearized import LossModel


def random_model(seed: int, modes: int = 5) -> LossModel:
    """Eigenvalues over two decades; nothing of the loss stays."""
    draw = np.random.default_rng(seed)
    eigenvalues = 10 ** draw.uniform(-2, 0, modes)
    return LossModel.from_kernel(np.diag(modes * eigenvalues), draw.standard_normal(modes))


def two_modes(ratio: float, first: float = 1.0) -> LossModel:
    return LossModel.from_kernel(np.diag([2.0 * ratio, 2.0]), [first, 1.0])


@pytest.mark.claim("C2.10")
@pytest.mark.parametrize("seed", range(8))
def test_no_rate_has_a_better_worst_step_than_the_optimal_one(seed: int) -> None:
    model = random_model(seed)
    λ = model.eigenvalues
    factor = ((λ[0] - λ[-1]) / (λ[0] + λ[-1])) ** 2
    best = model.gradient_descent(model.optimal_learning_rate, 60)
    assert (best[1:] <= factor * best[:-1] * (1 + 1e-12)).all()
    kernel, both = np.diag(2 * λ[[0, -1]]), ([1.0, 1.0], [1.0, 0.0], [0.0, 1.0])
    starts = [LossModel.from_kernel(kernel, start) for start in both]
    for share in (0.9, 0.999, 1.0, 1.001, 1.1):
        lr = share * starts[0].optimal_learning_rate
        left = [curve[1] / curve[0] for curve in (s.gradient_descent(lr, 1) for s in starts)]
        if share == 1.0:
            assert left == pytest.approx([factor] * 3, rel=1e-9)
        else:
            assert max(left) > factor


@pytest.mark.claim("C2.11")
@pytest.mark.parametrize("seed", range(8))
def test_the_best_momentum_takes_the_root_of_the_spread(seed: int) -> None:
    """Polyak's η and μ: the two extreme modes in closed form, no other mode slower."""
    draw = np.random.default_rng(seed)
    ratio = 10 ** draw.uniform(0.2, 2.6)
    q = (math.sqrt(ratio) - 1) / (math.sqrt(ratio) + 1)
    t = np.arange(81)
    best = {"lr": 4 / (math.sqrt(ratio) + 1) ** 2, "momentum": q**2}
    steep, flat = (q ** (2 * t) * (1 + (1 + s * q) * t) ** 2 for s in (1, -1))
    curve = two_modes(ratio, 0.7).gradient_descent(best["lr"], 80, momentum=best["momentum"])
    assert curve == pytest.approx((0.49 * steep + flat) / 4, rel=1e-8)
    between = np.r_[ratio, draw.uniform(1.0, ratio, 4), 1.0]
    model = LossModel.from_kernel(np.diag(6 * between), draw.standard_normal(6))
    curve = model.gradient_descent(best["lr"], 80, momentum=best["momentum"])
    assert (curve <= curve[0] * steep * (1 + 1e-8)).all()


@pytest.mark.claim("C2.11")
@pytest.mark.parametrize("ratio", [4.0, 100.0])
def test_no_other_pair_of_rate_and_momentum_is_as_fast(ratio: float) -> None:
    model, q = two_modes(ratio), (math.sqrt(ratio) - 1) / (math.sqrt(ratio) + 1)

    lr, steps = 4 / (math.sqrt(ratio) + 1) ** 2, int(-130 / math.log(q))

    def left(rate: float, momentum: float) -> float:
        curve = model.gradient_descent(rate, steps, momentum=momentum)
        late, half = (curve[end - 12 : end].max() for end in (steps, steps // 2))
        return float(late / half)  # of twelve, as a mode may pass through zero

    shares = (0.8, 0.95, 1.0, 1.05, 1.2)
    pairs = [(a * lr, b * q**2) for a in shares for b in shares if (a, b) != (1.0, 1.0)]
    assert left(lr, q**2) < min(left(*pair) for pair in pairs)


@pytest.mark.claim("C2.12")
@pytest.mark.parametrize("seed", range(6))
def test_a_mode_is_gone_from_the_step_that_the_table_says(seed: int) -> None:
    model = random_model(seed)
    share, gone = np.random.default_rng(seed).uniform(0.01, 0.99, 2)
    lr = share * model.critical_learning_rate
    for k, row in model.modes(lr, gone=gone).iterrows():
        alone = LossModel.from_kernel([[model.eigenvalues[k]]], [1.0])
        left = alone.gradient_descent(lr, int(row["gone_by_step"])) / alone.amplitudes
        assert left[-1] <= gone * (1 + 1e-9)
        assert (left[:-1] > gone * (1 - 1e-9)).all() or row["gone_by_step"] == 1

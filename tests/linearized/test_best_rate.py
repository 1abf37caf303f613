"""The best rate after k steps: one line search at first, the slowest modes in the end."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptest.linearized import LossModel, best_learning_rate
from tests.linearized.test_shape import diagonal

SPECTRA = st.lists(st.tuples(st.floats(0.01, 10.0), st.floats(1e-3, 1e3)), min_size=2, max_size=6)


@pytest.mark.claim("C8.7")
@given(SPECTRA, st.integers(1, 200))
def test_no_other_rate_has_a_lower_loss_after_as_many_steps(
    modes: list[tuple[float, float]], steps: int
) -> None:
    λ, a = (list(column) for column in zip(*modes, strict=True))
    model = diagonal(λ, a, 0.5)
    best = best_learning_rate(model, steps)
    assert 0.999 / max(λ) <= best <= 1.001 / min(λ)
    others = best * np.array([1.0, 0.98, 0.5, 1.02, 1.1])
    left = model.gradient_descent(others, steps)[:, -1] - model.floor
    assert left[0] <= left[1:].min() * (1 + 1e-9) + 1e-12 * sum(a)
    one = np.dot(a, λ) / np.dot(a, np.square(λ))
    assert best_learning_rate(model, 1) == pytest.approx(one, rel=1e-9)


@pytest.mark.claim("C8.7")
def test_in_the_end_the_slowest_modes_decide() -> None:
    model = diagonal([3.0, 1.0, 0.5, 0.2], [1.0, 50.0, 0.1, 2.0])
    limit = model.optimal_learning_rate
    away = [abs(best_learning_rate(model, steps) - limit) for steps in (1000, 2000, 4000)]
    assert np.diff(np.log2(away)) == pytest.approx([-1.0, -1.0], abs=0.01)
    bare = LossModel.from_kernel(np.diag([8.0, 2.0, 0.02]), [1.0, 1.0, 0.0])
    assert best_learning_rate(bare, 4000) == pytest.approx(2 / (8 / 3 + 2 / 3), rel=1e-3)


@pytest.mark.claim("C8.8")
@given(st.floats(0.01, 0.99), st.floats(-6.0, 6.0), st.integers(1, 500))
def test_of_two_modes_the_best_rate_is_a_formula(ratio: float, log: float, steps: int) -> None:
    model = diagonal([1.0, ratio], [1.0, 10.0**log / ratio])
    root = (10.0**log) ** (1 / (2 * steps - 1))
    best = best_learning_rate(model, steps)
    assert best == pytest.approx((1 + root) / (1 + root * ratio), rel=1e-9)
    later = best_learning_rate(model, steps + 1)
    rises = np.sign(later - best) if later != pytest.approx(best, rel=1e-12) else -np.sign(log)
    assert rises == -np.sign(log)


@pytest.mark.claim("C8.8")
@pytest.mark.parametrize("ratio", [0.1, 0.01, 0.001])
def test_a_look_shorter_than_the_condition_number_prefers_a_rate_that_diverges(
    ratio: float,
) -> None:
    model = diagonal([1.0, ratio], [1.0, 100.0 / ratio])
    needed = (1 + np.log(100.0) / -np.log1p(-2 * ratio)) / 2
    short, enough = int(np.ceil(needed) - 1), int(np.ceil(needed))
    assert best_learning_rate(model, short) >= model.critical_learning_rate
    assert best_learning_rate(model, enough) < model.critical_learning_rate
    assert needed == pytest.approx(np.log(100.0) / (4 * ratio), rel=1.5 * ratio + 0.05)


@pytest.mark.claim("C8.9")
def test_with_three_modes_it_may_fall_and_rise_again() -> None:
    λ = [Fraction(1), Fraction(1, 2), Fraction(1, 100)]
    a = [Fraction(1), Fraction(100), Fraction(1, 1000)]
    model = diagonal([float(x) for x in λ], [float(x) for x in a])

    def falls(lr: Fraction, steps: int) -> bool:  # the loss, as the rate grows
        return sum(y * x * (1 - lr * x) ** (2 * steps - 1) for x, y in zip(λ, a, strict=True)) > 0

    for steps, low, high in ((1, "1.96", "1.97"), (5, "1.43", "1.44"), (100, "1.92", "1.93")):
        assert falls(Fraction(low), steps)
        assert not falls(Fraction(high), steps)
        assert float(low) < best_learning_rate(model, steps) < float(high)


def test_a_model_of_one_mode_has_one_best_rate_and_a_floor_none() -> None:
    assert best_learning_rate(diagonal([2.0, 2.0], [1.0, 3.0]), 7) == pytest.approx(0.5)
    assert best_learning_rate(diagonal([2.0], [1.0]), 7) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="starts at its floor"):
        best_learning_rate(LossModel.from_kernel([[1.0]], [0.0]), 3)
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got 0"):
        best_learning_rate(diagonal([2.0], [1.0]), 0)

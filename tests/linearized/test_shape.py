"""One mode is one exponential; many are not, and by how much is measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptest.linearized import LossModel, best_exponential, knee
from exptest.statistics import window_length


def diagonal(eigenvalues: list[float], amplitudes: list[float], floor: float = 0.0) -> LossModel:
    """A model with the spectrum, the amplitudes and the floor given (½MSE, n = d + 1)."""
    n = len(eigenvalues) + 1
    X = np.diag(np.sqrt(n * np.array([*eigenvalues, 0.0])))[:, :-1]
    return LossModel.from_linear(X, np.sqrt(2 * n * np.array([*amplitudes, floor])))


@pytest.mark.claim("C2.6")
@settings(max_examples=20)
@given(st.floats(0.05, 20.0), st.floats(0.1, 10.0), st.floats(0.0, 5.0), st.floats(1.0, 8.0))
def test_one_mode_is_one_exponential(λ: float, a: float, c: float, folds: float) -> None:
    model, horizon = diagonal([λ], [a], c), folds / (2 * λ)
    fit = best_exponential(model, horizon)
    assert fit.rate == pytest.approx(2 * λ, rel=1e-5)
    assert fit.amplitude == pytest.approx(a, rel=1e-5)
    assert fit.floor == pytest.approx(c, rel=1e-5, abs=1e-5 * a)
    assert fit.deviation < 1e-6
    assert fit.unexplained < 1e-9
    times = np.linspace(0.0, fit.horizon, 5)
    assert fit.predict(times) == pytest.approx(model.gradient_flow(times), abs=1e-5 * a)
    assert fit.horizon == horizon


def test_two_modes_are_as_far_from_one_exponential_as_the_fit_says() -> None:
    model = diagonal([1.0, 0.2], [1.0, 1.0], 0.5)
    fit = best_exponential(model, 3.0)
    times = np.linspace(0.0, 3.0, 2000)
    curve = model.gradient_flow(times)
    away = abs(fit.predict(times) - curve)
    assert fit.deviation == pytest.approx(away.max() / (curve[0] - curve[-1]), rel=1e-9)
    line = np.polyval(np.polyfit(times, curve, 1), times)
    ratio = (away**2).sum() / ((curve - line) ** 2).sum()
    assert fit.unexplained == pytest.approx(ratio, rel=1e-6)
    for share in (0.99, 1.01):  # no other rate is nearer
        design = np.column_stack([np.exp(-share * fit.rate * times), np.ones_like(times)])
        rest = curve - design @ np.linalg.lstsq(design, curve, rcond=None)[0]
        assert (rest**2).sum() > (away**2).sum()


def test_the_wider_the_spectrum_the_farther_from_one_exponential() -> None:
    away = [
        best_exponential(diagonal([1.0, 1.0 / spread], [1.0, 1.0]), 2.0).deviation
        for spread in (1, 2, 4, 8)
    ]
    assert (np.diff(away) > 0).all()


@given(st.floats(0.5, 20.0), st.floats(1.0, 10.0))
def test_the_knee_of_one_mode_is_where_the_slope_is_minus_one_over_root_two(
    λ: float, a: float
) -> None:
    b = 2 * λ
    expected = math.log(math.sqrt(2) * a * b) / b
    assert knee(diagonal([λ], [a])) == pytest.approx(expected, rel=1e-4)


@pytest.mark.claim("C4.8")
@pytest.mark.parametrize("seed", range(12))
def test_no_curve_of_a_linear_model_has_a_later_knee(seed: int) -> None:
    draw = np.random.default_rng(seed)
    floor, lr = draw.uniform(0.0, 3.0), 10 ** draw.uniform(-4, -2)
    eigenvalues, shares = 10 ** draw.uniform(-3, 2, 6), draw.dirichlet(0.3 * np.ones(6))
    height = 10 ** draw.uniform(-1, 1)
    model = diagonal(sorted(eigenvalues, reverse=True), [*(height * shares)], floor)
    found = knee(model)
    assert found <= math.sqrt(2) * height / math.e * (1 + 1e-6)
    assert found / lr <= (window_length(height, lr) + 0.5) / 2 * (1 + 1e-6)
    if found > 0:
        v = 2 * (model.eigenvalues * model.amplitudes) @ np.exp(-2 * found * model.eigenvalues)
        assert v >= math.sqrt(0.5) * (1 - 1e-6)
    worst = diagonal([math.e / (2 * math.sqrt(2) * height)], [height], floor)
    assert knee(worst) == pytest.approx(math.sqrt(2) * height / math.e, rel=1e-4)


def test_a_flat_start_has_its_knee_at_once() -> None:
    """√2·a·b < 1: the slope is nowhere as steep as −1/√2, and the curve bends most at τ = 0."""
    assert knee(diagonal([1.0], [0.3])) == 0.0


def test_a_curve_that_does_not_fall_has_no_exponential() -> None:
    with pytest.raises(ValueError, match="the loss does not fall within horizon = 1"):
        best_exponential(LossModel.from_linear([[1.0]], [0.0]), 1.0)


def test_a_horizon_must_be_positive() -> None:
    with pytest.raises(ValueError, match="horizon must be positive"):
        best_exponential(diagonal([1.0], [1.0]), 0.0)


def test_the_fit_explains_itself() -> None:
    text = str(best_exponential(diagonal([1.0, 0.2], [1.0, 1.0]), 3.0))
    assert "of the fall away" in text

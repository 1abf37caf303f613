"""One mode is one exponential; many are not, and by how much is measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptest.linearized import LossModel, best_exponential, knee


def diagonal(eigenvalues: list[float], amplitudes: list[float]) -> LossModel:
    """A model with the spectrum and the amplitudes given (n = d, ½MSE)."""
    n = len(eigenvalues)
    X = np.diag(np.sqrt(n * np.array(eigenvalues)))
    return LossModel.from_linear(X, np.sqrt(2 * n * np.array(amplitudes)))


@pytest.mark.claim("C2.6")
@given(st.floats(0.05, 20.0), st.floats(0.1, 10.0), st.floats(1.0, 8.0))
def test_one_mode_is_one_exponential(λ: float, a: float, folds: float) -> None:
    fit = best_exponential(diagonal([λ], [a]), folds / (2 * λ))
    assert fit.rate == pytest.approx(2 * λ, rel=1e-5)
    assert fit.amplitude == pytest.approx(a, rel=1e-5)
    assert fit.deviation < 1e-6


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

"""The knee, the window that holds it, and the path ratio."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import sympy
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from exptest.statistics import PathRatio, knee_time, window_length
from tests.statistics import reference

losses = st.floats(1e-6, 1e6)
rates = st.floats(1e-6, 1e6)


@pytest.mark.claim("C4.1")
def test_curvature_is_largest_where_the_slope_is_minus_one_over_root_two() -> None:
    L, b, tau = sympy.symbols("L b tau", positive=True)
    curve = L * sympy.exp(-b * tau)
    curvature = sympy.diff(curve, tau, 2) / (1 + sympy.diff(curve, tau) ** 2) ** sympy.Rational(
        3, 2
    )
    knee = sympy.log(sympy.sqrt(2) * L * b) / b
    assert sympy.simplify(sympy.diff(curve, tau).subs(tau, knee) + 1 / sympy.sqrt(2)) == 0
    assert sympy.simplify(sympy.diff(curvature, tau).subs(tau, knee)) == 0
    bend = sympy.simplify(sympy.diff(curvature, tau, 2).subs(tau, knee))
    assert bend.subs({L: 2, b: 3}) < 0
    assert knee_time(2.0, 3.0) == pytest.approx(float(knee.subs({L: 2, b: 3})), rel=1e-14)


@pytest.mark.claim("C4.1")
@example(1.0, 1.0, 0.5)
@example(1.0, 0.71, 0.5)
@given(losses, rates, st.floats(1e-6, 1.0))
def test_no_other_point_is_bent_more_than_the_knee(loss: float, rate: float, share: float) -> None:
    """κ = b v (1 + v²)^{−3/2} with v = L₀ b e^{−bτ}, compared in logarithms."""

    def bend(tau: float) -> float:
        v = loss * rate * math.exp(-rate * tau)
        return math.log(v) - 1.5 * math.log1p(v * v)

    knee = knee_time(loss, rate)
    assert bend(knee) >= bend(share * knee) - 1e-12
    assert bend(knee) >= bend(knee + share / rate) - 1e-12
    if knee > 0.0:
        slope = -loss * rate * math.exp(-rate * knee)
        assert slope == pytest.approx(-math.sqrt(0.5), rel=1e-9)


@pytest.mark.claim("C4.2")
def test_the_latest_knee_is_root_two_l0_over_e() -> None:
    L, b = sympy.symbols("L b", positive=True)
    knee = sympy.log(sympy.sqrt(2) * L * b) / b
    worst = sympy.E / (sympy.sqrt(2) * L)
    assert sympy.simplify(sympy.diff(knee, b).subs(b, worst)) == 0
    assert sympy.simplify(knee.subs(b, worst) - sympy.sqrt(2) * L / sympy.E) == 0
    for factor in np.geomspace(0.1, 10, 41):
        later = knee_time(2.0, float(worst.subs(L, 2)) * factor)
        assert later <= math.sqrt(2) * 2.0 / math.e * (1 + 1e-12)


@pytest.mark.claim("C4.3")
@given(losses, rates, st.floats(1e-6, 1.0))
def test_the_window_holds_every_knee_in_its_first_half(loss: float, rate: float, lr: float) -> None:
    n = window_length(loss, lr)
    assert knee_time(loss, rate) / lr <= (n + 0.5) / 2 * (1 + 1e-9)
    worst = math.e / (math.sqrt(2) * loss)  # no step more than that
    assert (n - 0.5) / 2 * (1 - 1e-9) <= knee_time(loss, worst) / lr <= (n + 0.5) / 2 * (1 + 1e-9)
    assert worst * lr * n == pytest.approx(2.0, abs=worst * lr / 2 + 1e-9)  # e-folds


@given(losses, st.floats(1e-9, 1e3))
def test_the_window_is_the_paper_s(loss: float, lr: float) -> None:
    assert window_length(loss, lr) == reference.window(loss, lr)


@given(st.floats(0, 1.7e308), st.floats(1e-300, 1e300))
def test_every_window_is_a_python_integer(loss: float, lr: float) -> None:
    n = window_length(loss, lr)
    assert type(n) is int
    assert n >= 0


@given(st.floats(1e100, 1.7e308), st.floats(1e-300, 1e-220))
def test_windows_beyond_float64_are_exact(loss: float, lr: float) -> None:
    constant = Fraction(2.0 * math.sqrt(2.0) / math.e)
    assert window_length(loss, lr) == round(constant * Fraction(loss) / Fraction(lr))


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_bad_initial_loss_is_named(value: float) -> None:
    with pytest.raises(ValueError, match="initial_loss must be finite and not negative"):
        window_length(value, 0.1)
    with pytest.raises(ValueError, match="initial_loss must be finite and not negative"):
        knee_time(value, 0.1)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_bad_rate_is_named(value: float) -> None:
    with pytest.raises(ValueError, match="lr must be positive"):
        window_length(1.0, value)
    with pytest.raises(ValueError, match="rate must be positive"):
        knee_time(1.0, value)


def test_a_curve_too_flat_to_bend_has_its_knee_at_the_start() -> None:
    assert knee_time(1.0, 0.1) == 0.0
    assert window_length(0.0, 0.1) == 0


@pytest.mark.claim("C4.4")
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 10), st.floats(1e-3, 1e3))
def test_path_ratio_is_at_least_one(seed: int, steps: int, p: int, scale: float) -> None:
    gradients = list(scale * np.random.default_rng(seed).normal(size=(steps, p)))
    path = PathRatio()
    for g in gradients:
        path.update(g)
    assert path.value >= 1.0
    assert path.value == pytest.approx(max(reference.path_ratio(gradients), 1.0), rel=1e-9)
    straight = PathRatio()
    for length in range(1, steps + 1):
        straight.update(length * gradients[0])
    assert straight.value == pytest.approx(1.0)
    assert straight.value >= 1.0  # whatever the rounding
    same = PathRatio()
    for _ in range(7):
        same.update(gradients[0])
    assert same.value >= 1.0


@pytest.mark.claim("C4.9")
@pytest.mark.parametrize("seed", range(12))
def test_path_ratio_is_that_of_the_weights_in_any_unit_and_from_any_side(seed: int) -> None:
    draw = np.random.default_rng(seed)
    steps, p, unit = int(draw.integers(2, 30)), int(draw.integers(1, 6)), 10 ** draw.uniform(-3, 3)
    gradients = draw.normal(size=(steps, p)) + draw.normal(size=p)
    turn, cut = np.linalg.qr(draw.normal(size=(p, p)))[0], int(draw.integers(1, steps))
    walk = np.cumsum(np.vstack([draw.normal(size=p), -0.1 * gradients]), axis=0)
    path = np.linalg.norm(np.diff(walk, axis=0), axis=1).sum()
    expected = path / np.linalg.norm(walk[-1] - walk[0])

    def ratio(some: np.ndarray) -> float:
        measured = PathRatio()
        for g in some:
            measured.update(g)
        return measured.value

    assert ratio(gradients) == pytest.approx(expected, rel=1e-6)
    assert ratio(unit * gradients @ turn) == pytest.approx(expected, rel=1e-6)
    parts = min(ratio(gradients[:cut]), ratio(gradients[cut:]))
    assert ratio(gradients) >= parts * (1 - 1e-9)


@pytest.mark.claim("C4.5")
def test_pure_noise_wanders_as_the_root_of_the_steps() -> None:
    rng = np.random.default_rng(0)
    ratios = []
    for steps in (100, 400, 1600):
        path = PathRatio()
        for _ in range(steps):
            path.update(rng.normal(size=1000))
        ratios.append(path.value)
    orders = np.diff(np.log(ratios)) / np.log(4)
    np.testing.assert_allclose(orders, 0.5, atol=0.05)


def test_path_ratio_takes_tensors_and_starts_again() -> None:
    path = PathRatio()
    path.update(torch.tensor([[3.0, 0.0]], requires_grad=True))
    path.update(torch.tensor([[0.0, 4.0]]))
    assert path.value == pytest.approx(7 / 5)
    path.reset()
    assert path.value == 1.0
    path.update(np.zeros(5))
    assert path.value == 1.0


def test_path_ratio_of_cancelling_or_broken_gradients_is_infinite() -> None:
    path = PathRatio()
    path.update([1.0])
    path.update([-1.0])
    assert path.value == math.inf
    path.update([math.nan])
    assert path.value == math.inf


def test_path_ratio_names_bad_gradients() -> None:
    path = PathRatio()
    path.update([1.0, 2.0])
    with pytest.raises(ValueError, match="gradient must keep its shape"):
        path.update([1.0])
    with pytest.raises(TypeError, match="gradient must be real numbers"):
        PathRatio().update(["a"])
    with pytest.raises(ValueError, match="gradient is empty"):
        PathRatio().update([])

"""Directions, boundary and crossings against their definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr, stdtr
from scipy.stats import norm

from exptest.statistics.geometry import geometry
from exptest.statistics.noise import describe_noise, independent_noise
from exptest.statistics.null import (
    _boundary,
    _normal_height,
    _upcrossings,
    crossing_probability,
)
from exptest.statistics.scenarios import ar1


@pytest.mark.parametrize("n", [5, 30, 200, 1000])
def test_directions_are_what_they_say(n: int) -> None:
    shape = geometry(n)
    e = shape.off_line
    for unit in (shape.line[None], shape.curves, e, shape.spike[None]):
        np.testing.assert_allclose(unit.sum(axis=1), 0.0, atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(e @ shape.line, 0.0, atol=1e-9)
    assert (np.diff(shape.line) < 0.0).all()
    assert (np.diff(shape.curves, axis=1) <= 0.0).all()
    np.testing.assert_allclose(np.cos(shape.turn), np.sum(e[1:] * e[:-1], axis=1), rtol=1e-9)
    assert shape.turn.max() < 0.5  # so fine that the boundary between is straight
    both = shape.cosine[:, None] * shape.line + shape.sine[:, None] * e
    np.testing.assert_allclose(both, shape.curves, atol=1e-12)
    np.testing.assert_allclose(np.diff(shape.line), shape.step, rtol=1e-9)


@pytest.mark.parametrize("n", [6, 50, 400])
def test_the_spike_is_the_first_step_off_the_line(n: int) -> None:
    shape = geometry(n)
    design = np.c_[np.ones(n), np.arange(n)]
    first = np.eye(n)[0]
    rest = first - design @ np.linalg.lstsq(design, first, rcond=None)[0]
    np.testing.assert_allclose(shape.spike, rest / np.linalg.norm(rest), atol=1e-12)


@pytest.mark.parametrize("n", [10, 60, 500])
def test_the_slowest_rate_tried_is_nearly_a_line_and_the_fastest_nearly_a_point(n: int) -> None:
    shape = geometry(n)
    assert shape.sine[0] < 0.01
    assert (np.diff(np.log(shape.rates)) > 0).all()
    assert shape.rates[-1] == pytest.approx(min(max((n - 1) / 2, 50.0), n - 1.0))


@given(st.floats(-5, 50), st.floats(0.01, 0.95))
def test_the_lowest_height_is_that_of_all_slower_decays(lean: float, gain: float) -> None:
    shape = geometry(40)
    _, lowest = _boundary(shape, lean, gain)
    angle = np.arctan2(shape.sine[0], shape.cosine[0]) * np.geomspace(1e-6, 1.0, 4000)
    heights = (np.hypot(lean, np.sqrt(gain)) - lean * np.cos(angle)) / np.sin(angle)
    assert lowest == pytest.approx(heights.min(), rel=1e-4)


def test_a_fast_decay_in_correlated_noise_is_better_evidence_than_a_slow_one() -> None:
    """Along e_k the noise is smaller than along a trend: that is counted in its favour."""
    rows = ar1(np.random.default_rng(3), (20, 400), 0.9)
    curves = np.mean([describe_noise(row - row.mean(), 1).curves for row in rows], axis=0)
    assert curves[-5] > 2.0 * curves[5]
    independent = independent_noise(np.ones(100), 3)
    assert (independent.curves == 97.0).all()
    assert (independent.curves_df == 97.0).all()


@given(st.floats(0.0, 0.99), st.floats(2.0, 50.0), st.floats(1.0, 50.0))
def test_heights_keep_their_probability(h: float, m: float, df: float) -> None:
    z = float(_normal_height(np.array([h]), np.array([m]), np.array([df]))[0])
    tail = stdtr(df, -h * np.sqrt(m / (1 - h * h)))
    assert ndtr(-z) == pytest.approx(tail, rel=1e-9)


def test_a_crossing_is_judged_by_the_noise_along_each_decay() -> None:
    noise = independent_noise(np.ones(60), 3)
    less = replace(noise, curves=noise.curves / 4, curves_least=noise.curves_least / 4)
    assert less.information == noise.information
    p = [crossing_probability(geometry(60), 0.0, 0.3, each) for each in (noise, less)]
    assert p[1] > 100 * p[0]


def test_no_plausible_noise_is_beyond_the_least_information() -> None:
    """However doubtful the noise, 57 degrees of freedom bound what the worst of it can do."""
    noise = independent_noise(np.ones(60), 3)
    doubtful = replace(
        noise, df=1.0, curves_df=np.ones(32), least=9.0, curves_least=np.full(32, 9.0)
    )
    shape = geometry(60)
    assert doubtful.tail(-2.0) == stdtr(1.0, -2.0)
    assert doubtful.tail(-40.0) == stdtr(57.0, -40.0 * np.sqrt(9.0 / 57.0))
    for probability in (0.9, 0.999999):
        assert doubtful.tail(-doubtful.quantile(probability)) == pytest.approx(1 - probability)
    sure = replace(noise, curves=np.full(32, 9.0))
    doubted, surely = (crossing_probability(shape, 0.0, 0.95, each) for each in (doubtful, sure))
    assert doubted == pytest.approx(surely, rel=1e-6)


@given(st.floats(-1, 4), st.floats(-1, 4), st.floats(0.01, 0.4))
def test_upcrossings_are_rice_s_integral(low: float, high: float, turn: float) -> None:
    steep = (high - low) / turn
    faster = norm.pdf(steep) - steep * norm.sf(steep)  # E (ż − slope)₊
    height = lambda s: low + steep * s  # noqa: E731
    expected = quad(lambda s: norm.pdf(height(s)) * faster, 0.0, turn)[0]
    found = _upcrossings(np.array([low, high]), np.array([turn]))[0]
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_small_probabilities_stay_small_numbers() -> None:
    """Down to 1e-200: no floor below which decays look alike."""
    noise = independent_noise(np.zeros(1000), 3)
    p = [crossing_probability(geometry(1000), 1.0, gain, noise) for gain in (0.1, 0.3, 0.5)]
    assert p[0] > 1e8 * p[1] > 1e16 * p[2]
    assert p[2] < 1e-100

"""Where the limits of good input are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exptest import _checks


def test_a_path_ratio_is_at_least_one_up_to_rounding() -> None:
    assert _checks.path_ratio(1 - 1e-7) == 1.0
    assert _checks.path_ratio(1.25) == 1.25
    assert _checks.path_ratio(math.inf) == math.inf
    assert math.isnan(_checks.path_ratio(math.nan))
    with pytest.raises(ValueError, match="path_ratio must be at least 1"):
        _checks.path_ratio(1 - 1e-5)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_a_share_lies_strictly_between_zero_and_one(bad: float) -> None:
    assert _checks.open_unit("alpha", "0.5", 0.05) == 0.5
    with pytest.raises(ValueError, match=r"alpha must lie strictly .*; try alpha=0\.05\."):
        _checks.open_unit("alpha", bad, 0.05)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_a_positive_number_is_finite_and_above_zero(bad: float) -> None:
    assert _checks.positive("max_lr", 1e-300, 0.1) == 1e-300
    with pytest.raises(ValueError, match=r"max_lr must be positive and finite, got .*try max_lr"):
        _checks.positive("max_lr", bad, 0.1)


def test_zero_is_not_negative_but_minus_a_little_is() -> None:
    assert _checks.not_negative("loss", 0, 1.0) == 0.0
    for bad in (-1e-300, math.inf, math.nan):
        with pytest.raises(ValueError, match="must be finite and not negative"):
            _checks.not_negative("loss", bad, 1.0)
        if not math.isfinite(bad):
            with pytest.raises(ValueError, match="must be finite, got"):
                _checks.finite("loss", bad, 1.0)
    assert _checks.finite("loss", -2, 1.0) == -2.0


def test_a_limit_may_be_reached() -> None:
    _checks.at_most("min_lr", 0.5, "max_lr", 0.5, 0.1)
    with pytest.raises(ValueError, match=r"min_lr must not exceed max_lr = 0\.5, got 0\.6"):
        _checks.at_most("min_lr", 0.6, "max_lr", 0.5, 0.1)
    assert _checks.at_least("steps", 3.0, 3, 10) == 3
    for bad in (2, 3.5, math.inf):
        with pytest.raises(ValueError, match="steps must be a whole number of at least 3"):
            _checks.at_least("steps", bad, 3, 10)


def test_a_series_is_float64_whatever_it_was() -> None:
    for values in ([1, 2], (True, False), np.array([1, 2], np.float16), [None, 3]):
        assert _checks.series("losses", values).dtype == np.float64
    assert np.isnan(_checks.series("losses", [None, 3]))[0]
    with pytest.raises(TypeError, match="losses must be real numbers, got list"):
        _checks.series("losses", [1j])

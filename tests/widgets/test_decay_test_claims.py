"""How often each test is right: shares of many windows, kept while the amplitude moves."""

from __future__ import annotations

import numpy as np

from exptest.statistics.calibration import pvalues
from exptest.widgets.decay_test_claims import AMPLITUDES, FEW, MANY, SEED, Claims
from exptest.widgets.decay_test_trial import METHODS, Setting


def refined(claims: Claims, amplitude: float, target: int) -> Claims:
    while claims.windows(amplitude) < target:
        claims.refine(amplitude)
    return claims


def test_shares_are_those_of_testing_every_window() -> None:
    setting = Setting("decay", 5.0, 0.0, 0.3, 30)
    rates = refined(Claims(setting), 2.5, FEW).rates(2.5, 0.05)
    assert rates is not None
    assert rates.windows == FEW
    assert list(rates.amplitudes) == sorted([*AMPLITUDES, 2.5])
    windows = Setting("decay", 5.0, 2.5, 0.3, 30).windows(MANY, SEED)[:FEW]
    expected = [(pvalues("exponential", windows, method=m) < 0.05).mean() for m in METHODS]
    np.testing.assert_allclose(rates.at(2.5), expected)
    assert (rates.low <= rates.shares).all()
    assert (rates.shares <= rates.high).all()


def test_a_new_amplitude_keeps_what_is_known() -> None:
    claims = refined(Claims(Setting("decay", 5.0, 0.0, 0.0, 20)), 2.0, FEW)
    rates = claims.rates(4.4, 0.05)
    assert rates is not None
    assert rates.at(4.4) is None
    assert rates.at(2.0) is not None
    assert claims.windows(4.4) == 0


def test_nothing_is_claimed_before_anything_is_simulated() -> None:
    assert Claims(Setting("decay", 5.0, 0.0, 0.0, 20)).rates(2.0, 0.05) is None


def test_flat_windows_have_one_rate_whatever_the_amplitude() -> None:
    rates = refined(Claims(Setting("flat", 5.0, 0.0, 0.0, 20)), 4.4, FEW).rates(4.4, 0.2)
    assert rates is not None
    assert (rates.shares == rates.shares[:, :1]).all()


def test_power_grows_with_the_amplitude_and_with_alpha() -> None:
    claims = refined(Claims(Setting("decay", 5.0, 0.0, 0.0, 200)), 3.0, FEW)
    strict, lax = claims.rates(3.0, 0.01), claims.rates(3.0, 0.2)
    assert strict is not None
    assert lax is not None
    assert (strict.shares <= lax.shares).all()
    assert (strict.shares[:, 0] < 0.2).all()
    assert (strict.shares[:, -1] > 0.95).all()

"""What pairing buys, by design: against the noncentral t and against simulated races."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import nct
from scipy.stats import t as student

from exptest.statistics import paired_test
from exptest.statistics.paired_power import paired_power, required_batches

SETTINGS = [(3, 1.0, 0.9, 1), (6, 0.5, 0.5, 1), (24, 0.2, 0.8, 5), (48, 0.3, -0.3, 2)]


def noncentral(m: int, effect: float, df: int, level: float) -> float:
    return float(nct.sf(student.isf(level, df), df, effect * math.sqrt(m)))


@pytest.mark.claim("C8.6")
@pytest.mark.parametrize("setting", SETTINGS)
def test_power_is_the_noncentral_t_s(setting: tuple[int, float, float, int]) -> None:
    m, effect, rho, looks = setting
    found, level = paired_power(m, 3 * effect, 3.0, rho, looks=looks), 0.05 / looks
    shared = effect / math.sqrt(2 * (1 - rho))
    assert found.paired == pytest.approx(noncentral(m, shared, m - 1, level), rel=1e-6)
    alone = noncentral(m, effect / math.sqrt(2), 2 * (m - 1), level)
    assert found.unpaired == pytest.approx(alone, rel=1e-6)
    assert (found.batches, found.level) == (m, pytest.approx(level))


@pytest.mark.claim("C8.6")
@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize("setting", SETTINGS)
def test_simulated_looks_have_the_power_that_is_promised(
    setting: tuple[int, float, float, int],
) -> None:
    m, effect, rho, looks = setting
    rng, races = np.random.default_rng(8), 1500
    common = np.sqrt(abs(rho)) * rng.normal(size=(races, m))
    own = np.sqrt(1 - abs(rho)) * rng.normal(size=(2, races, m))
    first, second = common + own[0], np.sign(rho) * common + own[1] + effect
    promised = paired_power(m, effect, 1.0, rho, alpha=0.05, looks=looks).paired
    named = [
        paired_test(a, b, alpha=0.05 / looks, looks=[m]).verdict
        for a, b in zip(first, second, strict=True)
    ]
    se = math.sqrt(promised * (1 - promised) / races)
    assert named.count("first") / races == pytest.approx(promised, abs=4 * se + 1e-3)


@pytest.mark.claim("C8.6")
def test_the_required_batches_are_the_fewest_and_fall_by_what_pairing_cuts() -> None:
    for effect, rho in ((0.1, 0.9), (0.05, 0.95), (0.1, 0.0)):
        found = required_batches(effect, 1.0, rho, power=0.9, looks=5)
        assert found.paired is not None
        assert found.unpaired is not None
        options = {"difference": effect, "sigma": 1.0, "correlation": rho, "looks": 5}
        assert paired_power(found.paired, **options).paired >= 0.9
        assert paired_power(found.paired - 1, **options).paired < 0.9
        assert paired_power(found.unpaired, **options).unpaired >= 0.9
        assert paired_power(found.unpaired - 1, **options).unpaired < 0.9
        assert found.paired / found.unpaired == pytest.approx(1 - rho, rel=0.05)
        assert f"{found.paired} shared batches, or {found.unpaired}" in str(found)
    assert required_batches(1e-4, 1.0, 0.0).paired is None


def test_without_correlation_pairing_costs_degrees_of_freedom() -> None:
    found = paired_power(3, 2.0, 1.0, 0.0)
    assert found.paired < found.unpaired
    assert f"{found.paired:.2f} if they are shared, {found.unpaired:.2f} if not" in str(found)


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batches": 1}, "batches must be a whole number of at least 2"),
        ({"difference": 0.0}, "difference must be positive"),
        ({"sigma": -1.0}, "sigma must be positive"),
        ({"correlation": 1.0}, "correlation must lie strictly between −1 and 1, got 1.0"),
        ({"alpha": 1.0}, "alpha must lie strictly between 0 and 1"),
        ({"looks": 0}, "looks must be a whole number of at least 1"),
    ],
)
def test_bad_designs_are_named(options: dict, message: str) -> None:
    design = {"batches": 6, "difference": 0.1, "sigma": 1.0, "correlation": 0.5} | options
    with pytest.raises(ValueError, match=message):
        paired_power(**design)

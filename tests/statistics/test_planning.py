"""How long to watch, looking again and again, and what a curve is made of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from exptest.statistics import compare_curves, fit_exponential, fit_power_law
from exptest.statistics.calibration import pvalues
from exptest.statistics.diagnosis import diagnose, power_on
from exptest.statistics.repeated import (
    AlphaSpending,
    EProcess,
    EveryLook,
    any_claim,
    run_level_error,
)
from exptest.statistics.required import exponential_power, required_window, slope_power
from exptest.statistics.scenarios import Scenario, ar1

pytestmark = pytest.mark.usefixtures("as_users_do")  # simulations
# Chosen before looking.
SLOPES = [
    {"decline": 0.02},
    {"decline": 0.05, "power": 0.9},
    {"decline": 0.005, "correlation": 0.5},
    {"decline": 0.01, "correlation": 0.9},
]


def measured(test: str, curve: np.ndarray, phi: float, replications: int) -> float:
    rng = np.random.default_rng(99)
    losses = curve + ar1(rng, (replications, len(curve)), phi)
    return float((pvalues(test, losses) < 0.05).mean())


@pytest.mark.claim("C4.6")
@pytest.mark.parametrize("setting", SLOPES, ids=str)
def test_the_required_window_has_the_power_it_promises(setting: dict) -> None:
    found = required_window("slope", **setting)
    assert found.n is not None
    curve = -setting["decline"] * np.arange(found.n)
    rate = measured("slope", curve, setting.get("correlation", 0.0), 2000)
    assert rate == pytest.approx(found.power, abs=0.03)
    assert str(found.n) in str(found)


@pytest.mark.claim("C4.6")
def test_the_required_window_of_a_decay_has_the_power_it_promises() -> None:
    found = required_window("exponential", amplitude=5, rate=0.02, replications=200)
    assert found.n is not None
    promised = exponential_power(found.n, 5, 0.02, replications=1500)
    rate = measured("exponential", 5 * np.exp(-0.02 * np.arange(found.n)), 0.0, 1500)
    assert rate == pytest.approx(promised, abs=0.03)
    assert rate == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("options", [{"alpha": 0.2}, {"power": 0.6}, {"correlation": 0.7}])
def test_the_required_window_is_the_shortest_with_the_power_asked_for(options: dict) -> None:
    found = required_window("slope", decline=0.05, **options)
    assert found.n is not None
    rest = {name: value for name, value in options.items() if name != "power"}
    assert found.power == slope_power(found.n, 0.05, **rest) >= options.get("power", 0.8)
    assert slope_power(found.n - 1, 0.05, **rest) < options.get("power", 0.8)
    few = {"amplitude": 6.0, "rate": 0.1, "replications": 60, "seed": 3}
    decay = required_window("exponential", **few, **options)
    simulated = few | {name: value for name, value in options.items() if name != "power"}
    assert decay.n is not None
    assert decay.power == exponential_power(decay.n, **simulated)


def test_the_power_of_a_decay_is_the_share_of_its_simulated_windows() -> None:
    noise = ar1(np.random.default_rng([7, 30]), (50, 30), 0.4)
    p = pvalues("exponential", 4 * np.exp(-0.1 * np.arange(30)) + noise)
    options = {"correlation": 0.4, "alpha": 0.3, "replications": 50, "seed": 7}
    assert exponential_power(30, 4.0, 0.1, **options) == (p < 0.3).mean()


def test_windows_as_short_as_eight_are_tried() -> None:
    assert required_window("slope", decline=5.0).n == 8


def test_power_grows_with_the_window_and_falls_with_correlation() -> None:
    powers = [slope_power(n, 0.02) for n in (30, 60, 120)]
    assert powers == sorted(powers)
    assert slope_power(60, 0.02, correlation=0.5) < slope_power(60, 0.02)


def test_a_decay_too_small_to_see_has_no_window() -> None:
    found = required_window("exponential", amplitude=0.01, rate=5.0, replications=20)
    assert found.n is None
    assert "No window" in str(found)


def test_planning_names_bad_input() -> None:
    with pytest.raises(TypeError, match="decline must be a number"):
        required_window("slope")
    with pytest.raises(ValueError, match="correlation must be below 1"):
        required_window("slope", decline=0.1, correlation=1.0)
    with pytest.raises(ValueError, match="test must be one of"):
        required_window("f", decline=0.1)


@pytest.mark.claim("C6.5")
def test_spent_levels_never_sum_to_more_than_alpha() -> None:
    for rule in (AlphaSpending(0.05, looks=20), AlphaSpending(0.05)):
        spent = 0.0
        for _ in range(500):
            spent += rule.level
            rule.decide(0.5)
        assert spent <= 0.05 * (1 + 1e-12)


def stake(p: float) -> float:
    """What one p-value multiplies the evidence by."""
    process = EProcess(0.05)
    process.decide(p)
    return process.value


@pytest.mark.claim("C6.6")
def test_a_bet_against_the_null_is_fair() -> None:
    assert quad(stake, 0, 1)[0] == pytest.approx(1.0, rel=1e-6)
    grid = [stake(p) for p in (1e-6, 0.01, 0.25, 0.9, 1.0)]
    assert grid == sorted(grid, reverse=True)  # so a conservative p makes the game worse
    process = EProcess(0.05)
    assert not process.decide(1.0)
    assert process.value == pytest.approx(0.5)
    assert process.decide(1e-6)
    assert all(process.decide(1.0) for _ in range(20))  # the claim is about the run: it stays
    assert process.value < 1.0
    process.reset()
    assert process.value == 1.0
    assert not process.decide(1.0)


@pytest.mark.parametrize("rule", [EveryLook, AlphaSpending, EProcess])
@pytest.mark.parametrize("value", [np.nan, -0.1, 1.5])
def test_what_is_no_pvalue_is_named(rule, value: float) -> None:
    with pytest.raises(ValueError, match="pvalue must lie between 0 and 1"):
        rule().decide(value)


@pytest.mark.claim("C6.5")
@pytest.mark.claim("C6.6")
def test_run_level_error_is_held_over_twenty_windows_of_noise() -> None:
    frame = run_level_error(replications=300).set_index("rule")
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert frame.loc["α at every look", "rate"] > 2 * limit
    for rule in ("α/K", "α/(k(k+1))", "e-process"):
        assert frame.loc[rule, "rate"] <= limit


def test_evidence_adds_up_where_no_single_look_is_enough() -> None:
    weak = np.full((1, 20), 0.02)
    assert any_claim(lambda: AlphaSpending(0.05, 20), weak) == 0.0
    assert any_claim(lambda: EProcess(0.05), weak) == 1.0


@pytest.mark.claim("C5.9")
def test_a_power_law_is_an_exponential_in_logarithmic_time() -> None:
    t = np.arange(200)
    y = 0.3 + 2.0 * (1 + t) ** -0.7
    fit = fit_power_law(y)
    assert (fit.amplitude, fit.exponent, fit.floor) == pytest.approx((2.0, 0.7, 0.3))
    np.testing.assert_allclose(fit.predict(), y, atol=1e-9)
    assert fit.exponent == fit_exponential(y, steps=np.log1p(t)).rate


def test_the_better_curve_is_named(rng: np.random.Generator) -> None:
    t, noise = np.arange(150), 0.02 * rng.normal(size=150)
    assert compare_curves((1 + t) ** -0.8 + noise).better == "power law"
    assert compare_curves(np.exp(-0.03 * t) + noise).better == "exponential"
    assert compare_curves(noise).better == "neither"
    assert "cannot be compared" in str(compare_curves([1.0, np.nan, 2.0]))
    assert "exponent" in compare_curves(noise).summary()


@pytest.mark.claim("C5.11")
@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_signal_and_noise_of_a_curve_are_recovered(phi: float) -> None:
    rng, t = np.random.default_rng(5), np.arange(400)
    noise = 0.2 * ar1(rng, (50, 400), phi)
    found = [diagnose(1.5 + 3 * np.exp(-0.02 * t) + row) for row in noise]
    assert np.mean([d.sigma for d in found]) == pytest.approx(0.2, rel=0.1 if phi == 0.9 else 0.05)
    assert np.mean([d.correlation for d in found]) == pytest.approx(phi, abs=0.05)
    assert np.mean([d.floor for d in found]) == pytest.approx(1.5, abs=0.05)
    assert np.mean([d.efolds for d in found]) == pytest.approx(0.02 * 399, rel=0.1)


def test_curves_at_the_edge_of_float64_are_described() -> None:
    huge = 1.79e308 * np.exp(-np.linspace(0, 3, 40))
    assert diagnose(huge).efolds == pytest.approx(3.0)
    assert compare_curves(huge).better == "exponential"
    assert diagnose(np.tile([1.79e308, -1.79e308], 20)).sigma > 1e308


def test_could_this_test_have_seen_it() -> None:
    loud, faint = (Scenario("exponential", "iid", 60, a).simulate(1)[0] for a in (10.0, 0.5))
    assert power_on(diagnose(loud), replications=100) > 0.95
    assert power_on(diagnose(loud), test="slope", replications=100) > 0.95
    assert "standard deviations" in str(diagnose(faint))
    with pytest.raises(ValueError, match="losses cannot be described"):
        diagnose([1.0, 2.0])

"""Size and power tables hold what was asked for; results print the numbers that they hold."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from exptest.statistics import compare_curves, exponential_test, slope_test
from exptest.statistics.calibration import power, pvalues, rejection_rates, simulate_null, size
from exptest.statistics.diagnosis import diagnose, power_on
from exptest.statistics.repeated import EveryLook, run_level_error
from exptest.statistics.scenarios import NULLS, Scenario, ar1
from exptest.statistics.tables import html_table, text_table

pytestmark = pytest.mark.usefixtures("as_users_do")  # simulations


@pytest.mark.parametrize("test", ["exponential", "slope"])
def test_size_tries_every_null_of_the_test(test: str) -> None:
    frame = size(test, noises=("iid", "AR(1) 0.9"), lengths=(8, 9), alphas=(0.05,), replications=1)
    for n, noises in ((8, {"iid"}), (9, {"iid", "AR(1) 0.9"})):
        rows = frame[frame.n == n]
        assert set(rows.noise) == noises
        assert set(zip(rows.truth, rows["size"], strict=True)) == set(NULLS[test])
        assert len(rows) == len(noises) * len(NULLS[test])


def test_any_function_is_held_to_the_exponential_nulls() -> None:
    frame = size(lambda y: 0.5, noises=("iid",), lengths=(8,), alphas=(0.6, 0.5), replications=3)
    assert len(frame) == 2 * len(NULLS["exponential"])
    assert (frame[frame.alpha == 0.6].rate == 1.0).all()
    assert (frame[frame.alpha == 0.5].rate == 0.0).all()
    assert set(frame.method) == {""}
    assert set(frame.test) == {"<lambda>"}


def test_power_tries_every_rate_and_amplitude() -> None:
    frame = power("slope", efolds=(1, 3), amplitudes=(2, 4), lengths=(9,), replications=2)
    assert list(zip(frame.efolds, frame["size"], strict=True)) == [(1, 2), (1, 4), (3, 2), (3, 4)]
    assert set(frame.truth) == {"exponential"}
    assert set(frame.method) == {"calibrated"}


def test_tables_count_what_the_test_says_of_each_curve() -> None:
    cell = Scenario("line", "AR(1) 0.5", 30, 1.0)
    losses = cell.simulate(60, 4)
    for method in ("calibrated", "paper"):
        options = {"replications": 60, "seed": 4, "method": method}
        p = np.array([slope_test(y, method=method).pvalue for y in losses])
        row = rejection_rates("slope", [cell], alphas=(0.2,), **options).iloc[0]
        assert row.rate == (p < 0.2).mean()
        assert 0.0 < row.low < row.rate < row.high < 1.0
        null = simulate_null("slope", cell, **options)
        np.testing.assert_array_equal(null.pvalue, p)
        assert null.statistic[0] == slope_test(losses[0], method=method).statistic
        np.testing.assert_array_equal(pvalues("slope", losses, method=method), p)


def test_runs_are_the_rows_of_the_simulation() -> None:
    window = Scenario("flat", "iid", 10)
    options = {"scenario": window, "looks": 4, "alpha": 0.2, "replications": 30, "seed": 3}
    for method in ("calibrated", "paper"):
        p = pvalues("slope", window.simulate(120, 3), method=method).reshape(30, 4)
        rates = run_level_error("slope", method=method, **options).set_index("rule").rate
        assert rates["α at every look"] == (p < 0.2).any(axis=1).mean()
        assert rates["α/K"] == (p < 0.05).any(axis=1).mean()
        spent = 0.2 / np.array([2, 6, 12, 20])
        assert rates["α/(k(k+1))"] == (p < spent).any(axis=1).mean()
        best = np.cumsum(np.log(0.5 / np.sqrt(p)), axis=1).max(axis=1)
        assert rates["e-process"] == (best >= np.log(5)).mean()
    assert (EveryLook(0.2).decide(0.19), EveryLook(0.2).decide(0.21)) == (True, False)


def test_power_on_a_diagnosis_is_simulated_from_it() -> None:
    found = replace(diagnose(Scenario("line", "iid", 40, 1.0).simulate(1)[0]), correlation=0.6)
    options = {"test": "slope", "alpha": 0.1, "replications": 80, "seed": 2}
    for n in (None, 25):
        steps = n or 40
        rng = np.random.default_rng([2, steps])
        noise = found.sigma * ar1(rng, (80, steps), 0.6)
        p = pvalues("slope", found.fit.predict(np.arange(steps)) + noise)
        assert 0.0 < (p < 0.1).mean() < 1.0
        assert power_on(found, n=n, **options) == (p < 0.1).mean()


def rows(result) -> dict[str, str]:
    """Name → number of every row of a summary."""
    lines = [re.split(r" {2,}", line.strip()) for line in result.summary().splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2}


def test_an_exponential_result_prints_its_numbers() -> None:
    result = exponential_test(Scenario("exponential", "shrinking", 80, 8.0).simulate(1)[0])
    fit, noise, found = result.exponential, result.noise, rows(result)
    assert fit is not None
    assert noise is not None
    printed = {
        "losses": 80,
        "F": result.statistic,
        "p-value": result.pvalue,
        "noise correlation": noise.correlation,
        "independent losses": noise.information,
        "noise at the start": noise.sizes[0],
        "noise at the end": noise.sizes[-1],
        "SSE, line": result.line.sse,
        "SSE, exponential": fit.sse,
        "amplitude": fit.amplitude,
        "rate per step": fit.rate,
        "floor": fit.floor,
    }
    for name, value in printed.items():
        assert float(found[name]) == pytest.approx(value, rel=6e-3, abs=5e-4), name
    assert found["degrees of freedom"] == f"1, {noise.df:.4g}"
    assert found["method"] == "calibrated"
    assert "decay exponentially" in str(result)
    assert f"rate {fit.rate:.3g} per step, floor {fit.floor:.3g}" in str(result)
    flat = exponential_test(Scenario("flat", "iid", 60).simulate(1)[0], method="paper")
    assert "show no exponential decay" in str(flat)
    assert "noise at the start" not in rows(flat)


def test_a_slope_result_prints_its_numbers() -> None:
    result = slope_test(Scenario("line", "AR(1) 0.5", 80, 8.0).simulate(1)[0])
    noise, found = result.noise, rows(result)
    assert noise is not None
    printed = {
        "losses": 80,
        "slope per step": result.line.slope,
        "t": result.statistic,
        "degrees of freedom": result.df,
        "p-value": result.pvalue,
        "independent losses": noise.information,
    }
    for name, value in printed.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-3), name
    assert "are still decreasing" in str(result)
    assert "are not decreasing" in str(slope_test(-Scenario("line", "iid", 40, 8.0).simulate(1)[0]))


def test_a_verdict_is_a_p_below_alpha() -> None:
    for result in (
        exponential_test([3.0, 2.0, 1.5, 1.2, 1.1, 1.0]),
        slope_test([3.0, 2.5, 2.6, 1.0]),
    ):
        p = result.pvalue
        assert 0.0 < p < 0.3
        assert result.reject(1.01 * p)
        assert not result.reject(0.99 * p)
        assert not result.reject(p)


def test_a_comparison_prints_both_fits() -> None:
    found = compare_curves(Scenario("power law", "iid", 60, 9.0).simulate(1)[0])
    printed = rows(found)
    assert float(printed["SSE, power law"]) == pytest.approx(found.power_law.sse, rel=1e-3)
    assert float(printed["exponent"]) == pytest.approx(found.power_law.exponent, rel=1e-3)
    assert float(printed["rate per step"]) == pytest.approx(found.exponential.rate, rel=1e-3)


def test_a_diagnosis_prints_its_numbers() -> None:
    found = diagnose(Scenario("saturating growth", "iid", 60, 9.0).simulate(1)[0])
    printed = rows(found)
    assert found.signal_to_noise > 0.0
    assert float(printed["e-folds in the window"]) == pytest.approx(found.efolds, rel=1e-3)
    assert float(printed["amplitude / noise"]) == pytest.approx(found.signal_to_noise, rel=1e-3)
    assert float(printed["floor"]) == pytest.approx(found.floor, rel=1e-3)
    assert float(printed["noise"]) == pytest.approx(found.sigma, rel=1e-3)


def test_tables_line_up_and_escape() -> None:
    text = text_table("A title wider than the rows", [("a", "1"), ("bcd", "23")], "Said.")
    title, rule, *body, end, sentence = text.splitlines()
    assert {len(line) for line in (title, rule, *body, end)} == {len(title)}
    assert body[0].split() == ["a", "1"]
    assert sentence == "Said."
    html = html_table("1 < 2", [("<b>", "a & b")], "x > y")
    assert "&lt;b&gt;" in html
    assert "a &amp; b" in html
    assert "1 &lt; 2" in html
    assert "x &gt; y" in html


def test_the_named_tests_are_told_the_period() -> None:
    told = Scenario("flat", "epochs", 60)
    losses = told.simulate(20, 3)
    p = [slope_test(row, period=told.period).pvalue for row in losses]
    assert (p != pvalues("slope", losses)).all()
    frame = rejection_rates("slope", [told], alphas=(0.5,), replications=20, seed=3)
    assert frame.rate[0] == np.mean(np.array(p) < 0.5)
    np.testing.assert_array_equal(simulate_null("slope", told, replications=20, seed=3).pvalue, p)

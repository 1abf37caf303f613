"""Two arms on the same batches: the verdict, its level over all looks, and what it depends on."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from exptest.statistics import PairedTestResult, paired_test

LOOKS = (3, 6, 12, 24, 48)


def arms(seed: int, m: int = 48, *, ahead: float = 0.0, rho: float = 0.8, sigma: float = 1.0):
    """Losses of two arms on m batches: second − first is ``ahead`` on average."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(1, m)), rng.normal(size=(2, m))
    first, second = 5.0 + sigma * (math.sqrt(rho) * shared + math.sqrt(1.0 - rho) * own)
    return first, second + ahead


@pytest.mark.claim("C8.1")
@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(4, 30), st.floats(0.0, 0.99))
def test_pairing_cuts_the_variance_by_what_the_arms_share(seed: int, m: int, rho: float) -> None:
    first, second = arms(seed, m, rho=rho)
    result = paired_test(first, second, looks=[m])
    between = np.corrcoef(first, second)[0, 1]
    alone = first.var(ddof=1) + second.var(ddof=1)
    assert result.correlation == pytest.approx(between, rel=1e-9, abs=1e-9)
    assert result.gain == pytest.approx(alone / (second - first).var(ddof=1), rel=1e-9)
    level = second.mean() + (second - second.mean()) * first.std() / second.std()
    equal = paired_test(first, level, looks=[m])
    assert (1.0 - equal.correlation) * equal.gain == pytest.approx(1.0, rel=1e-6)
    hard = 100.0 * np.arange(m)
    shifted = paired_test(first + hard, second + hard, looks=[m])
    assert shifted.statistic == pytest.approx(result.statistic, rel=1e-6, abs=1e-9)


@pytest.mark.claim("C8.2")
@given(st.integers(0, 10_000), st.integers(2, 60), st.floats(-1.0, 1.0))
def test_a_look_is_student_s_t_test_of_the_differences(seed: int, m: int, ahead: float) -> None:
    first, second = arms(seed, m, ahead=ahead)
    result = paired_test(first, second, looks=[m])
    peer = ttest_rel(second, first)
    assert result.statistic == pytest.approx(peer.statistic, rel=1e-9)
    assert result.pvalue == pytest.approx(peer.pvalue / 2.0, rel=1e-9)
    low, high = peer.confidence_interval(0.9)
    assert result.interval == pytest.approx((low, high), rel=1e-7, abs=1e-9)
    assert result.df == peer.df == m - 1
    assert (result.verdict != "undecided") == (not low <= 0.0 <= high)


def literal_race(first, second, alpha: float, looks: tuple[int, ...]) -> tuple[str, int]:
    """Verdict and batches of a race by scipy's test, one look after the other."""
    for m in looks:
        found = ttest_rel(second[:m], first[:m])
        if found.pvalue / 2.0 < alpha / len(looks):
            return ("first" if found.statistic > 0.0 else "second"), m
    return "undecided", looks[-1]


@pytest.mark.claim("C8.2")
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.05, 0.3, 0.6]),
    st.sampled_from([(3,), (3, 6), LOOKS, (2, 5, 7, 40, 41)]),
    st.floats(-0.5, 0.5),
)
def test_the_first_look_below_its_share_of_alpha_decides(
    seed: int, alpha: float, looks: tuple[int, ...], ahead: float
) -> None:
    first, second = arms(seed, ahead=ahead)
    result = paired_test(first, second, alpha=alpha, looks=looks)
    assert (result.verdict, result.n) == literal_race(first, second, alpha, looks)
    assert result.looks == tuple(m for m in looks if m <= result.n)
    assert (result.alpha, result.level) == (alpha, pytest.approx(alpha / len(looks)))


@pytest.mark.claim("C8.3")
@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(-1.0, 1.0), st.integers(0, 10), st.sampled_from([0, 4, 9]))
def test_what_comes_after_a_verdict_changes_nothing(
    seed: int, ahead: float, later: int, broken: int
) -> None:
    """Losses that come later may be anything, infinite too."""
    first, second = arms(seed, 20, ahead=ahead)
    first[20 - broken :] = np.inf
    verdicts = [paired_test(first[:m], second[:m]) for m in (1, 3, 5, 6, 8, 12, 13, 17, 20)]
    decided = [result for result in verdicts if result.verdict != "undecided"]
    assert all(result == decided[0] for result in decided)
    assert len({result.verdict for result in verdicts[-len(decided) :]} - {"undecided"}) <= 1
    assert not decided or decided == verdicts[-len(decided) :]
    nonsense = np.random.default_rng(later).choice([np.nan, np.inf, 0.0, -1e300], (2, later))
    for result in decided[:1]:
        again = paired_test(np.r_[first, nonsense[0]], np.r_[second, nonsense[1]])
        assert again == result


@pytest.mark.claim("C8.4")
@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(-1.0, 1.0), st.integers(-900, 900), st.integers(1, 48))
def test_arms_may_change_places_and_losses_their_unit(
    seed: int, ahead: float, power: int, m: int
) -> None:
    first, second = arms(seed, m, ahead=ahead)
    result, swapped = paired_test(first, second), paired_test(second, first)
    other = {"first": "second", "second": "first", "undecided": "undecided"}
    assert swapped.verdict == other[result.verdict]
    assert (swapped.pvalue, swapped.n) == (result.pvalue, result.n)
    assert swapped.difference == -result.difference
    assert swapped.interval == tuple(-end for end in result.interval[::-1])
    unit = 2.0**power
    scaled = paired_test(unit * first, unit * second)
    assert scaled.difference == unit * result.difference
    low, high = result.interval
    assert scaled.interval == (unit * low, unit * high)
    assert replace(scaled, difference=result.difference, interval=result.interval) == result


@pytest.mark.claim("C8.5")
@pytest.mark.usefixtures("as_users_do")
def test_the_worse_arm_is_named_no_more_often_than_promised() -> None:
    """1000 races of equal arms: either is named with probability α or less, .163 unspent."""
    rng = np.random.default_rng(5)
    races = 1000
    d = rng.normal(size=(races, 48))
    named = [paired_test(np.zeros(48), row).verdict for row in d]
    se = math.sqrt(0.05 * 0.95 / races)
    for arm in ("first", "second"):
        assert named.count(arm) / races <= 0.05 + 3 * se
        assert named.count(arm) / races == pytest.approx(0.040, abs=4 * se)
    unspent = [paired_test(np.zeros(48), row, alpha=0.05 * len(LOOKS)).verdict for row in d]
    assert unspent.count("first") / races == pytest.approx(
        0.163, abs=4 * math.sqrt(0.163 * 0.837 / races)
    )


def test_no_noise_and_the_sign_decides() -> None:
    result = paired_test([1.0] * 5, [0.75] * 5)
    assert (result.verdict, result.n, result.difference) == ("second", 3, -0.25)
    assert (result.statistic, result.pvalue, result.interval) == (-math.inf, 0.0, (-0.25, -0.25))
    assert math.isnan(result.correlation)
    assert math.isnan(result.gain)
    assert (
        "lower by 0.25 on 3 shared batches, all differences are equal: without" in result.sentence
    )
    for lower in np.linspace(0.1, 0.9, 17):  # whose mean over six is rounded
        assert paired_test([1.0] * 6, [lower] * 6, looks=[6]).statistic == -math.inf
    shared = paired_test([1.0, 2.0, 4.0], [1.5, 2.5, 4.5])
    assert (shared.verdict, shared.correlation, shared.gain) == ("first", 1.0, math.inf)


def test_arms_that_are_alike_stay_undecided_until_they_differ() -> None:
    result = paired_test([0.3, 0.2, 0.1], [0.3, 0.2, 0.1])
    assert (result.verdict, result.pvalue, result.difference) == ("undecided", 1.0, 0.0)
    assert "the same loss on every batch" in result.sentence
    d = np.r_[np.zeros(3), 1.0, 1.1, 1.2, np.full(6, 1.0)]
    later = paired_test(np.zeros(12), d)
    assert (later.verdict, later.looks) == ("first", (3, 6, 12))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_broken_arm_loses_at_once(bad: float) -> None:
    result = paired_test([1.0, 2.0], [1.0, bad])
    assert (result.verdict, result.n, result.pvalue) == ("first", 2, 0.0)
    assert str(result) == "The first arm is better: the second arm's loss is not finite on batch 2."
    assert result.difference == math.inf
    assert paired_test([1.0, bad], [1.0, 2.0]).verdict == "second"
    assert paired_test([1.0, bad], [1.0, 2.0]).statistic == -math.inf
    both = paired_test([1.0, bad, 3.0], [1.0, bad, bad])
    assert (both.verdict, both.pvalue, both.n) == ("undecided", 1.0, 2)
    assert "neither arm's loss is finite on batch 2" in both.sentence
    assert paired_test([1.0, bad], [bad, 1.0]).verdict == "first"


def test_what_lies_between_two_looks_waits_and_is_said_to() -> None:
    first, second = np.zeros(9), np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 9.0, 9.0, 9.0])
    early = paired_test(first[:1], second[:1])
    assert (early.verdict, early.n, early.looks) == ("undecided", 1, ())
    assert (early.difference, early.interval) == (1.0, (-math.inf, math.inf))
    assert paired_test(first[:2], second[:2]).looks == ()
    assert "first look comes at 3" in early.sentence
    between = paired_test(first, second)
    assert (between.n, between.looks, between.difference) == (6, (3, 6), 0.0)
    assert "3 further batches will count at the look at 12" in between.sentence
    assert between.pvalue == pytest.approx(0.5)
    after = paired_test(first[:7], second[:7], looks=[3, 6])
    assert "last look is taken; 1 further batch did not count" in after.sentence
    assert paired_test(first[:6], second[:6]).remark == ""


def test_results_print_the_numbers_that_they_hold() -> None:
    first, second = arms(3, ahead=0.6)
    result = paired_test(first, second)
    assert isinstance(result, PairedTestResult)
    table = result.summary()
    numbers = (result.difference, *result.interval, result.statistic, result.pvalue)
    for number in numbers:
        assert f"{number:.4g}" in table
    assert f"{result.correlation:.3g}" in table
    assert f"{result.gain:.3g}" in table
    assert "98 % interval" in table
    assert ", ".join(map(str, result.looks)) in table
    assert str(result) == result.sentence
    ahead = f"The {result.verdict} arm is better: its losses are lower by"
    assert f"{ahead} {abs(result.difference):.3g} on {result.n} shared batches" in result.sentence
    swapped = str(paired_test(second, first))
    assert swapped == result.sentence.replace("first", "second").replace("t = ", "t = -")
    assert f"p = {result.pvalue:.2g} < 0.01" in result.sentence
    assert result.sentence.replace("<", "&lt;") in result._repr_html_()
    open_race = paired_test(*arms(4))
    assert re.search(r"Undecided on 48 shared batches: t = .*, p = .* ≥ 0.01\.", str(open_race))


def test_losses_may_be_lists_or_tensors_of_any_size() -> None:
    first, second = arms(1, 6, ahead=1.0)
    plain = paired_test(first.tolist(), second.tolist())
    assert paired_test(torch.tensor(first, requires_grad=True), list(torch.tensor(second))) == plain
    huge = paired_test([1.7e308] * 3, [-1.7e308] * 3)
    assert (huge.verdict, huge.difference) == ("second", -math.inf)
    assert paired_test([1.7e308], [-1.7e308]).difference == -math.inf


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"second": [1.0, 2.0]}, ValueError, "every shared batch, got 3 and 2"),
        ({"first": [[1.0, 2.0, 3.0]]}, ValueError, "first must have one dimension"),
        ({"second": []}, ValueError, "second is empty"),
        ({"second": "abc"}, TypeError, "second must be real numbers"),
        ({"alpha": 0.0}, ValueError, "alpha must lie strictly between 0 and 1, got 0.0"),
        ({"alpha": "x"}, TypeError, "alpha must be a number"),
        ({"looks": (3, 3)}, ValueError, r"looks must be increasing, got \(3, 3\)"),
        ({"looks": (6, 3)}, ValueError, "looks must be increasing"),
        ({"looks": ()}, ValueError, "looks must be increasing"),
        ({"looks": (1, 3)}, ValueError, "a look must be a whole number of at least 2, got 1"),
        ({"looks": (3.5,)}, ValueError, "a look must be a whole number"),
        ({"looks": 3}, TypeError, "looks must be whole numbers, got 3"),
    ],
)
def test_bad_input_is_named(options: dict, error: type[Exception], message: str) -> None:
    given = {"first": [1.0, 2.0, 3.0], "second": [1.0, 2.0, 3.0]} | options
    with pytest.raises(error, match=message):
        paired_test(given.pop("first"), given.pop("second"), **given)

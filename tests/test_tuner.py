"""The state machine: phases, windows, rates, and that it can be stopped and resumed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exptest.record import Record
from exptest.recorded import replay
from exptest.statistics import exponential_test, slope_test, window_length
from exptest.tuner import MIN_WINDOW, Tuner
from tests.reference import paper_decisions

CURVES = Path(__file__).parents[2] / "shared" / "reference" / "california_mlp.npz"
CALIFORNIA_MAX_LR = 0.986704
PUBLISHED = [
    (5, 23, (95, 689, 6429)),
    (4, 19, (34, 304, 6058)),
    (4, 20, (36, 379, 6891)),
    (5, 22, (39, 351, 4276)),
    (5, 23, (41, 257, 4357)),
]


def decaying(n: int, rate: float = 0.2, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.5 + np.exp(-rate * np.arange(n)) + noise * rng.standard_normal(n)


def flat(n: int, seed: int = 0) -> np.ndarray:
    return 1.0 + 0.05 * np.random.default_rng(seed).standard_normal(n)


def as_tuples(record: Record) -> list[tuple]:
    return [(d.step, d.kind, d.accepted, d.lr_after) for d in record.decisions]


# -- the paper's machine -------------------------------------------------------------------


@pytest.mark.skipif(not CURVES.exists(), reason="the authors' curves are not beside the checkout")
@pytest.mark.parametrize("trial", range(5))
def test_replay_takes_the_decisions_that_the_authors_took(trial: int) -> None:
    losses = np.load(CURVES)["exptest_train_loss"][trial]
    record = replay(losses, CALIFORNIA_MAX_LR, method="paper")
    first_rejection, acceptance, rejections = PUBLISHED[trial]
    search = [d for d in record.decisions if d.kind == "exponential"]
    assert [(d.step, d.accepted) for d in search] == [(first_rejection, False), (acceptance, True)]
    assert search[-1].lr_after == pytest.approx(0.32561, abs=5e-6)
    slopes = [d for d in record.decisions if d.kind == "slope"]
    assert tuple(d.step for d in slopes if not d.accepted) == rejections
    assert record.lr == pytest.approx(0.0117, abs=5e-5)


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.6), st.sampled_from([0.0, 0.03, 0.3]))
@pytest.mark.usefixtures("as_users_do")
def test_paper_mode_agrees_with_the_literal_reference(seed: int, lr: float, noise: float) -> None:
    losses = np.abs(decaying(400, rate=0.05, noise=noise, seed=seed))
    expected = paper_decisions(losses, lr)
    found = as_tuples(replay(losses, lr, method="paper"))
    assert [f[:3] for f in found] == [e[:3] for e in expected]
    assert [f[3] for f in found] == pytest.approx([e[3] for e in expected], rel=1e-12)


def test_a_constant_path_ratio_lengthens_every_window() -> None:
    losses = flat(600)
    expected = paper_decisions(losses, 0.2, rho=2.5)
    found = as_tuples(replay(losses, 0.2, method="paper", path_ratio=2.5))
    assert [f[:3] for f in found] == [e[:3] for e in expected]


@pytest.mark.parametrize("method", ["paper", "calibrated"])
def test_a_path_ratio_that_leaves_the_window_as_it_is_does_not_skip_the_test(method: str) -> None:
    tuner = Tuner(0.03, method=method)
    decisions = [tuner.observe(x, path_ratio=1.0) for x in decaying(200)]
    assert next(d.window for d in decisions if d) == window_length(1.5, 0.03)


# -- what it guarantees --------------------------------------------------------------------


@pytest.mark.claim("C7.1")
@given(st.lists(st.floats(1e-3, 1e3), min_size=60, max_size=300), st.floats(0.1, 0.9))
@pytest.mark.usefixtures("as_users_do")
def test_the_rate_is_beta_to_the_number_of_rejections(losses: list[float], beta: float) -> None:
    falling = (decaying(60, rate=beta) / decaying(1)).tolist()
    record = replay([*falling, *losses], 0.7, beta=beta, min_window=8)
    rejections = sum(d.rejected for d in record.decisions)
    assert record.found is not None
    assert record.lr == pytest.approx(max(0.7 * beta**rejections, 0.7e-12), rel=1e-12)
    assert np.all(np.diff(record.lrs) <= 0)


@pytest.mark.claim("C7.3")
@given(st.floats(0.05, 0.9), st.floats(1e-6, 1.0))
def test_the_search_ends_after_a_known_number_of_rejections(beta: float, ratio: float) -> None:
    tuner = Tuner(1.0, beta=beta, min_lr=ratio)
    rejections, needed = 0, math.log(ratio) / math.log(beta)
    most = math.ceil(needed + 1e-9) + 1
    while tuner.phase == "search" and rejections <= most:
        decision = tuner.observe(math.nan)
        assert decision is not None
        rejections += 1
    assert math.ceil(needed - 1e-9) < rejections <= most
    assert tuner.lr == ratio


@pytest.mark.claim("C7.6")
@given(st.integers(0, 10_000), st.integers(-20, 20))
@pytest.mark.usefixtures("as_users_do")
def test_decisions_do_not_depend_on_the_unit_of_the_loss(seed: int, power: int) -> None:
    """L → cL with η → ηc: windows, statistics and verdicts stay (c a power of two: to the bit)."""
    unit = 2.0**power
    losses = decaying(500, rate=0.02, noise=0.05, seed=seed)
    losses[0] *= 1e-3  # a mini-batch's first may be tiny
    losses[200:209] *= 100 * (seed % 2)
    rho = (None, 1.5)[seed // 2 % 2]
    plain = replay(losses, 0.1, path_ratio=rho)
    scaled = replay(unit * losses, unit * 0.1, path_ratio=rho)
    assert [(d.step, d.kind, d.accepted) for d in plain.decisions] == [
        (d.step, d.kind, d.accepted) for d in scaled.decisions
    ]
    assert np.array_equal(scaled.lrs, unit * plain.lrs)


@pytest.mark.claim("C7.7")
@pytest.mark.usefixtures("as_users_do")
def test_a_search_over_flat_noise_accepts_once_in_twenty_runs_at_most() -> None:
    runs, fooled, looks = 1500, 0, 0
    for seed in range(runs):
        losses = 1 + 0.05 * np.random.default_rng(seed).standard_normal(8 * MIN_WINDOW)
        record = replay(losses, 50.0, beta=0.9)
        fooled += record.found is not None
        looks += len(record.decisions)
    assert looks > 4 * runs
    assert stats.binomtest(fooled, runs, 0.05, alternative="greater").pvalue > 0.001


# -- calibrated: what the paper leaves open ------------------------------------------------


def test_no_calibrated_window_is_shorter_than_the_minimum() -> None:
    record = replay(decaying(400, rate=0.01, noise=0.02), 50.0)
    assert min(d.window for d in record.decisions) >= MIN_WINDOW


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e9])
def test_a_loss_that_explodes_rejects_at_once(bad: float) -> None:
    tuner = Tuner(0.01)
    assert [tuner.observe(x) for x in (1.0, 0.9, 0.8)] == [None, None, None]
    decision = tuner.observe(bad)
    assert decision is not None
    assert (decision.kind, decision.accepted, decision.step) == ("divergence", False, 3)
    assert tuner.lr == pytest.approx(0.0033)


def test_paper_mode_waits_for_the_end_of_the_window() -> None:
    tuner = Tuner(0.01, method="paper")
    assert not any(tuner.observe(x) for x in (1.0, math.nan, 1e9))


@pytest.mark.parametrize("first", [0.0, math.inf, math.nan])
def test_a_first_loss_without_a_scale_waits_for_one_that_has_it(first: float) -> None:
    tuner = Tuner(0.05)
    assert tuner.observe(first, path_ratio=1.0) is None
    assert tuner.window is None
    tuner.observe(2.0, path_ratio=1.0)
    assert tuner.window == max(window_length(2.0, 0.05), MIN_WINDOW)


def test_a_huge_window_costs_nothing() -> None:
    tuner = Tuner(1e-290, method="paper")
    assert tuner.observe(1e9) is None
    assert tuner.window > 10**290


def test_defaults_are_those_of_the_documentation() -> None:
    tuner, paper = Tuner(0.5), Tuner(0.5, method="paper")
    assert (tuner.alpha, tuner.beta, tuner.method) == (0.05, 0.33, "calibrated")
    assert (tuner.min_window, paper.min_window, tuner.min_lr) == (32, 1, 0.5e-12)
    assert (tuner.divergence_factor, tuner.loss_floor, tuner.lr) == (10.0, 0.0, 0.5)
    assert [tuner.observe(loss) for loss in (1.0, 10.0)] == [None, None]
    assert tuner.observe(10.001) is not None


def test_each_mode_uses_its_own_tests() -> None:
    losses = decaying(400, rate=0.02, noise=0.1)
    for method in ("paper", "calibrated"):
        own, level = replay(losses, 0.02, method=method, alpha=0.2), 0.2
        kinds = {"exponential": exponential_test, "slope": slope_test}
        assert {d.kind for d in own.decisions} == set(kinds)
        for d in own.decisions:
            expected = kinds[d.kind](losses[d.start : d.step + 1], method=method)
            assert d.test == expected
            assert d.accepted == expected.reject(d.alpha)
        assert {d.alpha for d in own.decisions if method == "paper"} <= {level}


def test_at_the_smallest_rate_the_search_ends_and_training_goes_on() -> None:
    tuner = Tuner(0.01, min_lr=0.005)
    decisions = [d for x in flat(2000) if (d := tuner.observe(x)) and d.rejected]
    assert [d.lr_after for d in decisions[:2]] == [0.005, 0.005]
    assert tuner.phase == "tune"
    assert "smallest allowed" in decisions[1].reason


# -- stop and resume -----------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(1, 399), st.sampled_from(["paper", "calibrated"]))
@pytest.mark.usefixtures("as_users_do")
def test_a_tuner_resumes_to_the_bit(seed: int, cut: int, method: str) -> None:
    losses = np.abs(decaying(400, noise=0.2, seed=seed))
    whole = replay(losses, 0.3, method=method, path_ratio=1.4)
    tuner = Tuner(0.3, method=method)
    for loss in losses[:cut]:
        tuner.observe(loss, path_ratio=1.4)
    tuner = Tuner.from_state_dict(tuner.state_dict())
    for loss in losses[cut:]:
        tuner.observe(loss, path_ratio=1.4)
    assert as_tuples(tuner.record) == as_tuples(whole)


# -- bad input -----------------------------------------------------------------------------


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_lr": 0.0}, r"max_lr must be positive and finite, got 0.0"),
        ({"max_lr": math.nan}, r"max_lr must be positive and finite, got nan"),
        ({"max_lr": 1.0, "alpha": 1.0}, r"alpha must lie strictly between 0 and 1, got 1.0"),
        ({"max_lr": 1.0, "beta": 1.5}, r"beta must lie strictly between 0 and 1, got 1.5"),
        ({"max_lr": 1.0, "method": "papr"}, r"method must be one of 'calibrated', 'paper'"),
        ({"max_lr": 1.0, "min_lr": 2.0}, r"min_lr must not exceed max_lr"),
        ({"max_lr": 1.0, "min_window": 2.5}, r"min_window must be a whole number"),
    ],
)
def test_bad_settings_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tuner(**arguments)


@pytest.mark.usefixtures("as_users_do")
def test_a_setting_that_is_no_number_is_named() -> None:
    with pytest.raises(TypeError, match="max_lr must be a number, got str 'big'"):
        Tuner("big")


def test_a_negative_first_loss_is_refused_and_not_counted() -> None:
    tuner = Tuner(0.1)
    with pytest.raises(ValueError, match="the loss is -1, below loss_floor = 0"):
        tuner.observe(-1.0)
    assert len(tuner.record.losses) == 0


def test_a_path_shorter_than_its_chord_is_refused() -> None:
    with pytest.raises(ValueError, match="path_ratio must be at least 1"):
        replay(decaying(200), 0.05, path_ratio=0.5)

"""Falling, stopped, or undecided."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from exptest.bench.rules import declines, ever_stopped, false_stops, looks
from exptest.linearized.floor_noise import loss_autocovariance
from exptest.linearized.sgd import expected_sgd_loss, noise_floor
from exptest.statistics import slope_test, trend_test
from exptest.statistics.repeated import AlphaSpending
from exptest.statistics.scenarios import Scenario, ar1

BETA = 0.33


def falling(fall: float, noise: str = "iid", n: int = 200, seed: int = 0) -> np.ndarray:
    """Losses that fall by so many σ in a hundred steps."""
    return Scenario("flat", noise, n).simulate(1, seed)[0] - fall * np.arange(n) / 100


@pytest.mark.parametrize("horizon", [100, 1000])
def test_both_sides_are_those_of_the_slope_s_interval(horizon: int) -> None:
    y = falling(0.1)
    found = trend_test(y, horizon=horizon, worth=1.0, stop_alpha=0.01, noise="independent")
    fit = sm.OLS(y, sm.add_constant(np.arange(200))).fit()
    low = fit.conf_int(alpha=0.02)[1, 0]
    assert found.decline == pytest.approx(-fit.params[1] * horizon)
    assert found.at_most == pytest.approx(-low * horizon)
    assert found.pvalue == slope_test(y, noise="independent").pvalue
    t = stats.t(198)
    assert found.power == pytest.approx(t.cdf(1.0 / (horizon * fit.bse[1]) - t.ppf(0.95)))


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        (falling(2.0), "falling"),
        (falling(0.0), "stopped"),
        (falling(-2.0), "stopped"),
        (falling(0.0, n=20), "undecided"),
        (np.full(40, 0.3), "stopped"),
        (np.arange(40.0), "stopped"),
        (-np.arange(40.0), "falling"),
        (3.0 * 0.9 ** np.arange(60), "falling"),
        ([0.3, 0.2], "undecided"),
        (np.full(40, np.nan), "undecided"),
        (falling(0.0) * 1e200, "undecided"),
    ],
)
def test_a_window_says_what_it_can(losses: np.ndarray, verdict: str) -> None:
    found = trend_test(losses)
    assert found.verdict == verdict
    said = {
        "falling": "are falling",
        "stopped": "have stopped falling",
        "undecided": "claimed|whet",
    }
    assert any(part in str(found) for part in said[verdict].split("|"))
    assert verdict in found.summary()
    assert verdict in found._repr_html_()


def test_a_small_decline_is_excluded_or_not_by_what_is_worth_having() -> None:
    y = falling(0.0, n=400)
    bound = trend_test(y).at_most
    assert bound > 0.0
    assert trend_test(y, worth=1.01 * bound).verdict == "stopped"
    assert trend_test(y, worth=0.99 * bound).verdict == "undecided"
    clear = falling(2.0)
    assert trend_test(clear, worth=1e6).verdict == "falling"  # however little it is worth


def test_what_rises_is_said_to_rise() -> None:
    assert "they fall by at most" in str(trend_test(falling(0.0)))
    rising = trend_test(2.0 * np.arange(40.0))
    assert rising.at_most == pytest.approx(-80.0)
    assert "in 40 steps they rise by at least 80" in str(rising)


def test_a_spike_at_the_start_is_no_decline() -> None:
    y = falling(0.0)
    spiked = trend_test(np.r_[1e6, y], horizon=200)
    assert (spiked.decline, spiked.at_most) == pytest.approx(
        (trend_test(y).decline, trend_test(y).at_most)
    )
    assert spiked.verdict == "stopped"


def test_levels_are_those_told() -> None:
    y = falling(0.35)
    p = slope_test(y).pvalue
    assert trend_test(y, alpha=1.01 * p, worth=1e-9).verdict == "falling"
    assert trend_test(y, alpha=0.99 * p, worth=1e-9).verdict == "undecided"
    bounds = [trend_test(y, stop_alpha=a).at_most for a in (0.2, 0.05, 0.001)]
    assert bounds == sorted(bounds)
    assert trend_test(y, alpha=0.01).at_most == trend_test(y, stop_alpha=0.01).at_most


@pytest.mark.parametrize(
    ("argument", "value"), [("horizon", 0), ("worth", 0.0), ("alpha", 1.5), ("stop_alpha", 0.0)]
)
def test_bad_arguments_are_named(argument: str, value: float) -> None:
    with pytest.raises(ValueError, match=argument):
        trend_test([1.0, 2.0, 3.0], **{argument: value})


@pytest.mark.claim("C6.9")
@pytest.mark.parametrize("seed", range(12))
def test_a_floor_is_at_most_root_half_the_modes_times_the_noise(seed: int) -> None:
    draw = np.random.default_rng(seed)
    d = int(draw.integers(1, 5))
    inputs = draw.normal(size=(12, d)) * 10 ** draw.uniform(-1, 0, d)
    targets = draw.normal(size=12)
    lr = 0.3 / (inputs**2).sum(axis=1).max()
    options = {"lr": lr, "batch_size": int(draw.integers(1, 6))}
    best = 0.5 * np.mean((targets - inputs @ np.linalg.lstsq(inputs, targets)[0]) ** 2)
    floor = noise_floor(inputs, targets, **options) - best
    noise = loss_autocovariance(inputs, targets, **options)
    assert 0.0 < floor <= np.sqrt(noise.wander * d / 2) * (1.0 + 1e-9)
    assert noise.wander < noise.autocovariance[0]
    assert d > 1 or floor == pytest.approx(np.sqrt(noise.wander / 2))


@pytest.mark.claim("C6.9")
def test_one_mode_without_batch_noise_has_the_floor_that_is_worth_having() -> None:
    draw = np.random.default_rng(0)
    weights = draw.normal(size=200_000)  # one mode, no batch: all of the noise is the floor's
    losses = 0.5 * 3.0 * weights**2
    assert losses.mean() == pytest.approx(losses.std() / np.sqrt(2), rel=0.02)
    assert trend_test(losses[:1000]).worth == pytest.approx(losses.mean(), rel=0.1)


def decline_at_which_a_cut_draws_level(lr: float) -> float:
    """Return D/F where η and βη end equal: a mode at its floor F, one that falls by D."""
    inputs = np.array([[1.0, 0], [-1, 0], [1, 0], [-1, 0], [0, 1e-2], [0, 1e-2]])
    targets = np.array([1.0, 1, -1, -1, 0, 0])
    steps = round(40 / lr)
    floor = noise_floor(inputs, targets, lr=lr, batch_size=2) - 0.5 * np.mean(targets**2)
    resting = np.sqrt(2.0 * floor / np.mean(inputs[:, 0] ** 2))

    def curve(slow: float, rate: float) -> np.ndarray:
        options = {"lr": rate, "batch_size": 2, "steps": steps}
        return expected_sgd_loss(inputs, targets, [resting, slow], **options)[[0, -1]]

    # Gap and fall are linear in the square of the slow weight; at its floor the other rests.
    (kept, cut), (kept_1, cut_1) = ([curve(w, lr), curve(w, BETA * lr)] for w in (0.0, 1.0))
    gap, gap_1 = kept[1] - cut[1], kept_1[1] - cut_1[1]
    fall, fall_1 = kept[0] - kept[1], kept_1[0] - kept_1[1]
    return float((fall_1 - fall) * gap / (gap - gap_1) / floor)


@pytest.mark.claim("C6.10")
@pytest.mark.usefixtures("as_users_do")
def test_a_cut_is_ahead_where_the_loss_falls_by_less_than_its_floor() -> None:
    off = [decline_at_which_a_cut_draws_level(lr) - 1.0 for lr in (0.4, 0.2, 0.1)]
    orders = np.log2(np.divide(off[:-1], off[1:]))
    assert ((orders > 0.9) & (orders < 1.1)).all()
    assert abs(off[-1]) < 0.02


@pytest.mark.claim("C6.11")
@pytest.mark.usefixtures("as_users_do")  # a simulation
@pytest.mark.parametrize("noise", ["iid", "AR(1) 0.9"])
def test_what_still_falls_is_rarely_stopped_and_what_is_flat_mostly(noise: str) -> None:
    window, runs = 500, 200
    flat = Scenario("flat", noise, 4 * window).simulate(runs)
    fall = np.arange(4 * window) / window
    stopped = np.mean([looks(y, window)[0] for y in flat])
    cut = np.mean([looks(y - fall, window)[0] for y in flat])
    assert stopped >= 0.9 - 3 * np.sqrt(0.09 / runs)
    assert cut <= 0.1


def promised(runs: int) -> float:
    """Return α and three standard errors of it."""
    return 0.05 + 3 * np.sqrt(0.0475 / runs)


@pytest.mark.claim("C6.12")
@pytest.mark.usefixtures("as_users_do")  # a simulation
def test_a_run_that_falls_is_ever_stopped_with_probability_alpha() -> None:
    known = {"worth": 1.0, "noise": "independent"}  # it falls by no more than what is worth having
    at_the_edge = false_stops(["iid"], window=50, runs=100, **known)
    assert at_the_edge["α/(k(k+1))"][0] <= promised(100)
    assert at_the_edge["α at every look"][0] > 0.5


@pytest.mark.claim("C6.12")
@pytest.mark.usefixtures("as_users_do")  # a simulation
def test_in_correlated_noise_of_unknown_size_a_run_that_falls_is_rarely_stopped() -> None:
    runs, window = 40, 500
    curves = declines(1.0, "AR(1) 0.9", windows=80, window=window, runs=runs)
    stopped = [ever_stopped(y, window, AlphaSpending()) for y in curves]
    assert np.mean(stopped) <= promised(runs)


@pytest.mark.parametrize(("n", "phi"), [(32, 0.0), (100, 0.0), (200, 0.0), (200, 0.9)])
def test_the_power_is_roughly_the_share_that_are_called_falling(n: int, phi: float) -> None:
    draw, fall = np.random.default_rng(n), np.sqrt(0.5) * np.arange(n) / 64
    seen = [trend_test(noise - fall, horizon=64) for noise in ar1(draw, (200, n), phi)]
    share = np.mean([result.verdict == "falling" for result in seen])
    assert share == pytest.approx(np.mean([result.power for result in seen]), abs=0.3)
    assert np.isnan(trend_test([1.0, 1.0, 1.0]).power)

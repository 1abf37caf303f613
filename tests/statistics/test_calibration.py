"""Size and power: a reduced table here, the whole one with ``-m slow``."""

from __future__ import annotations

import numpy as np
import pytest

from exptest.statistics import exponential_test
from exptest.statistics.calibration import power, pvalues, rejection_rates, simulate_null, size
from exptest.statistics.required import exponential_power
from exptest.statistics.scenarios import NOISES, TRUTHS, Scenario

pytestmark = pytest.mark.usefixtures("as_users_do")  # simulations
FULL = 2000


def too_often(frame, replications: int):
    """Rows above α by more than three standard errors."""
    error = np.sqrt(frame.alpha * (1 - frame.alpha) / replications)
    return frame[frame.rate > frame.alpha + 3 * error]


@pytest.mark.claim("C5.6")
def test_the_exponential_test_is_honest_on_a_reduced_table() -> None:
    truths = (("flat", 0.0), ("line", 1.0), ("line", 10.0), ("saturating growth", 5.0))
    frame = size("exponential", truths=truths, lengths=(8, 20, 50, 200), replications=120)
    assert len(too_often(frame, 120)) == 0


@pytest.mark.claim("C6.7")
def test_the_slope_test_is_honest_on_a_reduced_table() -> None:
    frame = size(
        "slope", truths=(("flat", 0.0), ("rise", 1.0)), lengths=(8, 20, 50, 200), replications=150
    )
    assert len(too_often(frame, 150)) == 0


def told_independent(losses):
    """The exponential test of one who knows that the noise is independent."""
    return exponential_test(losses, noise="independent")


@pytest.mark.claim("C5.4")
def test_where_independence_is_known_small_windows_are_honest_and_lose_no_power() -> None:
    truths = (("flat", 0.0), ("line", 1.0), ("line", 10.0), ("rise", 1.0))
    lengths, options = (8, 12, 20), {"replications": 400}
    frame = size(told_independent, truths=truths, noises=("iid",), lengths=lengths, **options)
    assert len(too_often(frame, 400)) == 0
    cells = {"lengths": lengths, "efolds": (2, 5), "amplitudes": (2, 5)} | options
    told = power(told_independent, **cells)
    paper = power("exponential", method="paper", **cells)
    assert (told.rate >= paper.rate - 0.03).all()
    assert told.rate.mean() > paper.rate.mean()


@pytest.mark.slow
@pytest.mark.parametrize("test", ["exponential", "slope"])
def test_the_whole_size_table_is_honest(test: str) -> None:
    frame = size(test, replications=FULL, seed=1, n_jobs=-1)
    assert len(frame) >= 280
    assert len(too_often(frame, FULL)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "scenario"),
    [
        ("exponential", Scenario("flat", "t3", 1000)),
        *(("slope", Scenario("flat", "AR(1) 0.9", n)) for n in (20, 24, 28, 32, 40, 50)),
    ],
    ids=str,
)
def test_the_hardest_cells_are_honest_at_one_percent(test: str, scenario: Scenario) -> None:
    """Ten seeds at once, for an excess that one seed of 2000 would hide."""
    frame = rejection_rates(test, [scenario], alphas=(0.01,), replications=10 * FULL, seed=8)
    assert len(too_often(frame, 10 * FULL)) == 0


@pytest.mark.claim("C5.7")
def test_power_is_the_paper_s_or_better_at_n_200() -> None:
    options = {"lengths": (200,), "efolds": (2, 5, 20), "amplitudes": (1, 2), "replications": 200}
    ours, theirs = (power("exponential", method=m, **options) for m in ("calibrated", "paper"))
    assert (ours.rate >= theirs.rate - 0.03).all()
    assert ours.rate.mean() > theirs.rate.mean()


@pytest.mark.slow
@pytest.mark.parametrize(("n", "allowed"), [(50, -0.01), (200, 0.0), (1000, 0.0)])
def test_power_is_the_paper_s_or_better_everywhere(n: int, allowed: float) -> None:
    options = {"lengths": (n,), "replications": 1000, "n_jobs": -1}
    ours, theirs = (power("exponential", method=m, **options) for m in ("calibrated", "paper"))
    assert (ours.rate >= theirs.rate - 0.03).all()
    assert ours.rate.mean() > theirs.rate.mean() + allowed


@pytest.mark.claim("C4.7")
def test_thirty_two_losses_see_the_worst_knee_at_ten_to_one() -> None:
    """k = 2 e-folds in the window, which is b(n − 1)."""
    assert exponential_power(32, 10.0, 2 / 31, replications=600) > 0.9 - 3 * np.sqrt(0.09 / 600)
    assert exponential_power(20, 10.0, 2 / 19, replications=600) < 0.8


def test_pvalues_take_any_test() -> None:
    losses = Scenario("flat", "iid", 20).simulate(3)
    np.testing.assert_allclose(pvalues(np.mean, losses), losses.mean(axis=1))
    np.testing.assert_allclose(
        pvalues(exponential_test, losses), pvalues("exponential", losses), rtol=0
    )
    with pytest.raises(ValueError, match="test must be one of"):
        pvalues("t", losses)


def test_tables_are_tidy_and_say_how_sure_they_are() -> None:
    cells = [Scenario("flat", "iid", 20), Scenario("line", "t3", 30, 1.0)]
    frame = rejection_rates("slope", cells, replications=50, alphas=(0.05, 0.5))
    assert list(frame.truth) == ["flat", "flat", "line", "line"]
    assert ((frame.low <= frame.rate) & (frame.rate <= frame.high)).all()
    assert set(frame.replications) == {50}
    with pytest.raises(ValueError, match="alpha must lie strictly"):
        rejection_rates("slope", cells, alphas=(5,))


def test_parallel_and_serial_tables_are_the_same() -> None:
    cells = [Scenario("flat", "iid", 20), Scenario("flat", "t3", 20)]
    serial = rejection_rates("slope", cells, replications=40)
    parallel = rejection_rates("slope", cells, replications=40, n_jobs=2)
    assert serial.equals(parallel)


def test_a_null_table_holds_statistic_and_pvalue() -> None:
    frame = simulate_null("slope", Scenario("flat", "iid", 20), replications=30)
    assert list(frame.columns) == ["statistic", "pvalue"]
    assert len(frame) == 30


@pytest.mark.parametrize("noise", [name for name in NOISES if name != "random walk"])
def test_every_noise_has_unit_size(noise: str) -> None:
    losses = Scenario("flat", noise, 400).simulate(400)
    assert losses.std() == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("truth", TRUTHS)
def test_scenarios_are_seeded(truth: str) -> None:
    scenario = Scenario(truth, "iid", 20, 2.0)
    np.testing.assert_array_equal(scenario.simulate(3, seed=4), scenario.simulate(3, seed=4))
    assert not np.array_equal(scenario.simulate(3, seed=4), scenario.simulate(3, seed=5))
    assert scenario.mean.shape == (20,)


def test_scenarios_name_bad_input() -> None:
    with pytest.raises(ValueError, match="truth must be one of"):
        Scenario("wiggle")
    with pytest.raises(ValueError, match="noise must be one of"):
        Scenario("flat", "pink")
    with pytest.raises(ValueError, match="replications must be a whole number"):
        Scenario().simulate(0)

"""Size and power: a reduced table here, the whole one with ``-m slow``."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest

from exptest.statistics import exponential_test
from exptest.statistics.calibration import power, pvalues, rejection_rates, simulate_null, size
from exptest.statistics.phases import phase_centred
from exptest.statistics.required import exponential_power
from exptest.statistics.scenarios import NOISES, TRUTHS, Scenario
from tests.statistics.tables import LENGTHS, PROMISED, promised

pytestmark = pytest.mark.usefixtures("as_users_do")  # simulations
FULL = 2000


def too_often(frame, replications: int):
    """Rows above α by more than three standard errors."""
    error = np.sqrt(frame.alpha * (1 - frame.alpha) / replications)
    return frame[frame.rate > frame.alpha + 3 * error]


def too_often_together(frame) -> list:
    """(α, pool) where all cells, or all of one noise or length, are above by three such errors.

    A few hundred curves a cell show an excess by half of α only where cells are added up.
    """
    pools = [frame.assign(pool=frame[column]) for column in ("noise", "n")]
    cells = pd.concat([frame.assign(pool="all"), *pools]).groupby(["alpha", "pool"], as_index=False)
    added = cells.agg(rate=("rate", "mean"), replications=("replications", "sum"))
    rows = too_often(added, added.replications)
    return list(zip(rows.alpha, rows.pool, strict=True))


# On a line the size comes nearest to α; a test that is honest there is seen to be tight as well.
HARDEST = {
    "exponential": {"truths": (("flat", 0.0), ("line", 10.0)), "replications": 300},
    "slope": {"truths": (("flat", 0.0),), "replications": 600},
}
NOISY = ("iid", "t3", "shrinking", "AR(1) 0.9", "white + AR(1) 0.9", "early", "epochs")
POOLED = {"noises": NOISY, "lengths": (32, 50, 200)}


@pytest.mark.claim("C5.6")
def test_the_exponential_test_is_honest_on_a_reduced_table() -> None:
    assert not too_often_together(size("exponential", **POOLED, **HARDEST["exponential"]))
    bent = (("saturating growth", 5.0), ("dip, then diverge", 10.0), ("rise", 1.0))
    others = size("exponential", truths=bent, noises=NOISY, lengths=(8, 50), replications=40)
    assert not too_often_together(others)


@pytest.mark.claim("C6.7")
def test_the_slope_test_is_honest_on_a_reduced_table() -> None:
    assert not too_often_together(size("slope", **POOLED, **HARDEST["slope"]))
    bent = (("saturating growth", 5.0), ("dip, then diverge", 10.0), ("rise", 1.0))
    others = size("slope", truths=bent, noises=NOISY, lengths=(8, 50), replications=40)
    assert not too_often_together(others)


@pytest.mark.parametrize("table", HARDEST)
def test_the_reduced_tables_see_a_size_of_seven_percent(table: str) -> None:
    """They judge an exact test whose p-values are all 5/7 of what they should be."""
    rng = np.random.default_rng(0)
    caught = too_often_together(size(lambda _: 5 / 7 * rng.uniform(), **POOLED, **HARDEST[table]))
    assert (0.05, "all") in caught
    assert len([pool for alpha, pool in caught if alpha == 0.05]) >= 7  # of ten
    fair = size(lambda _: rng.uniform(), **POOLED, **HARDEST[table])
    assert not too_often_together(fair)


def told_independent(losses):
    """The exponential test of one who knows that the noise is independent."""
    return exponential_test(losses, noise="independent")


@pytest.mark.claim("C5.4")
def test_where_independence_is_known_small_windows_are_honest_and_lose_no_power() -> None:
    truths = (("flat", 0.0), ("line", 1.0), ("line", 10.0), ("rise", 1.0))
    frame = size(
        told_independent, truths=truths, noises=("iid",), lengths=(8, 20), replications=400
    )
    assert len(too_often(frame, 400)) == 0
    cells = {"lengths": (8, 20), "efolds": (2, 5), "amplitudes": (3,), "replications": 200}
    told = power(told_independent, **cells)
    paper = power("exponential", method="paper", **cells)
    assert (told.rate >= paper.rate - 0.03).all()
    assert told.rate.mean() > paper.rate.mean()


@pytest.mark.slow
@pytest.mark.parametrize("test", ["exponential", "slope"])
def test_the_whole_size_table_is_honest(test: str) -> None:
    options = {"noises": PROMISED, "lengths": LENGTHS}
    frame = size(test, replications=FULL, seed=1, n_jobs=-1, **options)
    frame = frame[promised(frame)]
    assert len(frame) >= 600
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
    assert (ours.rate >= theirs.rate - 0.05).all()
    assert ours.rate.mean() > theirs.rate.mean()


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1000])
def test_power_is_the_paper_s_or_better_everywhere(n: int) -> None:
    options = {"lengths": (n,), "replications": 1000, "n_jobs": -1}
    ours, theirs = (power("exponential", method=m, **options) for m in ("calibrated", "paper"))
    assert (ours.rate >= theirs.rate - 0.05).all()
    assert ours.rate.mean() > theirs.rate.mean()


@pytest.mark.claim("C4.7")
def test_sixty_four_losses_see_the_worst_knee_at_ten_to_one() -> None:
    """k = 2 e-folds in the window, which is b(n − 1)."""
    seen = {n: exponential_power(n, 10.0, 2 / (n - 1), replications=600) for n in (20, 32, 40, 64)}
    error = 3 * np.sqrt(0.09 / 600)
    assert seen[64] > 0.9 - error
    assert max(seen[20], seen[32], seen[40]) < 0.9 - error
    assert seen[32] > 0.6
    worst = Scenario("exponential", "iid", 32, 10.0, 2.0).simulate(600)
    assert (pvalues(told_independent, worst) < 0.05).mean() > 0.9 - error


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
    with joblib.parallel_config("threading"):  # starts no interpreter
        parallel = rejection_rates("slope", cells, replications=40, n_jobs=2)
    assert serial.equals(parallel)


def test_a_null_table_holds_statistic_and_pvalue() -> None:
    frame = simulate_null("slope", Scenario("flat", "iid", 20), replications=30)
    assert list(frame.columns) == ["statistic", "pvalue"]
    assert len(frame) == 30


@pytest.mark.parametrize("noise", [name for name in NOISES if name != "random walk"])
def test_every_noise_has_unit_size(noise: str) -> None:
    scenario = Scenario("flat", noise, 400)
    losses = scenario.simulate(400)
    if noise == "epochs":
        losses = phase_centred(losses, scenario.period) / np.sqrt(1 - scenario.period / 400)
    if noise == "early":
        assert losses[:, :40].std() == pytest.approx(4.0, abs=0.2)
        losses = losses[:, 40:]
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

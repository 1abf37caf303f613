"""What is read from residuals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dct

from exptest.statistics.blocks import averaged
from exptest.statistics.geometry import geometry
from exptest.statistics.noise import describe_noise, independent_noise, weigh
from exptest.statistics.noise_models import effective_length, noise_models, variance_along
from exptest.statistics.phases import phase_centred
from exptest.statistics.scenarios import NOISES, Scenario, ar1


def residuals(losses: np.ndarray, degree: int) -> np.ndarray:
    basis = np.linalg.qr(np.vander(np.linspace(-1, 1, losses.shape[1]), degree + 1))[0]
    return losses - losses @ basis @ basis.T


def correlated(n: int, phi: float, share: float = 1.0) -> np.ndarray:
    """Autocovariances of white noise with a slow part in it, as a matrix."""
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return share * phi**lag + (1 - share) * np.eye(n)


@pytest.mark.claim("C5.13")
@pytest.mark.parametrize("parameters", [2, 3])
@pytest.mark.parametrize("period", [1, 7])
def test_a_model_predicts_the_residuals_energy_in_every_band(parameters: int, period: int) -> None:
    """Literally: tr(C M R M C') over the waves of a band, M the projection off the fit."""
    n, corner = 20, 5.0  # so few that every wave of a band is in the table
    models = noise_models(n, parameters, period)
    powers = np.vander(np.linspace(-1, 1, n), parameters)
    phases = np.arange(n)[:, None] % period == np.arange(period)
    basis, values, _ = np.linalg.svd(np.hstack([powers, phases]), full_matrices=False)
    basis = basis[:, values > 1e-9 * values[0]]
    off = np.eye(n) - basis @ basis.T
    waves = np.sqrt(2 / n) * np.cos(np.pi / n * np.outer(np.arange(n), np.arange(n) + 0.5))
    spectrum = np.diag(waves @ off @ correlated(n, np.exp(-np.pi * corner / n)) @ off @ waves.T)
    dimensions = np.diag(waves @ off @ waves.T)
    edges = models.edges
    expected = np.add.reduceat(spectrum, edges) / np.add.reduceat(dimensions, edges)
    assert np.abs(1 / models.inverse - expected).max(axis=1).min() < 1e-9


@pytest.mark.parametrize("noise", ["white + AR(1) 0.9", "cycle", "long memory 0.4", "AR(1) 0.5"])
def test_the_variance_along_line_and_decays_is_recovered(noise: str) -> None:
    n = 400
    rows = Scenario("flat", noise, n).simulate(300)
    shape = geometry(n)
    found = [describe_noise(row - row.mean(), 1) for row in residuals(rows, 1)]
    energies = ((rows - rows.mean(1, keepdims=True)) ** 2).sum(1)
    for direction, kind in ((shape.line, "information"), (shape.off_line[20], "curves")):
        believed = [
            energy / np.atleast_1d(getattr(each, kind))[20 if kind == "curves" else 0]
            for energy, each in zip(energies, found, strict=True)
        ]
        assert np.mean(believed) > 0.8 * ((rows @ direction) ** 2).mean()


def test_white_noise_is_recognized_and_so_is_the_right_corner() -> None:
    n, rng = 500, np.random.default_rng(4)
    models = noise_models(n, 1)
    white, slow = 0.0, 0.0
    for _ in range(20):
        power = dct(rng.normal(size=n), norm="ortho") ** 2
        weight, scale = weigh(models, power, n - 1)
        white += weight[0] / 20
        assert weight.sum() == pytest.approx(1.0)
        assert scale[0] == pytest.approx(power[1:].sum() / (n - 1))
        power = dct(ar1(rng, (1, n), 0.9)[0], norm="ortho") ** 2
        slow += weigh(models, power, n - 1)[0][0] / 20
    assert white > 0.85
    assert slow < 1e-6


def test_a_table_of_two_digits_serves_all_windows_between() -> None:
    """The models of 200 losses, with more waves, judge 204 as those of 204 itself would."""
    rows = residuals(ar1(np.random.default_rng(5), (10, 204), 0.7), 1)
    for row in rows:
        found = describe_noise(row, 2)
        exact = noise_models.__wrapped__(204, 2)
        assert np.isfinite(exact.log_prior).all()
        twin = describe_noise(np.concatenate([row, -row[::-1]])[:200], 2)
        assert found.information == pytest.approx(twin.information, rel=0.6)


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6, 0.9])
def test_correlation_is_recovered_in_long_windows(phi: float) -> None:
    r = residuals(ar1(np.random.default_rng(1), (100, 1000), phi), 1)
    found = [describe_noise(row, 2).correlation for row in r]
    assert np.mean(found) == pytest.approx(phi, abs=0.03)


@pytest.mark.claim("C6.2")
def test_correlation_divides_the_losses_by_the_known_factor() -> None:
    errors = []
    for n in (100, 200, 400):
        line, phis = geometry(n).line, 0.5 ** np.arange(n)
        variance = float(variance_along(line[None], phis[None])[0, 0])
        assert variance == pytest.approx(line @ correlated(n, 0.5) @ line)
        errors.append(abs(variance - n / effective_length(n, 0.5)))
    orders = -np.diff(np.log(errors)) / np.log(2)
    np.testing.assert_allclose(orders, 1.0, atol=0.1)


def test_noise_that_shrinks_is_measured_where_it_is() -> None:
    rows = residuals(Scenario("flat", "shrinking", 1000).simulate(20), 0)
    found = [describe_noise(row, 1) for row in rows]
    sizes = np.mean([each.sizes for each in found], axis=0)
    assert sizes[0] == pytest.approx(1.43, abs=0.1)
    assert sizes[-1] == pytest.approx(0.62, abs=0.1)
    even = [
        describe_noise(row, 1)
        for row in residuals(np.random.default_rng(1).normal(size=(20, 1000)), 0)
    ]
    fast = np.mean([each.curves[-8] for each in found])
    assert fast < 0.65 * np.mean([each.curves[-8] for each in even])
    np.testing.assert_allclose(np.mean([each.sizes for each in even], axis=0), 1.0, atol=0.08)


@pytest.mark.parametrize("noise", ["iid", "AR(1) 0.9", "early"])
def test_the_unit_of_the_residuals_changes_no_degree_of_freedom(noise: str) -> None:
    for r in residuals(Scenario("flat", noise, 40).simulate(20, seed=8), 1):
        here, there = describe_noise(r, 2), describe_noise(3e3 * r, 2)
        assert there.df == pytest.approx(here.df, rel=1e-9)
        np.testing.assert_allclose(there.curves_df, here.curves_df, rtol=1e-9)
        np.testing.assert_allclose(there.curves, here.curves, rtol=1e-9)


def test_a_missed_curve_is_not_noise() -> None:
    smooth = residuals(np.sin(np.linspace(0, 6, 60))[None], 2)[0]
    assert describe_noise(smooth, 3) == independent_noise(smooth, 3)
    cycle = np.sin(2 * np.pi * np.arange(200) / 20)
    assert describe_noise(cycle, 3).correlation > 0.9  # slow from step to step, but no curve
    walk = np.random.default_rng(0).normal(size=200).cumsum()
    assert describe_noise(walk - walk.mean(), 3).correlation > 0.9


def test_blocks_keep_the_floor_and_multiply_the_rate() -> None:
    t = np.arange(10_000)
    means, size, _ = averaged(1 + 2 * np.exp(-0.001 * t))
    assert size == 3
    ratios = (means[1:] - 1) / (means[:-1] - 1)
    np.testing.assert_allclose(ratios, np.exp(-0.003), rtol=1e-9)
    short, one, _ = averaged(t[:50].astype(float))
    assert one == 1
    assert len(short) == 50


def test_blocks_of_huge_numbers_stay_finite() -> None:
    means, _, _ = averaged(np.full(10_000, 1.7e308))
    np.testing.assert_allclose(means, 1.7e308)


@pytest.mark.parametrize(("n", "size"), [(4096, 1), (4097, 2), (8192, 2), (8193, 3), (10_001, 3)])
def test_blocks_are_as_small_as_the_limit_allows_and_start_at_the_first_loss(
    n: int, size: int
) -> None:
    y = np.arange(n) ** 1.5
    means, found, _ = averaged(y)
    assert (found, len(means)) == (size, n // size)
    assert means[0] == pytest.approx(y[:size].mean())
    assert means[-1] == pytest.approx(y[(len(means) - 1) * size : len(means) * size].mean())


def test_blocks_of_numbers_whose_sum_overflows_stay_finite() -> None:
    for huge in (1e308, -9e307):
        means, _, _ = averaged(np.full(20_000, huge))
        np.testing.assert_allclose(means, huge)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_ar1_noise_is_stationary_from_its_first_step(phi: float) -> None:
    rows = ar1(np.random.default_rng(2), (20_000, 5), phi)
    lag = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    np.testing.assert_allclose(np.cov(rows.T), phi**lag, atol=0.04)


@pytest.mark.parametrize(
    ("n", "period", "size", "blocks"),
    [(5000, 7, 7, 1), (4000, 7, 1, 7), (10_000, 3000, 3, 1000), (9000, 1009, 1, 1009)],
)
def test_blocks_hold_whole_periods_or_divide_one(
    n: int, period: int, size: int, blocks: int
) -> None:
    means, found, left = averaged(np.arange(n) % period + 0.0, period)
    assert (found, left) == (size, blocks)
    assert len(means) == n // size
    np.testing.assert_allclose(means[: len(means) - left], means[left:], atol=1e-9)


@pytest.mark.parametrize(("n", "period"), [(20, 1), (20, 7), (21, 7), (9, 8)])
def test_every_phase_is_centred(n: int, period: int) -> None:
    rows = np.random.default_rng(0).normal(size=(3, n))
    for row, centred in zip(rows, phase_centred(rows, period), strict=True):
        for phase in range(period):
            expected = row[phase::period] - row[phase::period].mean()
            np.testing.assert_allclose(centred[phase::period], expected, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in NOISES if name.startswith(("long", "cycle"))])
def test_noises_have_the_autocorrelation_they_are_named_for(name: str) -> None:
    rows = NOISES[name](np.random.default_rng(0), (4000, 40))
    lags = np.array([(rows[:, :30] * rows[:, j : 30 + j]).mean() for j in (0, 1, 5)])
    if name == "cycle":
        r, ω = 0.9, 2 * np.pi / 12
        lean = (1 - r * r) / (1 + r * r) / np.tan(ω)
        expected = [r**j * (np.cos(ω * j) + lean * np.sin(ω * j)) for j in (0, 1, 5)]
    else:
        d = float(name.split()[-1])
        expected = [1.0, d / (1 - d), np.prod([(j - 1 + d) / (j - d) for j in range(1, 6)])]
    np.testing.assert_allclose(lags, expected, atol=0.05)

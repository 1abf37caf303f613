"""What a panel draws is what it computed: pictures read by their artists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from exptest.widgets import (
    DecayTestExplorer,
    NetworkExplorer,
    ReplayLab,
    StabilityExplorer,
    WindowExplorer,
    decay_test,
    decay_test_claims,
)
from exptest.widgets.decay_test_claims import Claims
from exptest.widgets.decay_test_trial import Setting
from exptest.widgets.network_race import Race
from exptest.widgets.stability_descent import BEST
from tests.plots.reading import line, lines, meaning


def drawn(panel: Any) -> tuple[Any, list[Axes]]:
    """The result of a panel and the axes that show it."""
    panel.join()
    panel.close()
    return panel.result, list(panel.canvas.figure.axes)


# -- is it a decay? ----------------------------------------------------------------------------


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Axes]]:
    for module in (decay_test, decay_test_claims):
        monkeypatch.setattr(module, "FEW", 4)
        monkeypatch.setattr(module, "MANY", 4)
    return drawn(DecayTestExplorer(amplitude=2.5, alpha=0.1))


def test_both_nulls_carry_their_own_verdict_and_colour(judged: tuple[Any, list[Axes]]) -> None:
    result, (_, calibrated, paper, _) = judged
    for ax, method, color in (
        (calibrated, "calibrated", "exponential"),
        (paper, "paper", "theory"),
    ):
        assert ax.get_title(loc="left") == f"{method.capitalize()}: {result.trial.verdict(method)}"
        null = result.nulls[method]
        shown = lines(ax, color)[0]
        np.testing.assert_array_equal(shown.get_xdata(), null.statistics)
        np.testing.assert_allclose(shown.get_ydata(), np.maximum(null.density, 1e-5))
        assert line(ax, "muted").get_xdata()[0] == pytest.approx(null.critical(0.1))
        statistic = result.trial.results[method].statistic
        said = {f"F = {statistic:.2f}", f"F = {statistic:.4g}".replace("-", "−")}
        assert said & {text.get_text() for text in ax.texts}


def test_the_rates_are_drawn_beside_alpha_and_the_amplitude(
    judged: tuple[Any, list[Axes]],
) -> None:
    result, (window, *_, rates) = judged
    np.testing.assert_array_equal(line(window, "loss").get_ydata(), result.trial.losses)
    assert list(line(rates, "ink").get_ydata()) == [0.1, 0.1]
    assert list(line(rates, "muted").get_xdata()) == [2.5, 2.5]
    for row, color in enumerate(("exponential", "theory")):
        np.testing.assert_array_equal(line(rates, color).get_ydata(), result.rates.shares[row])
    assert rates.get_title(loc="left") == "Power: decays found"


def test_shares_are_counted_at_their_own_alpha_in_the_order_of_the_methods() -> None:
    claims = Claims(Setting("flat", 1.0, 0.0, 0.0, 20))
    p = np.array([[0.01, 0.04, 0.2, 0.6], [0.5, 0.6, 0.7, 0.001]])
    claims._found = {0.0: np.repeat(p, 50, axis=1)}
    rates = claims.rates(0.0, 0.05)
    assert rates is not None
    assert rates.at(0.0).tolist() == [0.5, 0.25]
    assert rates.at(0.3) is None
    assert rates.windows == 200
    assert (rates.low[:, 0] < [0.5, 0.25]).all()
    assert (rates.high[:, 0] > [0.5, 0.25]).all()
    assert rates.high[0, 0] - rates.low[0, 0] == pytest.approx(2 * 1.96 * 0.5 / 200**0.5, rel=0.02)


# -- how long to watch -------------------------------------------------------------------------


def test_the_window_panel_draws_its_result_in_time_and_in_steps() -> None:
    panel = WindowExplorer(initial_loss=2.0, lr=0.1, rate=2.0, path_ratio=2.0)
    result, (left, right) = drawn(panel)
    assert result.stretched == 2 * result.window
    assert line(left, "rejected").get_xydata()[0] == pytest.approx(
        [result.knee, 2.0 * np.exp(-2.0 * result.knee)]
    )
    assert line(left, "theory").get_xydata()[0] == pytest.approx([result.latest, 2.0 / np.e])
    (span,) = left.patches
    assert span.get_width() == pytest.approx(result.length)
    assert line(right, "rejected").get_xdata()[0] == pytest.approx(result.knee / 0.1)
    np.testing.assert_array_equal(line(right, "loss").get_ydata(), result.losses)
    window, stretch = right.patches
    assert window.get_width() + stretch.get_width() == pytest.approx(result.stretched)
    share = 100 * result.knee / result.length
    assert f"The knee is at step {result.knee / 0.1:.0f}, {share:.0f} % into" in panel.sentence()


def test_the_noise_of_the_window_panel_is_in_units_of_the_initial_loss() -> None:
    panel = WindowExplorer(initial_loss=4.0, noise=0.25, lr=0.01, rate=0.02)
    result, _ = drawn(panel)
    curve = 4.0 * np.exp(-0.02 * 0.01 * np.arange(len(result.losses)))
    assert np.std(result.losses - curve) == pytest.approx(1.0, rel=0.1)


# -- how large a step --------------------------------------------------------------------------


def test_the_stability_panel_draws_its_path_and_its_modes() -> None:
    result, (weights, losses) = drawn(StabilityExplorer(multiple=0.6, momentum=0.3))
    np.testing.assert_array_equal(lines(weights, "ink")[0].get_xydata(), result.path)
    assert line(weights, "line").get_xydata()[0] == pytest.approx(BEST)
    steep = line(weights, "rejected").get_xydata()
    along = (steep[1] - steep[0]) / np.linalg.norm(steep[1] - steep[0])
    assert abs(along @ result.problem.V[:, 0]) == pytest.approx(1.0)
    predicted, measured = lines(losses, "rejected")
    assert predicted.get_ydata()[:20] == pytest.approx(result.predicted[0, :20])
    assert measured.get_ydata()[:5] == pytest.approx(result.measured[0, :5])


def test_mini_batches_are_drawn_as_runs_with_their_expectation() -> None:
    panel = StabilityExplorer(multiple=0.3, mini_batches=True, batch_size=4)
    result, (_, losses) = drawn(panel)
    assert line(losses, "ink").get_ydata() == pytest.approx(result.expected)
    assert line(losses, "accepted").get_ydata() == pytest.approx(result.losses.mean(0))
    assert line(losses, "theory").get_ydata()[0] == pytest.approx(result.floor)
    assert losses.get_ylim() == (1e-5, 1e2)


# -- the network and its tangent ---------------------------------------------------------------


def test_the_network_panel_draws_its_race(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exptest.widgets.network.WIDTHS", (8, 16))
    result, (losses, spectra, moved) = drawn(NetworkExplorer(width=16, steps=20))
    here: Race = result.here
    np.testing.assert_array_equal(line(losses, "accepted").get_ydata(), here.losses)
    np.testing.assert_array_equal(line(losses, "ink").get_ydata(), here.predicted)
    names = [text.get_text() for text in losses.get_legend().get_texts()]
    assert names == ["network", "linearization"]
    np.testing.assert_array_equal(line(spectra, "exponential").get_ydata(), here.after)
    np.testing.assert_array_equal(line(spectra, "muted").get_ydata(), here.before)
    assert line(spectra, "rejected").get_ydata()[0] == pytest.approx(2 / here.lr)
    kernel = [result.known[width].kernel_moved for width in (8, 16)]
    np.testing.assert_array_equal(line(moved, "exponential").get_ydata(), kernel)
    assert line(moved, "muted").get_xdata()[0] == 16


def race(**other: Any) -> Race:
    usual: dict[str, Any] = {
        "width": 16, "multiple": 0.5, "lr": 0.1, "losses": np.array([2.0, 1.0, 0.5]),
        "predicted": np.array([2.0, 1.5, 0.4]), "before": np.array([20.0, 1.0]),
        "after": np.array([30.0, 1.0]), "kernel_moved": 0.25, "weights_moved": 0.5,
    }  # fmt: skip
    return Race(**usual | other)


def test_a_race_is_summed_up_by_its_own_numbers() -> None:
    assert race().gap == 0.25
    assert race().sharpness == 1.5
    assert race().summary() == (
        "Width 16, η = 0.50 × critical: after 2 steps the loss is 0.5, the linearization's 0.4; "
        "the largest gap was 25 % of the first loss; the kernel moved by 25 %, the weights by 50 %."
    )
    climbing = race(multiple=1.5, losses=np.array([2.0, 5.0, 0.5])).summary()
    assert "climbs to 5 and is 0.5 after 2 steps" in climbing
    assert "λ_max is now 1.50 × 2/η" in climbing
    assert "does not climb" in race(multiple=1.5).summary()
    lost = race(losses=np.array([2.0, 900.0]))
    assert lost.diverged
    assert "at step 1 its loss has grown from 2 to 900" in lost.summary()


# -- a curve of one's own ----------------------------------------------------------------------


def test_the_replay_panel_shows_the_selected_decision_in_close_up() -> None:
    panel = ReplayLab(max_lr=0.1, shown=2)
    result, (rates, signal, close_up) = drawn(panel)
    decision = result.decisions[1]
    shown = line(close_up, "loss")
    np.testing.assert_array_equal(shown.get_xdata(), np.arange(decision.start, decision.step + 1))
    assert [each for each in signal.lines if list(each.get_xdata()) == [decision.step] * 2]
    assert signal.get_title(loc="left") == f"{len(result.decisions)} decisions"
    titles = {"keep": "keep η", "shrink": "shrink η", "undecided": "too short to tell"}
    assert close_up.get_title(loc="left").endswith(titles[decision.verdict])
    shades = next(part for part in signal.collections if isinstance(part, PolyCollection))
    colors = [meaning(color[:3]) for color in shades.get_facecolor()]
    meant = {"keep": "accepted", "shrink": "rejected", "undecided": "muted"}
    assert colors == [meant[each.verdict] for each in result.decisions]
    assert len(set(colors)) == 3
    assert rates.patches

"""The panel on the exponential test: what it shows is what the library's tests say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import traitlets
from scipy.stats import f as f_distribution

from exptest.statistics import exponential_test
from exptest.statistics.scenarios import ar1
from exptest.widgets import DecayTestExplorer, decay_test, decay_test_claims
from exptest.widgets.canvas import Canvas
from exptest.widgets.decay_test_claims import FEW, Claims
from exptest.widgets.decay_test_null import calibrated_tail, null_of
from exptest.widgets.decay_test_trial import METHODS, SHAPES, Setting, Trial

NO_DECAY = ("straight line", "flat", "growth")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few windows an amplitude: what is drawn is the same."""
    for module in (decay_test, decay_test_claims):
        monkeypatch.setattr(module, "FEW", 4)
        monkeypatch.setattr(module, "MANY", 4)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second less where only words are looked at."""
    monkeypatch.setattr(DecayTestExplorer, "draw", lambda *_: None)
    for name in ("draw", "show"):
        monkeypatch.setattr(Canvas, name, lambda *_: None)


@pytest.fixture
def panel(quick: None) -> Iterator[DecayTestExplorer]:
    panel = DecayTestExplorer()
    panel.join()
    yield panel
    panel.close()


def trial(shape: str = "decay", **other: Any) -> Trial:
    usual = {"efolds": 5.0, "amplitude": 5.0, "correlation": 0.0, "n": 50}
    return Trial(Setting(shape, **usual | other), seed=0, alpha=0.05)


# -- one window --------------------------------------------------------------------------------


def test_decay_is_the_known_curve_plus_the_known_noise() -> None:
    shown = trial(amplitude=2.0, efolds=3.0, correlation=0.6, n=40)
    mean = 2.0 * np.exp(-3.0 * np.linspace(0, 1, 40))
    noise = ar1(np.random.default_rng(0), (1, 40), 0.6)[0]
    np.testing.assert_allclose(shown.losses, mean + noise, rtol=1e-14)


def test_moving_the_truth_leaves_the_noise_in_place() -> None:
    noises = [trial(shape).losses - trial(shape).setting.mean for shape in SHAPES]
    np.testing.assert_allclose(noises, np.tile(noises[0], (len(SHAPES), 1)), atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
def test_verdicts_are_the_library_s(shape: str) -> None:
    shown = trial(shape, n=80)
    for method in METHODS:
        assert shown.results[method] == exponential_test(shown.losses, method=method)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"shape": "straight line"},
        {"shape": "power law", "n": 200},
        {"correlation": 0.7, "n": 120},
        {"n": 8},
        {"amplitude": 1.0, "n": 400},
    ],
)
def test_shaded_area_is_the_p_value_of_the_test(state: dict[str, Any]) -> None:
    shown = trial(**state)
    result = shown.results["calibrated"]
    tail = calibrated_tail(shown.losses, result, np.array([result.statistic]))
    assert tail[0] == pytest.approx(result.pvalue, rel=1e-6)


def test_shaded_area_after_a_spike_is_the_p_value_of_the_rest() -> None:
    losses = trial(amplitude=8.0, n=60).losses.copy()
    losses[0] += 40.0
    result = exponential_test(losses)
    assert result.remark
    assert result.exponential is not None
    tail = calibrated_tail(losses, result, np.array([result.statistic]))
    assert tail[0] == pytest.approx(result.pvalue, rel=1e-6)


def test_null_of_the_paper_is_the_f_table() -> None:
    shown = trial()
    null = null_of(shown.losses, shown.results["paper"])
    assert null is not None
    middle = slice(20, -1)
    table = f_distribution.pdf(null.statistics, 1, 47)
    np.testing.assert_allclose(null.density[middle], table[middle], rtol=0.01)
    assert null.critical(0.05) == pytest.approx(f_distribution.isf(0.05, 1, 47), rel=1e-3)


def test_a_critical_value_off_the_axis_is_not_marked() -> None:
    shown = trial()
    null = null_of(shown.losses, shown.results["paper"])
    assert null is not None
    assert np.isnan(null.critical(1e-9))


def test_no_decay_means_no_null() -> None:
    shown = trial("growth")
    result = shown.results["calibrated"]
    assert result.note
    assert null_of(shown.losses, result) is None
    assert result.note in str(shown)


# -- the panel ---------------------------------------------------------------------------------


def test_rates_arrive_after_the_first_picture(quick: None) -> None:
    panel = DecayTestExplorer()
    first = panel.compute()
    assert first.rates is None or first.rates.windows < FEW
    panel.join()
    panel.close()
    assert panel.result.rates.windows == 4
    assert "of 4 such windows the calibrated test claims a decay in" in panel.sentence()


@pytest.mark.usefixtures("undrawn")
def test_both_verdicts_stand_side_by_side_with_their_p_values(panel: DecayTestExplorer) -> None:
    words = panel.sentence()
    assert "a decay of 3σ with 5 e-folds" in words
    for method in METHODS:
        assert panel.result.trial.verdict(method) in words


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("shape", SHAPES)
def test_sentence_calls_a_false_claim_wrong(panel: DecayTestExplorer, shape: str) -> None:
    panel.shape = shape
    panel.join()
    assert ("wrongly claims" in panel.sentence()) == (shape in NO_DECAY)


@pytest.mark.usefixtures("undrawn")
def test_a_decay_without_amplitude_is_noise(panel: DecayTestExplorer) -> None:
    panel.amplitude = 0.0
    panel.join()
    assert "in truth noise and nothing else" in panel.sentence()
    assert "wrongly claims" in panel.sentence()


@pytest.mark.usefixtures("undrawn")
def test_paper_calls_growth_a_decay_and_the_calibrated_test_does_not(
    panel: DecayTestExplorer,
) -> None:
    panel.set_trait("shape", "growth")
    panel.set_trait("amplitude", 5.0)
    panel.join()
    calibrated, paper = panel.result.rates.at(5.0)
    assert calibrated == 0.0
    assert paper > 0.5
    assert "the calibrated test says no decay, p = 1" in panel.sentence()


def test_setting_a_trait_changes_sentence_and_picture(panel: DecayTestExplorer) -> None:
    for name, value in (("efolds", 1.0), ("correlation", 0.9), ("n", 100), ("seed", 5)):
        sentence, png = panel.sentence(), panel.canvas.png
        panel.set_trait(name, value)
        panel.join()
        assert panel.sentence() != sentence
        assert panel.canvas.png != png
        assert panel.sentence() in panel.words.value


@pytest.mark.usefixtures("undrawn")
def test_a_new_level_needs_no_new_simulation(
    panel: DecayTestExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("simulated again")

    monkeypatch.setattr(Claims, "refine", refuse)
    panel.alpha = 0.01
    panel.join()
    assert "at α = 0.01" in panel.sentence()
    assert panel.result.rates.windows == 4


@pytest.mark.usefixtures("undrawn")
def test_a_new_setting_interrupts_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (decay_test, decay_test_claims):
        monkeypatch.setattr(module, "MANY", 60)
    panel = DecayTestExplorer(shape="straight line", amplitude=10.0)
    panel.n = 400
    panel.n = 30
    panel.join()
    panel.close()
    assert panel.result.trial.setting.n == 30
    assert panel.result.rates.windows == 60
    np.testing.assert_array_equal(panel.result.rates.shares, panel.compute().rates.shares)


@pytest.mark.usefixtures("undrawn")
def test_settings_that_change_nothing_are_disabled(panel: DecayTestExplorer) -> None:
    for shape, off in (("decay", ()), ("straight line", ("efolds",)), ("flat", ("amplitude",))):
        panel.shape = shape
        panel.join()
        for name in off:
            assert panel.controls[name].disabled
        assert panel.controls["n"].disabled is False
    assert panel.controls["efolds"].disabled


ENDED = ("correlation", "efolds", "amplitude", "alpha", "seed", "n")


@pytest.mark.parametrize("low", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_extreme_gives_a_picture(quick: None, shape: str, low: bool) -> None:
    """At either end of every control, and every pair of ends: per shape another one is apart."""
    panel = DecayTestExplorer(**corner(shape, low))
    assert {*ENDED, "shape"} == {*panel.controls}
    panel.join()
    panel.close()
    assert panel.canvas.png.startswith(b"\x89PNG")
    assert "nan" not in panel.sentence()


def corner(shape: str, low: bool) -> dict[str, Any]:
    apart = dict(zip(SHAPES, ENDED, strict=False))[shape]
    state: dict[str, Any] = {"shape": shape}
    for name in ENDED:
        trait = DecayTestExplorer.class_traits()[name]
        ends = getattr(trait, "values", None) or (trait.min, trait.max)
        state[name] = ends[0 if low != (name == apart) else -1]
    return state


@pytest.mark.usefixtures("undrawn")
def test_unknown_settings_and_values_out_of_range_are_refused(panel: DecayTestExplorer) -> None:
    with pytest.raises(TypeError, match="DecayTestExplorer has no setting 'rate'; try one of"):
        DecayTestExplorer(rate=0.5)
    with pytest.raises(traitlets.TraitError):
        panel.n = 4
    with pytest.raises(traitlets.TraitError):
        DecayTestExplorer(shape="wave")
    with pytest.raises(traitlets.TraitError):
        DecayTestExplorer(correlation=1.0)
